"""Memory that reading takes: what unfolds, or is, too large is refused with the sizes."""

import gzip
import io
import json

import numpy as np
import pandas as pd
import pytest
from channel_files import fill, numbers, read

from gaussian_processes.data.readers import memory
from gaussian_processes.data.readers.interface import ReadOptions, Source
from gaussian_processes.data.readers.jsonlines import read as read_json_lines
from gaussian_processes.errors import UserError

FREE = 20 * 2**20


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: FREE)


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


BOMBS = {
    "rows.csv": b"1.5,2.5\n" * 1_000_000,
    "words.csv": b"red,blue\n" * 300_000,
    "line.csv": b"1.5," * 1_000_000,
    "cell.csv": b"1" * 50_000_000,
    "rows.jsonl": b'{"y":1,"a":2}\n' * 90_000,
    "line.jsonl": b"[1,2,3]," * 90_000,
    "zeros.npy": saved(np.zeros((2_000_000, 2))),
    "bytes.npy": saved(np.zeros((2_000_000, 2), np.int8)),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("compressed", [True, False], ids=["gzip", "plain"])
def test_a_file_that_takes_more_than_there_is_is_refused_with_the_sizes(
    folder, little_memory, name, compressed
):
    content = gzip.compress(BOMBS[name], 1) if compressed else BOMBS[name]
    fill(folder, {f"{name}.gz" if compressed else name: content})

    with pytest.raises(UserError) as refused:
        read(folder)

    assert str(refused.value).startswith(f"train/{name}")
    assert "18.9 MB are free for it: give fewer rows, or use an instance" in str(refused.value)
    sizes = ["numbers, which"] if name.startswith("bytes") else ["which unfold to", "first"]
    assert sizes[0 if compressed else -1] in str(refused.value)


def test_what_fits_is_read_whole_whatever_its_size_was_on_the_disk(folder, little_memory):
    values = np.resize([1.5, 2.5], (200_000, 2))
    text = b"1.5,2.5\n" * len(values)
    fill(folder, {"a.csv": text, "b.csv.gz": gzip.compress(text), "c.npy": saved(values)})

    np.testing.assert_array_equal(numbers(read(folder)), np.concatenate([values] * 3))


def test_rows_that_are_read_one_by_one_take_the_memory_of_one(folder, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 20)
    source = Source("a.csv", b"1,2\n" * 1_000_000)

    with source.open_text() as text:
        assert sum(1 for _ in text) == 1_000_000


@pytest.mark.parametrize(
    ("columns", "rows"),
    [({"y": np.zeros(1), "x": np.zeros(1)}, 200_000), ({"y": [0.0], "x": ["red" * 9]}, 150_000)],
    ids=["numbers", "words"],
)
def test_columns_of_parquet_that_unfold_to_too_much_are_refused(
    folder, little_memory, columns, rows
):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({name: np.resize(cells, rows) for name, cells in columns.items()})
    frame.to_parquet(folder / "a.parquet")
    assert (folder / "a.parquet").stat().st_size < 10_000

    with pytest.raises(UserError, match=r"train/a\.parquet has .* that unfold to more, which take"):
        read(folder)


def test_a_long_text_of_parquet_that_recurs_is_in_memory_once(folder, little_memory):
    pytest.importorskip("pyarrow")
    texts = ["x" * 50_000, "y" * 50_000]
    frame = pd.DataFrame({"y": np.arange(1000.0), "x": np.resize(np.array(texts, object), 1000)})
    frame.to_parquet(folder / "a.parquet")

    column = read(folder).columns[1]

    assert column.tolist() == frame["x"].tolist()
    assert len(set(map(id, column.tolist()))) == 2


def test_a_stream_counts_without_its_size(little_memory):
    lines = "".join(json.dumps([1.5, 2.5]) + "\n" for _ in range(80_000))

    with pytest.raises(UserError, match=r"^train_0 .*first .* MB and [\d,]+ lines take about"):
        read_json_lines(Source("train_0", lines.encode()), ReadOptions("train"))


@pytest.mark.parametrize(
    ("cell", "is_text"),
    [
        (b"12345678901234567", True),
        (b"9223372036854775807", True),
        (b"1234567890123456", False),
        (b"0.12345678901234567", False),
        (b"12345678901234567.5", False),
        (b"12345678901234567e3", False),
    ],
)
def test_whole_numbers_that_stay_texts_cost_as_much_as_words(cell, is_text):
    """An id of 17 digits takes 191 bytes, by the resident memory of pandas, and a number 53."""
    meter = memory.Meter("it", memory.CSV_COLUMNS, limit=1 << 40)
    rows = (cell + b",") * 1_000

    meter.count(rows)

    number = memory.CSV_COLUMNS.cell + len(cell) + 1
    assert (meter._cost / 1_000 > 191) is is_text
    assert is_text or meter._cost / 1_000 == pytest.approx(number)
