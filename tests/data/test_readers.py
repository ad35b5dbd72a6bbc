"""What numbers a channel's files hold, and what is said of those that hold none."""

import gzip
import io
import json
import os
import threading
import time
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gaussian_processes.data import readers
from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker.environment import Channel

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
        readers.read(channel)
    return str(refused.value)


def numbers(table):
    """All cells as one array."""
    return np.ascontiguousarray(np.column_stack(table.columns))


def with_python(values):
    return "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())


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


@given(TABLES, st.sampled_from([with_python, with_pandas, with_seventeen_digits, in_quotes]))
def test_every_bit_of_a_written_table_is_read_back(values, written):
    with TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(written(values).encode())

        table = readers.read(Channel("train", Path(folder)))

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

        table = readers.read(Channel("train", Path(folder)))

    assert table.columns[1][1:].tolist() == [float(cell) for cell in cells]


def test_files_are_read_in_the_order_of_their_paths_subfolders_included(channel):
    # As S3 lists them: "-" comes before "/", and capitals before small letters.
    names = ["Z.csv", "a-b/x.csv", "a/part-00010", "a/part-00009", "a/deep/er/x", "a.csv", "é.csv"]
    fill(channel, {name: f"{number},0\n".encode() for number, name in enumerate(names)})

    table = readers.read(channel)

    assert table.columns[0].tolist() == [0, 1, 5, 4, 3, 2, 6]
    assert table.sources == tuple((f"train/{names[number]}", 1) for number in [0, 1, 5, 4, 3, 2, 6])


def test_a_row_is_found_again_in_its_file(channel):
    fill(channel, {"a.csv": b"0,0\n1,1\n", "b.csv": b"", "c/d.csv": b"\n2,2\n\n3,3"})

    table = readers.read(channel)

    assert [table.locate_row(row) for row in range(4)] == [
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

    table = readers.read(channel)

    assert numbers(table).tolist() == [[1, 2]]
    hidden, empty = "its name, or its folder's, begins with . or _", "it has no rows"
    assert table.warnings == (
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

    assert numbers(readers.read(channel)).tolist() == [[1, 2], [3, 4]]


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

    assert numbers(readers.read(channel)).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/csv",
        "csv",
        "Text/CSV",
        "text/csv; charset=utf-8",
        "text/csv;label_size=1",
        "text/csv; label_size = 1; x",
    ],
)
def test_content_types_of_csv_are_read(channel, content_type):
    fill(channel, {"a.csv": b"1,2\n"})

    assert len(readers.read(Channel("train", channel.folder, content_type))) == 1


@pytest.mark.parametrize(
    "content_type", ["text/libsvm", "application/x-recordio-protobuf", "text/plain"]
)
def test_other_content_types_are_refused_with_the_one_that_is_read(channel, content_type):
    with pytest.raises(
        UserError,
        match=f"content type {content_type}, but only text/csv, .* are read: convert the files",
    ):
        readers.read(Channel("train", channel.folder, content_type))


@pytest.mark.parametrize("size", ["0", "-1", ""])
def test_no_targets_are_refused(channel, size):
    with pytest.raises(
        UserError,
        match="training needs a target: set label_size to the number of targets, 1 or more",
    ):
        readers.read(Channel("train", channel.folder, f"text/csv;label_size={size}"))


def test_the_number_of_targets_is_read_from_the_content_type(channel):
    fill(channel, {"a.csv": b"1,2,3\n"})

    assert readers.read(Channel("train", channel.folder, "text/csv; label_size=2")).label_size == 2


def test_a_channel_without_rows_is_refused_with_what_was_skipped(channel):
    fill(channel, {".hidden.csv": b"1,2\n"})

    with pytest.raises(UserError) as refused:
        readers.read(channel)

    assert str(refused.value) == (
        f"channel train has no rows: put CSV files into it (here {channel.folder}); "
        "train/.hidden.csv is skipped: its name, or its folder's, begins with . or _"
    )


