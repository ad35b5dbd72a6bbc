"""Roles, types, categories and classes that a schema has for the columns of a table."""

import re

import numpy as np
import pytest
from example_tables import fitted, table

from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError


def names(columns):
    return [column.name for column in columns]


def test_the_first_column_is_the_target_and_all_others_are_features():
    schema, data = fitted()

    assert names(schema.targets) == ["y"]
    assert names(schema.features) == ["a", "kind", "w"]
    assert schema.features[1].categories == ("blue", "green", "red")
    assert data.y.tolist() == [[1], [2], [3], [4]]
    assert data.X.tolist() == [[0.5, 2, 1], [1, 1, 2], [2, 2, 1], [3, 0, 4]]
    assert data.sample_weight.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("given", [{"target": "a"}, {"target": "1"}, {"target": '["a"]'}])
def test_a_target_is_named_or_numbered(given):
    schema, data = fitted(**given)

    assert names(schema.targets) == ["a"]
    assert names(schema.features) == ["y", "kind", "w"]
    assert data.y[:, 0].tolist() == [0.5, 1, 2, 3]


@pytest.mark.parametrize("given", [{"target": "y,a"}, {"label_size": "2"}])
def test_there_may_be_several_targets(given):
    schema, data = fitted(**given)

    assert names(schema.targets) == ["y", "a"]
    assert data.y.tolist() == [[1, 0.5], [2, 1], [3, 2], [4, 3]]


def test_columns_are_ignored_chosen_or_sample_weights():
    schema, data = fitted(ignore="a", sample_weight="w")
    assert names(schema.features) == ["kind"]
    assert schema.ignored == ("a", "w")
    assert data.sample_weight.tolist() == [1, 2, 1, 4]

    schema, _ = fitted(features="w,a")
    assert names(schema.features) == ["w", "a"]
    assert schema.ignored == ("kind",)


def test_a_column_of_numbers_is_a_category_if_it_is_named_in_categories():
    schema, data = fitted(categories="w")

    assert schema.features[2].categories == ("1", "2", "4")
    assert data.X[:, 2].tolist() == [0, 1, 0, 2]


def test_a_target_of_text_has_classes_and_one_of_numbers_if_the_task_says_so():
    schema, data = fitted(target="kind")
    assert schema.classes == ("blue", "green", "red")
    assert data.y[:, 0].tolist() == [2, 1, 2, 0]

    schema, data = fitted(task="classification", target="w")
    assert schema.classes == (1, 2, 4)
    assert data.y[:, 0].tolist() == [0, 1, 0, 2]

    assert fitted(target="w")[0].classes == ()


@pytest.mark.parametrize(
    ("given", "changed", "sentence"),
    [
        (
            {"target": "z"},
            {},
            "hyperparameter target names column 'z', but the columns are y, a, kind, w",
        ),
        (
            {"ignore": "kin"},
            {},
            "hyperparameter ignore names column 'kin', but the columns are y, a, kind, w:"
            " correct it to kind",
        ),
        ({"target": "9"}, {}, "hyperparameter target names column '9'"),
        (
            {"target": "a", "ignore": "a"},
            {},
            "column 2 (a) is named in target and in ignore: name it in one of them",
        ),
        ({"features": "y"}, {}, "column 1 (y) is named in target and in features"),
        (
            {"label_size": "4"},
            {},
            "train/a.csv has 4 column(s), but 4 are targets and at least one feature is needed",
        ),
        (
            {},
            {"a": [1, "2", "x", "3"]},
            "row 3, column 2 (a) of train/a.csv is 'x', but other cells of that column are numbers",
        ),
        (
            {},
            {"a": [1, np.nan, 2, 3]},
            "row 2, column 2 (a) of train/a.csv is empty, but every row needs a value: correct",
        ),
        ({}, {"kind": ["a", None, "b", "c"]}, "row 2, column 3 (kind) of train/a.csv is empty"),
        (
            {},
            {"a": [1, np.inf, 2, 3]},
            "row 2, column 2 (a) of train/a.csv is inf, but cells of column 2 (a) are finite"
            " numbers",
        ),
        (
            {"missing": "mean"},
            {"y": [1, np.nan, 2, 3]},
            "row 2, column 1 (y) of train/a.csv is empty",
        ),
        (
            {"sample_weight": "w"},
            {"w": [1, 0, 2, 3]},
            "row 2, column 4 (w) of train/a.csv is 0, but sample weights are positive numbers",
        ),
        (
            {"target": "kind", "task": "regression"},
            {},
            "row 1, column 3 (kind) of train/a.csv is 'red', but targets are finite",
        ),
        ({"target": "kind,y"}, {}, "the targets are kind, y, but classification has one"),
        (
            {"target": "kind"},
            {"kind": ["a", "a", "a", "a"]},
            "column 3 (kind) has 1 classes, but classification takes 2 to 1,000",
        ),
    ],
)
def test_a_table_that_contradicts_the_options_is_refused_with_the_remedy(given, changed, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        fitted(table(**changed), **given)


def test_a_column_of_too_many_categories_is_refused():
    cells = [f"id-{number}" for number in range(1_001)]
    rows = Table(("y", "id"), (np.arange(1001.0), np.array(cells, object)), [("train/a.csv", 1001)])

    with pytest.raises(
        UserError,
        match=r"column 2 \(id\) has 1,001 different values, too many for a category .*: name it"
        " in ignore",
    ):
        fitted(rows)


def test_a_target_with_a_class_for_nearly_every_row_is_refused():
    cells = np.array([f"1,{row:03}" for row in range(60)], object)
    rows = Table(("y", "a"), (cells, np.arange(60.0)), [("train/a.csv", 60)])

    with pytest.raises(
        UserError,
        match=r"column 1 \(y\) has 60 classes in 60 rows, too few of each to learn from:"
        " correct target",
    ):
        fitted(rows)
