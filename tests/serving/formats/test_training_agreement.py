"""A cell means the same in a training file and in a request."""

import csv
import importlib.util
import io
import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.lib import recfunctions as rfn
from odd_cells import MISSING, ODD_CELLS, REFUSED

from gaussian_processes.data import dataset, dates, readers
from gaussian_processes.data.readers import ReadOptions
from gaussian_processes.data.schema import UNKNOWN_CATEGORY, Column, Schema
from gaussian_processes.data.schema_inference import SchemaOptions, infer_schema
from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats import decoders

IDS = list(map(ascii, ODD_CELLS))
NUMBERS = Schema(True, 3, (Column("z", 1), Column("x", 2)), (Column("y", 0),))


def csv_text(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def json_text(rows):
    return json.dumps({"instances": rows}).encode()


def json_lines_text(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def read_training_file(folder, name, content, **options):
    (folder / name).write_bytes(content)
    table = readers.read(folder, ReadOptions("train"))
    schema = infer_schema(table, SchemaOptions(**options))
    return schema, dataset.from_table(table, schema).X


def outcome(read, missing):
    """Number that stands for the odd cell, or what it is taken for."""
    try:
        value = float(read()[1, 1])
    except UserError:
        return REFUSED
    if math.isnan(value):
        assert missing == "mean"
        return MISSING
    return repr(value)


@pytest.mark.parametrize("missing", ["mean", "error"])
@pytest.mark.parametrize(("cell", "expected"), ODD_CELLS.items(), ids=IDS)
def test_an_odd_cell_among_numbers_is_the_same_in_training_and_in_every_request(
    tmp_path, cell, expected, missing
):
    expected = expected if isinstance(expected, str) else repr(expected)
    expected = REFUSED if (expected, missing) == (MISSING, "error") else expected
    rows = [["5", "2"], ["6", cell], ["7", "4"]]
    train = csv_text([["y", "z", "x"], *(["1", *row] for row in rows)])
    objects = json_lines_text(
        {"y": y, "z": float(z), "x": x} for y, (z, x) in zip([1, 2, 3], rows, strict=True)
    )
    schema = Schema(True, 3, NUMBERS.features, NUMBERS.targets, missing=missing)
    other = tmp_path / "lines"
    other.mkdir()

    outcomes = {
        "training CSV": outcome(
            lambda: read_training_file(tmp_path, "a.csv", train, missing=missing)[1], missing
        ),
        "training JSON Lines": outcome(
            lambda: read_training_file(other, "a.jsonl", objects, missing=missing)[1], missing
        ),
        "CSV": outcome(lambda: decoders.decode(csv_text(rows), "text/csv", schema), missing),
        "JSON": outcome(
            lambda: decoders.decode(json_text(rows), "application/json", schema), missing
        ),
        "JSON Lines": outcome(
            lambda: decoders.decode(json_lines_text(rows), "application/jsonlines", schema), missing
        ),
    }

    assert outcomes == dict.fromkeys(outcomes, expected)


@pytest.mark.parametrize("cell", ODD_CELLS, ids=IDS)
def test_an_odd_cell_among_categories_is_the_same_in_training_and_in_every_request(tmp_path, cell):
    rows = [["5", "red"], ["6", cell], ["7", "green"]]
    train = csv_text([["y", "z", "x"], *(["1", *row] for row in rows)])
    options = {"missing": "mean", "categories": ("x",)}
    if any(ord(character) < 32 and character not in "\t\n\v\f\r" for character in cell):
        with pytest.raises(UserError, match="control character"):
            read_training_file(tmp_path, "a.csv", train, **options)
        return

    schema, features = read_training_file(tmp_path, "a.csv", train, **options)

    trained = repr(features[:, 1].tolist())
    assert UNKNOWN_CATEGORY not in features[:, 1]
    for content_type, write in (
        ("text/csv", csv_text),
        ("application/json", json_text),
        ("application/jsonlines", json_lines_text),
    ):
        sent = [[float(z), x] for z, x in rows]
        assert repr(decoders.decode(write(sent), content_type, schema)[:, 1].tolist()) == trained


WRITERS = {
    "text/csv": csv_text,
    "application/json": json_text,
    "application/jsonlines": json_lines_text,
}


def read_with(folder, rows, **options):
    """Schema and features of a training file with the columns y, z and x."""
    (folder / "a.csv").write_bytes(csv_text([["y", "z", "x"], *([1, *row] for row in rows)]))
    words = options.get("missing_values")
    table = readers.read(folder, ReadOptions("train", missing_values=words))
    schema = infer_schema(table, SchemaOptions(**options))
    return schema, dataset.from_table(table, schema).X


@pytest.mark.parametrize("content_type", WRITERS)
@pytest.mark.parametrize("as_text", [True, False])
def test_ids_of_17_digits_are_the_same_categories_in_training_and_in_requests(
    tmp_path, content_type, as_text
):
    ids = [12345678901234567, 12345678901234568, 12345678901234569]
    rows = [[1.5, name] for name in (*ids, *ids)]
    schema, features = read_with(tmp_path, rows, categories=("x",))

    sent = [[z, str(name) if as_text else name] for z, name in rows]
    decoded = decoders.decode(WRITERS[content_type](sent), content_type, schema)

    assert schema.features[1].categories == tuple(map(str, ids))
    assert features[:, 1].tolist() == decoded[:, 1].tolist() == [0, 1, 2, 0, 1, 2]


# Numbers as they may be written, each with the name of its category. Integers are exact; what has a
# point or an exponent is the nearest number of float64.
WRITTEN = {
    **dict.fromkeys(("1", "1.0", "1e0", "01", "+1"), "1"),
    **dict.fromkeys(("0", "-0", "-0.0", "0.0"), "0"),
    **dict.fromkeys(("1e3", "1000", "1000.0", "1E3"), "1000"),
    **dict.fromkeys(("0.1", "0.10", "1e-1"), "0.1"),
    **{text: text for text in map(str, range(2**53 - 1, 2**53 + 3))},
    **{text: text for text in map(str, range(-(2**53) - 2, -(2**53) + 1))},
    "9007199254740993.0": "9007199254740992",
    "9.007199254740993e15": "9007199254740992",
    "1.2345678901234567e16": "12345678901234568",
    **{text: text for text in ("12345678901234567", "12345678901234568", "9223372036854775807")},
    **{text: text for text in ("18446744073709551614", "18446744073709551615", "1" * 30)},
    "1e22": "1" + "0" * 22,
    "1" + "0" * 22: "1" + "0" * 22,
}
JSON_NUMBERS = [text for text in WRITTEN if not text.startswith(("01", "+"))]
INTEGERS = [text for text in WRITTEN if text.lstrip("-").isdecimal() and text != "01"]


def in_64_bits(dtype):
    bounds = np.iinfo(dtype)
    texts = [text for text in INTEGERS if bounds.min <= int(text) <= bounds.max]
    return texts, np.array(list(map(int, texts)), dtype)


def lines(texts, pattern):
    return "".join(pattern.format(text) + "\n" for text in texts).encode()


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def records(values, names):
    array = np.zeros(len(values), [(name, float) for name in names] + [("x", values.dtype)])
    array["x"] = values
    return array


def as_parquet(values, names):
    buffer = io.BytesIO()
    pd.DataFrame({**dict.fromkeys(names, 1.5), "x": values}).to_parquet(buffer)
    return buffer.getvalue()


def routes(names):
    """Every way to write the texts into a file or a body, behind columns of some names."""
    cells = "1.5," * len(names)
    quoted = "".join(f'"{name}": 1.5, ' for name in names)
    header = ",".join([*names, "x"]).encode() + b"\n"
    yield "text/csv", list(WRITTEN), header + lines(WRITTEN, cells + "{}")
    yield "text/csv", list(WRITTEN), header + lines(WRITTEN, cells + '"{}"')
    yield "application/jsonlines", JSON_NUMBERS, lines(JSON_NUMBERS, f'{{{{{quoted}"x": {{}}}}}}')
    yield "application/jsonlines", list(WRITTEN), lines(WRITTEN, f'{{{{{quoted}"x": "{{}}"}}}}')
    for dtype in (np.int64, np.uint64):
        texts, values = in_64_bits(dtype)
        yield "application/x-npy", texts, saved(records(values, names))
        if importlib.util.find_spec("pyarrow"):
            yield "application/x-parquet", texts, as_parquet(values, names)
    if importlib.util.find_spec("pyarrow"):
        decimals = list(map(Decimal, INTEGERS))
        yield "application/x-parquet", INTEGERS, as_parquet(decimals, names)


def test_numbers_are_the_same_categories_however_they_are_written(tmp_path):
    found, trained = [], NUMBERS
    for index, (content_type, texts, content) in enumerate(routes("yz")):
        folder = tmp_path / str(index)
        folder.mkdir()
        (folder / "a").write_bytes(content)
        table = readers.read(folder, ReadOptions("train", content_type, column_names=("y",)))
        schema = infer_schema(table, SchemaOptions(categories=("x",)))
        codes = dataset.from_table(table, schema).X[:, 1]
        names = [schema.features[1].categories[int(code)] for code in codes]
        found.append(names == [WRITTEN[text] for text in texts])
        trained = schema if index == 0 else trained
    for content_type, texts, content in routes("z"):
        codes = decoders.decode(content, content_type, trained)[:, 1]
        names = [trained.features[1].categories[int(code)] for code in codes]
        found.append(names == [WRITTEN[text] for text in texts])
    for pattern in ('{{"instances": [[1.5, {}]]}}', '{{"instances": [[1.5, "{}"]]}}'):
        for text in JSON_NUMBERS:
            body = pattern.format(text).encode()
            (code,) = decoders.decode(body, "application/json", trained)[:, 1]
            found.append(trained.features[1].categories[int(code)] == WRITTEN[text])

    assert all(found)


@pytest.mark.parametrize("content_type", WRITERS)
def test_words_and_numbers_that_mean_missing_do_so_in_training_and_in_requests(
    tmp_path, content_type
):
    rows = [[1.5, "red"], ["?", "NA"], [-9999, "?"], [2.5, "red"], [3.5, "NA"]]
    schema, features = read_with(tmp_path, rows, missing_values=("?", "-9999"))

    decoded = decoders.decode(WRITERS[content_type](rows), content_type, schema)

    assert schema.features[1].categories == ("NA", "red")
    assert repr(features.tolist()) == repr(decoded.tolist())
    assert features[:, 1].tolist() == [1, 0, 2, 1, 0]
    assert features[:, 2].tolist() == [1, 0, 0, 1, 1]


DATED = [
    [1.5, "2024-01-05"],
    [2.5, "2024/1/6"],
    [-9999, "2024-01-05T08:30:00.5Z"],
    [3.5, "2024-01-05 08:30+02:00"],
    [4.5, None],
    [5.5, "1942-08-17"],  # -9999 days since 1970, which is a date all the same
]


def npy_records(rows):
    cells = [(z, np.datetime64(str(dates.format_date(dates.parse_date(x))), "s")) for z, x in rows]
    body = io.BytesIO()
    np.save(body, np.array(cells, [("z", "<f8"), ("x", "<M8[s]")]))
    return body.getvalue()


@pytest.mark.parametrize("content_type", WRITERS)
def test_a_date_is_the_same_in_training_and_in_requests(tmp_path, content_type):
    words = ("-9999", "")
    schema, features = read_with(tmp_path, DATED, missing_values=words)

    decoded = decoders.decode(WRITERS[content_type](DATED), content_type, schema)

    assert schema.features[1].is_date
    assert repr(features.tolist()) == repr(decoded.tolist())
    assert features[-1, 1] == -9999


def test_dates_of_numpy_are_dates_in_training_and_in_requests(tmp_path):
    rows = [[1.5, "2024-01-05"], [2.5, "2024-01-06T08:30"]]
    written = npy_records(rows)
    array = np.load(io.BytesIO(written))
    with_target = rfn.append_fields(array, "y", [1.0, 2.0], usemask=False)
    np.save(tmp_path / "a.npy", with_target)
    table = readers.read(tmp_path, ReadOptions("train"))
    schema = infer_schema(table, SchemaOptions(target=("y",)))

    features = dataset.from_table(table, schema).X

    assert features[:, 1].tolist() == [dates.parse_date(x) for _, x in rows]
    decoded = decoders.decode(written, "application/x-npy", schema)
    np.testing.assert_array_equal(decoded, features)


@pytest.mark.parametrize("cell", ["20240105", 19727.0, "05.01.2024", "2024-02-30", "red", True])
@pytest.mark.parametrize("content_type", WRITERS)
def test_what_is_no_date_is_refused_with_its_place_and_an_example(tmp_path, content_type, cell):
    schema, _ = read_with(tmp_path, [[1.5, "2024-01-05"], [2.5, "2024-01-06"]])

    with pytest.raises(
        UserError, match=r"row 2, column 2 \(x\) .* not a date; send one such as 2024"
    ):
        decoders.decode(
            WRITERS[content_type]([[1.5, "2024-01-05"], [1.5, cell]]), content_type, schema
        )


@pytest.mark.parametrize("body", [b"x,\n1,2\n", b"x,\r\n1,2\r\n", b'x,""\n1,2\n', b'"x",\n"1",2'])
def test_an_empty_name_in_a_header_is_the_same_in_training_and_in_requests(tmp_path, body):
    train = b"x,,y\n1,2,3\n4,5,6\n5,7,9\n"
    schema, features = read_training_file(tmp_path, "a.csv", train, target=("y",))

    for content_type in ("text/csv; header=present", "text/csv"):
        decoded = decoders.decode(body, content_type, schema)
        assert decoded.tolist() == features[:1].tolist()


def test_empty_names_that_training_did_not_have_are_called_by_their_places():
    with pytest.raises(UserError, match="column 'unnamed 2' is not one the model was trained on"):
        decoders.decode(b"z,x,,\n1,2,,\n", "text/csv", NUMBERS)


def test_a_row_of_missing_values_is_no_header_of_empty_names():
    columns = (Column("unnamed 0", 0), Column("unnamed 1", 1))
    schema = Schema(True, 3, columns, (Column("y", 2),), missing="mean")

    assert decoders.decode(b",\n1,2\n", "text/csv", schema).shape == (2, 2)
