"""Forms in which people send rows: what trained is accepted, and names are never read as data."""

import csv
import io
import json
import re
import sys

import numpy as np
import pytest

from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats import decoders
from gaussian_processes.serving.formats.decoders import decode

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
NPY = "application/x-npy"
Y = (Column("y", 0),)
# Features that are named by numbers, as `DataFrame(array).to_csv(index=False)` names them.
NUMBERED = Schema(True, 4, (Column("0", 1), Column("1", 2), Column("2", 3)), Y, ignored=("id",))
NAMED = Schema(True, 4, (Column("a", 1), Column("b", 2), Column("c", 3)), Y)
MIXED = Schema(True, 3, (Column("age", 1), Column("colour", 2, ("age", "blue", "red"))), Y)
WORDS = Schema(
    True, 3, (Column("size", 1, ("colour", "small")), Column("colour", 2, ("red", "size"))), Y
)
GAPS = Schema(
    True,
    4,
    (
        Column("a", 1),
        Column("b", 2, missing_indicator=True),
        Column("c", 3, ("False", "True"), missing_indicator=True),
    ),
    Y,
)
NAN = float("nan")


def refusal(body, content_type, schema):
    with pytest.raises(UserError) as refused:
        decode(body, content_type, schema)
    return str(refused.value)


@pytest.mark.parametrize(
    ("body", "content_type", "schema", "rows"),
    [
        (b"2,0,1\n5,6,7\n", CSV, NUMBERED, [[6, 7, 5]]),
        (b"0,1,2\n5,6,7\n", CSV, NUMBERED, [[5, 6, 7]]),
        (b"id,2,0,1\nx,5,6,7\n", CSV, NUMBERED, [[6, 7, 5]]),
        (b"5,6,7\n2,0,1\n", CSV, NUMBERED, [[5, 6, 7], [2, 0, 1]]),
        (b"0,1,2.0\n5,6,7\n", CSV, NUMBERED, [[0, 1, 2], [5, 6, 7]]),
        (b"2,0,1\n5,6,7\n", f"{CSV}; header=absent", NUMBERED, [[2, 0, 1], [5, 6, 7]]),
        (b"2,0,1\n5,6,7\n", f"{CSV}; header=present", NUMBERED, [[6, 7, 5]]),
        (b"c,a,b\n5,6,7\n", f'{CSV}; header="PRESENT"', NAMED, [[6, 7, 5]]),
        # A word that is also a column's name.
        (b"31,age\n", CSV, MIXED, [[31, 0]]),
        (b"colour,size\n", f"{CSV}; header=absent", WORDS, [[0, 1]]),
        (b"size,colour\nsmall,red\n", CSV, WORDS, [[1, 0]]),
        (b"colour,size\nred,small\n", f"{CSV}; header=present", WORDS, [[1, 0]]),
    ],
)
def test_names_are_the_header_and_rows_are_rows(body, content_type, schema, rows):
    np.testing.assert_array_equal(decode(body, content_type, schema), rows)


@pytest.mark.parametrize(
    ("body", "content_type", "schema", "sentence"),
    [
        (b"A,b,c\n1,2,3\n", CSV, NAMED, "column 'a' is missing"),
        (b"a,b,d\n1,2,3\n", CSV, NAMED, "column 'c' is missing"),
        (b"a,b,c,y\n1,2,3,4\n", CSV, NAMED, "column 'y' is what the model predicts"),
        (b"0,1,2\n", CSV, NUMBERED, "the request has a header and no rows; send at least one row"),
        (b"1,2,3\n", f"{CSV}; header=yes", NAMED, 'Content-Type has the header "yes"; send pres'),
        (b"1,2,3\n4,5,6", f"{CSV}; header=present", NAMED, "column 'a' is missing"),
        (
            b"a,b,c\n1,2,3",
            f"{CSV}; header=absent",
            NAMED,
            'row 1, column 1 (a) of the request is "',
        ),
    ],
)
def test_a_header_with_a_mistake_is_refused(body, content_type, schema, sentence):
    assert refusal(body, content_type, schema).startswith(sentence)


