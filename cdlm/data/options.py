"""How the files of a corpus are read where their endings do not say it."""

from dataclasses import dataclass
from typing import Literal

Quoting = Literal["double", "none"]


@dataclass(frozen=True)
class ReadOptions:
    """Of all files of a corpus.

    Attributes:
        header: whether the first line of a csv or tsv file names its columns; without names they are called 1, 2 and so on,
            and quotes stand for themselves in a tsv file.
        columns: names for the columns of such files without a line of names.
        quoting: double, values in double quotes may hold marks and line breaks; none, quotes stand for themselves.
        paragraphs: the texts of a text file are parted by blank lines, not by the ends of lines.
    """

    header: bool = True
    columns: tuple[str, ...] = ()
    quoting: Quoting = "double"
    paragraphs: bool = False

    @property
    def named(self) -> bool:
        """Whether the first line of a table names its columns."""
        return self.header and not self.columns


AS_IT_IS = ReadOptions()