def test_a_channel_without_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="channel validation has no rows: put CSV files into it"):
        readers.read(Channel("validation", tmp_path / "validation"))


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
            "train/a.csv is not CSV in UTF-8 (it holds control characters): ",
        ),
        ("1,2\n".encode("utf-16"), "train/a.csv is not CSV in UTF-8 ("),
        (
            "1,2\n".encode("utf-16-le"),
            "train/a.csv is not CSV in UTF-8 (it holds control characters): ",
        ),
        (gzip.compress(b"1,2\n")[:-4], "train/a.csv is not CSV in UTF-8 (Compressed file ended "),
        (
            gzip.compress(b"1,2\n")[:10] + b"\xff\xff\xff",
            "train/a.csv is not CSV in UTF-8 (Error -3 while decompressing",
        ),
    ],
)
def test_a_bad_file_is_refused_with_the_place(channel, content, sentence):
    assert refusal(channel, content).startswith(sentence)


@pytest.mark.parametrize("word", ["four", "1_000", "٣", "--1", "1 2", "0x10"])
def test_a_column_with_a_word_is_a_column_of_words(channel, word):
    fill(channel, {"a.csv": f"1,2\n3,{word}\n".encode()})

    assert readers.read(channel).columns[1].tolist() == ["2", word]


def test_true_and_false_are_words_as_they_are_written(channel):
    fill(channel, {"a.csv": b"1,True,0\n3,false,true\n"})

    assert [cells.tolist() for cells in readers.read(channel).columns] == [
        [1, 3],
        ["True", "false"],
        ["0", "true"],
    ]


@pytest.mark.parametrize("cell", ["", '""', "NA", "N/A", "NaN", "nan", "null", "None"])
def test_missing_cells_are_told_from_words_and_numbers(channel, cell):
    fill(channel, {"a.csv": f"1,a,2\n3,{cell},{cell}\n".encode()})

    _, words, values = readers.read(channel).columns
    assert words.tolist() == ["a", None]
    np.testing.assert_array_equal(values, [2, np.nan])


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"y,x\n1,2\n", ("y", "x")),
        (b'"y"," x 1"\n1,2\n', ("y", "x 1")),
        (b"y,7\n1,2\n", ("y", "7")),
        (b",y\n7,1\n", ("unnamed 0", "y")),
        (b"\xef\xbb\xbfy,kind\n1,a\n", ("y", "kind")),
        (b"y,kind\n", None),
        (b"1,2\n3,4\n", None),
        (b"1,a\n3,b\n", None),
        (b"a,b\nc,d\n", None),
    ],
)
def test_names_are_found_where_a_column_of_numbers_begins_with_a_word(channel, content, names):
    fill(channel, {"a.csv": content, "b.csv": content})

    if content.count(b"\n") == 1:
        with pytest.raises(UserError, match="has no rows"):
            readers.read(channel)
    else:
        table = readers.read(channel)
        assert table.names == names
        assert len(table) == 2 * (content.count(b"\n") - (names is not None))
        words_only = all(cells.dtype == object for cells in table.columns)
        assert len(table.warnings) == 2 * (names is not None or words_only)


def test_names_are_where_they_are_said_to_be(channel):
    fill(channel, {"a.csv": b"a,b\nc,d\n"})

    assert readers.read(channel, header=True).names == ("a", "b")
    assert readers.read(channel, header=False).columns[0].tolist() == ["a", "c"]


def test_files_that_name_their_columns_otherwise_are_refused(channel):
    fill(channel, {"a.csv": b"y,x\n1,2\n", "b.csv": b"y,z\n1,2\n", "c.csv": b"1,2\n"})

    with pytest.raises(
        UserError,
        match=r"train/b\.csv names its columns y, z, but train/a\.csv names its columns y, x: give all",
    ):
        readers.read(channel)


def test_a_column_of_numbers_in_one_file_and_words_in_another_is_words(channel):
    fill(channel, {"a.csv": b"1,2\n", "b.csv": b"1,b\n"})

    assert readers.read(channel).columns[1].tolist() == ["2", "b"]


FRAMES = st.integers(1, 10).flatmap(
    lambda rows: st.tuples(
        st.lists(st.floats(-1e6, 1e6), min_size=rows, max_size=rows),
        st.lists(
            st.sampled_from(["red", "green", "a, b", 'say "x"']), min_size=rows, max_size=rows
        ),
        st.lists(st.none() | st.floats(-1e6, 1e6), min_size=rows, max_size=rows).filter(any),
    )
)