def test_a_header_before_numbers_without_names_is_skipped_where_it_is_said_to_be_there():
    schema = Schema(False, 3, (Column("1", 1), Column("2", 2)), Y)

    rows = decode(b"x,y\n1,2\n", f"{CSV}; header=present", schema)

    assert rows.tolist() == [[1, 2]]


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


RECORD = np.array([(3, 1.5, 2.5)], [("c", "<i4"), ("a", "<f8"), ("b", "<f4")])


@pytest.mark.parametrize(
    ("body", "content_type", "rows"),
    [
        (b"1,2,3\r4,5,6\r", CSV, [[1, 2, 3], [4, 5, 6]]),
        (b"a,c,b\r1,3,2\r", CSV, [[1, 2, 3]]),
        (b'"1","2","3\n"\n4,5,6', CSV, [[1, 2, 3], [4, 5, 6]]),
        (b'"a","b","c"\r\n1,2,"3\r\n"\r\n', CSV, [[1, 2, 3]]),
        (b"[1, 2, 3]", JSON, [[1, 2, 3]]),
        (b'["1", "2.0", 3]', JSON, [[1, 2, 3]]),
        (b'{"instances": [1, 2, 3]}', JSON, [[1, 2, 3]]),
        (b'{"instances": [{"a": 1, "c": "3", "b": 2}]}', JSON, [[1, 2, 3]]),
        (b'{"instances": [{"data": {"features": {"values": [1, 2, 3]}}}]}', JSON, [[1, 2, 3]]),
        (b'{"data": {"features": {"values": [1, 2, 3]}}}\n' * 2, LINES, [[1, 2, 3]] * 2),
        (b'{"features": [1, 2, 3]}', LINES, [[1, 2, 3]]),
        (npy(np.array([1, 2, 3])), NPY, [[1, 2, 3]]),
        (npy(np.array([1.5, 2, 3], ">f4")), NPY, [[1.5, 2, 3]]),
        (npy(np.asfortranarray([[1, 2, 3], [4, 5, 6]])), NPY, [[1, 2, 3], [4, 5, 6]]),
        (npy(np.array([["1", "2", "3e0"]])), NPY, [[1, 2, 3]]),
        (npy(np.array([[b"1", b"2", b"3e0"]])), NPY, [[1, 2, 3]]),
        (npy(RECORD), NPY, [[1.5, 2.5, 3]]),
    ],
)
def test_a_row_may_be_written_in_many_ways(body, content_type, rows):
    np.testing.assert_array_equal(decode(body, content_type, NAMED), rows)


@pytest.mark.parametrize(
    ("body", "content_type", "cells"),
    [
        (b'{"a": 1}\n', LINES, [1, NAN, 2]),
        (b'{"a": 1, "b": null, "c": true}', LINES, [1, NAN, 1]),
        (b'{"c": "true", "a": "1.0"}', LINES, [1, NAN, 1]),
        (b'{"a": 1, "b": "", "c": ""}', LINES, [1, NAN, 2]),
        (b'{"a": 1, "b": "NA", "c": "NA"}', LINES, [1, NAN, 2]),
        (b'[{"a": 1, "c": false}]', JSON, [1, NAN, 0]),
        (b'[1, "NA", true]', JSON, [1, NAN, 1]),
        (b"1,,\n", CSV, [1, NAN, 2]),
        (b"1,NA,TRUE\n", CSV, [1, NAN, 1]),
    ],
)
def test_what_may_be_missing_may_be_left_out(body, content_type, cells):
    [row] = decode(body, content_type, GAPS)

    np.testing.assert_array_equal(row[:3], cells)


