"""Header or row: how the first row of a CSV file is understood."""

import re

import numpy as np
import pandas as pd
import pytest
from channel_files import fill, numbers, read
from example_tables import fitted

from gaussian_processes.data.readers.headers import counts_from_zero, find_header, is_shared_header
from gaussian_processes.errors import UserError

NUMBERS, TEXT = np.array([1.0, 2.0]), np.array(["a", "b"], object)
EMPTY = np.array([np.nan, np.nan])
YEARS_DOUBT = "it is of numbers, though they may be years that name the columns"
TWO, FOUR = [NUMBERS] * 2, [NUMBERS] * 4


@pytest.mark.parametrize(
    ("first_row", "columns", "expected"),
    [
        (["y", "x"], TWO, True),
        (["y", "7"], TWO, True),
        (["y", "x"], [TEXT, NUMBERS], True),
        (["1", "a"], [NUMBERS, TEXT], False),
        (["a", "b"], [TEXT, TEXT], False),
        (["a", "b"], [EMPTY, EMPTY], False),
        (["", "x"], TWO, True),
        (["", "2"], TWO, False),
        (["a", "b"], [], False),
        (["a", "1"], [], False),
        (["a"], [], False),
        (["?", "2"], TWO, False),
        (["l.5", "2"], TWO, False),
        (["\N{MINUS SIGN}1.5", "2"], TWO, False),
        (["1,5", "2"], TWO, False),
        (["n/a", "x"], TWO, True),
        (["o2", "l1"], TWO, True),
        (["abc", "1", "2", "3"], FOUR, False),
        (["y", "0", "1", "2"], FOUR, True),
        (["0", "1", "2", "y"], FOUR, True),
        (["y", "a", "2001", "2002"], FOUR, True),
        (["0", "1", "2", "3"], FOUR, True),
        (["0", "1"], TWO, False),
        (["0.0", "1.0", "2.0", "3.0"], FOUR, False),
        (["1", "2", "3", "4"], FOUR, False),
        (["2001", "2002", "2003", "2004"], FOUR, False),
        (["0", "1", "2", "3"], [], False),
    ],
)
def test_a_first_row_is_a_header_by_its_cells_and_those_below(first_row, columns, expected):
    assert find_header(first_row, columns, ()).is_header == expected


@pytest.mark.parametrize(
    ("first_row", "columns", "doubt"),
    [
        (["y", "x"], TWO, ""),
        (["1.5", "2"], TWO, ""),
        (["a", "b"], [TEXT, TEXT], "it has no text above numbers"),
        (["a", "b"], [], "it is the only one, and no column is asked for by a name in it"),
        (["abc", "1", "2", "3"], FOUR, "most of its cells are numbers"),
        (["2001", "2002", "2003", "2004"], FOUR, "it is of numbers, though they count the columns"),
        (["0", "1"], TWO, "it is of numbers, though they count the columns"),
        (["0.0", "1.0", "2.0"], FOUR, "it is of numbers, though they count the columns"),
        (["1990", "2010", "2000"], FOUR, YEARS_DOUBT),
        (["1990", "2010", "2000"], [np.array([1999.0, 2001.0])] * 3, ""),
        (["1990", "2010", "3000"], FOUR, ""),
        (["y", "1.2", "b"], FOUR, "it has text above numbers, though 1.2 is no name"),
        (["y", "2001", "b"], FOUR, ""),
        (
            ["0", "1", "2", "3"],
            FOUR,
            "it counts the columns from 0, as pandas does where they have no names",
        ),
    ],
)
def test_a_first_row_that_may_be_meant_otherwise_is_doubted(first_row, columns, doubt):
    assert find_header(first_row, columns, ()).doubt == doubt


@pytest.mark.parametrize("columns", [[TEXT, TEXT], TWO, []])
def test_a_name_that_is_asked_for_makes_a_header(columns):
    assert find_header(["kind", "b"], columns, ("b", "0")).is_header
    assert not find_header(["0", "1.5"], columns, ("b", "0")).is_header


@pytest.mark.parametrize("first_row", [["2", "0", "1"], ["1", "2"], ["2003", "2001", "1"]])
def test_numbers_that_are_the_names_of_training_are_names_in_any_order(first_row):
    names = ("0", "1", "2", "2001", "2003")

    assert find_header(first_row, FOUR, names).is_header == (len(first_row) > 2)
    assert not find_header([*first_row, "9"], FOUR, names).is_header
    assert not find_header([*first_row, first_row[0]], FOUR, names).is_header


