"""Sentences from keywords: the split of the corpus, what is counted, and a whole measurement with tiny models."""

import json

import pytest

from cdlm.config import parse_config
from cdlm.training.run import train

FOODS = ("italian", "indian", "french", "cheap")
PLACES = ("park", "river", "centre", "station")


@pytest.fixture(scope="module")
def tables(tmp_path_factory, benchmark_module):
    """A table as it is published, split by sets of concepts."""
    folder = tmp_path_factory.mktemp("commongen")
    (folder / "commongen").mkdir()
    rows = [
        f"{place} {food}\t{start} {food} pubs near the {place} ."
        for food in FOODS
        for place in PLACES
        for start in ("there are", "we saw")
    ]
    (folder / "commongen" / "train.tsv").write_text("\n".join(rows))
    script = benchmark_module("commongen_corpus")
    script.HELD = 6
    script.build(folder, folder / "pairs")
    return folder


def test_no_set_of_concepts_is_in_both_splits(tables):
    splits = [
        [line.split("\t") for line in (tables / "pairs" / f"{split}.tsv").read_text().splitlines()]
        for split in ("train", "valid")
    ]
    sets = [{concepts for concepts, _ in rows} for rows in splits]
    assert sets[0].isdisjoint(sets[1])
    assert (len(sets[1]), len(splits[0]) + len(splits[1])) == (6, 32)
    assert all(concepts == " ".join(sorted(concepts.split())) for concepts in sets[0] | sets[1])


def test_concepts_are_found_by_their_lemmas(benchmark_module):
    script = benchmark_module("commongen")
    assert script.covered("attend director model", "The directors attended a gala with a Model.") == 1
    assert script.covered("attend director model", "The directions of a model") == pytest.approx(1 / 3)
    assert script.covered("run", "") == 0


def test_a_whole_measurement(benchmark_module, tables, tmp_path):
    script = benchmark_module("commongen")
    backbone = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    data = {
        "train": str(tables / "pairs" / "train.tsv"),
        "validation": str(tables / "pairs" / "valid.tsv"),
        "min_count": 1,
    }
    data |= {"columns": ["concepts", "text"], "source_column": "concepts", "text_column": "text"}
    best = train(
        parse_config(
            {
                "data": data,
                "model": {"max_length": 16, "max_source_length": 8, "embedding_dim": 8, "backbone": backbone},
                "train": {"steps": 20, "tokens_per_batch": 256, "eval_every": 10, "save_every": 10, "warmup_steps": 2},
                "output": str(tmp_path / "run"),
            }
        )
    )
    given = ["--pairs", str(tables / "pairs"), "--model", str(best), "--ar", str(tmp_path / "ar")]
    script.main(["ar", *given, "--ar-steps", "4", "4"])
    assert [entry.name for entry in (tmp_path / "ar").iterdir() if "checkpoints" in entry.name] == []
    script.main(["measure", *given, "--items", "3", "--samples", "2", "--out", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    rows = {(row["task"], row["metric"]): row for row in found["rows"]}
    assert {row["system"] for row in rows.values()} == {"cdlm", "guidance 1.5", "guidance 2.5", "keywords, too", "ar"}
    for system in ("", ", ar", ", guidance 1.5", ", keywords, too"):
        assert rows[f"CommonGen{system}", "concepts kept"]["figure"]["n"] == 3
        assert rows[f"CommonGen, MBR of 2{system}", "ROUGE-L"]["reference"] is not None
    assert rows["CommonGen, keywords, too", "all concepts kept"]["figure"]["value"] == 1
    assert rows["CommonGen", "concepts kept"]["reference"] == 1
    samples = (tmp_path / "out" / "samples.md").read_text(encoding="utf-8")
    assert samples.count("- people: ") == 3 == samples.count("- ar: ")
    assert "left out" not in found["facts"]
