"""Delimiters and decimal marks of CSV files."""

import re

import numpy as np
import pandas as pd
import pytest
from channel_files import fill, numbers, read

from gaussian_processes.errors import UserError

VALUES = np.random.default_rng(14).normal(size=(20, 3)).round(3) + 0.0004


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_delimiter_and_the_decimal_mark_are_found(folder, delimiter, decimal, header, ending):
    frame = pd.DataFrame(VALUES, columns=list("yab"))
    frame["kind"] = np.resize(["red", "green"], len(frame))
    text = frame.to_csv(
        sep=delimiter, decimal=decimal, index=False, header=header, lineterminator=ending
    )
    fill(folder, {"a.csv": text.encode()})

    table = read(folder)

    assert table.names == (("y", "a", "b", "kind") if header else None)
    np.testing.assert_array_equal(np.column_stack(table.columns[:3]).astype(float), VALUES)
    assert table.columns[3].tolist() == frame["kind"].tolist()
    words = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", ".": "point"}
    (note,) = table.notes
    assert note.endswith(f"; delimiter {words[delimiter]}, decimal {words[decimal]}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"1,5;2,5\n3,5;4,5\n", [[1.5, 2.5], [3.5, 4.5]]),
        (b"1,5;2,5\n3;4\n", [[1.5, 2.5], [3, 4]]),
        (b"1;2,5\n3;4,25\n", [[1, 2.5], [3, 4.25]]),
        (b"1;2;3\n4;5;6\n", [[1, 2, 3], [4, 5, 6]]),
        (b"1\t\t3\n4\t5\t6\n", [[1, np.nan, 3], [4, 5, 6]]),
        (b"1,\t2\n3,\t4\n", [[1, 2], [3, 4]]),
        (b"0,125;0,250\n0,375;0,500\n", [[0.125, 0.25], [0.375, 0.5]]),
        (b"1,5e3;-2,5\n,5;+4\n", [[1500, -2.5], [0.5, 4]]),
        (b'"1,5","2,5"\n"3,5","4,5"\n"5","6"\n', [[1.5, 2.5], [3.5, 4.5], [5, 6]]),
    ],
)
def test_marks_of_any_mixture_are_read_as_they_are_meant(folder, content, expected):
    fill(folder, {"a.csv": content})

    np.testing.assert_array_equal(numbers(read(folder)), expected)


@pytest.mark.parametrize(
    ("content", "given", "texts"),
    [
        (b"1.5,red;big,3\n2.5,blue;big,4\n", {}, ["red;big", "blue;big"]),
        (b"1.5,a|b,3\n2.5,c|d,4\n", {}, ["a|b", "c|d"]),
        (b"1.5\tred, big\t3\n2.5\tblue, big\t4\n", {}, ["red, big", "blue, big"]),
        (b'1.5,"1,234",3\n2.5,"5,678",4\n', {}, ["1,234", "5,678"]),
        (b"1.5;1,234;3\n2.5;5,678;4\n", {}, ["1,234", "5,678"]),
        (b"1;2,345;3\n4;5,678;6\n", {"decimal": "."}, ["2,345", "5,678"]),
    ],
)
def test_a_delimiter_or_a_comma_within_text_is_text(folder, content, given, texts):
    fill(folder, {"a.csv": content})

    assert read(folder, **given).columns[1].tolist() == texts


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"1,234;2\n3,456;4\n",
            "train/a.csv has '1,234', where the comma may be a decimal mark (1.234) or separate"
            " thousands (1234): set decimal to comma or point",
        ),
        (
            b"1,5;2.5\n3;4\n",
            "train/a.csv has '1,5' beside '2.5', where the comma may be a decimal mark (1.5) or",
        ),
        (
            b"a;b,c\nd;e,f\n",
            "the cells of train/a.csv may be separated by comma, ['a;b', 'c'], or by semicolon,"
            " ['a', 'b,c']: set delimiter to comma or semicolon",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_refused_with_both_readings(folder, content, sentence):
    fill(folder, {"a.csv": content})

    with pytest.raises(UserError, match=re.escape(sentence)):
        read(folder)


def test_options_decide_the_dialect(folder):
    fill(folder, {"a.csv": b"1,234;2\n3,456;4\n"})

    assert numbers(read(folder, decimal=",")).tolist() == [[1.234, 2], [3.456, 4]]
    table = read(folder, delimiter=",", decimal=".")
    assert table.columns[1].tolist() == ["234;2", "456;4"]


def test_a_point_among_decimal_commas_is_refused_with_its_row(folder):
    lines = [f"{row},5;2" for row in range(60)] + ["60.5;2"]
    fill(folder, {"a.csv": "\n".join(lines).encode()})

    with pytest.raises(
        UserError,
        match=r"row 61 of train/a\.csv has '60\.5', but its decimal mark is a comma: write",
    ):
        read(folder)


def test_a_ragged_file_of_semicolons_is_refused_with_its_row(folder):
    fill(folder, {"a.csv": b"1,5;2\n" * 20 + b"3,5\n"})

    with pytest.raises(
        UserError, match=r"row 21 of train/a\.csv has 1 column\(s\), but row 1 has 2"
    ):
        read(folder)
