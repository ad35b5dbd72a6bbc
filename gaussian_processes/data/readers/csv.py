"""CSV reader: text in UTF-8 of any common dialect, with or without a header."""

import csv
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gaussian_processes.data.cells import (
    CONTROL_CHARACTERS,
    MAX_EXACT_INTEGER,
    NUMERIC_KINDS,
    Cells,
    has_inexact_integers,
    missing_mask,
    name_columns,
    numbers_or_text,
    parse_number,
)
from gaussian_processes.data.frames import frame_columns
from gaussian_processes.data.readers.dialect import Dialect, find_dialect, title_lines
from gaussian_processes.data.readers.foreign import check_not_foreign, undecodable_reason
from gaussian_processes.data.readers.headers import (
    Header,
    counts_from_zero,
    find_header,
    is_text,
    may_be_years,
)
from gaussian_processes.data.readers.interface import GZIP_ERRORS, ReadOptions, Source, check_width
from gaussian_processes.data.readers.memory import CSV_COLUMNS
from gaussian_processes.data.table import FileTable
from gaussian_processes.errors import UserError

# pandas would parse a column of these as ones and zeros. As missing values they make it look again,
# for text.
BOOLEANS = frozenset({"True", "TRUE", "true", "False", "FALSE", "false"})
# Excel's first line, which may be in quotes; and the bytes of the longest one.
SEPARATOR_LINE = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=([,;\t|])"?[,;\t|]*\r?\n', re.IGNORECASE)
MAX_SEPARATOR_LINE = 1 << 10
# A second one, as joined files have it, is no part of a name.
BYTE_ORDER_MARK = "\ufeff"
READ_ERRORS = (ValueError, csv.Error, *GZIP_ERRORS)


@dataclass(frozen=True)
class FirstRow:
    """The first row that is not blank, and its number, from 1 and with blank rows counted."""

    cells: Sequence[str]
    row_number: int


def read(source: Source, options: ReadOptions) -> FileTable:
    """Read the columns of a CSV file; numbers are the float64 nearest to their decimals.

    Without `options.header`, its first row is a header by the rules of `headers.find_header`;
    without `options.delimiter` and `options.decimal` its first lines tell.
    """
    check_not_foreign(source, "csv")
    first, dialect = FirstRow((), 0), Dialect()
    try:
        source, options = _without_separator_line(source, options)
        dialect = find_dialect(source, options)
        first = _first_row(source, dialect)
        if not first.cells:
            return FileTable(None, ())
        check_width(source.name, len(first.cells))
        return _read_below(source, dialect, first, options)
    except READ_ERRORS as error:
        header_rows = first.row_number if options.header or is_text(first.cells) else 0
        raise UserError(_explain(source, dialect, error, header_rows)) from error


def _read_below(
    source: Source, dialect: Dialect, first: FirstRow, options: ReadOptions
) -> FileTable:
    """Read the columns below the header, if there is one."""
    layout = _Layout(source, dialect, frozenset(options.missing_markers), 0)
    if options.header is not None:
        header = Header(options.header)
    else:
        may_be = any(parse_number(cell) is None for cell in first.cells)
        may_be = may_be or counts_from_zero(first.cells) or may_be_years(first.cells)
        below = _columns(replace(layout, skipped_rows=first.row_number)) if may_be else ()
        header = find_header(first.cells, below, options.column_names)
    skipped_rows = first.row_number if header.is_header else 0
    columns = _columns(replace(layout, skipped_rows=skipped_rows))
    names = _column_names(source.name, first.cells, columns) if header.is_header else None
    note = f"the first line of {source.name} is a row"
    if names:
        note = f"the first line of {source.name} names its columns ({', '.join(names)[:200]})"
    warnings = (_doubt(note, header),) if header.doubt else ()
    return FileTable(names, columns, warnings, f"{note}; {dialect}")


def _doubt(note: str, header: Header) -> str:
    """Say why a first row may have been meant otherwise, and how to say so."""
    remedy = "header=false makes it a row" if header.is_header else "header=true makes it names"
    return f"{note}, since {header.doubt}; {remedy}"


