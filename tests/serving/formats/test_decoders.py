"""Decoding of rows from every media type."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trained import plain

from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats.decoders import (
    BLOCK_CHARACTERS,
    decode,
    decode_weighted,
)
from gaussian_processes.serving.formats.negotiation import UnsupportedMediaTypeError

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TABLES = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(NUMBERS, min_size=columns, max_size=columns), min_size=1, max_size=20
    )
)


WIDTH = "columns and the model was trained on 2; send exactly those, without the target"


def refusal(body, content_type="text/csv", columns=2):
    """The sentence with which a body is refused."""
    with pytest.raises(UserError) as caught:
        decode(body, content_type, plain(columns))
    sentence = str(caught.value)
    assert len(sentence) < 2048
    assert "\n" not in sentence
    return sentence


@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\n", "\n\n", "\r\n"]))
def test_csv_is_read_to_the_last_digit(table, end, tail):
    body = end.join(",".join(map(repr, row)) for row in table) + tail

    np.testing.assert_array_equal(decode(body.encode(), "text/csv", plain(len(table[0]))), table)


@given(TABLES, st.booleans())
def test_json_is_read_to_the_last_digit(table, named):
    instances = [{"features": row} for row in table] if named else table

    rows = decode(
        json.dumps({"instances": instances}).encode(), "application/json", plain(len(table[0]))
    )

    np.testing.assert_array_equal(rows, table)


def test_csv_of_many_blocks_is_read_whole():
    table = np.random.default_rng(72).normal(size=(BLOCK_CHARACTERS // 10, 2))
    file = io.StringIO()
    csv.writer(file).writerows(table.tolist())

    np.testing.assert_array_equal(decode(file.getvalue().encode(), "text/csv", plain(2)), table)


def test_a_fault_behind_many_blocks_is_found_by_its_row():
    good = BLOCK_CHARACTERS // 5

    assert refusal(b"1.5,2\n" * good + b"1.5,abc\n" + b"1.5,2\n" * good).startswith(
        f"row {good + 1}, column 2 "
    )


@pytest.mark.parametrize(
    "content_type",
    ["text/csv", "text/csv; charset=utf-8", "text/csv;label_size=0", "TEXT/CSV ; a=b"],
)
def test_parameters_of_the_content_type_do_not_matter(content_type):
    assert decode(b"1,2", content_type, plain(2)).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    "body", [b"\xef\xbb\xbf1,2", b" 1 , 2 ", b'"1","2"', b"+1,2e0", b"1.,\t2\r\n"]
)
def test_what_spreadsheets_write_is_read(body):
    assert decode(body, "text/csv", plain(2)).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            b"1,2\n3,4\n5,abc",
            'row 3, column 2 of the request is "abc", not a finite number; send numbers only',
        ),
        (
            b"x,y\n1,2",
            'row 1, column 1 of the request is "x", not a finite number;'
            " send numbers only, and no header",
        ),
        (
            b"1,2\n,4",
            'row 2, column 1 of the request is "", not a finite number; send numbers only',
        ),
        (
            b"1,2\n3,nan",
            "row 2, column 2 of the request is nan, not a finite number; send numbers only",
        ),
        (
            b"1,2\n-1e999,3",
            "row 2, column 1 of the request is -inf, not a finite number; send numbers only",
        ),
        (b"1,2\n\n3,4", "row 2 of the request is empty; send 2 numbers in every line"),
        (b"\n1,2", "row 1 of the request is empty; send 2 numbers in every line"),
        (
            b"1,2\n1,2,3",
            f"row 2 of the request has 3 {WIDTH}",
        ),
        (
            b"1;2",
            f"row 1 of the request has 1 {WIDTH}",
        ),
        (b'"1,2', r'row 1 of the request is "\"1,2"; send numbers with commas between them'),
        (
            b"1,2\n\xff,4",
            'row 2, column 1 of the request is "\ufffd", not a finite number; send numbers only',
        ),
        (
            b"1,2\n0x10,1_0",
            'row 2, column 1 of the request is "0x10", not a finite number; send numbers only',
        ),
    ],
)
def test_csv_is_refused_with_value_row_and_column(body, sentence):
    assert refusal(body) == sentence


FORM = 'the request does not read as {"instances": [[1.5, 2.0], …]}: '


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            b'{"instances": [[1, 2], [3, "four"]]}',
            'row 2, column 2 of the request is "four", not a finite number; send numbers only',
        ),
        (
            b'{"instances": [[1, null]]}',
            "row 1, column 2 of the request is null, not a finite number; send numbers only",
        ),
        (
            b'{"instances": [[true, 2]]}',
            "row 1, column 1 of the request is true, not a finite number; send numbers only",
        ),
        (
            b'{"instances": [[NaN, 2]]}',
            "row 1, column 1 of the request is nan, not a finite number; send numbers only",
        ),
        (
            b'{"instances": [[1, 1%s]]}' % (b"0" * 5000),
            "row 1, column 2 of the request is inf, not a finite number; send numbers only",
        ),
        (
            b'{"instances": [[1, 2], [3]]}',
            f"row 2 of the request has 1 {WIDTH}",
        ),
        (
            b'{"instances": [{"data": [1, 2]}]}',
            'row 1 of the request is {"data": [1.0, 2.0]};'
            ' send [1.5, 2.0] or {"features": [1.5, 2.0]}',
        ),
        (
            b'{"instances": [[1, 2], 2]}',
            'row 2 of the request is 2.0; send [1.5, 2.0] or {"features": [1.5, 2.0]}',
        ),
        (
            b'{"rows": [[1, 2]]}',
            'the request has no "instances"; send {"instances": [[1.5, 2.0], …]}',
        ),
        (b"5", f"{FORM}Expecting {{ or [: line 1 column 1 (char 0)"),
        (
            b'{"instances": []}',
            'the request has no "instances"; send {"instances": [[1.5, 2.0], …]}',
        ),
        (b'{"instances": 5}', f"{FORM}Expecting [: line 1 column 15 (char 14)"),
        (b'{"instances": [[1, 2]', f"{FORM}Expecting , or ]: line 1 column 22 (char 21)"),
        (b'{"instances": [[1, 2]]} {}', f"{FORM}Extra data: line 1 column 25 (char 24)"),
        (b"\xff", f"{FORM}'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_json_is_refused_with_value_row_and_column(body, sentence):
    assert refusal(body, "application/json") == sentence


def test_json_of_any_depth_is_refused_and_no_more():
    assert refusal(b'{"instances": ' + b"[" * 1_000_000, "application/json").startswith(FORM)


def test_members_beside_the_instances_do_not_matter():
    body = b' {"signature_name": "x", "instances" : [ [1, 2] ] , "configuration": {"a": [1]}} '

    assert decode(body, "application/json", plain(2)).tolist() == [[1, 2]]


@given(st.binary(max_size=50), st.sampled_from(["text/csv", "application/json"]))
def test_whatever_is_sent_is_read_or_refused_in_one_sentence(body, content_type):
    try:
        rows, sentence = decode(body, content_type, plain(2)), ""
    except UserError as error:
        rows, sentence = np.zeros((1, 2)), str(error)

    assert rows.shape[1] == 2
    assert np.isfinite(rows).all()
    assert len(sentence) < 2048
    assert "\n" not in sentence


def test_a_long_value_is_shortened():
    assert len(refusal(b"a" * 1_000_000 + b",2")) < 200
    assert (
        len(refusal(b'{"instances": [[["%s"], 2]]}' % (b"a" * 1_000_000), "application/json")) < 200
    )


@pytest.mark.parametrize(
    "content_type", [None, "", "application/octet-stream", "text/csvx", "text/plain"]
)
def test_another_content_type_is_unsupported_and_the_sentence_names_the_two(content_type):
    with pytest.raises(
        UnsupportedMediaTypeError,
        match="send text/csv, application/json, application/jsonlines, application/x-npy, ",
    ):
        decode(b"1,2", content_type, plain(2))


NAMED = Schema(
    has_header=True,
    width=5,
    features=(Column("age", 1), Column("colour", 2, ("blue", "red")), Column("size", 3)),
    targets=(Column("price", 0),),
    ignored=("id",),
)
GAPS = replace(NAMED, missing="mean")
STRICT = replace(NAMED, handle_unknown="error")
EXPECTED = [[1.5, 1, 2], [3, 0, 4]]
JSON, LINES, NPY = "application/json", "application/jsonlines", "application/x-npy"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"1.5,red,2\n3,blue,4\n", "text/csv"),
        (b"age,colour,size\n1.5,red,2\n3,blue,4\n", "text/csv"),
        (b'size,id,"colour",age\n2,x,red,1.5\n4,y,blue,3\n', "text/csv"),
        (b'{"instances": [[1.5, "red", 2], [3, "blue", 4]]}', JSON),
        (b'[[1.5, "red", 2], {"features": [3, "blue", 4]}]', JSON),
        (
            b'{"instances": [{"size": 2, "age": 1.5, "colour": "red", "id": 7},'
            b' {"age": 3, "size": 4, "colour": "blue"}]}',
            JSON,
        ),
        (b'[1.5, "red", 2]\n{"colour": "blue", "age": 3, "size": 4}\n', LINES),
        (b'{"features": [1.5, "red", 2]}\r\n[3, "blue", 4]', LINES),
    ],
)
def test_rows_of_names_and_words_are_read_in_any_order_and_format(body, content_type):
    assert decode(body, content_type, NAMED).tolist() == EXPECTED


def npy(rows):
    file = io.BytesIO()
    np.save(file, rows)
    return file.getvalue()


@given(TABLES)
def test_an_array_is_read_to_the_last_digit(table):
    np.testing.assert_array_equal(decode(npy(np.array(table)), NPY, plain(len(table[0]))), table)


def test_missing_values_are_left_to_be_filled_in_where_they_may():
    for body, content_type in (
        (b",red,2\nNA,,4\n", "text/csv"),
        (b'[[null, "red", 2], [null, null, 4]]', JSON),
        (b'{"age": null, "colour": "red", "size": 2}\n[null, null, 4]', LINES),
    ):
        np.testing.assert_array_equal(
            decode(body, content_type, GAPS), [[np.nan, 1, 2], [np.nan, np.nan, 4]]
        )
        with pytest.raises(
            UserError,
            match=r"row 1, column 1 \(age\) of the request is .*, not a finite number",
        ):
            decode(body, content_type, NAMED)


def test_missing_values_that_training_had_are_indicated_or_a_level_of_their_own():
    features = (Column("age", 1, None, True), Column("colour", 2, ("blue", "red"), True))
    schema = replace(NAMED, missing="auto", features=(*features, Column("size", 3)))
    for body, content_type in (
        (b",red,2\nNA,,4\n1,blue,5\n", "text/csv"),
        (b'[[null, "red", 2], [null, null, 4], [1, "blue", 5]]', JSON),
        (b'{"age": null, "colour": "red", "size": 2}\n[null, "", 4]\n["1", "blue", 5]', LINES),
    ):
        np.testing.assert_array_equal(
            decode(body, content_type, schema), [[np.nan, 1, 2, 0], [np.nan, 2, 4, 0], [1, 0, 5, 1]]
        )
    with pytest.raises(UserError, match=r"row 1, column 3 \(size\) of the request is "):
        decode(b"1,red,\n", "text/csv", schema)


def test_missing_numbers_of_an_array_are_indicated():
    columns = (Column("1", 1, None, True), Column("2", 2))
    schema = Schema(False, 3, columns, (Column("0", 0),), missing="auto")
    rows = np.array([[np.nan, 2], [3, 4]])

    expected = [[np.nan, 2, 0], [3, 4, 1]]
    np.testing.assert_array_equal(decode(npy(rows), NPY, schema), expected)
    np.testing.assert_array_equal(decode(b"nan,2\n3,4\n", "text/csv", schema), expected)
    with pytest.raises(UserError, match=r"row 2, column 2 of the request is nan"):
        decode(npy(np.array([[1, 2], [3, np.nan]])), NPY, schema)


def test_a_level_that_training_did_not_have_is_none_or_an_error():
    assert decode(b"1,green,2\n", "text/csv", NAMED).tolist() == [[1, -1, 2]]
    with pytest.raises(
        UserError,
        match=r'row 1, column 2 \(colour\) of the request is "green"; send one of blue, red',
    ):
        decode(b"1,green,2\n", "text/csv", STRICT)


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        (b"age,size\n1,2\n", "text/csv", "column 'colour' is missing; send age, colour, size"),
        (
            b"age,colour,size,shape\n1,red,2,3\n",
            "text/csv",
            "column 'shape' is not one the model was trained on; send age, colour,",
        ),
        (
            b"age,colour,size,age\n1,red,2,3\n",
            "text/csv",
            "the request has a column name twice (age, colour, size, age); give every",
        ),
        (
            b"age,colour,size\n",
            "text/csv",
            "the request has a header and no rows; send at least one row",
        ),
        (
            b"1,red\n",
            "text/csv",
            "row 1 of the request has 2 columns and the model was trained on 3; send exactly those",
        ),
        (
            b"1,red,2\n\n3,red,4",
            "text/csv",
            "row 2 of the request is empty; send 3 numbers in every line",
        ),
        (
            b"1,red,x\n",
            "text/csv",
            'row 1, column 3 (size) of the request is "x", not a finite number; send numbers only',
        ),
        (b'{"age": 1, "size": 2}\n', LINES, "column 'colour' is missing; send age, colour, size"),
        (
            b'[1, "red", 2]\n[1,',
            LINES,
            "row 2 of the request does not read as [1.5, 2.0] or an object: ",
        ),
        (
            b'[[1, ["red"], 2]]',
            JSON,
            'row 1, column 2 (colour) of the request is ["red"], not a category; send a string',
        ),
        (b"no array", NPY, "the request is no array ("),
        (
            npy(np.zeros((3, 1, 1))),
            NPY,
            "the request is an array of float64 and shape (3, 1, 1); send numbers, a row for every",
        ),
        (
            npy(np.zeros((2, 2))),
            NPY,
            "row 1 of the request has 2 columns and the model was trained on 3; send exactly those",
        ),
    ],
)
def test_what_is_no_row_of_the_model_is_refused(body, content_type, sentence):
    with pytest.raises(UserError) as refused:
        decode(body, content_type, NAMED)

    assert str(refused.value).startswith(sentence)


def test_an_array_of_objects_is_never_loaded():
    file = io.BytesIO()
    np.save(file, np.array([[1, "a"]], object), allow_pickle=True)

    with pytest.raises(UserError, match=r"the request is no array \(it holds objects of Python\)"):
        decode(file.getvalue(), NPY, NAMED)


@given(
    st.binary(max_size=60),
    st.sampled_from(
        ["text/csv", JSON, LINES, NPY, "application/x-recordio-protobuf", "application/x-parquet"]
    ),
    st.sampled_from([NAMED, GAPS, STRICT]),
)
def test_nothing_that_is_sent_to_a_model_of_words_is_a_surprise(body, content_type, schema):
    try:
        rows, sentence = decode(body, content_type, schema), ""
    except UserError as error:
        rows, sentence = np.zeros((1, 3)), str(error)

    assert rows.shape[1] == 3
    assert "\n" not in sentence


def in_parquet(frame):
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def test_parquet_is_read_by_its_names():
    frame = pd.DataFrame(
        {"size": [2, 4], "colour": ["red", "blue"], "age": [1.5, 3.0], "id": [7, 8]}
    )

    assert decode(in_parquet(frame), "application/x-parquet", NAMED).tolist() == EXPECTED
    assert decode(
        in_parquet(frame[["size", "age"]]), "application/x-parquet", plain(2)
    ).tolist() == [[2, 1.5], [4, 3]]
    with pytest.raises(UserError, match="column 'age' is missing"):
        decode(in_parquet(frame[["size"]]), "application/x-parquet", NAMED)
    with pytest.raises(UserError, match="the request is not Parquet"):
        decode(b"PAR1", "application/x-parquet", NAMED)


def test_a_quote_that_is_not_closed_is_refused():
    assert refusal(b'1,"2\n3,4\n').startswith(
        "a quote that begins in row 1 of the request, or below, is not closed"
    )


def test_lines_of_json_are_numbered_to_the_one_that_is_wrong():
    assert refusal(b"[1,2]\n\xef\xbb\xbf[3,4]", LINES).startswith(
        "row 2 of the request does not read as [1.5, 2.0] or an object"
    )


def test_an_archive_of_arrays_is_refused():
    file = io.BytesIO()
    np.savez(file, np.zeros((1, 2)))

    assert refusal(file.getvalue(), NPY).startswith("the request is no array (")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(npy(np.array([[True]])), NPY), (b"[[true]]", JSON), (b"True\n", "text/csv")],
)
def test_truth_is_a_level_as_in_training(body, content_type):
    schema = Schema(True, 2, (Column("flag", 1, ("False", "True")),), (Column("y", 0),))

    assert decode(body, content_type, schema).tolist() == [[1]]


def test_the_column_of_a_fault_is_the_one_of_its_name_in_any_order():
    schema = Schema(True, 3, (Column("a", 1), Column("b", 2)), (Column("y", 0),))

    with pytest.raises(
        UserError, match=r"row 1, column 1 \(a\) of the request is .x., not a finite number"
    ):
        decode(b"b,a\n1,x\n", "text/csv", schema)


def test_the_target_is_not_asked_for():
    with pytest.raises(
        UserError, match="column 'price' is what the model predicts; leave it out of the request"
    ):
        decode(b"price,age,colour,size\n1,1.5,red,2\n", "text/csv", NAMED)


def test_names_in_another_case_are_no_row():
    with pytest.raises(UserError, match="column 'age' is missing; send age, colour, size"):
        decode(b"Age,Colour,Size\n1.5,red,2\n", "text/csv", NAMED)


COLOURS = Column("colour", 2, ("blue", "red", "re\nd"))
WEIGHTED = replace(NAMED, sample_weight=Column("id", 4))
WEIGHTED_NUMBERS = replace(
    WEIGHTED, features=(Column("age", 1), Column("size", 3)), targets=NAMED.targets
)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"1.5,red,2\n3,blue,4\n", "text/csv", None),
        (b"age,colour,size\n1.5,red,2\n3,blue,4\n", "text/csv", None),
        (b"size,id,colour,age\n2,0.5,red,1.5\n4,1e3,blue,3\n", "text/csv", [0.5, 1000]),
        (b'size,id,colour,age\n2,"8","re\nd",1.5\n4,2,blue,3\n', "text/csv", [8, 2]),
        (b'[[1.5, "red", 2], [3, "blue", 4]]', JSON, [1, 1]),
        (
            b'{"instances": [{"size": 2, "age": 1.5, "colour": "red"},'
            b' {"age": 3, "id": 7, "size": 4, "colour": "blue"}]}',
            JSON,
            [1, 7],
        ),
        (
            b'[1.5, "red", 2]\n{"id": "0.25", "colour": "blue", "age": 3, "size": 4}\n',
            LINES,
            [1, 0.25],
        ),
        (
            npy(
                np.array(
                    [(2, 1.5, "red", 3), (4, 3, "blue", 9)],
                    [("size", int), ("age", float), ("colour", "U4"), ("id", int)],
                )
            ),
            NPY,
            [3, 9],
        ),
    ],
)
def test_the_column_of_weights_is_read_by_its_name(body, content_type, expected):
    schema = replace(WEIGHTED, features=(*NAMED.features[:1], COLOURS, *NAMED.features[2:]))

    rows, weight = decode_weighted(body, content_type, schema)

    assert rows[:, [0, 2]].tolist() == [[1.5, 2], [3, 4]]
    assert weight is None if expected is None else weight.tolist() == expected


@pytest.mark.parametrize("header", ["age,size,id", "id,age,size"])
def test_rows_of_numbers_alone_have_weights_too(header):
    order = header.split(",")
    table = [{"age": 1.5, "size": 2.0, "id": 0.5}, {"age": 3.0, "size": 4.0, "id": 8.0}]
    body = "\n".join([header, *(",".join(str(row[name]) for name in order) for row in table)])

    rows, weight = decode_weighted(body.encode(), "text/csv", WEIGHTED_NUMBERS)

    assert rows.tolist() == [[1.5, 2], [3, 4]]
    assert weight.tolist() == [0.5, 8]


@pytest.mark.parametrize("cell", ["0", "-1", "1e-320", '"heavy"'])
@pytest.mark.parametrize("content_type", ["text/csv", JSON])
def test_a_weight_that_is_not_positive_is_refused(cell, content_type):
    bodies = {
        "text/csv": f"age,size,id\n1,2,1\n3,4,{cell}\n",
        JSON: f'[{{"age": 1, "size": 2}}, {{"age": 3, "size": 4, "id": {cell}}}]',
    }

    with pytest.raises(
        UserError, match=r"row 2, column id of the request is .* not a weight; send"
    ):
        decode(bodies[content_type].encode(), content_type, WEIGHTED_NUMBERS)


def test_without_names_there_are_no_weights_in_a_request():
    schema = replace(plain(2), sample_weight=Column("3", 3))

    rows, weight = decode_weighted(b"1,2\n", "text/csv", schema)

    assert (rows.tolist(), weight) == ([[1, 2]], None)
