"""Columns of CSV files, and refusals of files that are none."""

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from channel_files import TABLES, csv_lines, fill, numbers, read
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.data.cells import as_numbers
from gaussian_processes.errors import UserError


def with_pandas(values):
    return pd.DataFrame(values).to_csv(header=False, index=False)


def with_seventeen_digits(values):
    return "\r\n".join(", ".join(f"{value:.16e}" for value in row) for row in values)


def in_quotes(values):
    return (
        "\ufeff"
        + "\n".join(",".join(f'"{value!r}"' for value in row) for row in values.tolist())
        + "\n\n"
    )


def refusal(folder, content):
    """Return the sentence about a channel of one file, a.csv."""
    fill(folder, {"a.csv": content})
    with pytest.raises(UserError) as refused:
        read(folder)
    return str(refused.value)


@given(TABLES, st.sampled_from([csv_lines, with_pandas, with_seventeen_digits, in_quotes]))
def test_every_bit_of_a_written_table_is_read_back(values, written):
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(written(values).encode())

        table = read(Path(folder))

    assert table.names is None
    assert {cells.dtype for cells in table.columns} == {np.dtype(np.float64)}
    assert numbers(table).tobytes() == values.tobytes()


@given(
    st.lists(
        st.from_regex(
            r"-?[0-9]{1,30}(\.[0-9]{0,30})?(e-?[0-9]{1,2})?",
            fullmatch=True,
            alphabet="-.0123456789e",
        )
    )
)
def test_decimals_of_any_length_are_rounded_as_python_does(cells):
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_text("0,0.5\n" + "".join(f"0,{cell}\n" for cell in cells))

        table = read(Path(folder))

    # Integers beyond 2**53 stay as they are written, for columns of ids.
    assert [*map(float, table.columns[1][1:].tolist())] == [float(cell) for cell in cells]


@pytest.mark.parametrize(
    "content",
    [
        b"1,2\n3,4\n",
        b"1,2\n3,4",
        b"1,2\r\n3,4\r\n",
        b"1,2\r3,4\r",
        b"\xef\xbb\xbf1,2\n3,4\n",
        b"1,2\n3,4\n\n  \n",
        b" 1,\t2\n3 , 4 \n",
        b'"1","2"\n"3","4"\n',
        b"1.,+2\n3e0,.4E1\n",
    ],
)
def test_any_end_of_line_and_any_spacing_is_read(folder, content):
    fill(folder, {"a.csv": content})

    assert numbers(read(folder)).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"1,2,3\n4,5\n", "row 2 of train/a.csv has 2 column(s), but row 1 has 3: "),
        (b"1,2\n3,4\n\n5,6,7\n", "row 3 of train/a.csv has 3 column(s), but row 1 has 2: "),
        (b"1,2\n3,4,\n", "row 2 of train/a.csv has 3 column(s), but row 1 has 2: "),
        (b"a,b,c\n1,2\n", "the first line of train/a.csv has 3 names, but row 1 has 2 column(s): "),
        (b"a,a\n1,2\n", "two columns of train/a.csv have one name (a, a): "),
        (
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
            "train/a.csv is not CSV in UTF-8 ('utf-8' codec can't decode byte 0x89 ",
        ),
        (
            b"PAR1\x15\x04\x15,1\nPAR1",
            "train/a.csv is Parquet, which is not read as csv: name it .parquet",
        ),
        (
            b'1,2\n3,"' + b"aaaaaaa\n" * 20_000,
            "train/a.csv has a cell of more than 131,072 characters, as where a quote is not",
        ),
        (b"1,\0\n3,4\n", "train/a.csv is not CSV in UTF-8 (it holds control characters): "),
        (
            b"1,2\n3,\0\n",
            r"row 2, column 2 of train/a.csv has the control character '\x00': remove",
        ),
        (b"y,a\n1,2\n\x1a", r"row 2, column 1 of train/a.csv has the control character '\x1a': "),
        (
            gzip.compress(b"1,2\n", mtime=0)[:-4],
            "train/a.csv is not CSV in UTF-8 (Compressed file ended ",
        ),
        (
            gzip.compress(b"1,2\n", mtime=0)[:10] + b"\xff\xff\xff",
            "train/a.csv is not CSV in UTF-8 (Error -3 while decompressing",
        ),
    ],
)
def test_a_damaged_file_is_refused_with_file_and_row(folder, content, sentence):
    assert refusal(folder, content).startswith(sentence)


@pytest.mark.parametrize("cell", ["four", "1_000", "٣", "--1", "1 2", "0x10"])
def test_a_column_with_a_cell_of_text_is_text(folder, cell):
    fill(folder, {"a.csv": f"1,2\n3,{cell}\n".encode()})

    assert read(folder).columns[1].tolist() == ["2", cell]


def test_booleans_are_text_as_they_are_written(folder):
    fill(folder, {"a.csv": b"1,True,0\n3,false,true\n"})

    assert [cells.tolist() for cells in read(folder).columns] == [
        [1, 3],
        ["True", "false"],
        ["0", "true"],
    ]


@pytest.mark.parametrize("cell", ["", '""', "NA", "N/A", "NaN", "nan", "null", "None"])
def test_markers_of_missing_values_are_missing_in_text_and_in_numbers(folder, cell):
    fill(folder, {"a.csv": f"1,a,2\n3,{cell},{cell}\n".encode()})

    _, text, values = read(folder).columns
    assert text.tolist() == ["a", None]
    np.testing.assert_array_equal(values, [2, np.nan])


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"y,x\n1,2\n", ("y", "x")),
        (b'"y"," x 1"\n1,2\n', ("y", "x 1")),
        (b"y,7\n1,2\n", ("y", "7")),
        (b",y\n7,1\n", ("unnamed 0", "y")),
        (b"\xef\xbb\xbfy,kind\n1,a\n", ("y", "kind")),
        (b"1,2\n3,4\n", None),
        (b"1,a\n3,b\n", None),
        (b"a,b\nc,d\n", None),
    ],
)
def test_the_first_row_is_a_header_if_it_has_text_above_numbers(folder, content, names):
    fill(folder, {"a.csv": content, "b.csv": content})

    table = read(folder)

    assert table.names == names
    assert len(table) == 2 * (content.count(b"\n") - (names is not None))
    words_only = all(cells.dtype == object for cells in table.columns)
    assert len(table.warnings) == 2 * words_only


def test_the_option_header_decides_whether_the_first_row_is_one(folder):
    fill(folder, {"a.csv": b"a,b\nc,d\n"})

    assert read(folder, header=True).names == ("a", "b")
    assert read(folder, header=False).columns[0].tolist() == ["a", "c"]


def test_a_column_name_may_have_a_line_break(folder):
    fill(folder, {"a.csv": b'\ny,"a\nb"\n\n1,2\n3,4\n'})

    table = read(folder)

    assert table.names == ("y", "a\nb")
    assert numbers(table).tolist() == [[1, 2], [3, 4]]


def test_integers_beyond_64_bits_are_kept_to_the_last_digit(folder):
    fill(folder, {"a.csv": b"y,a,b\n1,99999999999999999999,\n3,4,5\n"})

    column = read(folder).columns[1]

    assert column.tolist() == ["99999999999999999999", "4"]
    assert as_numbers(column).tolist() == [1e20, 4]


def test_rows_are_counted_below_the_header(folder):
    for content in (b"y,x\n1,2\n3\n", b"y,x\n1,2\n3,4,5\n"):
        assert refusal(folder, content).startswith("row 2 of train/a.csv has ")