def first_cells(source: Source, options: ReadOptions) -> Sequence[str]:
    """Read the cells of the first row, if it can be read."""
    try:
        source, options = _without_separator_line(source, options)
        return _first_row(source, find_dialect(source, options)).cells
    except READ_ERRORS:
        return ()


def _without_separator_line(source: Source, options: ReadOptions) -> tuple[Source, ReadOptions]:
    """Take the line of Excel's by which a file names its delimiter: ``sep=;``."""
    with source.open() as content:
        line = content.readline(MAX_SEPARATOR_LINE)
    match = SEPARATOR_LINE.fullmatch(line)
    if not match:
        return source, options
    delimiter = options.delimiter or match[1].decode()
    return replace(source, skipped_bytes=len(line)), replace(options, delimiter=delimiter)


def _first_row(source: Source, dialect: Dialect) -> FirstRow:
    """Read the first row that is not blank; one without cells if there is none."""
    with source.open_text(delimiter=dialect.delimiter) as text:
        for row_number, cells in enumerate(dialect.rows(text), 1):
            if not _is_blank(cells):
                plain = (cell.strip().strip(BYTE_ORDER_MARK) for cell in cells)
                return FirstRow([dialect.with_point(cell) for cell in plain], row_number)
    return FirstRow((), 0)


def _is_blank(cells: Sequence[str]) -> bool:
    """Whether a row is a blank line; raise a ValueError if it is not text."""
    if any(map(CONTROL_CHARACTERS.search, cells)):
        raise ValueError("it holds control characters")
    return len(cells) < 2 and not "".join(cells).strip()


def _column_names(file: str, names: Sequence[str], columns: Sequence[Cells]) -> tuple[str, ...]:
    """Names of the columns from the header; a column without one is called by its position."""
    if len(columns) == len(names) + 1 and missing_mask(columns[-1]).all():
        names = [*names, ""]  # every row, but not the header, ends with a delimiter
    if columns and len(columns) != len(names):
        is_r = len(columns) == len(names) + 1
        remedy = "name every column" + (", in R with row.names=FALSE" if is_r else "")
        raise UserError(
            f"the first line of {file} has {len(names)} names, but row 1 has {len(columns)}"
            f" column(s): {remedy}"
        )
    return name_columns(names)


@dataclass(frozen=True)
class _Layout:
    """What pandas is given to read a file by."""

    source: Source
    dialect: Dialect
    missing: frozenset[str]
    skipped_rows: int

    def parse(self, types: Any, more_missing: frozenset[str] = frozenset()) -> pd.DataFrame:
        """Parse the columns as types; what is missing is NaN."""
        with self.source.open(CSV_COLUMNS, self.dialect.delimiter) as content:
            return pd.read_csv(
                content,
                header=None,
                skiprows=self.skipped_rows,
                dtype=types,
                sep=self.dialect.delimiter,
                decimal=self.dialect.decimal,
                skipinitialspace=self.dialect.delimiter != "\t",
                keep_default_na=False,
                na_values=list(self.missing | more_missing),
                low_memory=False,
            )


def _columns(layout: _Layout) -> tuple[Cells, ...]:
    """Read the columns below some rows: as numbers if all cells are, or else by their types."""
    try:
        frame = layout.parse(np.float64, BOOLEANS)
        values = frame.to_numpy()
        if not (np.isnan(values) | (np.abs(values) >= MAX_EXACT_INTEGER)).any():
            return tuple(values.T)
    except pd.errors.EmptyDataError:
        return ()
    except pd.errors.ParserError:
        raise
    except ValueError:  # some cell is text
        pass
    found = layout.parse(None)
    types = {name: _type(found[name]) for name in found}
    columns = frame_columns(layout.parse(types), layout.missing)
    if columns:
        _check_rows(layout.source, layout.dialect, layout.skipped_rows, columns)
    if layout.dialect.decimal == ".":
        return columns
    return tuple(_with_points(layout.source.name, column, layout.dialect) for column in columns)


