import re

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import Normalizer, OneHotEncoder, StandardScaler

from gaussian_processes.data.preprocessing import (
    PreprocessingOptions,
    discount_far_rows,
    limit_far_cells,
)
from gaussian_processes.data.preprocessing import fit as fit_preprocessor
from gaussian_processes.errors import UserError
from gaussian_processes.gp.sphere import project_to_sphere

rng = np.random.default_rng(31)


def learn(rows, y, projection, normalize_y, scaling="columns"):
    """Features of rows of numbers."""
    return fit_preprocessor(
        rows, y, [0] * rows.shape[1], PreprocessingOptions(projection, scaling, normalize_y)
    )


ROWS, TARGETS = rng.normal(3, 2, size=(50, 4)), rng.normal(-5, 3, size=(50, 1))


def test_columns_and_targets_are_standardised_as_scikit_learn_does():
    features = learn(ROWS, TARGETS, "sphere", normalize_y=True)

    np.testing.assert_allclose(
        features.standardized(ROWS), StandardScaler().fit_transform(ROWS), rtol=0, atol=1e-14
    )
    np.testing.assert_allclose(
        features.standardized_targets(TARGETS),
        StandardScaler().fit_transform(TARGETS),
        rtol=0,
        atol=1e-14,
    )


def test_normalize_divides_rows_by_their_norms_and_leaves_targets_alone():
    features = learn(ROWS, TARGETS, "normalize", normalize_y=False)

    directions, _ = project_to_sphere(features.points(ROWS))

    np.testing.assert_allclose(directions[:, :-1], Normalizer().fit_transform(ROWS), rtol=1e-15)
    assert (directions[:, -1] == 0).all()
    np.testing.assert_array_equal(features.standardized_targets(TARGETS), TARGETS)


@pytest.mark.parametrize("constant", [0.1, 1e300, 0.0])
def test_a_constant_column_is_dropped(constant):
    rows = np.column_stack([ROWS, np.full(50, constant)])
    features = learn(rows, TARGETS, "sphere", normalize_y=True)
    others = np.column_stack([ROWS, np.linspace(0, 1, 50)])

    np.testing.assert_allclose(
        features.standardized(others), StandardScaler().fit_transform(ROWS), rtol=0, atol=1e-14
    )


def test_one_scale_for_all_is_the_root_mean_square_of_the_centred_table():
    standardized = learn(ROWS, TARGETS, "sphere", normalize_y=True, scaling="overall").standardized(
        ROWS
    )

    centred = ROWS - ROWS.mean(axis=0)
    np.testing.assert_allclose(
        standardized, centred / np.sqrt((centred**2).mean()), rtol=0, atol=1e-14
    )


def test_without_scaling_rows_stay_as_they_are():
    features = learn(ROWS, TARGETS, "sphere", normalize_y=True, scaling="none")

    np.testing.assert_array_equal(features.standardized(ROWS), ROWS)


def test_categories_become_centred_indicators_and_unknown_levels_one_of_their_own():
    rows = np.column_stack([ROWS[:, 0], np.arange(50) % 3])
    features = fit_preprocessor(rows, TARGETS, [0, 3], PreprocessingOptions())

    encoded = features.one_hot(np.array([[1.5, 2.0], [2.5, -1.0]]))

    np.testing.assert_array_equal(encoded, [[1.5, 0, 0, 1, 0], [2.5, 0, 0, 0, 1]])
    expected = OneHotEncoder(sparse_output=False).fit_transform(rows[:, 1:])
    np.testing.assert_allclose(
        features.standardized(rows)[:, 1:4], expected - expected.mean(axis=0), rtol=0, atol=1e-15
    )
    assert not features.standardized(rows)[:, 4].any()


def test_missing_numbers_are_the_mean_of_the_others_and_missing_levels_unknown():
    rows = np.column_stack([ROWS[:, 0], np.arange(50) % 3])
    rows[:10, 0] = np.nan
    features = fit_preprocessor(rows, TARGETS, [0, 3], PreprocessingOptions())

    encoded = features.one_hot(np.array([[np.nan, np.nan]]))

    np.testing.assert_allclose(
        encoded, [[SimpleImputer().fit(rows[:, :1]).statistics_[0], 0, 0, 0, 1]], rtol=1e-15
    )


@pytest.mark.parametrize("scaling", ["columns", "overall"])
def test_an_unknown_level_is_as_far_from_every_level_as_they_are_from_each_other(scaling):
    rows = np.column_stack([ROWS[:, 0], np.arange(50) % 5])
    options = PreprocessingOptions(scaling=scaling)
    features = fit_preprocessor(rows, TARGETS, [0, 5], options)
    levels = np.column_stack([np.ones(7), [0, 1, 2, 3, 4, -1, np.nan]])

    distances = pdist(features.standardized(levels))

    unknown_and_missing = distances[-1]
    assert unknown_and_missing == 0
    np.testing.assert_allclose(distances[:-1], distances[0], rtol=1e-14)


def test_a_level_that_a_fold_does_not_have_is_unknown_in_it():
    rows = np.column_stack([ROWS[:, 0], np.arange(50) % 2])
    features = fit_preprocessor(rows, TARGETS, [0, 3], PreprocessingOptions())

    encoded = features.one_hot(np.array([[1.5, 0.0], [1.5, 1.0], [1.5, 2.0]]))

    np.testing.assert_array_equal(encoded[:, 1:], np.eye(3))