def in_json_lines(frame):
    return "a.jsonl", frame.to_json(orient="records", lines=True, double_precision=15).encode()


def in_records_of_npy(frame):
    buffer = io.BytesIO()
    kinds = {"y": "f8", "kind": "U20", "x": "f8"}
    np.save(
        buffer, np.array(list(frame.itertuples(index=False, name=None)), dtype=list(kinds.items()))
    )
    return "a.npy", buffer.getvalue()


def in_parquet(frame):
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return "a.parquet", buffer.getvalue()


def in_csv(frame):
    return "a.csv", frame.to_csv(index=False).encode()


@pytest.mark.parametrize("written", [in_csv, in_json_lines, in_records_of_npy, in_parquet])
@given(FRAMES)
def test_every_format_holds_the_same_table(written, columns):
    y, kind, x = columns
    frame = pd.DataFrame({"y": y, "kind": kind, "x": np.array(x, float)})
    with TemporaryDirectory() as folder:
        name, content = written(frame)
        (Path(folder) / name).write_bytes(content)

        table = readers.read(Channel("train", Path(folder)))

    assert table.names == ("y", "kind", "x")
    assert table.columns[1].tolist() == kind
    np.testing.assert_allclose(table.columns[0], y, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(table.columns[2], frame["x"], rtol=1e-14, atol=1e-14)


@given(TABLES)
def test_arrays_and_lists_are_tables_without_names(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    for name, content in (
        ("a.npy", buffer.getvalue()),
        ("a.jsonl", "".join(json.dumps(row) + "\n" for row in values.tolist()).encode()),
    ):
        with TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(content)

            table = readers.read(Channel("train", Path(folder)))

        assert table.names is None
        assert numbers(table).tobytes() == values.tobytes()


def test_the_content_type_goes_before_the_ending(channel):
    fill(channel, {"a.csv": b'{"y": 1, "x": 2}\n{"x": 4, "y": 3}\n'})

    table = readers.read(Channel("train", channel.folder, "application/jsonlines"))

    assert table.names == ("y", "x")
    assert numbers(table).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b'{"y": 1}\n{"y": \n', "row 2 of train/a.jsonl is not JSON ("),
        (
            "a.jsonl",
            b"[1, 2]\n[3]\n",
            "row 2 of train/a.jsonl has 1 column(s), but others have 2: ",
        ),
        ("a.jsonl", b"5\n", "row 1 of train/a.jsonl is 5.0: write one object, or list, a line"),
        (
            "a.jsonl",
            b'{"y": [1]}\n',
            "row 1 of train/a.jsonl has [1.0] under y: write one number or word a column",
        ),
        ("a.npy", b"no array", "train/a.npy is not an array ("),
        ("a.parquet", b"PAR1 no table", "train/a.parquet is not Parquet ("),
    ],
)
def test_a_bad_file_of_another_format_is_refused_with_the_remedy(channel, name, content, sentence):
    fill(channel, {name: content})

    with pytest.raises(UserError) as refused:
        readers.read(channel)

    assert str(refused.value).startswith(sentence)


def test_an_array_of_objects_is_refused(channel):
    buffer = io.BytesIO()
    np.save(buffer, np.array([[1, "a"]], object), allow_pickle=True)
    fill(channel, {"a.npy": buffer.getvalue()})

    with pytest.raises(
        UserError, match=r"train/a\.npy is not an array \(Object arrays cannot be loaded"
    ):
        readers.read(channel)


def test_files_of_different_widths_are_refused_by_their_names(channel):
    fill(channel, {"a.csv": b"1,2\n", "b.csv": b"1,2\n", "c.csv": b"1,2,3\n"})

    with pytest.raises(
        UserError, match=r"train/c\.csv has 3 columns, but train/a\.csv has 2: give all files"
    ):
        readers.read(channel)