def _type(column: "pd.Series[Any]") -> type:
    """Type to read a column as: text, unless it has numbers that float64 holds."""
    if column.dtype.kind not in NUMERIC_KINDS:
        return str
    is_exact = not (column.abs() >= MAX_EXACT_INTEGER).any() and not has_inexact_integers(
        column.to_numpy()
    )
    return np.float64 if is_exact else str


def _with_points(name: str, column: Cells, dialect: Dialect) -> Cells:
    """Write the numbers of a column of text with points, and refuse those that have one."""
    if column.dtype != object:
        return column
    for row, cell in enumerate(column.tolist(), 1):
        if cell is not None and "." in cell and parse_number(cell) is not None:
            raise UserError(
                f"row {row} of {name} has {reprlib.repr(cell)}, but its decimal mark is a comma:"
                " write its numbers with one mark, or set decimal=point"
            )
    cells = [cell if cell is None else dialect.with_point(cell) for cell in column.tolist()]
    return numbers_or_text(np.array(cells, object))


def _check_rows(
    source: Source, dialect: Dialect, header_rows: int, columns: Sequence[Cells]
) -> None:
    """Refuse what pandas accepts: rows that are too short, and control characters."""
    short = columns[-1].dtype == object or np.isnan(columns[-1]).any()
    if short or any(map(_has_control_characters, columns)):
        fault = _first_fault(source, dialect, header_rows)
        if fault:
            raise UserError(fault)


def _has_control_characters(column: Cells) -> bool:
    return column.dtype == object and any(
        CONTROL_CHARACTERS.search(cell) for cell in column if cell is not None
    )


def _explain(source: Source, dialect: Dialect, error: Exception, header_rows: int) -> str:
    """Explain the first fault of a file, found row by row, which is slow."""
    fault = _first_fault(source, dialect, header_rows)
    return fault or f"{source.name} can't be read as CSV ({error}): correct it"


def _first_fault(source: Source, dialect: Dialect, header_rows: int) -> str | None:
    """Explain the first row of another width than the first; None if there is none."""
    width = row = 0
    try:
        with source.open_text(delimiter=dialect.delimiter) as text:
            for row_number, cells in enumerate(dialect.rows(text), 1):
                if width and (fault := _control_fault(source.name, row + 1, cells)):
                    return fault
                if _is_blank(cells):
                    continue
                width = width or len(cells)
                row += row_number > header_rows
                if row == header_rows == 1 and len(cells) == width + 1 and not cells[-1].strip():
                    width += 1  # every row, but not the header, ends with a delimiter
                if len(cells) != width:
                    first = "the header" if header_rows else "row 1"
                    return _title_fault(source, dialect) or (
                        f"row {row} of {source.name} has {len(cells)} column(s), but {first} has"
                        f" {width}: correct or remove it"
                    )
    except READ_ERRORS as reason:
        return _not_csv(source, reason)
    return None


def _control_fault(file: str, row: int, cells: Sequence[str]) -> str | None:
    """Explain a control character below the first row: a file with one there may be no text."""
    for column, cell in enumerate(cells, 1):
        if found := CONTROL_CHARACTERS.search(cell):
            return (
                f"row {row}, column {column} of {file} has the control character {found[0]!a}:"
                " remove it"
            )
    return None


def _title_fault(source: Source, dialect: Dialect) -> str | None:
    """Explain that lines stand above the names of the columns, as a title does."""
    lines = title_lines(source, dialect)
    if not lines:
        return None
    return (
        f"the first {len(lines)} line(s) of {source.name} (as {reprlib.repr(lines[0])}) have fewer"
        " cells than those below: remove what stands above the names of the columns"
    )


def _not_csv(source: Source, reason: Exception) -> str:
    if isinstance(reason, UnicodeDecodeError) and (fault := undecodable_reason(source)):
        return fault
    if "field limit" in str(reason):
        return (
            f"{source.name} has a cell of more than {csv.field_size_limit():,} characters, as where"
            " a quote is not closed: close it, or remove the cell"
        )
    return (
        f"{source.name} is not CSV in UTF-8 ({reason}): remove it, or write it as CSV, compressed"
        " by gzip or not"
    )
