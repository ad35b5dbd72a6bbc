"""Codes of categories, and the order of a request's columns."""

import math

import pytest

from gaussian_processes.data.schema import UNKNOWN_CATEGORY, Column, Schema
from gaussian_processes.errors import UserError

SCHEMA = Schema(
    has_header=True,
    width=4,
    features=(Column("age", 1), Column("kind", 2, ("1", "True", "red"))),
    targets=(Column("y", 0),),
    ignored=("id",),
)


@pytest.mark.parametrize(
    ("cell", "code"),
    [("1", 0), (1.0, 0), ("01.0", 0), ("TRUE", 1), (" red ", 2), ("Red", UNKNOWN_CATEGORY)],
)
def test_a_cell_is_encoded_as_the_position_of_its_category(cell, code):
    assert SCHEMA.features[1].encode(cell) == code


@pytest.mark.parametrize("cell", ["", "NA", "nan", math.nan])
def test_a_missing_cell_is_encoded_as_nan(cell):
    assert math.isnan(SCHEMA.features[1].encode(cell))


def test_columns_of_a_request_are_found_by_name():
    assert SCHEMA.column_order(["id", "kind", "age"]) == [2, 1]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["age"], "column 'kind' is missing; send age, kind"),
        (["age", "kind", "age"], "the request has a column name twice"),
        (["age", "kind", "y"], "column 'y' is what the model predicts; leave it out"),
        (["age", "kind", "shape"], "column 'shape' is not one the model was trained on; send age,"),
    ],
)
def test_other_columns_are_refused_with_the_remedy(names, sentence):
    with pytest.raises(UserError, match=sentence):
        SCHEMA.column_order(names)
