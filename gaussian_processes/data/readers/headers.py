"""Headers of CSV files: whether the first row names the columns, by its cells and those below."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gaussian_processes.data.cells import Cells, parse_number
from gaussian_processes.data.column_types import has_mistaken_words, holds_dates, is_mistake
from gaussian_processes.data.dates import parse_date

# Fewer whole numbers from 0 may well be a row.
MIN_COUNTED_NAMES = 3
# Years that name columns, from 2000: from 1800 to 2200.
MAX_YEARS = 200


@dataclass(frozen=True)
class Header:
    """Whether the first row names the columns, and why it might have been meant otherwise."""

    is_header: bool
    doubt: str = ""


def find_header(
    first_row: Sequence[str], columns: Sequence[Cells], asked_for: Collection[str]
) -> Header:
    """Find whether a first row is a header.

    It is one if it has a name that is asked for, or only such names, though they are numbers; text
    above a column of numbers or dates (unless most of its cells are numbers: then that cell is a
    mistake); or the whole numbers from 0.

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
    if MIN_COUNTED_NAMES <= len(first_row) == len(set(first_row)) and set(first_row) <= {
        *asked_for
    }:
        return Header(True)
    if all(parse_number(cell) is not None for cell in first_row):
        return _numbers_header(first_row, columns)
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
    odd = [cell for cell in numbers if not cell.isdecimal()]
    return Header(True, f"it has text above numbers, though {odd[0]} is no name" if odd else "")


def _numbers_header(first_row: Sequence[str], columns: Sequence[Cells]) -> Header:
    """Find whether a first row of numbers is a header."""
    enough = len(first_row) >= MIN_COUNTED_NAMES
    if enough and columns and counts_from_zero(first_row):
        return Header(True, "it counts the columns from 0, as pandas does where they have no names")
    numbers = np.array([parse_number(cell) for cell in first_row], np.float64)
    if counts_from_zero(first_row) and len(numbers) > 1:
        return Header(False, "it is of numbers, though they count the columns")
    if not enough or not (numbers % 1 == 0).all():
        return Header(False)
    if (np.diff(numbers) == 1).all():
        return Header(False, "it is of numbers, though they count the columns")
    if may_be_years(first_row) and columns and not all(map(_are_years, columns)):
        return Header(False, "it is of numbers, though they may be years that name the columns")
    return Header(False)


def may_be_years(cells: Sequence[str]) -> bool:
    """Whether cells are three different years or more, as may name columns of periods."""
    is_distinct = len(set(cells)) == len(cells) >= MIN_COUNTED_NAMES
    is_whole = all(cell.isdecimal() and len(cell) == 4 for cell in cells)
    return is_distinct and is_whole and _are_years(np.array([*map(float, cells)]))


def _are_years(numbers: Cells) -> bool:
    is_number = numbers.dtype != object
    return is_number and bool(((numbers % 1 == 0) & (abs(numbers - 2000) <= MAX_YEARS)).all())


def _has_name_above_numbers(first_row: Sequence[str], columns: Sequence[Cells]) -> bool:
    return any(
        parse_number(cell) is None
        and not is_mistake(cell)
        and (_has_numbers(column) or _is_name_above_dates(cell, column))
        for cell, column in zip(first_row, columns, strict=False)
    )


def _has_numbers(column: Cells) -> bool:
    """Whether a column has numbers, beside mistakes such as units in its first row at most."""
    if column.dtype == object:
        return has_mistaken_words(column)
    return not np.isnan(column).all()


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
