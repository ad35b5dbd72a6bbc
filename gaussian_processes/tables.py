"""What numbers do the files of a channel hold?

CSV without a header, the target in the first column, as SageMaker's built-in algorithms have it.
"""

import csv
import gzip
import io
import math
import re
import reprlib
import time
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gaussian_processes.contract import Channel
from gaussian_processes.errors import UserError

Array = NDArray[np.float64]

# Seconds that a FIFO may take to appear: SageMaker makes it about when the container starts. A job that never gets one waits
# that long, and is paid for it.
PIPE_TIMEOUT_SECONDS = 60.0
# Seconds between two looks for it: a start that much later, at most, for next to no work.
PIPE_POLL_SECONDS = 0.1
# What reading a damaged .gz raises.
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)
# What no text has, but every Parquet file: control characters other than line breaks and the like.
BINARY = re.compile(r"[\0-\x08\x0e-\x1f]")
# pandas would read a column of these as ones and zeros; as missing values they are refused, like all that is no number.
BOOLEANS = ("True", "TRUE", "true", "False", "FALSE", "false")


@dataclass(frozen=True)
class Table:
    """Rows of numbers, the target first.

    Parameters
    ----------
    values : ndarray of shape (n, c)
        float64, finite, rows contiguous; c is at least 2.
    origins : sequence of (str, int)
        The files that the rows come from, in their order, each with its number of rows.
    notes : sequence of str
        One sentence for each file that was skipped.
    """

    values: Array
    origins: Sequence[tuple[str, int]]
    notes: Sequence[str] = ()

    def place(self, row: int) -> str:
        """Where a row, counted from 0, comes from, counted from 1 without blank lines.

        Examples
        --------
        >>> Table(np.zeros((3, 2)), [("train/a.csv", 2), ("train/b.csv", 1)]).place(2)
        'row 1 of train/b.csv'
        """
        ends = list(accumulate(rows for _, rows in self.origins))
        name, rows = self.origins[file := bisect_right(ends, row)]
        return f"row {row - ends[file] + rows + 1} of {name}"


@dataclass(frozen=True)
class _File:
    """A file by the name that a person knows it by; of a FIFO, which is read once, the bytes."""

    name: str
    content: Path | bytes


def read(channel: Channel, pipe_timeout_seconds: float = PIPE_TIMEOUT_SECONDS) -> Table:
    """Read every file of a channel, subfolders included, in the order of their names.

    Parameters
    ----------
    channel : Channel
        CSV in UTF-8, compressed by gzip or not, whatever the names. Files without rows, and those whose name or folder begins
        with ``.`` or ``_``, are skipped.
    pipe_timeout_seconds : float
        How long the FIFO of a channel in Pipe mode may take to appear.

    Raises
    ------
    UserError
        If the content type is not CSV, there is nothing to read, rows differ in their number of columns or have fewer than
        two, or a cell is not a finite number. The sentence names the file and, counted from 1, the row and the column.
    """
    _check_content_type(channel)
    piped = channel.input_mode == "Pipe"
    files, notes = ([_pipe(channel, pipe_timeout_seconds)], []) if piped else _files(channel)
    parts = {file.name: _parse(file) for file in files}
    notes += [f"{name} is skipped: it has no rows" for name, part in parts.items() if not len(part)]
    parts = {name: part for name, part in parts.items() if len(part)}
    if not parts:
        raise UserError(
            "; ".join([f"channel {channel.name} has no rows: put CSV files into it (here {channel.folder})", *notes])
        )
    _check_columns(parts)
    origins = tuple((name, len(part)) for name, part in parts.items())
    return Table(_stack(list(parts.values())), origins, tuple(notes))


def _check_content_type(channel: Channel) -> None:
    media, *parameters = (part.strip().lower() for part in (channel.content_type or "text/csv").split(";"))
    if media not in ("text/csv", "csv"):
        raise UserError(
            f"channel {channel.name} has the content type {channel.content_type}, but only text/csv is read:"
            " convert the files and set ContentType to text/csv"
        )
    sizes = [value.strip() for name, _, value in (each.partition("=") for each in parameters) if name == "label_size"]
    if sizes not in ([], ["1"]):
        raise UserError(
            f"channel {channel.name} has the content type {channel.content_type}, but the first column, and no other, is the"
            " target: set label_size to 1 or leave it out"
        )


def _files(channel: Channel) -> tuple[list[_File], list[str]]:
    """Files to read, in S3's own order: by the whole path, code point by code point; and a note on each of the others."""
    found = sorted((path.relative_to(channel.folder).as_posix(), path) for path in channel.folder.rglob("*"))
    files, notes = [], []
    for relative, path in found:
        name = f"{channel.name}/{relative}"
        if not path.is_file():
            continue
        if any(part.startswith((".", "_")) for part in relative.split("/")):
            notes.append(f"{name} is skipped: its name, or its folder's, begins with . or _")
        else:
            files.append(_File(name, path))
    return files, notes


