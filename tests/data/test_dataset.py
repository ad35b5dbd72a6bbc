"""What the columns of a table are taken for."""

import re

import numpy as np
import pytest

from gaussian_processes.data import dataset
from gaussian_processes.data.cells import normalize_category, parse_number
from gaussian_processes.data.schema import UNKNOWN_CATEGORY
from gaussian_processes.data.schema_inference import SchemaOptions, infer_schema
from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker.hyperparameters import parse


def table(names=("y", "a", "kind", "w"), name="train/a.csv", **changed):
    columns = {
        "y": [1.0, 2, 3, 4],
        "a": [0.5, 1, 2, 3],
        "kind": ["red", "green", "red", "blue"],
        "w": [1.0, 2, 1, 4],
        **changed,
    }
    kept = [
        np.array(cells, object if any(isinstance(cell, str) for cell in cells) else float)
        for cells in columns.values()
    ]
    return Table(tuple(columns) if names else None, tuple(kept), [(name, len(kept[0]))])


def taught(rows=None, **hyperparameters):
    rows = table() if rows is None else rows
    schema = infer_schema(rows, SchemaOptions.from_attributes(parse(hyperparameters)))
    return schema, dataset.from_table(rows, schema)


def names(columns):
    return [column.name for column in columns]


def test_the_first_column_is_the_target_and_all_others_are_features():
    schema, known = taught()

    assert names(schema.targets) == ["y"]
    assert names(schema.features) == ["a", "kind", "w"]
    assert schema.features[1].categories == ("blue", "green", "red")
    assert known.y.tolist() == [[1], [2], [3], [4]]
    assert known.X.tolist() == [[0.5, 2, 1], [1, 1, 2], [2, 2, 1], [3, 0, 4]]
    assert known.sample_weight.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("given", [{"target": "a"}, {"target": "1"}, {"target": '["a"]'}])
def test_a_target_is_named_or_numbered(given):
    schema, known = taught(**given)

    assert names(schema.targets) == ["a"]
    assert names(schema.features) == ["y", "kind", "w"]
    assert known.y[:, 0].tolist() == [0.5, 1, 2, 3]


@pytest.mark.parametrize("given", [{"target": "y,a"}, {"label_size": "2"}])
def test_there_may_be_several_targets(given):
    schema, known = taught(**given)

    assert names(schema.targets) == ["y", "a"]
    assert known.y.tolist() == [[1, 0.5], [2, 1], [3, 2], [4, 3]]


def test_columns_are_left_out_and_chosen_and_weigh():
    schema, known = taught(ignore="a", sample_weight="w")
    assert names(schema.features) == ["kind"]
    assert schema.ignored == ("a", "w")
    assert known.sample_weight.tolist() == [1, 2, 1, 4]

    schema, _ = taught(features="w,a")
    assert names(schema.features) == ["w", "a"]
    assert schema.ignored == ("kind",)


def test_numbers_can_be_names():
    schema, known = taught(categories="w")

    assert schema.features[2].categories == ("1", "2", "4")
    assert known.X[:, 2].tolist() == [0, 1, 0, 2]


