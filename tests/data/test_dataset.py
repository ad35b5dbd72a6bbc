"""Features, targets and sample weights of a table, by the schema of the training table."""

import numpy as np
import pytest
from example_tables import fitted, table

from gaussian_processes.data import dataset
from gaussian_processes.data.schema import UNKNOWN_CATEGORY
from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError


def test_another_table_is_matched_by_its_names_in_any_order():
    schema, data = fitted()
    shuffled = table()
    shuffled = Table(shuffled.names[::-1], shuffled.columns[::-1], shuffled.sources)

    again = dataset.from_table(shuffled, schema)

    np.testing.assert_array_equal(again.X, data.X)
    np.testing.assert_array_equal(again.y, data.y)


def test_another_table_without_names_is_matched_by_position():
    schema, data = fitted()

    np.testing.assert_array_equal(dataset.from_table(table(names=None), schema).X, data.X)


def test_an_unknown_category_is_no_category_with_a_warning_or_is_refused():
    other = table(name="validation/b.csv", kind=["red", "pink", "violet", "red"])

    schema, _ = fitted()
    data = dataset.from_table(other, schema)
    assert data.X[:, 1].tolist() == [2, UNKNOWN_CATEGORY, UNKNOWN_CATEGORY, 2]
    assert data.warnings == [
        "row 2, column 3 (kind) of validation/b.csv is 'pink', which training did not"
        " have; it and 1 more such cells count as"
        " no category"
    ]

    schema, _ = fitted(handle_unknown="error")
    with pytest.raises(
        UserError,
        match=r"row 2, column 3 \(kind\) of validation/b\.csv is 'pink', which training did not"
        " have: ",
    ):
        dataset.from_table(other, schema)


GAPS = {"a": [np.nan, 1, 2, 3], "kind": ["a", None, None, "b"]}


def test_missing_cells_are_a_mean_beside_an_indicator_or_a_level_of_their_own():
    schema, data = fitted(table(**GAPS))

    np.testing.assert_array_equal(
        data.X, [[np.nan, 0, 1, 0], [1, 2, 2, 1], [2, 2, 1, 1], [3, 1, 4, 1]]
    )
    assert schema.category_counts == (0, 3, 0, 1)
    assert data.warnings == [
        "missing cells of train/a.csv are imputed by the mean, beside an indicator column: 1 of"
        " column 2 (a)",
        "missing cells of train/a.csv are a level of their own: 2 of column 3 (kind)",
    ]


def test_missing_cells_of_another_table_count_as_in_training_or_are_imputed():
    schema, _ = fitted(table(**GAPS))
    other = table(name="validation/b.csv", **GAPS | {"w": [np.nan, 1, 2, 3]})

    data = dataset.from_table(other, schema)

    np.testing.assert_array_equal(data.X[0], [np.nan, 0, np.nan, 0])
    assert data.warnings[2] == (
        "missing cells of validation/b.csv are imputed, numbers by the mean, categories by no"
        " category, since training had none there: 1 of column 4 (w)"
    )


def test_missing_cells_are_only_imputed_under_missing_mean():
    schema, data = fitted(table(**GAPS), missing="mean")

    assert np.isnan(data.X).sum(axis=0).tolist() == [1, 2, 0]
    assert schema.category_counts == (0, 2, 0)
    assert data.warnings == [
        "missing cells of train/a.csv are imputed, numbers by the mean, categories by no"
        " category: 1 of column 2 (a), 2 of column 3 (kind)"
    ]


def test_a_class_that_training_did_not_have_is_refused():
    schema, _ = fitted(target="kind")

    with pytest.raises(
        UserError,
        match=r"row 4, column 3 \(kind\) of train/a.csv is 'pink', a class that training did"
        " not have",
    ):
        dataset.from_table(table(kind=["red", "green", "red", "pink"]), schema)


def test_rows_of_a_subset_are_located_in_their_files():
    _, data = fitted()

    some = data.subset(np.array([3, 1]))

    assert some.y[:, 0].tolist() == [4, 2]
    assert some.locate_row(0) == "row 4 of train/a.csv"


def test_a_column_of_unknown_categories_only_is_refused():
    schema, _ = fitted()

    with pytest.raises(
        UserError,
        match="is 1, which training did not have, and so are all cells of that column: check"
        " that it is",
    ):
        dataset.from_table(table(kind=[1, 0, 1, 0]), schema)


def test_a_warning_says_that_columns_are_matched_by_position():
    schema, _ = fitted()

    assert dataset.from_table(table(names=None), schema).warnings == [
        "either the training files or train/a.csv name their columns, not both: they are"
        " matched by position"
    ]


def test_columns_that_training_did_not_have_are_ignored_with_a_warning():
    schema, data = fitted()
    other = table(name="validation/v.csv", extra=[1.0, 2, 3, 4], more=[1.0, 2, 3, 4])

    again = dataset.from_table(other, schema)

    assert again.X.tolist() == data.X.tolist()
    assert again.warnings == [
        "validation/v.csv has 2 column(s) that training did not have, which are ignored: extra,"
        " more"
    ]


@pytest.mark.parametrize("weight", [0.0, -1.0, 1e-308, 1e101, np.inf])
def test_a_weight_that_no_square_can_be_taken_of_is_refused(weight):
    rows = table(w=[1.0, 2, weight, 4])

    with pytest.raises(UserError, match=r"row 3, column 4 \(w\) of .*sample weights are positive"):
        fitted(rows, sample_weight="w")
