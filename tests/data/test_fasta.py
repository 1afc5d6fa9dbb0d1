"""Sequences below headers are read as what they are, whatever their file is called."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdlm.data.fasta import is_fasta, sequences_of
from cdlm.data.readers import read_rows
from cdlm.data.sizes import count_rows

PROTEINS = ["MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ", "MVLSPADKTNVKAAW*", "ACDEFGHIKLMNPQRSTVWY"]


def fasta(sequences: list[str], width: int = 10) -> str:
    lines = []
    for number, sequence in enumerate(sequences):
        lines += [
            f">sp|P{number}|NAME some protein",
            *(sequence[i : i + width] for i in range(0, len(sequence), width)),
        ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", ["a.fasta", "a.txt", "a.fa"])
def test_headers_are_no_texts_and_lines_are_joined(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(fasta(PROTEINS))
    assert list(read_rows(tmp_path / name)) == PROTEINS
    assert list(read_rows(tmp_path / name, start=2)) == PROTEINS[2:]


def test_rows_are_sequences_where_they_are_counted_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(fasta(PROTEINS * 400))
    assert count_rows(tmp_path / "a.txt", 200) == pytest.approx(1200, rel=0.1)


@given(st.lists(st.text("ACGT-*", min_size=8, max_size=70), min_size=1, max_size=5), st.integers(8, 60))
def test_any_sequences_come_back(sequences: list[str], width: int) -> None:
    text = fasta(sequences, width)
    assert is_fasta(text.split("\n"))
    assert list(sequences_of(text.splitlines(keepends=True))) == sequences


@pytest.mark.parametrize(
    "text",
    [
        "> I wrote\n> to you\nyes\n",
        "a\n>b\nACGTACGT\n",
        ">only a header",
        "",
        ">a quote\nThe Eagle is a pub.\n",
        "ACGTACGTAC\nACGTACGT\n",
    ],
)
def test_other_texts_are_no_fasta(text: str) -> None:
    assert not is_fasta(text.split("\n"))
