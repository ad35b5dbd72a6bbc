"""Tables: columns of cells, with the names of their columns and the files of their rows."""

import reprlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from gaussian_processes.data.cells import Cells


@dataclass(frozen=True)
class FileTable:
    """Columns of one file.

    Parameters
    ----------
    names : tuple of str, or None
        Names of the columns, if the file has them.
    columns : tuple of ndarray of shape (n,)
    warnings : tuple of str
        One sentence for every guess that the reader has made.
    note : str
        How the file was understood.
    """

    names: tuple[str, ...] | None
    columns: tuple[Cells, ...]
    warnings: tuple[str, ...] = ()
    note: str = ""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0]) if self.columns else 0


@dataclass(frozen=True)
class Table:
    """Columns of numbers or text, of one file or several.

    Parameters
    ----------
    names : tuple of str, or None
        Names of the columns, if the files have them.
    columns : tuple of ndarray of shape (n,)
        Of float64, with NaN where a value is missing, or of str, with None.
    sources : sequence of (str, int)
        The files of the rows in their order, each with its number of rows.
    warnings : sequence of str
        One sentence for each file that has no rows, and for every guess about a header.
    label_size : int or None
        How many of the first columns are targets, if the content type says so.
    notes : sequence of str
        How the files were understood, and which were skipped.
    """

    names: tuple[str, ...] | None
    columns: tuple[Cells, ...]
    sources: Sequence[tuple[str, int]]
    warnings: Sequence[str] = ()
    label_size: int | None = None
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @property
    def source_label(self) -> str:
        """Name of the first file, and how many more there are."""
        first, *others = (name for name, _ in self.sources)
        return f"{first} (and {len(others)} more)" if others else first

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Position of each column that has a name."""
        return {name: position for position, name in enumerate(self.names or ())}

    def column_name(self, position: int) -> str:
        """Name of a column or, without one, its position."""
        return self.names[position] if self.names else str(position)

    def column_label(self, position: int) -> str:
        """Label of a column in messages about the files."""
        return label_column(position, self.names[position] if self.names else None)

    def split_by_file(self, cells: Cells) -> list[Cells]:
        """Split the cells of a column into those of each file that has rows."""
        ends = list(accumulate(rows for _, rows in self.sources))
        return [part for part in np.split(cells, ends[:-1]) if len(part)]

    def describe_row(self, row: int) -> str:
        """Describe a row as it was read, for the log."""
        cells = (
            f"{self.column_name(position)}={_quoted(column[row])}"
            for position, column in enumerate(self.columns)
        )
        return f"{self.locate_row(row)} is read as {', '.join(cells)}"

    def locate_row(self, row: int) -> str:
        """Locate a row in its file, for messages.

        Parameters
        ----------
        row : int
            From 0, over all files. In the message it counts from 1, without header and blank lines.

        Examples
        --------
        >>> import numpy as np
        >>> Table(None, (np.zeros(3),), [("train/a.csv", 2), ("train/b.csv", 1)]).locate_row(2)
        'row 1 of train/b.csv'
        """
        ends = list(accumulate(rows for _, rows in self.sources))
        name, rows = self.sources[file := bisect_right(ends, row)]
        return f"row {row - ends[file] + rows + 1} of {name}"

    def locate_cell(self, row: int, position: int) -> str:
        """Locate a cell by row, column and file, for messages."""
        row_label, _, file = self.locate_row(row).partition(" of ")
        return f"{row_label}, {self.column_label(position)} of {file}"


def label_column(position: int, name: str | None) -> str:
    """Label of a column of a file, as a person counts, and as hyperparameters name it.

    Examples
    --------
    >>> label_column(1, "age"), label_column(1, None)
    ('column 2 (age)', 'column 2 (position 1)')
    """
    return f"column {position + 1} ({f'position {position}' if name is None else name})"


def _quoted(cell: float | str | None) -> str:
    """Cell as the log shows it: text in quotes, so that it is no number."""
    if cell is None or cell != cell:  # noqa: PLR0124  NaN
        return "missing"
    return reprlib.repr(cell) if isinstance(cell, str) else f"{cell:.6g}"
