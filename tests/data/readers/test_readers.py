"""Files of a channel: resolution of their formats, their order, and their rows joined."""

import gzip
import io
import json
import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from channel_files import TABLES, csv_lines, fill, numbers, read
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.data import readers
from gaussian_processes.data.readers import interface
from gaussian_processes.errors import UserError


def test_files_are_read_in_the_order_of_their_paths_subfolders_included(folder):
    # As S3 lists them: "-" comes before "/", and capitals before small letters.
    names = ["Z.csv", "a-b/x.csv", "a/part-00010", "a/part-00009", "a/deep/er/x", "a.csv", "é.csv"]
    fill(folder, {name: f"{number},0\n".encode() for number, name in enumerate(names)})

    table = read(folder)

    assert table.columns[0].tolist() == [0, 1, 5, 4, 3, 2, 6]
    assert table.sources == tuple((f"train/{names[number]}", 1) for number in [0, 1, 5, 4, 3, 2, 6])


def test_a_row_is_located_in_its_file(folder):
    fill(folder, {"a.csv": b"0,0\n1,1\n", "b.csv": b"", "c/d.csv": b"\n2,2\n\n3,3"})

    table = read(folder)

    assert [table.locate_row(row) for row in range(4)] == [
        "row 1 of train/a.csv",
        "row 2 of train/a.csv",
        "row 1 of train/c/d.csv",
        "row 2 of train/c/d.csv",
    ]


def test_hidden_underscored_and_empty_files_are_skipped_with_a_warning_each(folder):
    fill(
        folder,
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

    table = read(folder)

    assert numbers(table).tolist() == [[1, 2]]
    name, empty = "its name, or its folder's, matches", "it has no rows"
    assert table.notes[1:] == [
        f"train/.a.csv.crc is skipped: {name} .* of ignore_files",
        f"train/.ipynb_checkpoints/a.csv is skipped: {name} .* of ignore_files",
        f"train/_SUCCESS is skipped: {name} _* of ignore_files",
        f"train/_temporary/0/a.csv is skipped: {name} _* of ignore_files",
    ]
    assert table.warnings == (
        f"train/blank.csv is skipped: {empty}",
        f"train/empty.csv is skipped: {empty}",
        f"train/empty.csv.gz is skipped: {empty}",
    )


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv", "part-0"])
def test_gzip_is_recognised_by_its_bytes(folder, name):
    fill(folder, {name: gzip.compress(b"1,2\n") + gzip.compress(b"3,4\n")})

    assert numbers(read(folder)).tolist() == [[1, 2], [3, 4]]


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
def test_content_types_of_csv_are_read(folder, content_type):
    fill(folder, {"a.csv": b"1,2\n"})

    assert len(read(folder, content_type=content_type)) == 1


@pytest.mark.parametrize(
    "content_type", ["text/libsvm", "application/x-recordio-protobuf", "text/plain"]
)
def test_other_content_types_are_refused_with_those_that_are_read(folder, content_type):
    with pytest.raises(
        UserError,
        match=f"content type {content_type}, but only text/csv, .* are read: convert the files",
    ):
        read(folder, content_type=content_type)


@pytest.mark.parametrize("size", ["0", "-1", ""])
def test_a_label_size_without_targets_is_refused(folder, size):
    with pytest.raises(
        UserError,
        match="training needs a target: set label_size to the number of targets, 1 or more",
    ):
        read(folder, content_type=f"text/csv;label_size={size}")


def test_the_number_of_targets_is_read_from_the_content_type(folder):
    fill(folder, {"a.csv": b"1,2,3\n"})

    assert read(folder, content_type="text/csv; label_size=2").label_size == 2


def test_a_channel_without_rows_is_refused_with_what_was_skipped(folder):
    fill(folder, {".hidden.csv": b"1,2\n"})

    with pytest.raises(UserError) as refused:
        read(folder)

    assert str(refused.value) == (
        f"channel train has no rows: put CSV files into it (here {folder}); "
        "train/.hidden.csv is skipped: its name, or its folder's, matches .* of ignore_files"
    )


def test_a_channel_without_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="channel train has no rows: put CSV files into it"):
        read(tmp_path / "train")


