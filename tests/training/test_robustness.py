"""Outliers: rows whose targets all others contradict teach a model next to nothing."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.estimators import GaussianProcessRegressor
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.model_selection import LeftOut, ModelSelection
from gaussian_processes.training.robustness import find_outliers, reject
from gaussian_processes.training.trainer import Trainer

SOME = {"q": (0, 1), "l": (0, 1)}
NOISE = 0.1
NEW = np.random.default_rng(1).uniform(size=(300, 2))


def function(x):
    return np.sin(5 * x[:, 0]) + x[:, 1]


def rows(seed, count=100):
    generator = np.random.default_rng(seed)
    x = generator.uniform(size=(count, 2))
    return x, function(x) + NOISE * generator.normal(size=count)


def estimator(**given):
    return GaussianProcessRegressor(q="0,1", l="0,1", **given)


def error(model):
    return np.sqrt(np.mean((model.predict(NEW) - function(NEW)) ** 2))


@pytest.mark.parametrize("wrong", [[6.3], [-6.3], [1e2], [-9999], [1e5], [6.3, -9, 7, 12, -5]])
def test_wrong_targets_do_not_hide_the_function(wrong):
    x, y = rows(0)
    kept = slice(len(wrong), None)
    without = estimator().fit(x[kept], y[kept])
    y[: len(wrong)] += wrong
    truth = function(NEW) + NOISE * np.random.default_rng(2).normal(size=len(NEW))

    model = estimator().fit(x, y)

    assert error(model) < 1.3 * error(without) < NOISE
    low, high = model.predict_interval(NEW).T
    assert 0.82 < np.mean((low < truth) & (truth < high)) < 0.97
    assert error(estimator(likelihood="normal").fit(x, y)) > 2 * error(model)


def test_a_wrong_target_is_rejected_whatever_the_other_target_says(caplog):
    x, y = rows(3)
    targets = np.column_stack([y, x[:, 0] + NOISE * np.random.default_rng(4).normal(size=100)])
    targets[7, 1] += 8

    model = estimator().fit(x, targets)

    assert "row 8 of X by" in caplog.text
    assert np.abs(model.predict(NEW)[:, 1] - NEW[:, 0]).max() < 2 * NOISE


def trained(x, y, folder, hyperparameters):
    """Train, and return the selection and what each row is predicted as from the others."""
    columns = [Column(str(index), index) for index in range(3)]
    schema = Schema(False, 3, tuple(columns[1:]), (columns[0],))
    dataset = Dataset(x, y[:, np.newaxis], np.ones(len(x)), lambda row: f"row {row + 1} of a.csv")
    trainer = Trainer(hyperparameters, schema)
    checkpoint = Checkpoint(folder, persistent=True)
    selection = trainer.select(dataset, checkpoint)
    return selection, trainer.fit(selection, dataset, checkpoint)


def test_outliers_survive_a_checkpoint_and_are_logged_by_their_rows(tmp_path, caplog):
    x, y = rows(6, 60)
    y[[11, 40]] += [7, -20]

    with caplog.at_level(logging.WARNING):
        selection, model = trained(x, y, tmp_path, Hyperparameters(**SOME))
    again, resumed = trained(x, y, tmp_path, Hyperparameters(**SOME))

    assert [outlier.row for outlier in selection.outliers] == [11, 40]
    assert "learns next to nothing from 2 row(s)" in caplog.text
    assert caplog.text.index("row 41 of a.csv") < caplog.text.index("row 12 of a.csv")
    written = json.loads(json.dumps(selection.to_json()))
    assert ModelSelection.from_json(written).outliers == again.outliers == selection.outliers
    assert again.to_json() == selection.to_json()
    np.testing.assert_array_equal(resumed.predict(NEW).mean, model.predict(NEW).mean)


def test_what_is_rejected_does_not_depend_on_the_order_of_the_rows(tmp_path):
    x, y = rows(8, 60)
    y[[3, 50]] += [-9, 9]
    order = np.random.default_rng(9).permutation(60)

    one, _ = trained(x, y, tmp_path / "one", Hyperparameters(**SOME))
    other, _ = trained(x[order], y[order], tmp_path / "other", Hyperparameters(**SOME))

    assert {order[outlier.row] for outlier in other.outliers} == {3, 50}
    assert {outlier.row for outlier in one.outliers} == {3, 50}


residuals = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).normal(size=(50, 2))
)


@given(residuals, st.floats(1e-6, 1e6))
def test_normal_residuals_have_no_outliers_whatever_their_scale(values, scale):
    assert not find_outliers(LeftOut(scale * values, values))


@given(residuals, st.integers(0, 49), st.integers(0, 1), st.floats(50, 1e9))
def test_a_residual_far_from_the_others_is_an_outlier(values, row, target, distance):
    values[row, target] = distance

    (found,) = find_outliers(LeftOut(values, values))

    usual = np.median(np.abs(values[:, target])) / 0.6745
    assert found.row == row
    assert found.deviations == pytest.approx(distance / usual, rel=1e-3)


def test_many_far_residuals_are_no_outliers():
    values = np.random.default_rng(0).normal(size=(50, 1))
    values[:6] += 100

    assert not find_outliers(LeftOut(values, values))
    assert len(find_outliers(LeftOut(values[1:], values[1:]))) == 0
    assert len(find_outliers(LeftOut(values[2:], values[2:]))) == 4


def test_residuals_that_are_mostly_nothing_have_no_outliers():
    values = np.zeros((50, 1))
    values[:3] = 1

    assert not find_outliers(LeftOut(values, values))
    assert not find_outliers(None)


def test_rejected_rows_have_weights_and_without_any_the_rows_are_the_same():
    x, y = rows(0, 20)
    dataset = Dataset(x, y[:, np.newaxis], np.ones(20), str)
    values = np.random.default_rng(0).normal(size=(20, 1))
    values[4] = 1e3
    outliers = find_outliers(LeftOut(values, values))

    found = reject(dataset, outliers)

    assert reject(dataset, ()) is dataset
    assert found.robustness_weight[4] < 1e-6
    assert np.delete(found.robustness_weight, 4).tolist() == [1.0] * 19
    # A subset keeps each row's own.
    subset = found.subset(np.array([4, 0]))
    assert subset.robustness_weight.tolist() == [found.robustness_weight[4], 1.0]
