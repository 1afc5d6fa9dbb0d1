"""Excerpts of stories: every one in order, none across stories; and the causal model's training rows."""

from itertools import pairwise

import pytest


def test_excerpts_of_a_story(benchmark_module):
    stories = benchmark_module("stories_corpus")
    parts = stories.sentences('Ann ran. "Stop!" cried Bo. Why? She fell... It hurt.')
    assert parts == ["Ann ran.", "Stop!", "cried Bo.", "Why?", "She fell...", "It hurt."]
    found = list(stories.excerpts(list("abcde")))
    assert sorted("".join(e) for e in found) == ["abc", "abe", "ace", "ade", "bcd", "cde"]
    assert list(stories.excerpts(["a", "b"])) == []
    assert list(stories.excerpts(["a", "b", "c"])) == [("a", "b", "c")]


def test_files_hold_the_excerpts_of_their_own_split(benchmark_module, tmp_path):
    stories = benchmark_module("stories_corpus")
    folder = tmp_path / "rocstories"
    folder.mkdir()
    lines = {"train.stories.txt": "A a. B b. C c. D d. E e.", "extra_truecased.stories.txt": "F f. G g. H h."}
    for name, line in {**lines, "valid.stories.txt": "V v. W w. X x.\nV v. W w. X x."}.items():
        (folder / name).write_text(line + "\n", encoding="utf-8")
    stories.build(tmp_path, tmp_path / "out")
    train = (tmp_path / "out" / "train.tsv").read_text().splitlines()
    assert len(train) == 6 + 1
    assert (tmp_path / "out" / "valid.tsv").read_text() == "V v.\tW w.\tX x.\n"
    plain = (tmp_path / "out" / "train.txt").read_text().splitlines()
    assert plain == [line.replace("\t", " ") for line in train]
    before = list((tmp_path / "out").glob("*"))
    stories.build(tmp_path, tmp_path / "again")
    assert all((tmp_path / "again" / f.name).read_bytes() == f.read_bytes() for f in before)


def test_rows_of_the_causal_model_score_the_middle_sentence_alone(benchmark_module, tiny_pipe, tmp_path):
    tokenizer, file = tiny_pipe.tokenizer, tmp_path / "train.tsv"
    file.write_text("Zizzi is a\tcheap pub\tnear the park .\n", encoding="utf-8")
    (row,) = benchmark_module("anlg").scored(tokenizer, file)
    assert row.ids[row.given :] == [*tokenizer.encode("cheap pub"), tokenizer.end_id]
    assert row.ids[row.given - 1] == tokenizer.start_id
    assert len(set(row.ids)) == len(row.ids)
    assert all(a != b for a, b in pairwise(row.ids))


def test_the_real_corpus_has_five_sentences_a_story(benchmark_module, corpus):
    stories = benchmark_module("stories_corpus")
    lines = (corpus("rocstories") / "valid.stories.txt").read_text(encoding="utf-8").splitlines()
    five = [len(stories.sentences(line)) == 5 for line in lines]
    assert sum(five) / len(five) == pytest.approx(1, abs=0.05)