def test_a_pipe_that_appears_late_is_read_to_its_end(tmp_path):
    values = np.random.default_rng(3).normal(size=(5_000, 4))  # more than a pipe holds at once

    def sagemaker():
        time.sleep(0.2)
        os.mkfifo(tmp_path / "train_0")
        (tmp_path / "train_0").write_bytes(gzip.compress(with_python(values).encode()))

    writer = threading.Thread(target=sagemaker)
    writer.start()
    table = readers.read(Channel("train", tmp_path / "train", "text/csv", "Pipe"))
    writer.join()

    assert numbers(table).tobytes() == values.tobytes()
    assert table.locate_row(4_999) == "row 5000 of train_0"


def test_a_bad_row_of_a_pipe_is_found_though_a_pipe_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "train_0")
    writer = threading.Thread(target=(tmp_path / "train_0").write_bytes, args=[b"1,2\n3,4,5\n"])
    writer.start()

    with pytest.raises(UserError, match="row 2 of train_0 has 3"):
        readers.read(Channel("train", tmp_path / "train", input_mode="Pipe"))

    writer.join()


def test_a_pipe_that_never_appears_is_given_up_with_the_remedy(tmp_path):
    with pytest.raises(
        UserError,
        match="train_0 did not appear within 0 seconds: start the job again, or use File or FastFile",
    ):
        readers.read(
            Channel("train", tmp_path / "train", input_mode="Pipe"), pipe_timeout_seconds=0
        )


def test_a_name_with_a_line_break_costs_no_row(channel):
    fill(channel, {"a.csv": b'\ny,"a\nb"\n\n1,2\n3,4\n'})

    table = readers.read(channel)

    assert table.names == ("y", "a\nb")
    assert numbers(table).tolist() == [[1, 2], [3, 4]]


def test_numbers_beyond_64_bits_stay_numbers_beside_a_gap(channel):
    fill(channel, {"a.csv": b"y,a,b\n1,99999999999999999999,\n3,4,5\n"})

    assert readers.read(channel).columns[1].tolist() == [1e20, 4]


def test_parquet_s_decimals_are_numbers_and_its_named_index_a_column(channel):
    buffer = io.BytesIO()
    frame = pd.DataFrame({"age": [3, 4], "y": [Decimal("1.50"), Decimal("2.25")]}).set_index("age")
    frame.to_parquet(buffer)
    fill(channel, {"a.parquet": buffer.getvalue()})

    table = readers.read(channel)

    assert table.names == ("age", "y")
    assert numbers(table).tolist() == [[3, 1.5], [4, 2.25]]


def test_arrays_of_bytes_are_words(channel):
    buffer = io.BytesIO()
    np.save(buffer, np.array([(1.0, b"red")], dtype=[("y", "f8"), ("c", "S4")]))
    fill(channel, {"a.npy": buffer.getvalue()})

    assert readers.read(channel).columns[1].tolist() == ["red"]


def test_an_index_that_pandas_wrote_is_refused(channel):
    fill(channel, {"a.csv": pd.DataFrame({"y": [1.5, 2.5, 3.5], "x": [1, 2, 4]}).to_csv().encode()})

    with pytest.raises(
        UserError,
        match=r"column 1 of train/a\.csv has no name and counts the rows, .* write the file with index=False",
    ):
        readers.read(channel)


def test_numbers_in_quotes_are_numbers_in_json_as_in_csv(channel):
    fill(channel, {"a.jsonl": b'{"y": "1.5", "x": true}\n{"y": "2", "x": null}\n'})

    y, x = readers.read(channel).columns
    assert y.tolist() == [1.5, 2]
    assert x.tolist() == ["True", None]


def test_a_json_document_of_one_list_is_refused_with_the_remedy(channel):
    fill(channel, {"a.json": b'[{"y": 1}, {"y": 2}]'})

    with pytest.raises(
        UserError, match=r"row 1 of train/a\.json is \[.*\]: write one object, or list, a line"
    ):
        readers.read(channel)


def test_rows_are_counted_below_the_names_whatever_is_wrong_with_them(channel):
    for content in (b"y,x\n1,2\n3\n", b"y,x\n1,2\n3,4,5\n"):
        assert refusal(channel, content).startswith("row 2 of train/a.csv has ")
