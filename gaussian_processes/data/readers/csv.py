"""CSV reader: text in UTF-8 with commas between cells, with or without a header."""

import csv
import io
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gaussian_processes.data.cells import (
    CONTROL_CHARACTERS,
    MISSING_MARKERS,
    NUMERIC_KINDS,
    Cells,
    parse_number,
)
from gaussian_processes.data.frames import frame_columns
from gaussian_processes.data.readers.interface import GZIP_ERRORS, ReadOptions, Source
from gaussian_processes.data.table import FileTable
from gaussian_processes.errors import UserError

# pandas would parse a column of these as ones and zeros. As missing values they make it look again,
# for text.
BOOLEANS = frozenset({"True", "TRUE", "true", "False", "FALSE", "false"})
READ_ERRORS = (ValueError, csv.Error, *GZIP_ERRORS)


@dataclass(frozen=True)
class FirstRow:
    """The first row that is not blank, and its number, from 1 and with blank rows counted."""

    cells: Sequence[str]
    row_number: int


def read(source: Source, options: ReadOptions) -> FileTable:
    """Read the columns of a CSV file; numbers are the float64 nearest to their decimals.

    Without `options.header`, the first row is a header if it has text above a column of numbers.
    """
    first = FirstRow((), 0)
    try:
        first = _first_row(source)
        if not first.cells:
            return FileTable(None, ())
        table = _read_below(source, first, options.header)
    except READ_ERRORS as error:
        header_rows = first.row_number if options.header or is_text(first.cells) else 0
        raise UserError(_explain(source, error, header_rows)) from error
    if options.header is None:
        return FileTable(table.names, table.columns, tuple(_header_warnings(source.name, table)))
    return table


def _read_below(source: Source, first: FirstRow, header: bool | None) -> FileTable:
    """Read the columns below the header, if there is one."""
    all_numbers = all(parse_number(cell) is not None for cell in first.cells)
    if header is False or (header is None and all_numbers):
        return FileTable(None, _columns(source, 0))
    columns = _columns(source, first.row_number)
    if header or is_header(first.cells, columns):
        return FileTable(_column_names(source.name, first.cells, columns), columns)
    return FileTable(None, _columns(source, 0))


def is_header(first_row: Sequence[str], columns: Sequence[Cells]) -> bool:
    """Whether a first row has text above numbers or, with no rows below, has text only."""
    if not columns:
        return len(first_row) > 1 and is_text(first_row)
    return any(
        parse_number(cell) is None and _has_numbers(column)
        for cell, column in zip(first_row, columns, strict=False)
    )


def is_text(cells: Sequence[str]) -> bool:
    """Whether no cell is a number, as in a header."""
    return all(parse_number(cell) is None or not cell for cell in cells)


def is_row_index(cells: Cells) -> bool:
    """Whether a column is 0, 1, 2, … or 1, 2, 3, …, as the index that pandas writes."""
    if cells.dtype == object or len(cells) < 2:
        return False
    return bool((np.diff(cells) == 1).all()) and cells[0] in {0, 1}


def _has_numbers(column: Cells) -> bool:
    return column.dtype != object and not np.isnan(column).all()


def _header_warnings(name: str, table: FileTable) -> Iterator[str]:
    """Say how the first row was understood where it might have been meant otherwise."""
    if table.names:
        names = reprlib.repr(", ".join(table.names))
        yield f"the first line of {name} names its columns ({names}); header=false makes it a row"
    elif table.columns and all(column.dtype == object for column in table.columns):
        yield (
            f"the first line of {name} is taken for a row, since it has no text above numbers;"
            " header=true makes it names"
        )


def _first_row(source: Source) -> FirstRow:
    """Read the first row that is not blank; one without cells if there is none."""
    with source.open_text() as text:
        for row_number, cells in enumerate(csv.reader(text, skipinitialspace=True), 1):
            if not _is_blank(cells):
                return FirstRow([cell.strip() for cell in cells], row_number)
    return FirstRow((), 0)


