"""Tables: every column of one file, and the text of data sets on the Hugging Face Hub, read through ``datasets``."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdlm.data.columns import as_text, check_column, top_of, value_at
from cdlm.data.delimited import check_names, remark, table_rows
from cdlm.data.opening import PACKED, CorpusError, check_text, kind_of, refusing

HUB = "hub:"
_AT_ONCE = 1000
_STAMPED = 1000
_SAMPLED = 100

log = logging.getLogger(__name__)


def read_columns(file: Path) -> dict[str, list[object]]:
    """Every column of one csv, tsv, jsonl or parquet file; csv and tsv values are the strings that stand there.

    Raises:
        CorpusError: see :func:`cdlm.data.readers.read_rows`; or the file has no columns, or two of one name.
    """
    loader = _loader(file)
    if loader == "text":
        raise CorpusError(f"{file} has no columns; give a csv, tsv, jsonl or parquet file")
    if loader == "csv":
        return _read_csv(file)
    table = _load(loader, file)
    return {name: _named(table.features[name], list(table[name])) for name in table.column_names}


def _read_csv(file: Path) -> dict[str, list[object]]:
    """As strictly as a corpus: pandas would drop a short last row, and read 01 as 1."""
    with refusing(file, "csv"):
        rows = table_rows(file)
        names = next(rows)
        if said := remark(file):
            log.warning("%s: %s", file, said)
        check_names(file, names)
        table = list(rows)
    return {name: [row[place] for row in table] for place, name in enumerate(names) if name.strip()}


def _loader(file: Path) -> str:
    kind = kind_of(file)
    if file.suffix.lower() in PACKED:
        raise CorpusError(f"{file} is packed; unpack it first, a table of labels is read whole")
    check_text(file, kind)
    return kind


def _load(loader: str, file: Path) -> Any:
    import datasets  # noqa: PLC0415

    build = {"json": datasets.Dataset.from_json, "parquet": datasets.Dataset.from_parquet}
    shown, level = not datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is said once, by the error
    try:
        return build[loader](str(file))
    except (datasets.exceptions.DatasetGenerationError, ValueError, OSError) as error:
        raise CorpusError(f"{file} cannot be read as {loader}: {error.__cause__ or error}") from None
    finally:
        datasets.logging.set_verbosity(level)
        if shown:
            datasets.enable_progress_bars()


def _named(feature: Any, values: list[object]) -> list[object]:
    """Numbers that the file itself has names for (``ClassLabel``) become those names; -1 is its mark for none."""
    names = getattr(feature, "names", None)
    if names is None:
        return values
    return [names[v] if isinstance(v, int) and 0 <= v < len(names) else None for v in values]


@dataclass(frozen=True)
class HubTable:
    """One split of a data set on the Hub, kept in the local cache and read from there, so memory does not grow with it."""

    name: str
    table: Any

    @classmethod
    def load(cls, name: str) -> "HubTable":
        """``hub:owner/name``, ``hub:owner/name:config`` and ``…@split`` (``train`` unless told).

        Raises:
            CorpusError: no such data set, or it is neither in the cache nor to be had without a network.
        """
        import datasets  # noqa: PLC0415 - seconds to import, and only this module owns it

        whole, _, split = name.removeprefix(HUB).partition("@")
        path, _, config = whole.partition(":")
        if path.count("/") != 1:
            raise CorpusError(
                f"{name}: a data set of the Hub is named hub:owner/name, and {HUB}owner/name:config@split"
            )
        try:
            return cls(name, datasets.load_dataset(path, config or None, split=split or "train"))
        except (OSError, ValueError, datasets.exceptions.DatasetNotFoundError) as error:
            raise CorpusError(_not_there(name, error)) from None

    @property
    def size(self) -> int:
        """Bytes in the cache."""
        return int(self.table.data.nbytes)

    @property
    def remark(self) -> str | None:
        """Nothing is found out by looking."""
        return None

    def unpacked(self, within: int) -> int:
        """The same: the cache is not packed."""
        return self.size

    @property
    def columns(self) -> list[str]:
        """Their names."""
        return list(self.table.column_names)

    def rows(self, text_column: str, start: int = 0) -> Iterator[str]:
        """The text of every row from ``start`` on, empty where there is none.

        Raises:
            CorpusError: no such column, or it does not hold texts.
        """
        top = top_of(text_column, self.columns)
        sample = self.table[:_SAMPLED][top] if top != text_column else ()
        check_column(self.name, text_column, self.columns, [{top: value} for value in sample])
        texts = self.table.select_columns([top])
        for at in range(start, len(texts), _AT_ONCE):
            values = (value_at({top: value}, text_column) for value in texts[at : at + _AT_ONCE][top])
            yield from (as_text(self.name, text_column, value) for value in values)

    def count_rows(self, sampled: int) -> int:
        """Known without reading any."""
        return len(self.table)

    def stamp(self, share: float = 1.0) -> str:
        """Of the split's length and up to 1,000 of its rows, evenly spread, the first and the last among them."""
        count, last = min(_STAMPED, len(self.table)), len(self.table) - 1
        rows = sorted({last * n // max(1, count - 1) for n in range(count)})
        return hashlib.sha256(repr((len(self.table), [self.table[i] for i in rows])).encode()).hexdigest()


def _not_there(name: str, error: Exception) -> str:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    message = f"{name} is neither a file nor a dataset that the Hub gives out: {why}"
    offline = "offline" in why.lower() or isinstance(error, ConnectionError)
    return message + ("; go online once (it stays in the cache), or give the path of a file" if offline else "")
