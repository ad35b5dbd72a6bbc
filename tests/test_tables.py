"""What numbers a channel's files hold, and what is said of those that hold none."""

import gzip
import os
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gaussian_processes import tables
from gaussian_processes.contract import Channel
from gaussian_processes.errors import UserError

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TABLES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=2), elements=FINITE)


@pytest.fixture
def channel(tmp_path):
    """Return an empty train channel."""
    (tmp_path / "train").mkdir()
    return Channel("train", tmp_path / "train")


def fill(channel, files):
    """Write files, by their paths in the channel."""
    for name, content in files.items():
        path = channel.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def refusal(channel, content):
    """Return the sentence about a channel of one file, a.csv."""
    fill(channel, {"a.csv": content})
    with pytest.raises(UserError) as refused:
        tables.read(channel)
    return str(refused.value)


def with_python(values):
    return "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())


def with_pandas(values):
    return pd.DataFrame(values).to_csv(header=False, index=False)


def with_seventeen_digits(values):
    return "\r\n".join(", ".join(f"{value:.16e}" for value in row) for row in values)


def in_quotes(values):
    return "\ufeff" + "\n".join(",".join(f'"{value!r}"' for value in row) for row in values.tolist()) + "\n\n"


@given(TABLES, st.sampled_from([with_python, with_pandas, with_seventeen_digits, in_quotes]))
def test_every_bit_of_a_written_table_is_read_back(values, written):
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(written(values).encode())

        table = tables.read(Channel("train", Path(folder)))

    assert table.values.dtype == np.float64
    assert table.values.flags.c_contiguous
    assert table.values.tobytes() == values.tobytes()


@given(st.lists(st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{0,30})?(e-?[0-9]{1,2})?", fullmatch=True, alphabet="-.0123456789e")))
def test_decimals_of_any_length_are_rounded_as_python_does(cells):
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_text("0,0.5\n" + "".join(f"0,{cell}\n" for cell in cells))

        table = tables.read(Channel("train", Path(folder)))

    assert table.values[1:, 1].tolist() == [float(cell) for cell in cells]


def test_files_are_read_in_the_order_of_their_paths_subfolders_included(channel):
    # As S3 lists them: "-" comes before "/", and capitals before small letters.
    names = ["Z.csv", "a-b/x.csv", "a/part-00010", "a/part-00009", "a/deep/er/x", "a.csv", "é.csv"]
    fill(channel, {name: f"{number},0\n".encode() for number, name in enumerate(names)})

    table = tables.read(channel)

    assert table.values[:, 0].tolist() == [0, 1, 5, 4, 3, 2, 6]
    assert table.origins == tuple((f"train/{names[number]}", 1) for number in [0, 1, 5, 4, 3, 2, 6])


def test_a_row_is_found_again_in_its_file(channel):
    fill(channel, {"a.csv": b"0,0\n1,1\n", "b.csv": b"", "c/d.csv": b"\n2,2\n\n3,3"})

    table = tables.read(channel)

    assert [table.place(row) for row in range(4)] == [
        "row 1 of train/a.csv",
        "row 2 of train/a.csv",
        "row 1 of train/c/d.csv",
        "row 2 of train/c/d.csv",
    ]


def test_hidden_underscored_and_empty_files_are_skipped_with_a_line_each(channel):
    fill(
        channel,
        {
            "a.csv": b"1,2\n",
            "_SUCCESS": b"",
            ".a.csv.crc": b"\x00",
            ".ipynb_checkpoints/a.csv": b"3,4\n",
            "_temporary/0/a.csv": b"5,6\n",
            "empty.csv": b"",
            "blank.csv": b"\xef\xbb\xbf\r\n\r\n",
            "empty.csv.gz": gzip.compress(b""),
        },
    )

    table = tables.read(channel)

    assert table.values.tolist() == [[1, 2]]
    hidden, empty = "its name, or its folder's, begins with . or _", "it has no rows"
    assert table.notes == (
        f"train/.a.csv.crc is skipped: {hidden}",
        f"train/.ipynb_checkpoints/a.csv is skipped: {hidden}",
        f"train/_SUCCESS is skipped: {hidden}",
        f"train/_temporary/0/a.csv is skipped: {hidden}",
        f"train/blank.csv is skipped: {empty}",
        f"train/empty.csv is skipped: {empty}",
        f"train/empty.csv.gz is skipped: {empty}",
    )


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv", "part-0"])
def test_gzip_is_recognised_by_its_bytes(channel, name):
    fill(channel, {name: gzip.compress(b"1,2\n") + gzip.compress(b"3,4\n")})

    assert tables.read(channel).values.tolist() == [[1, 2], [3, 4]]


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
def test_lines_may_end_and_be_spaced_as_anybody_writes_them(channel, content):
    fill(channel, {"a.csv": content})

    assert tables.read(channel).values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "content_type",
    [None, "text/csv", "csv", "Text/CSV", "text/csv; charset=utf-8", "text/csv;label_size=1", "text/csv; label_size = 1; x"],
)
def test_content_types_of_csv_are_read(channel, content_type):
    fill(channel, {"a.csv": b"1,2\n"})

    assert len(tables.read(Channel("train", channel.folder, content_type)).values) == 1