def _is_blank(cells: Sequence[str]) -> bool:
    """Whether a row is a blank line; raise a ValueError if it is not text."""
    if any(map(CONTROL_CHARACTERS.search, cells)):
        raise ValueError("it holds control characters")
    return len(cells) < 2 and not "".join(cells).strip()


def _column_names(file: str, names: Sequence[str], columns: Sequence[Cells]) -> tuple[str, ...]:
    """Names of the columns from the header; a column without one is called by its position."""
    if columns and len(columns) != len(names):
        raise UserError(
            f"the first line of {file} has {len(names)} names, but row 1 has {len(columns)}"
            " column(s): name every column"
        )
    for position, (name, column) in enumerate(zip(names, columns, strict=False)):
        if not name and is_row_index(column):
            raise UserError(
                f"column {position + 1} of {file} has no name and counts the rows, as the index"
                " does that pandas writes: write the file with index=False, or give the column a"
                " name"
            )
    return tuple(name or f"unnamed {position}" for position, name in enumerate(names))


def _columns(source: Source, skipped_rows: int) -> tuple[Cells, ...]:
    """Read the columns below some rows: as numbers if all cells are, or else by their types."""
    try:
        frame = _parse(source, skipped_rows, np.float64, MISSING_MARKERS | BOOLEANS)
        if not frame.isna().to_numpy().any():
            return tuple(frame.to_numpy().T)
    except pd.errors.EmptyDataError:
        return ()
    except pd.errors.ParserError:
        raise
    except ValueError:  # some cell is text
        pass
    found = _parse(source, skipped_rows, None, MISSING_MARKERS).dtypes
    types = {
        name: np.float64 if type_.kind in NUMERIC_KINDS else str for name, type_ in found.items()
    }
    columns = frame_columns(_parse(source, skipped_rows, types, MISSING_MARKERS))
    if columns:
        _check_rows(source, skipped_rows, columns)
    return columns


def _parse(source: Source, skipped_rows: int, types: Any, missing: frozenset[str]) -> pd.DataFrame:
    with source.open() as content:
        return pd.read_csv(
            content,
            header=None,
            skiprows=skipped_rows,
            dtype=types,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=list(missing),
            low_memory=False,
        )


def _check_rows(source: Source, header_rows: int, columns: Sequence[Cells]) -> None:
    """Refuse what pandas accepts: rows that are too short, and control characters."""
    short = columns[-1].dtype == object or np.isnan(columns[-1]).any()
    if short or any(map(_has_control_characters, columns)):
        with source.open_text() as text:
            fault = _first_fault(source.name, text, header_rows)
        if fault:
            raise UserError(fault)


def _has_control_characters(column: Cells) -> bool:
    return column.dtype == object and any(
        CONTROL_CHARACTERS.search(cell) for cell in column if cell is not None
    )


def _explain(source: Source, error: Exception, header_rows: int) -> str:
    """Explain the first fault of a file, found row by row, which is slow."""
    try:
        with source.open_text() as text:
            fault = _first_fault(source.name, text, header_rows)
    except READ_ERRORS as reason:
        return _not_csv(source.name, reason)
    return fault or f"{source.name} can't be read as CSV ({error}): correct it"


def _first_fault(file: str, text: io.TextIOBase, header_rows: int) -> str | None:
    """Explain the first row of another width than the first; None if there is none."""
    width = row = 0
    try:
        for row_number, cells in enumerate(csv.reader(text, skipinitialspace=True), 1):
            if _is_blank(cells):
                continue
            width = width or len(cells)
            row += row_number > header_rows
            if len(cells) != width:
                first = "the header" if header_rows else "row 1"
                return (
                    f"row {row} of {file} has {len(cells)} column(s), but {first} has {width}:"
                    " correct or remove it"
                )
    except (ValueError, csv.Error) as reason:
        return _not_csv(file, reason)
    return None


def _not_csv(file: str, reason: Exception) -> str:
    return (
        f"{file} is not CSV in UTF-8 ({reason}): remove it, or write it as CSV, compressed by gzip"
        " or not"
    )