def test_minus_one_among_few_numbers_is_a_value_as_any_other():
    rows = np.arange(50)[:, np.newaxis] % 3 - 1.0
    options = PreprocessingOptions(few_values_as_categories=True)
    features = fit_preprocessor(rows, TARGETS, [0], options)

    encoded = features.one_hot(np.array([[-1.0], [7.0]]))

    np.testing.assert_array_equal(encoded, [[-1, 1, 0, 0], [7, 0, 0, 0]])


@pytest.mark.parametrize(
    ("projection", "rows", "sentence"),
    [
        (
            "normalize",
            [[1.0, 0.0], [0.0, 0.0]],
            "row 2 has norm 0 and so no direction; drop the row",
        ),
        (
            "unit",
            [[1.0, 0.0], [0.6, 0.7]],
            "row 2 has norm 0.921954, and projection=unit takes norm 1",
        ),
        ("unit", [[0.0, 0.0]], "row 1 has norm 0, and projection=unit takes norm 1"),
        ("normalize", [[-np.inf, 2.0]], "row 1, column 1 is -inf; send finite numbers"),
        (
            "normalize",
            [[1.0, 2.0, 3.0]],
            "row 1 has 3 feature columns and the model was trained on 2; give exactly 2",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_by_name(projection, rows, sentence):
    features = learn(np.eye(2), np.array([[1.0], [2.0]]), projection, normalize_y=False)

    with pytest.raises(UserError, match=re.escape(sentence)):
        features.points(np.array(rows))


def test_rows_are_called_what_the_caller_calls_them():
    features = learn(np.eye(2), np.array([[1.0], [2.0]]), "normalize", normalize_y=False)

    with pytest.raises(UserError, match=r"row 8 of train/b\.csv has norm 0"):
        features.points(np.zeros((1, 2)), lambda row: f"row {row + 8} of train/b.csv")


@pytest.mark.parametrize(("value", "scale"), [(3.1, 3.1), (-250.0, 250.0), (0.0, 1.0)])
def test_a_constant_target_is_zero_in_units_of_its_own_magnitude(value, scale):
    targets = np.column_stack([TARGETS, np.full(50, value)])

    features = learn(ROWS, targets, "sphere", normalize_y=True)

    assert not features.standardized_targets(targets)[:, 1].any()
    np.testing.assert_allclose(features.target_scale, [TARGETS.std(), scale], rtol=1e-14)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("value", [-9999.0, 1e12])
def test_a_few_far_cells_take_neither_centre_nor_scale_of_a_column(count, value):
    generator = np.random.default_rng(5)
    rows = generator.normal(3, 2, size=(200, 2))
    rows[:count, 0] = value
    rows[-1, 0] = np.nan

    features = learn(rows, np.arange(200.0)[:, np.newaxis], "sphere", normalize_y=True)

    present = rows[count:-1, 0]
    np.testing.assert_allclose(features.imputation_values[0], present.mean(), rtol=1e-14)
    np.testing.assert_allclose(features.center[0], present.mean(), rtol=1e-14)
    np.testing.assert_allclose(features.scale[0], present.std(), rtol=0.01)
    np.testing.assert_allclose(features.scale[1], rows[:, 1].std(), rtol=1e-14)


@pytest.mark.parametrize(
    "column",
    [
        np.random.default_rng(1).exponential(size=200),
        np.random.default_rng(1).lognormal(size=200),
        np.random.default_rng(2).standard_t(3, size=200),
        np.arange(200) == 7,
        np.arange(200) % 50 == 0,
        np.r_[1.0, 1.01, 1.02, 900.0],
    ],
    ids=["exponential", "lognormal", "t", "one indicator", "rare indicator", "few rows"],
)
def test_a_column_that_no_few_cells_drive_has_its_standard_deviation(column):
    rows = np.asarray(column, float)[:, np.newaxis]
    y = np.arange(float(len(rows)))[:, np.newaxis]

    features = learn(rows, y, "sphere", normalize_y=True)

    np.testing.assert_allclose(features.scale, rows.std(axis=0), rtol=1e-14)
    np.testing.assert_allclose(features.center, rows.mean(axis=0), rtol=1e-14)


@pytest.mark.parametrize("value", [-9999.0, 1e6, 1e300])
def test_rows_with_far_cells_count_a_hundredth_and_can_be_computed_with(value):
    rows = np.random.default_rng(5).normal(3, 2, size=(200, 3))
    rows[:5, 0] = value
    rows[4:7, 1] = -value
    rows[9] = np.nan

    weights = discount_far_rows(rows, np.full(200, 2.0), [0, 0, 0])
    points = learn(
        limit_far_cells(rows, [0, 0, 0]), np.arange(200.0)[:, np.newaxis], "sphere", True
    ).points(limit_far_cells(rows, [0, 0, 0]))

    assert weights.tolist() == [0.02] * 7 + [2.0] * 193
    norms = np.linalg.norm(points[:4], axis=1)
    np.testing.assert_allclose(np.abs(points[:4, 0]), norms, rtol=1e-4)
    assert (norms < 1e7).all()