@pytest.mark.parametrize("content_type", ["application/x-parquet", "text/libsvm", "application/x-recordio-protobuf"])
def test_other_content_types_are_refused_with_the_one_that_is_read(channel, content_type):
    with pytest.raises(UserError, match=f"content type {content_type}, but only text/csv is read: convert the files"):
        tables.read(Channel("train", channel.folder, content_type))


@pytest.mark.parametrize("size", ["0", "2", ""])
def test_another_number_of_targets_is_refused(channel, size):
    with pytest.raises(UserError, match="the first column, and no other, is the target: set label_size to 1"):
        tables.read(Channel("train", channel.folder, f"text/csv;label_size={size}"))


def test_a_channel_without_rows_is_refused_with_what_was_skipped(channel):
    fill(channel, {".hidden.csv": b"1,2\n"})

    with pytest.raises(UserError) as refused:
        tables.read(channel)

    assert str(refused.value) == (
        f"channel train has no rows: put CSV files into it (here {channel.folder}); "
        "train/.hidden.csv is skipped: its name, or its folder's, begins with . or _"
    )


def test_a_channel_without_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="channel validation has no rows: put CSV files into it"):
        tables.read(Channel("validation", tmp_path / "validation"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"1,2,3\n4,5\n", "row 2 of train/a.csv has 2 column(s), but row 1 has 3: "),
        (b"1,2\n3,4\n\n5,6,7\n", "row 3 of train/a.csv has 3 column(s), but row 1 has 2: "),
        (b"1,2\n3,4,\n", "row 2 of train/a.csv has 3 column(s), but row 1 has 2: "),
        (b"1,2\n3,\n", "row 2, column 2 of train/a.csv is empty, "),
        (b"1,2\n,\n", "row 2, column 1 of train/a.csv is empty, "),
        (b'1,2\n3,""\n', "row 2, column 2 of train/a.csv is empty, "),
        (b"1,2,\n3,4,\n", "row 1, column 3 of train/a.csv is empty, "),
        (b"1,2\n3,four\n", "row 2, column 2 of train/a.csv is 'four', "),
        (b"1,2\n3,NA\n", "row 2, column 2 of train/a.csv is 'NA', "),
        (b"1,2\n3,NaN\n", "row 2, column 2 of train/a.csv is 'NaN', "),
        (b"1,2\n3,-inf\n", "row 2, column 2 of train/a.csv is '-inf', "),
        (b"1,2\n3,1e400\n", "row 2, column 2 of train/a.csv is '1e400', "),
        (b"1,True\n3,False\n", "row 1, column 2 of train/a.csv is 'True', "),
        (b"1,1_000\n", "row 1, column 2 of train/a.csv is '1_000', "),
        ("1,٣\n".encode(), "row 1, column 2 of train/a.csv is '٣', "),
        (b"1;2\n3;4\n", "row 1, column 1 of train/a.csv is '1;2', but cells are finite numbers: write the file with commas"),
        (b'1,"2\n3,4\n', "row 1, column 2 of train/a.csv is '2\\n3,4\\n', "),
        (b"y,x\n1,2\n", "row 1 of train/a.csv looks like a header ('y,x'), but files must have none: remove it"),
        (b"y,x 1,x 2\n1,2\n", "row 1 of train/a.csv looks like a header ('y,x 1,x 2'), but files must have none: remove it"),
        (b"1,x\n3,4\n", "row 1, column 2 of train/a.csv is 'x', "),
        (b"1\n2\n", "train/a.csv has one column, but needs the target and a feature at least: "),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "train/a.csv is not CSV in UTF-8 ('utf-8' codec can't decode byte 0x89 "),
        (b"PAR1\x15\x04\x15,1\nPAR1", "train/a.csv is not CSV in UTF-8 (it holds control characters): "),
        ("1,2\n".encode("utf-16"), "train/a.csv is not CSV in UTF-8 ("),
        ("1,2\n".encode("utf-16-le"), "train/a.csv is not CSV in UTF-8 (it holds control characters): "),
        (gzip.compress(b"1,2\n")[:-4], "train/a.csv is not CSV in UTF-8 (Compressed file ended "),
        (gzip.compress(b"1,2\n")[:10] + b"\xff\xff\xff", "train/a.csv is not CSV in UTF-8 (Error -3 while decompressing"),
        (gzip.compress(b"1,2\n3,x\n"), "row 2, column 2 of train/a.csv is 'x', "),
        (b"1," + b"x" * 200_000, "train/a.csv is not CSV in UTF-8 (field larger than field limit (131072)): "),
    ],
)
def test_a_bad_file_is_refused_with_the_place_and_the_cell(channel, content, sentence):
    assert refusal(channel, content).startswith(sentence)


