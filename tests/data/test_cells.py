"""The rules by which the text of a cell is a number, a category or a missing value."""

import math

import numpy as np
import pytest
from odd_cells import MISSING, ODD_CELLS, REFUSED

from gaussian_processes.data.cells import (
    array_cells,
    as_numbers,
    concatenate,
    is_inexact_integer,
    is_missing,
    json_cells,
    mark_missing,
    missing_mask,
    normalize_category,
    numbers_or_text,
    parse_number,
    text_cells,
)


def taken_for(number):
    """Kind of a parsed cell, or its number as `repr` tells it from -0.0."""
    if number is None or math.isinf(number):
        return REFUSED
    return MISSING if math.isnan(number) else repr(number)


@pytest.mark.parametrize(("cell", "expected"), ODD_CELLS.items(), ids=map(ascii, ODD_CELLS))
def test_an_odd_cell_is_a_number_or_missing_or_neither(cell, expected):
    expected = expected if isinstance(expected, str) else repr(expected)

    assert taken_for(parse_number(cell)) == expected
    assert is_missing(cell) == (expected == MISSING)


@pytest.mark.parametrize(
    ("cell", "value"), [("1e3", 1000), (" -.5 ", -0.5), ("inf", np.inf), ("1_0", None), ("x", None)]
)
def test_a_cell_is_a_number_or_not(cell, value):
    assert parse_number(cell) == value


def test_a_cell_of_a_million_digits_and_a_letter_is_refused_at_once():
    assert parse_number("1" * 1_000_000 + "x") is None


@pytest.mark.parametrize(
    ("cell", "category"),
    [("01", "1"), (1.0, "1"), ("1.50", "1.5"), (" red ", "red"), ("1e400", "1e400")],
)
def test_numbers_that_are_equal_are_one_category(cell, category):
    assert normalize_category(cell) == category


def test_booleans_are_one_category_however_they_are_spelled():
    assert normalize_category("TRUE") == normalize_category("true") == "True"


def test_a_category_is_normalized_to_itself():
    for cell in ODD_CELLS:
        once = normalize_category(cell)
        assert normalize_category(once) == once


def test_cells_of_text_have_none_where_a_value_is_missing():
    assert text_cells([None, math.nan, "NA", " ", "a", 1.0, 2.5]).tolist() == [
        *[None] * 4,
        "a",
        "1",
        "2.5",
    ]


def test_cells_are_numbers_only_if_all_are():
    numbers = numbers_or_text(text_cells(["1", " 2.5 ", "NA"]))
    text = numbers_or_text(text_cells(["1", "two", "NA"]))

    np.testing.assert_array_equal(numbers, [1, 2.5, np.nan])
    assert text.tolist() == ["1", "two", None]


def test_values_of_json_are_numbers_also_in_quotes_and_booleans_are_text():
    np.testing.assert_array_equal(json_cells([1, "2.5", None]), [1, 2.5, np.nan])
    assert json_cells([True, 1.0, None]).tolist() == ["True", "1", None]


def test_arrays_of_bytes_are_text():
    assert array_cells(np.array([b"red", b""])).tolist() == ["red", None]


def test_parts_of_numbers_and_of_text_are_concatenated_as_text():
    numbers, text = np.array([1.0, np.nan]), np.array(["a", None], object)

    column = concatenate([numbers, text])

    assert column.tolist() == ["1", None, "a", None]
    assert missing_mask(column).tolist() == [False, True, False, True]
    assert missing_mask(numbers).tolist() == [False, True]


BIG, NEXT = "12345678901234567", "12345678901234568"


def test_integers_that_float64_would_merge_stay_two_categories():
    assert float(BIG) == float(NEXT)
    assert normalize_category(BIG) == normalize_category(int(BIG)) == BIG
    assert normalize_category(f"00{NEXT} ") == NEXT
    for cells in (
        text_cells([BIG, NEXT]),
        array_cells(np.array([int(BIG), int(NEXT)])),
        json_cells([BIG, 5.0, NEXT]),
    ):
        kept = numbers_or_text(cells)
        assert {BIG, NEXT} <= {normalize_category(cell) for cell in kept}
        assert as_numbers(kept)[0] == float(BIG)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BIG, True),
        (f"-{BIG}", True),
        ("9007199254740992", False),
        ("9007199254740993", True),
        ("0000000000000000001", False),
        ("1234567890123456.5", False),
        ("1e20", False),
    ],
)
def test_an_integer_is_inexact_beyond_the_53_bits_of_float64(text, expected):
    assert is_inexact_integer(text) == expected


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (np.array([1.0, -9999]), [1, np.nan]),
        (text_cells(["1", "?"]), [1, np.nan]),
        (text_cells(["1", "-9999.0"]), [1, np.nan]),
        (text_cells(["a", "?"]), ["a", None]),
    ],
)
def test_words_and_numbers_that_mean_missing_are_marked(cells, expected):
    marked = mark_missing(cells, ("?", "-9999"))

    kind = object if cells[0] == "a" else float
    np.testing.assert_array_equal(marked, np.array(expected, kind))
    assert marked.dtype == kind