@pytest.mark.parametrize("cell", ["?", "n/a", "l.5", "#N/A", "-", "1,5", "12%"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_bad_cell_in_row_1_is_a_mistake_and_loses_no_row(folder, cell, position):
    row = ["1.5", "2", "3"]
    row[position] = f'"{cell}"'
    content = ",".join(row) + "\n" + "".join(f"{i}.5,{i * i},{3 * i}\n" for i in range(30))
    fill(folder, {"a.csv": content.encode()})

    table = read(folder)

    assert table.names is None
    assert len(table) == 31
    label = f"column {position + 1} (position {position})"
    location = re.escape(f"row 1, {label} of train/a.csv is {cell!r}")
    with pytest.raises(UserError, match=location):
        fitted(table)


@pytest.mark.parametrize(
    ("extra", "row", "position", "cell"),
    [
        ("m/s,kW,\N{DEGREE SIGN}C", 1, 2, "kW"),
        ("(m/s),(kW),(C)", 1, 2, "(kW)"),
        ("y,a,b", 1, 2, "a"),
        ("y,a,b", 21, 2, "a"),
        ("Total,12.5,33.25", 41, 1, "Total"),
        ("Source: Eurostat,,", 41, 1, "Source: Eurostat"),
    ],
)
def test_a_line_of_words_among_numbers_is_refused_below_the_names(
    folder, extra, row, position, cell
):
    lines = [f"{i}.5,{i * i}.25,{3 * i}.75" for i in range(40)]
    lines.insert(row - 1, extra)
    fill(folder, {"a.csv": "\n".join(["y,a,b", *lines]).encode()})

    table = read(folder)

    assert table.names == ("y", "a", "b")
    where = f"row {row}, column {position} ({'yab'[position - 1]}) of train/a.csv is {cell!r}"
    with pytest.raises(UserError, match=re.escape(where)):
        fitted(table)


def test_a_word_in_a_first_row_of_numbers_is_refused_with_the_option_for_names(folder):
    content = "y,1,2\n" + "".join(f"{i}.5,{i * i},{3 * i}\n" for i in range(30))
    fill(folder, {"a.csv": content.encode()})

    with pytest.raises(UserError, match="row, set header=true if it names the columns, add"):
        fitted(read(folder))
    assert read(folder, header=True).names == ("y", "1", "2")


@pytest.mark.parametrize("mark", ["\ufeff", "\ufeff\ufeff"])
def test_marks_of_byte_order_are_no_part_of_a_name(folder, mark):
    fill(folder, {"a.csv": f"{mark}y,a\n1,2\n".encode()})

    assert read(folder).names == ("y", "a")


def test_the_header_of_an_array_that_pandas_wrote_is_none_of_its_rows(folder):
    values = np.random.default_rng(12).normal(size=(5, 4))
    fill(folder, {"a.csv": pd.DataFrame(values).to_csv(index=False).encode()})

    table = read(folder)

    np.testing.assert_array_equal(numbers(table), values)
    (warning,) = table.warnings
    assert warning.startswith("the first line of train/a.csv names its columns (0, 1, 2, 3), since")
    assert warning.endswith("header=false makes it a row")
    assert len(read(folder, header=False)) == 6


@pytest.mark.parametrize("first_line", [b"2001,2002,2003", b"10,30,20"])
def test_a_line_of_whole_numbers_that_all_files_share_is_their_header(folder, first_line):
    fill(folder, dict.fromkeys(("a.csv", "b.csv", "c.csv"), first_line + b"\n1.5,2.5,3.5\n"))

    table = read(folder)

    assert table.names == tuple(first_line.decode().split(","))
    assert table.warnings == (
        "the first line of all 3 files of channel train is alike, and is taken for the names of"
        " the columns; header=false makes it a row",
    )
    assert read(folder, header=False).names is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["1", "2", "3"], ["1", "2", "3"]], True),
        ([["1", "2", "3"], ["1", "2", "4"]], False),
        ([["1", "0", "1"], ["1", "0", "1"]], False),
        ([["1", "2"], ["1", "2"]], False),
        ([["1.5", "2", "3"], ["1.5", "2", "3"]], False),
    ],
)
def test_a_shared_header_is_of_three_different_whole_numbers(rows, expected):
    assert is_shared_header(rows) == expected


def test_a_file_of_one_row_of_words_is_a_row(folder):
    fill(folder, {"a.csv": b"red,green\n"})

    table = read(folder)

    assert [cells.tolist() for cells in table.columns] == [["red"], ["green"]]
    (warning,) = table.warnings
    assert warning.endswith("; header=true makes it names")


def test_a_file_with_the_header_of_others_alone_has_no_rows(folder):
    fill(folder, {"a.csv": b"y,x\n1,2\n", "b.csv": b"y,x\n"})

    table = read(folder)

    assert len(table) == 1
    assert table.warnings[-1] == "train/b.csv is skipped: it has no rows"


@pytest.mark.parametrize(
    ("cells", "expected"), [("0123", True), ("123", False), ("", False), (["0", "1.0"], False)]
)
def test_names_count_from_zero_as_whole_numbers(cells, expected):
    assert counts_from_zero(list(cells)) == expected
