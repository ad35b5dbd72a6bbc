"""Cells of a table: the rules by which text is a number, a category or a missing value.

Training's readers and serving's decoders share them, so that a cell means the same in a file and in
a request.
"""

import math
import re
from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Label = float | str
# A column: float64 with NaN where a value is missing, or an object array of str with None.
Cells = NDArray[Any]

# Text of a cell that holds no value.
MISSING_MARKERS = frozenset(
    {"", "NA", "N/A", "null", "NULL", "None"}
    | {"".join(letters) for letters in product(("", "+", "-"), "nN", "aA", "nN")}
)
# Python's own float() would also take "1_000" and the digits of other scripts. No two parts of it
# match the same digits, so that a long cell takes no more than linear time.
NUMBER_PATTERN = re.compile(
    r"[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE
)
# No text holds them, but every binary file does: control characters other than white space.
CONTROL_CHARACTERS = re.compile(r"[\0-\x08\x0e-\x1f]")
NUMERIC_KINDS = "iuf"  # NumPy's letters for integers and floats


def parse_number(text: str) -> float | None:
    """Parse the text of a cell: its number, NaN where it is missing, None where it is no number.

    White space around it is ignored, no-break spaces among it.

    Examples
    --------
    >>> parse_number(" 1.5e3"), parse_number("NA"), parse_number("1_000")
    (1500.0, nan, None)
    """
    stripped = text.strip()
    if NUMBER_PATTERN.fullmatch(stripped) and not CONTROL_CHARACTERS.search(text):
        return float(stripped)
    return math.nan if stripped in MISSING_MARKERS else None


def is_missing(text: str) -> bool:
    """Whether the text of a cell stands for a missing value."""
    return text.strip() in MISSING_MARKERS


def normalize_category(cell: Label) -> str:
    """Normalize a cell to the name of its category.

    Equal numbers are one category, however they are written, and so are ``true`` and ``True``.

    Examples
    --------
    >>> normalize_category("01"), normalize_category(1.0), normalize_category(" red ")
    ('1', '1', 'red')
    """
    value = parse_number(cell) if isinstance(cell, str) else float(cell)
    if value is None or not math.isfinite(value):
        text = str(cell).strip()
        return text.title() if text.lower() in {"true", "false"} else text
    return str(int(value)) if value.is_integer() else repr(value)


def text_cells(values: Iterable[object]) -> Cells:
    """Convert values to cells of text; None, NaN and markers of missing values become None."""
    return np.array([_text(value) for value in values], object)


def _text(value: object) -> str | None:
    """Text of a value; None if it is missing."""
    if isinstance(value, str):
        return None if is_missing(value) else value
    if value is None or value != value:  # noqa: PLR0124  NaN, of any of NumPy's or pandas's types
        return None
    return normalize_category(value)  # type: ignore[arg-type]


def numbers_or_text(cells: Cells) -> Cells:
    """Convert cells of text to numbers if every one that is not missing is a number."""
    numbers = []
    for cell in cells.tolist():
        number = math.nan if cell is None else parse_number(cell)
        if number is None:
            return cells
        numbers.append(number)
    return np.array(numbers, np.float64)


def array_cells(array: Cells) -> Cells:
    """Convert a NumPy array to cells of the same shape: numbers to float64, all else to text."""
    if array.dtype.kind in NUMERIC_KINDS:
        return array.astype(np.float64)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    return text_cells(map(str, array.ravel().tolist())).reshape(array.shape)


def json_cells(values: Iterable[object]) -> Cells:
    """Convert values of JSON to cells: numbers, also if they are in quotes, or else text."""
    values = list(values)
    if all(value is None or type(value) in {int, float} for value in values):
        return np.array([math.nan if value is None else value for value in values], np.float64)
    return numbers_or_text(
        text_cells(str(value) if isinstance(value, bool) else value for value in values)
    )


def missing_mask(cells: Cells) -> NDArray[np.bool_]:
    """Whether each cell of a column is missing."""
    if cells.dtype == object:
        return np.array([cell is None for cell in cells.tolist()], bool)
    mask: NDArray[np.bool_] = np.isnan(cells)
    return mask


def concatenate(parts: list[Cells]) -> Cells:
    """Concatenate the parts of a column: as text where one has numbers and another text."""
    if len({part.dtype for part in parts}) == 1:
        return np.concatenate(parts) if len(parts) > 1 else parts[0]
    return np.concatenate(
        [part if part.dtype == object else text_cells(part.tolist()) for part in parts]
    )
