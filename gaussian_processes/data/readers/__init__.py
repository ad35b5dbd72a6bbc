"""What do the files of a channel hold?

CSV (with the names of its columns in the first line or not), JSON Lines, NPY or Parquet, all of it read into columns.
"""

import csv
import gzip
import io
import json
import re
import reprlib
import time
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import read_array
from numpy.typing import NDArray

from gaussian_processes.data.schema import MISSING_MARKERS, normalize_category, parse_number
from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker.environment import Channel

# Cells of a column: float64 with NaN where one is missing, or objects, which are words, with None.
Cells = NDArray[Any]

# Seconds that a FIFO may take to appear: SageMaker makes it about when the container starts. A job that never gets one waits
# that long, and is paid for it.
PIPE_TIMEOUT_SECONDS = 60.0
# Seconds between two looks for it: a start that much later, at most, for next to no work.
PIPE_POLL_SECONDS = 0.1
# What reading a damaged .gz raises.
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)
# What no text has, but every Parquet file: control characters other than line breaks and the like.
BINARY = re.compile(r"[\0-\x08\x0e-\x1f]")
# pandas would read a column of these as ones and zeros. Taken for missing values they are looked at again, as words.
BOOLEANS = frozenset({"True", "TRUE", "true", "False", "FALSE", "false"})
NUMBERS = "iuf"  # NumPy's letters for the kinds of numbers


@dataclass(frozen=True)
class Table:
    """Columns of numbers or words.

    Parameters
    ----------
    names : tuple of str, or None
        Of the columns, if the files have them.
    columns : tuple of ndarray of shape (n,)
        Of float64, with NaN where a value is missing, or of str, with None.
    sources : sequence of (str, int)
        The files that the rows come from, in their order, each with its number of rows.
    warnings : sequence of str
        One sentence for each file that was skipped, and for a first line that was taken for names.
    label_size : int or None
        How many of the first columns are targets, if the channel's content type says so.
    """

    names: tuple[str, ...] | None
    columns: tuple[Cells, ...]
    sources: Sequence[tuple[str, int]]
    warnings: Sequence[str] = ()
    label_size: int | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0])

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.columns)

    @property
    def source_label(self) -> str:
        """Name the files in a sentence."""
        first, *others = (name for name, _ in self.sources)
        return f"{first} (and {len(others)} more)" if others else first

    def column_name(self, position: int) -> str:
        """Name of a column: its own or, without one, its position."""
        return self.names[position] if self.names else str(position)

    def column_label(self, position: int) -> str:
        """Name a column to a person, counted from 1."""
        return (
            f"column {position + 1} ({self.names[position]})"
            if self.names
            else f"column {position + 1}"
        )

    def locate_row(self, row: int) -> str:
        """Where a row, counted from 0, comes from, counted from 1 without blank lines and names.

        Examples
        --------
        >>> Table(None, (np.zeros(3),), [("train/a.csv", 2), ("train/b.csv", 1)]).locate_row(2)
        'row 1 of train/b.csv'
        """
        ends = list(accumulate(rows for _, rows in self.sources))
        name, rows = self.sources[file := bisect_right(ends, row)]
        return f"row {row - ends[file] + rows + 1} of {name}"

    def locate_cell(self, row: int, position: int) -> str:
        """Where a cell stands."""
        line, _, file = self.locate_row(row).partition(" of ")
        return f"{line}, {self.column_label(position)} of {file}"


@dataclass(frozen=True)
class _File:
    """A file by the name that a person knows it by; of a FIFO, which is read once, the bytes."""

    name: str
    content: Path | bytes


@dataclass(frozen=True)
class _Part:
    """What one file holds."""

    names: tuple[str, ...] | None
    columns: tuple[Cells, ...]

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0