@pytest.mark.parametrize(
    ("body", "content_type", "schema", "sentence"),
    [
        (b'{"b": 1}', LINES, GAPS, "column 'a' is missing"),
        (b'{"a": 1, "bb": 2}', LINES, GAPS, "column 'bb' is not one the model was trained on"),
        (b'{"a": 1, "b": 2}', LINES, NAMED, "column 'c' is missing"),
        (b"1\n2\n3\n", LINES, NAMED, "row 1 of the request is 1.0; send [1.5, 2.0] or "),
        (b"[1, 2]", JSON, NAMED, "row 1 of the request has 2 columns"),
        (b"[1, [2], 3]", JSON, NAMED, "row 1, column 2 (b) of the request is [2.0]"),
        (b"[[1, 2, 3], 4]", JSON, NAMED, "row 2 of the request is 4.0"),
        (b"[[], [1, 2, 3]]", JSON, NAMED, "row 1 of the request has 0 columns"),
        (b'{"data": {"features": [1]}}', LINES, NAMED, "column 'a' is missing"),
        (b"1,2,3\r\r4,5,6", CSV, NAMED, "row 2 of the request is empty"),
        (b'1,2,"3\n"\n\n4,5,6', CSV, NAMED, "row 2 of the request is empty"),
        (npy(np.zeros(2)), NPY, NAMED, "row 1 of the request has 2 columns"),
        (npy(np.zeros(2, [("a", "f8"), ("b", "f8")])), NPY, NAMED, "column 'c' is missing"),
    ],
)
def test_what_is_no_row_is_refused_with_its_number(body, content_type, schema, sentence):
    assert refusal(body, content_type, schema).startswith(sentence)


def test_a_category_may_hold_the_end_of_a_line():
    schema = Schema(True, 3, (Column("a", 1), Column("b", 2, ("one\ntwo", "three"))), Y)
    text = io.StringIO()
    csv.writer(text).writerows([["b", "a"], ["one\ntwo", 1], ["three", 2]])

    rows = decode(text.getvalue().encode(), CSV, schema)

    assert rows.tolist() == [[1, 0], [2, 1]]


def test_parquet_without_its_library_is_refused_before_pandas_is_imported(monkeypatch):
    monkeypatch.setattr(decoders.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "gaussian_processes.data.readers.parquet", None)

    assert refusal(b"PAR1", "application/x-parquet", NAMED).startswith(
        "the request is Parquet, which this image can't read: send CSV, or build the image with"
    )


HEADER = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }"


def damaged(header, version=1):
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + np.arange(3.0).tobytes()


