"""Headers of CSV files: whether the first row names the columns, by its cells and those below."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gaussian_processes.data.cells import Cells, parse_number
from gaussian_processes.data.column_types import holds_dates, is_mistake
from gaussian_processes.data.dates import parse_date

# Fewer whole numbers from 0 may well be a row.
MIN_COUNTED_NAMES = 3


@dataclass(frozen=True)
class Header:
    """Whether the first row names the columns, and why it might have been meant otherwise."""

    is_header: bool
    doubt: str = ""


def find_header(
    first_row: Sequence[str], columns: Sequence[Cells], asked_for: Collection[str]
) -> Header:
    """Find whether a first row is a header.

    It is one if it has a name that is asked for, text above a column of numbers or dates (unless
    most of its cells are numbers: then that cell is a mistake), or the whole numbers from 0.

    Parameters
    ----------
    first_row : sequence of str
    columns : sequence of ndarray
        The rows below it; none if there are none.
    asked_for : collection of str
        Names of columns that hyperparameters, or the training table, have.
    """
    if any(name in first_row for name in asked_for if parse_number(name) is None):
        return Header(True)
    if all(parse_number(cell) is not None for cell in first_row):
        return _numbers_header(first_row, bool(columns))
    if not columns:
        doubt = "it is the only one, and no column is asked for by a name in it"
        return Header(False, doubt if is_text(first_row) else "")
    if _has_name_above_numbers(first_row, columns):
        return _mixed_header(first_row)
    only_text = all(column.dtype == object for column in columns)
    return Header(False, "it has no text above numbers" if only_text else "")


def _mixed_header(first_row: Sequence[str]) -> Header:
    """Find whether a first row with text above numbers is a header, or a row with a mistake."""
    numbers = [cell for cell in first_row if _is_number(cell)]
    if len(numbers) > len(first_row) / 2 and not counts_from_zero(numbers):
        return Header(False, "most of its cells are numbers")
    return Header(True)


def _numbers_header(first_row: Sequence[str], has_rows: bool) -> Header:
    """Find whether a first row of numbers is a header."""
    enough = len(first_row) >= MIN_COUNTED_NAMES
    if enough and has_rows and counts_from_zero(first_row):
        return Header(True, "it counts the columns from 0, as pandas does where they have no names")
    is_whole = all(cell.isdecimal() for cell in first_row)
    if enough and is_whole and (np.diff([float(cell) for cell in first_row]) == 1).all():
        return Header(False, "it is of numbers, though they count the columns")
    return Header(False)


def _has_name_above_numbers(first_row: Sequence[str], columns: Sequence[Cells]) -> bool:
    return any(
        parse_number(cell) is None
        and not is_mistake(cell)
        and (_has_numbers(column) or _is_name_above_dates(cell, column))
        for cell, column in zip(first_row, columns, strict=False)
    )


def _has_numbers(column: Cells) -> bool:
    return column.dtype != object and not np.isnan(column).all()


def _is_name_above_dates(cell: str, column: Cells) -> bool:
    return parse_date(cell) is None and holds_dates(column)


def _is_number(cell: str) -> bool:
    number = parse_number(cell)
    return number is not None and number == number  # noqa: PLR0124  NaN


def is_text(cells: Sequence[str]) -> bool:
    """Whether no cell is a number, as in a header."""
    return all(parse_number(cell) is None or not cell for cell in cells)


def counts_from_zero(cells: Sequence[str]) -> bool:
    """Whether cells are 0, 1, 2, …, as pandas names columns without names."""
    return bool(cells) and list(cells) == [str(number) for number in range(len(cells))]


def is_shared_header(first_rows: Iterable[Sequence[str]]) -> bool:
    """Whether the first rows of several files are alike, and different whole numbers, as years."""
    rows = iter(first_rows)
    first = next(rows)
    is_whole = all(cell.isdecimal() for cell in first)
    distinct = len(set(first)) == len(first) >= MIN_COUNTED_NAMES
    return is_whole and distinct and all(row == first for row in rows)