def read(
    channel: Channel, header: bool | None = None, pipe_timeout_seconds: float = PIPE_TIMEOUT_SECONDS
) -> Table:
    """Read every file of a channel, subfolders included, in the order of their names.

    Parameters
    ----------
    channel : Channel
        Of the format that its content type says, or else the ending of each file's name, or else CSV in UTF-8. Text may be
        compressed by gzip, whatever the names. Files without rows, and those whose name or folder begins with ``.`` or ``_``,
        are skipped.
    header : bool, optional
        Whether files of CSV begin with the names of their columns; unless it is said, they do if a column that is otherwise
        numbers begins with a word.
    pipe_timeout_seconds : float
        How long the FIFO of a channel in Pipe mode may take to appear.

    Raises
    ------
    UserError
        If the content type is none of those, there is nothing to read, a file is damaged, or rows or files differ in their
        columns. The sentence names the file and, counted from 1, the row.
    """
    reader, label_size = _content_type(channel)
    piped = channel.input_mode == "Pipe"
    files, notes = ([_pipe(channel, pipe_timeout_seconds)], []) if piped else _files(channel)
    parts = {file.name: (reader or _by_ending(file.name))(file, header) for file in files}
    notes += [f"{name} is skipped: it has no rows" for name, part in parts.items() if not len(part)]
    parts = {name: part for name, part in parts.items() if len(part)}
    if not parts:
        raise UserError(
            "; ".join(
                [
                    f"channel {channel.name} has no rows: put CSV files into it (here {channel.folder})",
                    *notes,
                ]
            )
        )
    if header is None:
        notes += [
            f"the first line of {name} is taken for a row, since it has no word above numbers; header=true makes it names"
            for name, part in parts.items()
            if not part.names
            and (reader or _by_ending(name)) is _csv
            and all(cells.dtype == object for cells in part.columns)
        ]
        notes += [
            f"the first line of {name} names its columns ({reprlib.repr(', '.join(part.names))}); header=false makes it a row"
            for name, part in parts.items()
            if part.names and (reader or _by_ending(name)) is _csv
        ]
    return _together(parts, notes, label_size)


def _together(parts: Mapping[str, _Part], notes: Sequence[str], label_size: int | None) -> Table:
    """One table of the rows of all files, which have the same columns."""
    (first, model), *others = parts.items()
    for name, part in others:
        if len(part.columns) != len(model.columns):
            raise UserError(
                f"{name} has {len(part.columns)} columns, but {first} has {len(model.columns)}: give all files of a channel the"
                " same columns"
            )
        if part.names != model.names:
            raise UserError(
                f"{name} {_naming(part)}, but {first} {_naming(model)}: give all files of a channel the same columns"
            )
    if model.names and len(set(model.names)) < len(model.names):
        raise UserError(
            f"two columns of {first} have one name ({', '.join(model.names)[:300]}): give each its own"
        )
    columns = tuple(
        _stack([part.columns[position] for part in parts.values()])
        for position in range(len(model.columns))
    )
    return Table(
        model.names,
        columns,
        tuple((name, len(part)) for name, part in parts.items()),
        tuple(notes),
        label_size,
    )


def _naming(part: _Part) -> str:
    return (
        f"names its columns {', '.join(part.names)[:200]}"
        if part.names
        else "does not name its columns"
    )


def _stack(parts: Sequence[Cells]) -> Cells:
    """All cells of a column; where one file has numbers and another words, all as words."""
    if len({part.dtype for part in parts}) == 1:
        return np.concatenate(parts) if len(parts) > 1 else parts[0]
    return np.concatenate(
        [part if part.dtype == object else _as_words(part.tolist()) for part in parts]
    )


def _as_words(cells: Iterable[object]) -> Cells:
    """Words of cells, None where they are missing."""
    words = [
        None
        if cell is None or cell != cell  # noqa: PLR0124
        else cell
        if isinstance(cell, str)
        else normalize_category(cell)  # type: ignore[arg-type]
        for cell in cells
    ]
    return np.array(
        [None if cell is None or cell.strip() in MISSING_MARKERS else cell for cell in words],
        object,
    )


def _content_type(
    channel: Channel,
) -> tuple[Callable[["_File", bool | None], "_Part"] | None, int | None]:
    """How to read the files, None where their endings say so, and how many targets come first."""
    if not channel.content_type:
        return None, None
    media, *parameters = (part.strip().lower() for part in channel.content_type.split(";"))
    if media not in FORMATS:
        raise UserError(
            f"channel {channel.name} has the content type {channel.content_type}, but only {', '.join(FORMATS)} are read:"
            " convert the files and set ContentType to one of them"
        )
    sizes = [
        value.strip()
        for name, _, value in (each.partition("=") for each in parameters)
        if name.strip() == "label_size"
    ]
    if sizes and not (sizes[0].isdecimal() and int(sizes[0]) > 0):
        raise UserError(
            f"channel {channel.name} has the content type {channel.content_type}, but training needs a target: set label_size"
            " to the number of targets, 1 or more, or leave it out"
        )
    return FORMATS[media], int(sizes[0]) if sizes else None