def test_the_header_of_every_format_is_read():
    for version in (1, 2, 3):
        assert decode(damaged(HEADER, version), NPY, NAMED).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    "header",
    [
        HEADER.replace(b"(1, 3)", b"(1000000000000, 3)"),
        HEADER.replace(b"(1, 3)", b"(%s, 3)" % (b"9" * 4000)),
        HEADER.replace(b"(1, 3)", b"(%s, 3)" % (b"9" * 5000)),
        HEADER.replace(b"(1, 3)", b"(-1, -3)"),
        HEADER.replace(b"(1, 3)", b"(True, 3)"),
        HEADER.replace(b"(1, 3)", b"(1, 3.0)"),
        HEADER.replace(b"(1, 3)", b"3"),
        HEADER.replace(b"(1, 3)", b"(1, 3"),
        HEADER.replace(b"(1, 3)", b"(" * 3000),
        HEADER.replace(b"(1, 3)", b"-" * 5000 + b"3"),
        HEADER.replace(b"(1, 3)", b"(0, 3)"),
        HEADER.replace(b"'<f8'", b"'<f99999999999999999999'"),
        HEADER.replace(b"'<f8'", b"'<i3'"),
        HEADER.replace(b"'<f8'", b"'|O'"),
        HEADER.replace(b"'<f8'", b"'V0'"),
        HEADER.replace(b"'<f8'", b"'U0'"),
        HEADER.replace(b"'<f8'", b"'<M8[ns]'"),
        HEADER.replace(b"'<f8'", b"'<c8'"),
        HEADER.replace(b"'<f8'", b"[('a', '<f8'), ('a', '<f8')]"),
        HEADER.replace(b"'<f8'", b"[('a', '<f8', (9, 9))]"),
        HEADER.replace(b"'<f8'", b"[]"),
        HEADER.replace(b"'<f8'", b"None"),
        HEADER.replace(b"'<f8'", b"{}"),
        HEADER.replace(b"'fortran_order': False, ", b""),
        HEADER.replace(b"False", b"0"),
        HEADER.replace(b"False", b"__import__('os')"),
        b"",
        b"\0",
        b"\xff" * 10,
        b"{" * 100,
        b"'''",
        b" " * 20_000,
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_damaged_header_is_refused_in_a_sentence(header, version):
    sentence = refusal(damaged(header, version), NPY, NAMED)

    assert sentence.startswith(("the request is no array (", "the request is an array of "))
    assert "\n" not in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize(
    "descr", ["'<U0'", "'U'", "'|S0'", "'|V0'", "[('a', '<U0')]", "[('a', 'i1'), ('b', 'S')]"]
)
def test_a_type_of_no_bytes_is_refused_however_many_rows_are_claimed(descr):
    header = HEADER.replace(b"'<f8'", descr.encode())

    for shape in (b"(1000000000, 3)", b"(1000000000,)", b"(24,)"):
        body = damaged(header.replace(b"(1, 3)", shape))
        assert "its header is damaged" in refusal(body, NPY, NAMED)
        assert "its header is damaged" in refusal(body[:-24], NPY, NAMED)


@pytest.mark.parametrize("order", ["<", ">"])
def test_text_of_an_array_that_is_no_characters_is_refused(order):
    codes = np.full(3, 0x110000, f"{order}u4")

    for array in (codes.view(f"{order}U1"), codes.view([("a", f"{order}U1")])):
        assert "its text has numbers that are no characters" in refusal(npy(array), NPY, NAMED)


def test_no_mutation_of_an_array_is_anything_but_rows_or_a_refusal():
    rng = np.random.default_rng(9)
    body = damaged(HEADER)
    for _ in range(3000):
        mutated = bytearray(body)
        for _ in range(rng.integers(1, 4)):
            mutated[rng.integers(len(body))] = rng.integers(256)
        try:
            assert decode(bytes(mutated), NPY, NAMED).shape[1] == 3
        except UserError:
            continue


def test_one_flat_row_is_that_of_csv():
    row = np.random.default_rng(4).normal(size=3).tolist()
    forms = {
        CSV: ",".join(map(repr, row)).encode(),
        JSON: json.dumps(row).encode(),
        NPY: npy(np.array(row)),
    }

    for content_type, body in forms.items():
        np.testing.assert_array_equal(decode(body, content_type, NAMED), [row])


def sparse(keys, values, shape=(3,)):
    return {"data": {"features": {"keys": keys, "values": values, "shape": shape}}}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (sparse([2, 0], [7, 5]), [5, 0, 7]),
        (sparse([0, 1, 2], [5, 6, 7]), [5, 6, 7]),
        (sparse([], []), [0, 0, 0]),
    ],
)
@pytest.mark.parametrize("content_type", [JSON, LINES])
def test_sparse_rows_have_zeros_between_their_keys(row, expected, content_type):
    body = {"instances": [row]} if content_type == JSON else row

    assert decode(json.dumps(body).encode(), content_type, NAMED).tolist() == [expected]


@pytest.mark.parametrize(
    "row",
    [
        sparse([0], [1, 2, 3]),
        sparse([0, 0], [1, 2]),
        sparse([3], [1]),
        sparse([-1], [1]),
        sparse([0.5], [1]),
        sparse([0], [1], []),
        sparse([0], [1], None),
        sparse([0], [1], [10**12]),
        sparse("0", [1]),
        sparse([0], "1"),
        sparse([10**30], [1]),
    ],
)
def test_sparse_rows_whose_keys_do_not_fit_are_refused(row):
    assert "is no sparse row: " in refusal(json.dumps([row]).encode(), JSON, NAMED)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'[{"a": 1, "b": 2, "c": 3, "a": 4}]', JSON),
        (b'{"a": 1, "b": 2, "c": 3, "a": 4}', LINES),
        (b'[{"features": [1, 2, 3], "features": [4, 5, 6]}]', JSON),
        (b'{"instances": [[1, 2, 3]], "instances": [[4, 5, 6]]}', JSON),
    ],
)
def test_names_that_stand_twice_in_json_are_refused(body, content_type):
    assert re.search(r"(name '\w+'|\"instances\") stands twice", refusal(body, content_type, NAMED))