def test_files_that_name_their_columns_otherwise_are_refused(folder):
    fill(folder, {"a.csv": b"y,x\n1,2\n", "b.csv": b"y,z\n1,2\n", "c.csv": b"1,2\n"})

    with pytest.raises(
        UserError,
        match=r"train/b\.csv names its columns y, z, but train/a\.csv names its columns y, x:"
        " give all",
    ):
        read(folder)


def test_a_column_of_numbers_in_one_file_and_text_in_another_is_text(folder):
    fill(folder, {"a.csv": b"1,2\n", "b.csv": b"1,b\n"})

    assert read(folder).columns[1].tolist() == ["2", "b"]


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

        table = read(Path(folder))

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

            table = read(Path(folder))

        assert table.names is None
        assert numbers(table).tobytes() == values.tobytes()


def test_the_content_type_takes_precedence_over_the_ending(folder):
    fill(folder, {"a.csv": b'{"y": 1, "x": 2}\n{"x": 4, "y": 3}\n'})

    table = read(folder, content_type="application/jsonlines")

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
            "row 1 of train/a.jsonl has [1.0] under y, but a cell is one number or string:"
            " write one number",
        ),
        ("a.npy", b"no array", "train/a.npy is not an array ("),
        ("a.parquet", b"PAR1 no table", "train/a.parquet is not Parquet ("),
    ],
)
def test_a_damaged_file_of_another_format_is_refused_with_the_remedy(
    folder, name, content, sentence
):
    fill(folder, {name: content})

    with pytest.raises(UserError) as refused:
        read(folder)

    assert str(refused.value).startswith(sentence)


def test_files_of_different_widths_are_refused_with_their_names(folder):
    fill(folder, {"a.csv": b"1,2\n", "b.csv": b"1,2\n", "c.csv": b"1,2,3\n"})

    with pytest.raises(
        UserError, match=r"train/c\.csv has 3 columns, but train/a\.csv has 2: give all files"
    ):
        read(folder)


def test_a_pipe_that_appears_late_is_read_to_its_end(tmp_path, monkeypatch):
    values = np.random.default_rng(3).normal(size=(5_000, 4))  # more than a pipe holds at once
    fifo, content = tmp_path / "train_0", gzip.compress(csv_lines(values).encode())
    writer = threading.Thread(target=fifo.write_bytes, args=[content])

    def appear(_):
        os.mkfifo(fifo)
        writer.start()

    monkeypatch.setattr(readers.time, "sleep", appear)
    table = read(tmp_path / "train", content_type="text/csv", input_mode="Pipe")
    writer.join()

    assert numbers(table).tobytes() == values.tobytes()
    assert table.locate_row(4_999) == "row 5000 of train_0"


def test_a_wrong_row_of_a_pipe_is_located_though_a_pipe_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "train_0")
    writer = threading.Thread(target=(tmp_path / "train_0").write_bytes, args=[b"1,2\n3,4,5\n"])
    writer.start()

    with pytest.raises(UserError, match="row 2 of train_0 has 3"):
        read(tmp_path / "train", input_mode="Pipe")

    writer.join()


def test_a_pipe_that_never_appears_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(
        UserError,
        match="train_0 did not appear within 0 seconds: start the job again, or use File or"
        " FastFile",
    ):
        read(tmp_path / "train", input_mode="Pipe", pipe_timeout_seconds=0)


@pytest.mark.parametrize(
    ("name", "row"), [("a.csv", b"1,2,3,4"), ("a.jsonl", b"[1,2,3,4]"), ("a.csv", b"1;2;3;4")]
)
def test_a_row_of_a_text_that_has_lost_its_ends_of_lines_is_refused(folder, monkeypatch, name, row):
    monkeypatch.setattr(interface, "MAX_COLUMNS", 3)
    fill(folder, {name: row})

    with pytest.raises(UserError, match=rf"a row of train/{name} has 4 columns, and at most 3 are"):
        read(folder)
