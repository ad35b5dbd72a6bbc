"""Encoding of outputs in every media type."""

import csv
import io
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.serving.formats.negotiation import encoder

JSON, LINES, NPY = "application/json", "application/jsonlines", "application/x-npy"
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20))
def test_numbers_in_an_answer_read_back_as_the_same_numbers(rows):
    mean, std = (np.array(column) for column in zip(*rows, strict=True))

    lines = encoder("text/csv").encode({"mean": mean, "std": std}).decode()
    document = json.loads(encoder("application/json").encode({"mean": mean, "std": std}))

    assert lines.endswith("\n")
    assert [tuple(map(float, line)) for line in csv.reader(io.StringIO(lines))] == rows
    assert [(record["score"], record["std"]) for record in document["predictions"]] == rows


def test_an_answer_of_one_output_is_one_number_a_line():
    assert encoder(None).encode({"mean": np.array([1.5, -2.0])}) == b"1.5\n-2.0\n"
    assert (
        encoder("application/json").encode({"mean": np.array([1.5])})
        == b'{"predictions": [{"score": 1.5}]}'
    )


OUTPUTS = {
    "predicted_label": ["a", 'say "b", c'],
    "mean": np.array([[1.5, 2.0], [3.0, 4.5]]),
    "probabilities": [(0.25, 0.75), (0.5, 0.5)],
    "labels": [("a", 3), ("a", 3)],
}


def test_words_lists_and_several_targets_are_written_in_every_format():
    rows = list(csv.reader(io.StringIO(encoder("text/csv").encode(OUTPUTS).decode())))
    records = [json.loads(line) for line in encoder(LINES).encode(OUTPUTS).splitlines()]

    assert rows == [
        ["a", "1.5", "2.0", "[0.25, 0.75]", '["a", 3]'],
        ['say "b", c', "3.0", "4.5", "[0.5, 0.5]", '["a", 3]'],
    ]
    assert records[1] == {
        "predicted_label": 'say "b", c',
        "score": [3, 4.5],
        "probabilities": [0.5, 0.5],
        "labels": ["a", 3],
    }
    assert json.loads(encoder(JSON).encode(OUTPUTS)) == {"predictions": records}


def test_an_array_is_written_to_the_last_digit():
    mean = np.random.default_rng(74).normal(size=5)

    array = np.load(io.BytesIO(encoder(NPY).encode({"mean": mean, "std": mean**2})))

    np.testing.assert_array_equal(array, np.column_stack([mean, mean**2]))


def test_several_numbers_of_several_targets_are_cells_of_their_own():
    body = encoder("text/csv").encode({"interval": np.arange(8.0).reshape(2, 2, 2)})

    assert body == b"0.0,1.0,2.0,3.0\n4.0,5.0,6.0,7.0\n"