def _by_ending(name: str) -> Callable[["_File", bool | None], "_Part"]:
    plain = name.lower().removesuffix(".gz")
    return next((reader for ending, reader in ENDINGS.items() if plain.endswith(ending)), _csv)


def _files(channel: Channel) -> tuple[list[_File], list[str]]:
    """Files to read, in S3's own order: by the whole path, code point by code point; and a note on each of the others."""
    found = sorted(
        (path.relative_to(channel.folder).as_posix(), path) for path in channel.folder.rglob("*")
    )
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


def _csv(file: _File, header: bool | None) -> _Part:
    """Columns of a file of CSV; numbers are the float64 next to their decimals."""
    first: list[str] = []
    lines = 0
    try:
        first, lines = _first_row(file)
        if not first:
            return _Part(None, ())
        if header is False or (
            header is None and all(parse_number(cell) is not None for cell in first)
        ):
            return _Part(None, _columns(file, 0))
        columns = _columns(file, lines)
        if header or _names_columns(first, columns):
            return _Part(_named(file, first, columns), columns)
        return _Part(None, _columns(file, 0))
    except (ValueError, csv.Error, *DAMAGED) as error:
        raise UserError(
            _explain(file, error, lines if header or _are_words(first) else 0)
        ) from error


def _are_words(cells: Sequence[str]) -> bool:
    """Whether no cell is a number, as in a line of names."""
    return all(parse_number(cell) is None or not cell for cell in cells)


def _first_row(file: _File) -> tuple[list[str], int]:
    """Cells of the first row that is not blank, and the rows down to it, blank ones among them; no cells if there is none."""
    with (
        _opened(file) as content,
        io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text,
    ):
        for count, cells in enumerate(csv.reader(text, skipinitialspace=True), 1):
            if any(_not_blank([cells])):
                return [cell.strip() for cell in cells], count
    return [], 0


def _names_columns(first: Sequence[str], columns: Sequence[Cells]) -> bool:
    """Whether a first row has a word where the rows below have numbers; without rows below, whether it has words only."""
    if not columns:
        return len(first) > 1 and _are_words(first)
    below = [cells.dtype != object and not np.isnan(cells).all() for cells in columns]
    return any(
        parse_number(cell) is None and numeric for cell, numeric in zip(first, below, strict=False)
    )


def _named(file: _File, names: Sequence[str], columns: Sequence[Cells]) -> tuple[str, ...]:
    if columns and len(columns) != len(names):
        raise UserError(
            f"the first line of {file.name} has {len(names)} names, but row 1 has {len(columns)} column(s): name every column"
        )
    for position in (position for position, name in enumerate(names) if not name):
        if columns and _counts(columns[position]):
            raise UserError(
                f"column {position + 1} of {file.name} has no name and counts the rows, as the index does that pandas writes:"
                " write the file with index=False, or give the column a name"
            )
    return tuple(name or f"unnamed {position}" for position, name in enumerate(names))


def _counts(cells: Cells) -> bool:
    """Whether a column is 0, 1, 2, … or 1, 2, 3, …."""
    return (
        cells.dtype != object
        and len(cells) > 1
        and bool((np.diff(cells) == 1).all())
        and cells[0] in {0, 1}
    )


def _columns(file: _File, lines: int) -> tuple[Cells, ...]:
    """Columns of the rows below some lines."""
    try:
        frame = _frame(file, lines, np.float64, MISSING_MARKERS | BOOLEANS)
        if not frame.isna().to_numpy().any():
            return tuple(frame.to_numpy().T)
    except pd.errors.EmptyDataError:
        return ()
    except pd.errors.ParserError:
        raise
    except ValueError:  # there are words
        pass
    found = _frame(file, lines, None, MISSING_MARKERS).dtypes
    kinds = {name: np.float64 if kind.kind in NUMBERS else str for name, kind in found.items()}
    columns = tuple(map(_cells, _series(_frame(file, lines, kinds, MISSING_MARKERS))))
    if columns:
        _check_rows(file, lines, columns)
    return columns


