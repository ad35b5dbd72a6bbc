"""Cells of a table: the rules by which text is a number, a category or a missing value.

Training's readers and serving's decoders share them, so that a cell means the same in a file and in
a request.
"""

import math
import re
import reprlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Label = int | float | str
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
# JSON may hold halves of surrogate pairs as well, which no file in UTF-8 can.
NO_TEXT = re.compile(r"[\0-\x08\x0e-\x1f\ud800-\udfff]")
NUMERIC_KINDS = "iuf"  # NumPy's letters for integers and floats
# Beyond it float64 does not tell neighbouring integers apart, and the names of two things merge.
MAX_EXACT_INTEGER = 2**53
# Python converts no text of more than 4,300 digits, and no name has as many.
LONG_INTEGER = re.compile(r"[+-]?\d{16,4000}", re.ASCII)


def parse_number(text: str, markers: Collection[str] = MISSING_MARKERS) -> float | None:
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
    return math.nan if stripped in markers else None


def parse_integer(text: str) -> float | str:
    """Parse an integer of JSON: its number or, where float64 is not exact, its text."""
    return text if is_inexact_integer(text) else float(text)


def name_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Names in a header of a file or of a request; a column without one is called by its place."""
    return tuple(name or f"unnamed {position}" for position, name in enumerate(names))


def unique_names(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Object of JSON from its names and values; raise a ValueError where a name stands twice.

    Examples
    --------
    >>> import json
    >>> json.loads('{"a": 1, "a": 2}', object_pairs_hook=unique_names)
    Traceback (most recent call last):
        ...
    ValueError: the name 'a' stands twice in an object
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the name {reprlib.repr(twice)} stands twice in an object")
    return found


def is_inexact_integer(text: str) -> bool:
    """Whether a text is an integer so large that float64 may hold a neighbour instead.

    Examples
    --------
    >>> is_inexact_integer("9007199254740992"), is_inexact_integer("9007199254740993")
    (False, True)
    """
    stripped = text.strip()
    return bool(LONG_INTEGER.fullmatch(stripped)) and abs(int(stripped)) > MAX_EXACT_INTEGER


def is_missing(text: str, markers: Collection[str] = MISSING_MARKERS) -> bool:
    """Whether the text of a cell stands for a missing value."""
    return text.strip() in markers


def missing_markers(words: Sequence[str] | None) -> Collection[str]:
    """Markers of missing values: an empty cell and some words or, without these, the usual."""
    return MISSING_MARKERS if words is None else frozenset({"", *words})


def normalize_category(cell: Label) -> str:
    """Normalize a cell to the name of its category.

    Equal numbers are one category, however they are written, and so are ``true`` and ``True``.
    Integers are compared exactly.

    Examples
    --------
    >>> normalize_category("01"), normalize_category(1.0), normalize_category(" red ")
    ('1', '1', 'red')
    """
    if isinstance(cell, int) or (isinstance(cell, str) and LONG_INTEGER.fullmatch(cell.strip())):
        return str(int(cell))
    value = parse_number(cell) if isinstance(cell, str) else float(cell)
    if value is None or not math.isfinite(value):
        text = str(cell).strip()
        return text.title() if text.lower() in {"true", "false"} else text
    return str(int(value)) if value.is_integer() else repr(value)


def text_cells(values: Iterable[object], markers: Collection[str] = MISSING_MARKERS) -> Cells:
    """Convert values to cells of text; None, NaN and markers of missing values become None."""
    return np.array([_text(value, markers) for value in values], object)


def _text(value: object, markers: Collection[str]) -> str | None:
    """Text of a value; None if it is missing."""
    if isinstance(value, str):
        return None if is_missing(value, markers) else value
    if value is None or value != value:  # noqa: PLR0124  NaN, of any of NumPy's or pandas's types
        return None
    return normalize_category(value)  # type: ignore[arg-type]


def numbers_or_text(cells: Cells) -> Cells:
    """Convert cells of text to numbers if every one that is not missing is an exact number."""
    if any(cell is not None and is_inexact_integer(cell) for cell in cells.tolist()):
        return cells
    return as_numbers(cells)


def as_numbers(cells: Cells) -> Cells:
    """Convert cells to numbers if every one that is not missing is a number, exact or not."""
    if cells.dtype != object:
        return cells
    numbers = []
    for cell in cells.tolist():
        number = math.nan if cell is None else parse_number(str(cell), ())
        if number is None:
            return cells
        numbers.append(number)
    return np.array(numbers, np.float64)


def has_inexact_integers(array: Cells) -> bool:
    """Whether an array of integers has one that float64 may not hold."""
    if array.dtype.kind not in "iu" or not array.size:
        return False
    return int(array.max()) > MAX_EXACT_INTEGER or int(array.min()) < -MAX_EXACT_INTEGER


def array_cells(array: Cells, markers: Collection[str] = MISSING_MARKERS) -> Cells:
    """Convert a NumPy array to cells of the same shape: numbers to float64, all else to text."""
    if array.dtype.kind in NUMERIC_KINDS and not has_inexact_integers(array):
        return array.astype(np.float64)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    array = dates_as_text(array)
    return text_cells(map(str, array.ravel().tolist()), markers).reshape(array.shape)


def dates_as_text(array: Cells) -> Cells:
    """Convert dates of NumPy to text, "" where one is missing; any other array stays as it is."""
    if array.dtype.kind != "M":
        return array
    return np.where(np.isnat(array), "", np.datetime_as_string(array))


def json_cells(values: Iterable[object], markers: Collection[str] = MISSING_MARKERS) -> Cells:
    """Convert values of JSON to cells: numbers, also if they are in quotes, or else text."""
    values = list(values)
    if all(value is None or type(value) in {int, float} for value in values):
        return np.array([math.nan if value is None else value for value in values], np.float64)
    return numbers_or_text(
        text_cells((str(value) if isinstance(value, bool) else value for value in values), markers)
    )


def mark_missing(cells: Cells, words: Collection[str]) -> Cells:
    """Take cells that hold one of some words, or equal one that is a number, for missing."""
    numbers = [parse_number(word, ()) for word in words]
    if cells.dtype != object:
        is_marked = np.isin(cells, [number for number in numbers if number is not None])
        return np.where(is_marked, np.nan, cells)
    names = {normalize_category(word) for word in words}
    kept = [
        None if cell is None or normalize_category(cell) in names else cell
        for cell in cells.tolist()
    ]
    return numbers_or_text(np.array(kept, object))


def missing_mask(cells: Cells) -> NDArray[np.bool_]:
    """Whether each cell of a column is missing."""
    if cells.dtype == object:
        return np.array([cell is None for cell in cells.tolist()], bool)
    mask: NDArray[np.bool_] = np.isnan(cells)
    return mask


def first_true(mask: NDArray[np.bool_]) -> int | None:
    """Index of the first True of a mask of shape (n,); None if there is none."""
    return int(mask.argmax()) if mask.any() else None


def concatenate(parts: list[Cells]) -> Cells:
    """Concatenate the parts of a column: as text where one has numbers and another text."""
    if len({part.dtype for part in parts}) == 1:
        return np.concatenate(parts) if len(parts) > 1 else parts[0]
    return np.concatenate(
        [part if part.dtype == object else text_cells(part.tolist()) for part in parts]
    )