def _pipe(channel: Channel, timeout_seconds: float) -> _File:
    """Everything that comes through a channel's FIFO, which may not be there yet."""
    fifo = channel.folder.with_name(f"{channel.folder.name}_0")
    deadline = time.monotonic() + timeout_seconds
    while not fifo.exists():
        if time.monotonic() > deadline:
            raise UserError(
                f"channel {channel.name} is in Pipe mode, but {fifo} did not appear within {timeout_seconds:g} seconds:"
                " start the job again, or use File or FastFile mode"
            )
        time.sleep(PIPE_POLL_SECONDS)
    return _File(fifo.name, fifo.read_bytes())


def _check_columns(parts: Mapping[str, Array]) -> None:
    (first, columns), *others = ((name, part.shape[1]) for name, part in parts.items())
    if columns < 2:
        raise UserError(f"{first} has one column, but needs the target and a feature at least: separate them by commas")
    for name, found in others:
        if found != columns:
            raise UserError(
                f"{name} has {found} columns, but {first} has {columns}: give all files of a channel the same columns"
            )


def _stack(parts: Sequence[Array]) -> Array:
    """All rows, contiguous; pandas' own arrays have contiguous columns."""
    rows, columns = sum(map(len, parts)), parts[0].shape[1]
    return np.concatenate(parts, out=np.empty((rows, columns)))


def _parse(file: _File) -> Array:
    """Return the numbers of a file, each the float64 next to its decimals; of no shape if it has no rows."""
    try:
        with _opened(file) as content:
            values = pd.read_csv(content, header=None, dtype=np.float64, skipinitialspace=True, na_values=BOOLEANS).to_numpy()
    except pd.errors.EmptyDataError:
        return np.empty((0, 0))
    except (ValueError, *DAMAGED) as error:
        raise UserError(_explain(file, error)) from error
    if not np.isfinite(values).all():
        raise UserError(_explain(file))
    return values


@contextmanager
def _opened(file: _File) -> Iterator["gzip.GzipFile | io.BufferedReader[Any]"]:
    """Open a file at its start, decompressed; it is read from end to end, as FastFile mode likes it."""
    content = file.content
    with content.open("rb") if isinstance(content, Path) else io.BufferedReader(io.BytesIO(content)) as plain:
        yield gzip.GzipFile(fileobj=plain) if plain.peek(2).startswith(b"\x1f\x8b") else plain


def _explain(file: _File, error: Exception | None = None) -> str:
    """Sentence on the first thing wrong with a file, found cell by cell: slow, and only for a file known to be wrong."""
    try:
        with _opened(file) as content, io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text:
            return next(_faults(file.name, _rows(text)), f"{file.name} cannot be read as CSV ({error})")
    except (ValueError, csv.Error, *DAMAGED) as reason:
        return f"{file.name} is not CSV in UTF-8 ({reason}): remove it, or write it as CSV, compressed by gzip or not"


def _rows(text: TextIO) -> Iterator[list[str]]:
    """Cells of each row that is not blank."""
    for cells in csv.reader(text, skipinitialspace=True):
        if any(map(BINARY.search, cells)):
            raise ValueError("it holds control characters")
        if len(cells) > 1 or "".join(cells).strip():
            yield cells


def _faults(name: str, rows: Iterable[list[str]]) -> Iterator[str]:
    """Sentences on what is wrong with the rows of a file, in their order."""
    columns = 0
    for row, cells in enumerate(rows, 1):
        columns = columns or len(cells)
        if row == 1 and columns > 1 and all(cell.strip() and _number(cell) is None for cell in cells):
            yield f"row 1 of {name} looks like a header ({reprlib.repr(','.join(cells))}), but files must have none: remove it"
        if len(cells) != columns:
            yield f"row {row} of {name} has {len(cells)} column(s), but row 1 has {columns}: correct or remove it"
        for column, cell in enumerate(cells, 1):
            number = _number(cell)
            if number is None or not math.isfinite(number):
                shown = reprlib.repr(cell) if cell.strip() else "empty"
                remedy = "correct or remove the row"
                if len(cells) == 1 or any(separator in cell for separator in ";\t"):
                    remedy = "write the file with commas between cells and points in numbers"
                elif row == 1 and not cell.strip():
                    remedy = "write the file without a header and an index"
                yield f"row {row}, column {column} of {name} is {shown}, but cells are finite numbers: {remedy}"


def _number(cell: str) -> float | None:
    """Number in a cell, as pandas takes it; None if there is none."""
    try:
        # Python's own float() would also take "1_000" and the digits of other scripts.
        return float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None