def _frame(file: _File, lines: int, kind: Any, missing: frozenset[str]) -> pd.DataFrame:
    with _opened(file) as content:
        return pd.read_csv(
            content,
            header=None,
            skiprows=lines,
            dtype=kind,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=list(missing),
            low_memory=False,
        )


def _series(frame: pd.DataFrame) -> "Iterator[pd.Series[Any]]":
    return (frame.iloc[:, position] for position in range(frame.shape[1]))


def _cells(series: "pd.Series[Any]") -> Cells:
    """Cells of a column of pandas."""
    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype):
        return series.to_numpy(np.float64, na_value=np.nan)
    words = _as_words(
        None if missing else str(cell) for cell, missing in zip(series, series.isna(), strict=True)
    )
    # Decimals, and whole numbers of more than 64 bits, are objects to pandas.
    if not series.map(lambda cell: isinstance(cell, bool)).any() and all(
        word is None or parse_number(word) is not None for word in words
    ):
        return np.array([np.nan if word is None else float(word) for word in words], np.float64)
    return words


def _check_rows(file: _File, lines: int, columns: Sequence[Cells]) -> None:
    """Refuse what pandas lets pass: rows that are too short, and what is no text."""
    short = columns[-1].dtype == object or np.isnan(columns[-1]).any()
    binary = any(
        cells.dtype == object and any(BINARY.search(cell) for cell in cells if cell is not None)
        for cells in columns
    )
    if short or binary:
        with (
            _opened(file) as content,
            io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text,
        ):
            for fault in _faults(file.name, csv.reader(text, skipinitialspace=True), lines):
                raise UserError(fault)


@contextmanager
def _opened(file: _File) -> Iterator["gzip.GzipFile | io.BufferedReader[Any]"]:
    """Open a file at its start, decompressed; it is read from end to end, as FastFile mode likes it."""
    content = file.content
    with (
        content.open("rb")
        if isinstance(content, Path)
        else io.BufferedReader(io.BytesIO(content)) as plain
    ):
        yield gzip.GzipFile(fileobj=plain) if plain.peek(2).startswith(b"\x1f\x8b") else plain


def _explain(file: _File, error: Exception, lines: int) -> str:
    """Sentence on the first thing wrong with a file of CSV, found row by row: slow, and only for a file known to be wrong."""
    try:
        with (
            _opened(file) as content,
            io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text,
        ):
            faults = _faults(file.name, csv.reader(text, skipinitialspace=True), lines)
            return next(faults, f"{file.name} cannot be read as CSV ({error}): correct it")
    except (ValueError, csv.Error, *DAMAGED) as reason:
        return f"{file.name} is not CSV in UTF-8 ({reason}): remove it, or write it as CSV, compressed by gzip or not"


def _not_blank(rows: Iterable[list[str]]) -> Iterator[list[str]]:
    for cells in rows:
        if any(map(BINARY.search, cells)):
            raise ValueError("it holds control characters")
        if len(cells) > 1 or "".join(cells).strip():
            yield cells


def _faults(name: str, rows: Any, lines: int) -> Iterator[str]:
    """Sentences on rows of another length than the first, in their order; rows are counted below some lines."""
    columns = row = 0
    try:
        for count, cells in enumerate(rows, 1):
            if not any(_not_blank([cells])):
                continue
            columns = columns or len(cells)
            row += count > lines
            if len(cells) != columns:
                first = "the line of names" if lines else "row 1"
                yield f"row {row} of {name} has {len(cells)} column(s), but {first} has {columns}: correct or remove it"
    except (ValueError, csv.Error) as reason:
        yield f"{name} is not CSV in UTF-8 ({reason}): remove it, or write it as CSV, compressed by gzip or not"


def _json_lines(file: _File, _: bool | None) -> _Part:
    """Columns of a file that has an object, or a list, in every line."""
    records = []
    try:
        with _opened(file) as content, io.TextIOWrapper(content, encoding="utf-8-sig") as text:
            for row, line in enumerate(filter(str.strip, text), 1):
                records.append(_record(file.name, row, line))
    except (ValueError, *DAMAGED) as error:
        raise UserError(
            f"row {len(records) + 1} of {file.name} is not JSON ({error}): write one object, or list, a line"
        ) from error
    names = tuple(dict.fromkeys(name for record in records for name in record))
    columns = tuple(_typed([record.get(name) for record in records]) for name in names)
    positional = all(isinstance(name, int) for name in names)
    for row, record in enumerate(records, 1):
        if positional and len(record) != len(names):
            raise UserError(
                f"row {row} of {file.name} has {len(record)} column(s), but others have {len(names)}: correct it"
            )
    return _Part(None if positional else tuple(map(str, names)), columns)


