"""Corpora of pairs: a source text and the text to be written from it, two columns of a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cdlm.data.columns import missing_column, top_of
from cdlm.data.corpus import Corpus, CorpusError, Tally, fingerprint
from cdlm.data.options import AS_IT_IS, ReadOptions
from cdlm.data.sources import Part, find_source

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairCorpus:
    """Targets as any corpus has them and, line by line, their sources.

    Attributes:
        corpus: the targets; its fingerprint covers the sources too, its tally counts pairs: those of which a side has no word
            as empty, those equal on both sides as duplicates.
        train, validation: the sources of its lines.
    """

    corpus: Corpus
    train: tuple[str, ...]
    validation: tuple[str, ...]


def load_pairs(  # noqa: PLR0913 - what a configuration says about its data
    train: str,
    validation: str | None = None,
    *,
    source_column: str = "source",
    text_column: str = "target",
    options: ReadOptions = AS_IT_IS,
    drop_duplicates: bool = False,
    seed: int = 0,
) -> PairCorpus:
    """Read both splits; without a validation source 1 row in 20 (at most 2,000) is held out by seed, whole sources at a time.

    Args:
        options: how the files are read, such as names for the columns of csv and tsv files without a first line of names.

    Raises:
        CorpusError: nothing found, no such column, or no row with a word on either side.
    """
    names = (source_column, text_column)
    rows, tally = _read(train, names, options)
    distinct = list(dict.fromkeys(rows))
    kept = distinct if drop_duplicates else rows
    if validation:
        held = read_pairs(validation, *names, options)[0]
    else:
        kept, held = _hold_out(kept, seed)
    known, doubled = set(kept), len(rows) - len(distinct)
    tally = replace(tally, duplicates=doubled, shared=sum(pair in known for pair in held))
    (sources, lines), (held_sources, held_lines) = _columns(kept), _columns(held)
    stamp = fingerprint(sources, lines, held_sources, held_lines)
    corpus = Corpus(lines, held_lines, stamp, doubled if drop_duplicates else 0, tally)
    return PairCorpus(corpus, sources, held_sources)


def read_pairs(
    name: str, source_column: str, text_column: str, options: ReadOptions = AS_IT_IS
) -> tuple[list[Pair], int]:
    """(source, target) of every row of a corpus of tables, and how many rows were left out because a side was empty.

    What a name may stand for is told by :func:`cdlm.data.sources.find_source`.

    Raises:
        CorpusError: see :func:`load_pairs`.
    """
    rows, tally = _read(name, (source_column, text_column), options)
    return rows, tally.empty


def _read(name: str, sides: Pair, options: ReadOptions) -> tuple[list[Pair], Tally]:
    found = find_source(name, options)
    rows = [(source.strip(), target.strip()) for part in found.parts for source, target in _rows(part, sides)]
    full = [(source, target) for source, target in rows if source and target]
    if not full:
        raise CorpusError(f"{name}: no row has a word in {sides[0]!r} and in {sides[1]!r}")
    return full, Tally(
        len(rows),
        len(rows) - len(full),
        passed_over=found.passed_over,
        broken=sum("\n" in source or "\n" in target for source, target in full),
        remarks=found.remarks,
    )


_FIX = "Set data.source_column and data.text_column, or data.columns where the first line holds no names"


def _rows(part: Part, sides: Pair) -> Iterator[Pair]:
    known = part.columns
    if not known:
        raise CorpusError(
            f"{part.name} has no columns; pairs come from csv, tsv, jsonl or parquet files with two of them"
        )
    for wanted in sides:
        if top_of(wanted, known) not in known:
            raise missing_column(part.name, wanted, known, _FIX)
    return zip(part.rows(sides[0]), part.rows(sides[1]), strict=True)


def _hold_out(rows: list[Pair], seed: int) -> tuple[list[Pair], list[Pair]]:
    """Whole sources at a time: a source that also stands in training would not measure what is learnt."""
    sources = list(dict.fromkeys(source for source, _ in rows))
    if len(sources) < 2:
        raise CorpusError(
            "pairs need at least two different sources, one of them for validation; or set data.validation"
        )
    wanted, order = min(2000, max(1, len(rows) // 20)), np.random.default_rng(seed).permutation(len(sources))
    sizes = dict.fromkeys(sources, 0)
    for source, _ in rows:
        sizes[source] += 1
    taken = np.cumsum([sizes[sources[i]] for i in order])
    held = {sources[i] for i in order[: min(len(sources) - 1, 1 + int(np.searchsorted(taken, wanted)))]}
    return [r for r in rows if r[0] not in held], [r for r in rows if r[0] in held]


def _columns(rows: Sequence[Pair]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(source for source, _ in rows), tuple(target for _, target in rows)