def test_a_sentence_on_a_long_cell_is_short(channel):
    assert len(refusal(channel, b"1," + b"x" * 10_000)) < 200


@given(TABLES, st.data(), st.sampled_from(["", "x", "nan", "-inf", "true", "N/A", "1 2", "--1", "1e", "\x01"]))
def test_the_bad_cell_of_any_table_is_found(values, data, bad):
    row, column = (data.draw(st.integers(0, size - 1)) for size in values.shape)
    cells = [list(map(repr, line)) for line in values.tolist()]
    cells[row][column] = bad

    with TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_text("\n".join(map(",".join, cells)))
        with pytest.raises(UserError) as refused:
            tables.read(Channel("train", Path(folder)))

    expected = f"row {row + 1}, column {column + 1} of train/a.csv is {repr(bad) if bad else 'empty'}, "
    assert str(refused.value).startswith("train/a.csv is not CSV in UTF-8" if bad == "\x01" else expected)


def test_files_of_different_widths_are_refused_by_their_names(channel):
    fill(channel, {"a.csv": b"1,2\n", "b.csv": b"1,2\n", "c.csv": b"1,2,3\n"})

    with pytest.raises(UserError, match=r"train/c\.csv has 3 columns, but train/a\.csv has 2: give all files"):
        tables.read(channel)


def test_a_pipe_that_appears_late_is_read_to_its_end(tmp_path):
    values = np.random.default_rng(3).normal(size=(5_000, 4))  # more than a pipe holds at once

    def sagemaker():
        time.sleep(0.2)
        os.mkfifo(tmp_path / "train_0")
        (tmp_path / "train_0").write_bytes(gzip.compress(with_python(values).encode()))

    writer = threading.Thread(target=sagemaker)
    writer.start()
    table = tables.read(Channel("train", tmp_path / "train", "text/csv", "Pipe"))
    writer.join()

    assert table.values.tobytes() == values.tobytes()
    assert table.place(4_999) == "row 5000 of train_0"


def test_a_bad_cell_of_a_pipe_is_found_though_a_pipe_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "train_0")
    writer = threading.Thread(target=(tmp_path / "train_0").write_bytes, args=[b"1,2\n3,x\n"])
    writer.start()

    with pytest.raises(UserError, match="row 2, column 2 of train_0 is 'x'"):
        tables.read(Channel("train", tmp_path / "train", input_mode="Pipe"))

    writer.join()


def test_a_pipe_that_never_appears_is_given_up_with_the_remedy(tmp_path):
    with pytest.raises(
        UserError, match="train_0 did not appear within 0 seconds: start the job again, or use File or FastFile"
    ):
        tables.read(Channel("train", tmp_path / "train", input_mode="Pipe"), pipe_timeout_seconds=0)