def _record(name: str, row: int, line: str) -> dict[Any, float | str | None]:
    """Cells of a line, by their names or positions."""
    content = json.loads(line, parse_int=float)
    nested = isinstance(content, list) and any(isinstance(cell, dict | list) for cell in content)
    if nested or not isinstance(content, dict | list):
        raise UserError(
            f"row {row} of {name} is {reprlib.repr(content)}: write one object, or list, a line"
        )
    record = content if isinstance(content, dict) else dict(enumerate(content))
    for key, cell in record.items():
        if isinstance(cell, dict | list):
            raise UserError(
                f"row {row} of {name} has {reprlib.repr(cell)} under {key}: write one number or word a column"
            )
    return record


def _typed(cells: Sequence[object]) -> Cells:
    """Numbers, if all cells are; else words."""
    if all(cell is None or type(cell) in (int, float) for cell in cells):
        return np.array([np.nan if cell is None else cell for cell in cells], np.float64)
    words = _as_words(str(cell) if isinstance(cell, bool) else cell for cell in cells)
    # Numbers in quotes are numbers, as they are in CSV.
    if all(word is None or parse_number(word) is not None for word in words):
        return np.array([np.nan if word is None else float(word) for word in words], np.float64)
    return words


def _npy(file: _File, _: bool | None) -> _Part:
    """Columns of an array of shape (n, c), or of n records."""
    try:
        with _opened(file) as content:
            array = read_array(io.BytesIO(content.read()), allow_pickle=False)
    except (ValueError, *DAMAGED) as error:
        raise UserError(
            f"{file.name} is not an array ({error}): write it with numpy.save, without objects"
        ) from error
    if array.dtype.names:
        return _Part(
            array.dtype.names, tuple(_array_cells(array[name]) for name in array.dtype.names)
        )
    if array.ndim != 2:
        raise UserError(
            f"{file.name} is an array of shape {array.shape}, but a table has rows and columns: write 2 dimensions"
        )
    return _Part(None, tuple(_array_cells(array).T))


def _array_cells(array: Cells) -> Cells:
    if array.dtype.kind in NUMBERS:
        return array.astype(np.float64)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    return _as_words(map(str, array.ravel().tolist())).reshape(array.shape)


def _parquet(file: _File, _: bool | None) -> _Part:
    """Columns of a file of Parquet."""
    content = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
    return _Part(*parquet(content, file.name))


def parquet(content: bytes, name: str) -> tuple[tuple[str, ...], tuple[Cells, ...]]:
    """Names and cells of the columns of Parquet, which a person knows by a name.

    Raises
    ------
    UserError
        If it is none, or the library that reads it is not installed.
    """
    try:
        frame = pd.read_parquet(io.BytesIO(content))
        if any(frame.index.names):  # an index with a name is a column that pandas has put aside
            frame = frame.reset_index()
    except ImportError as error:
        raise UserError(
            f"{name} is Parquet, which this installation can't read: build the image with --build-arg PARQUET=true (pip"
            " install 'gaussian-processes[parquet]'), or write CSV"
        ) from error
    except (ValueError, OSError) as error:
        raise UserError(
            f"{name} is not Parquet ({' '.join(str(error).split())[:200]}): write it again"
        ) from error
    return tuple(map(str, frame.columns)), tuple(map(_cells, _series(frame)))


FORMATS: Mapping[str, Callable[[_File, bool | None], _Part]] = {
    "text/csv": _csv,
    "csv": _csv,
    "application/jsonlines": _json_lines,
    "application/x-npy": _npy,
    "application/x-parquet": _parquet,
    "parquet": _parquet,
}
ENDINGS: Mapping[str, Callable[[_File, bool | None], _Part]] = {
    ".jsonl": _json_lines,
    ".jsonlines": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_lines,
    ".npy": _npy,
    ".parquet": _parquet,
}