def test_words_are_classes_unless_it_is_said_otherwise():
    schema, known = taught(target="kind")
    assert schema.classes == ("blue", "green", "red")
    assert known.y[:, 0].tolist() == [2, 1, 2, 0]

    schema, known = taught(task="classification", target="w")
    assert schema.classes == (1, 2, 4)
    assert known.y[:, 0].tolist() == [0, 1, 0, 2]

    assert taught(target="w")[0].classes == ()


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
            "hyperparameter ignore names column 'kin', but the columns are y, a, kind, w: correct it to kind",
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
            "row 2, column 2 (a) of train/a.csv is inf, but cells of column 2 (a) are finite numbers",
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
def test_what_makes_no_sense_is_refused_with_the_remedy(given, changed, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        taught(table(**changed), **given)


def test_a_name_is_no_category():
    cells = [f"id-{number}" for number in range(1_001)]
    rows = Table(("y", "id"), (np.arange(1001.0), np.array(cells, object)), [("train/a.csv", 1001)])

    with pytest.raises(
        UserError,
        match=r"column 2 \(id\) has 1,001 different values, too many for a category .*: name it in ignore",
    ):
        taught(rows)


def test_another_table_is_read_by_its_names_in_any_order():
    schema, known = taught()
    shuffled = table()
    shuffled = Table(shuffled.names[::-1], shuffled.columns[::-1], shuffled.sources)

    again = dataset.from_table(shuffled, schema)

    np.testing.assert_array_equal(again.X, known.X)
    np.testing.assert_array_equal(again.y, known.y)


def test_another_table_without_names_is_read_by_position():
    schema, known = taught()

    np.testing.assert_array_equal(dataset.from_table(table(names=None), schema).X, known.X)


def test_a_level_that_training_did_not_have_is_none_and_said_or_an_error():
    other = table(name="validation/b.csv", kind=["red", "pink", "violet", "red"])

    schema, _ = taught()
    known = dataset.from_table(other, schema)
    assert known.X[:, 1].tolist() == [2, UNKNOWN_CATEGORY, UNKNOWN_CATEGORY, 2]
    assert known.warnings == [
        "row 2, column 3 (kind) of validation/b.csv is 'pink', which training did not have; it and 1 more such cells count as"
        " no category"
    ]

    schema, _ = taught(handle_unknown="error")
    with pytest.raises(
        UserError,
        match=r"row 2, column 3 \(kind\) of validation/b\.csv is 'pink', which training did not have: ",
    ):
        dataset.from_table(other, schema)


def test_missing_cells_are_left_to_be_filled_in_and_counted():
    _, known = taught(table(a=[np.nan, 1, 2, 3], kind=["a", None, None, "b"]), missing="mean")

    assert np.isnan(known.X).sum(axis=0).tolist() == [1, 2, 0]
    assert known.warnings == [
        "missing cells of train/a.csv are imputed, numbers by the mean, categories by no category: 1 of column 1 (a),"
        " 2 of column 2 (kind)"
    ]


def test_a_class_that_training_did_not_have_is_refused():
    schema, _ = taught(target="kind")

    with pytest.raises(
        UserError,
        match=r"row 4, column 3 \(kind\) of train/a.csv is 'pink', a class that training did not have",
    ):
        dataset.from_table(table(kind=["red", "green", "red", "pink"]), schema)


def test_rows_that_are_taken_know_where_they_come_from():
    _, known = taught()

    some = known.subset(np.array([3, 1]))

    assert some.y[:, 0].tolist() == [4, 2]
    assert some.locate_row(0) == "row 4 of train/a.csv"


@pytest.mark.parametrize(
    ("cell", "level"),
    [("01", "1"), (1.0, "1"), ("1.50", "1.5"), (" red ", "red"), ("1e400", "1e400")],
)
def test_numbers_that_are_equal_are_one_level(cell, level):
    assert normalize_category(cell) == level


@pytest.mark.parametrize(
    ("cell", "value"), [("1e3", 1000), (" -.5 ", -0.5), ("inf", np.inf), ("1_0", None), ("x", None)]
)
def test_a_cell_is_a_number_or_not(cell, value):
    assert parse_number(cell) == value


def test_truth_is_one_level_however_it_is_spelt():
    assert (
        normalize_category("TRUE")
        == normalize_category("true")
        == normalize_category("True")
        == "True"
    )


def test_a_column_of_nothing_but_unknown_levels_is_refused():
    schema, _ = taught()

    with pytest.raises(
        UserError,
        match="is 1, which training did not have, and so are all cells of that column: check that it is",
    ):
        dataset.from_table(table(kind=[1, 0, 1, 0]), schema)


def test_a_target_of_which_nearly_every_row_is_a_class_is_refused():
    cells = np.array([f"1,{row:03}" for row in range(60)], object)
    rows = Table(("y", "a"), (cells, np.arange(60.0)), [("train/a.csv", 60)])

    with pytest.raises(
        UserError,
        match=r"column 1 \(y\) has 60 classes in 60 rows, too few of each to learn from: correct target",
    ):
        taught(rows)


def test_that_columns_are_matched_by_position_is_said():
    schema, _ = taught()

    assert dataset.from_table(table(names=None), schema).warnings == [
        "either the training files or train/a.csv name their columns, not both: they are matched by position"
    ]
