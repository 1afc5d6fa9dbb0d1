"""The corpus of everyday words: short lines of frequent words, none twice, none of validation in training."""

from pathlib import Path


def test_lines_are_short_frequent_and_held_apart(benchmark_module, tmp_path: Path) -> None:
    corpus = benchmark_module("everyday_corpus")
    train = [
        "I am here.",
        "You are here.",
        "I am here.",
        "I see you.",
        "We are here.",
        "I am a zebra.",
        "I am here. You are here.",
    ]
    (tmp_path / "train.txt").write_text("\n".join(train) + "\n", encoding="utf-8")
    (tmp_path / "valid.txt").write_text("You are here.\nWe see a zebra.\nI are here.\n", encoding="utf-8")
    counts = corpus.build(tmp_path, tmp_path / "out", words=6, longest=5)
    # Different lines of train.txt: ". here I am are You" stand 7, 5, 4, 3, 3 and 2 times; we, a, see, you, zebra once.
    assert (tmp_path / "out" / "train.txt").read_text(encoding="utf-8").splitlines() == ["I am here."]
    assert (tmp_path / "out" / "valid.txt").read_text(encoding="utf-8").splitlines() == ["You are here.", "I are here."]
    assert counts == {"train": 1, "valid": 2}
    assert corpus.build(tmp_path, tmp_path / "out", words=6, longest=8)["train"] == 2
