"""Outliers: rows whose targets all others contradict teach a model next to nothing."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.estimators import GaussianProcessClassifier, GaussianProcessRegressor
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.model_selection import LeaveOneOutScores, ModelSelection
from gaussian_processes.training.robustness import MAX_SELECTIONS, outlying_rows, reject, select
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


@pytest.mark.parametrize("wrong", [[6.3], [-6.3], [-9999], [1e6], [6.3, -9, 7, 12, -5], [9] * 7])
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

    assert "row 8 of X (" in caplog.text
    assert np.abs(model.predict(NEW)[:, 1] - NEW[:, 0]).max() < 2 * NOISE


def trained(x, y, folder, hyperparameters):
    """Return the selection, and the model trained on it."""
    columns = [Column(str(index), index) for index in range(3)]
    schema = Schema(False, 3, tuple(columns[1:]), (columns[0],))
    dataset = Dataset(x, y[:, np.newaxis], np.ones(len(x)), lambda row: f"row {row + 1} of a.csv")
    trainer = Trainer(hyperparameters, schema)
    checkpoint = Checkpoint(folder, persistent=True)
    selection = trainer.select(dataset, checkpoint)
    rejected = reject(dataset, selection.outliers)
    return selection, trainer.fit(selection, rejected, checkpoint)


def test_outliers_survive_a_checkpoint_and_are_logged_by_their_rows(tmp_path, caplog):
    x, y = rows(6, 60)
    y[[11, 40]] += [7, -20]

    with caplog.at_level(logging.WARNING):
        selection, model = trained(x, y, tmp_path, Hyperparameters(**SOME))
    again, resumed = trained(x, y, tmp_path, Hyperparameters(**SOME))

    assert list(selection.outliers) == [11, 40]
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

    assert {order[row] for row in other.outliers} == {3, 50}
    assert set(one.outliers) == {3, 50}


def scores(residuals):
    """Leave-one-out scores of residuals whose predicted deviations are alike."""
    return LeaveOneOutScores(residuals, np.ones_like(residuals), residuals)


def table(targets, weight=None):
    """Rows of these targets, of whose features nothing is asked."""
    weight = np.ones(len(targets)) if weight is None else weight
    return Dataset(np.zeros((len(targets), 1)), targets, weight, str)


residuals = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).normal(size=(50, 2))
)


@given(residuals, st.floats(1e-6, 1e6))
def test_normal_residuals_have_no_outliers_whatever_their_scale(values, scale):
    assert not outlying_rows(scores(scale * values), table(values), 10.0)


@given(residuals, st.integers(0, 49), st.integers(0, 1), st.floats(50, 1e9))
def test_a_residual_far_from_the_others_is_an_outlier(values, row, target, distance):
    values[row, target] = distance

    found = outlying_rows(scores(values), table(values), 10.0)

    scale = stats.median_abs_deviation(values[:, target], scale="normal")
    expected = (distance - np.median(values[:, target])) / scale
    assert found == {row: pytest.approx(expected, rel=1e-4)}


def test_many_far_residuals_are_no_outliers():
    values = np.random.default_rng(0).normal(size=(50, 1))
    values[:6] += 100

    assert not outlying_rows(scores(values), table(values), 10.0)
    assert len(outlying_rows(scores(values[1:]), table(values[1:]), 10.0)) == 0
    assert len(outlying_rows(scores(values[2:]), table(values[2:]), 10.0)) == 4


def test_each_target_has_its_own_share_of_far_residuals():
    values = np.random.default_rng(0).normal(size=(50, 2))
    values[:4, 0], values[4:8, 1] = 100, -100

    assert list(outlying_rows(scores(values), table(values), 10.0)) == list(range(8))


def test_a_row_of_little_weight_may_be_off_by_more_and_one_of_much_by_as_much():
    values = np.random.default_rng(0).normal(size=(50, 1))
    weight = np.ones(50)
    weight[:3], weight[3:6] = 1e-4, 1e6
    values[:3] = 100
    values[3:6] = 3
    deviations = 1 / np.sqrt(np.minimum(weight, 1))[:, np.newaxis]

    found = replace(scores(values), deviations=deviations)

    assert not outlying_rows(found, table(values, weight), 10.0)
    assert list(outlying_rows(found, table(values), 10.0)) == [0, 1, 2]


def test_rare_numbers_are_not_wrong():
    values = 0.01 * np.random.default_rng(0).normal(size=(50, 1))
    values[:4] = 100
    rare = np.zeros((50, 1))
    rare[:4] = 100

    assert list(outlying_rows(scores(values), table(values), 10.0)) == [0, 1, 2, 3]
    assert not outlying_rows(scores(values), table(rare), 10.0)


def test_a_target_that_is_nearly_constant_is_learned():
    x, y = np.random.default_rng(1).uniform(size=(100, 2)), np.full(100, -3e5)
    y[0] += 1

    assert np.abs(estimator().fit(x, y).predict(NEW) + 3e5).max() < 1


def test_residuals_that_are_mostly_nothing_have_no_outliers():
    values = np.zeros((50, 1))
    values[:3] = 1

    assert not outlying_rows(scores(values), table(values), 10.0)
    assert not outlying_rows(None, table(values), 10.0)


def test_the_noise_of_a_rejected_row_is_thirty_times_its_residual():
    x, y = rows(0, 20)
    dataset = Dataset(x, y[:, np.newaxis], np.ones(20), str)

    found = reject(dataset, {4: 15.0, 9: 1e9})

    assert found.robustness[4] == pytest.approx((30 * 15.0) ** -2)
    assert found.robustness[9] == 1e-16  # the least that leaves digits
    assert np.flatnonzero(found.is_rejected).tolist() == [4, 9]
    assert found.subset(np.array([9, 0])).robustness.tolist() == [1e-16, 1.0]
    assert reject(dataset, {}) is dataset
    assert not dataset.is_rejected.any()


class Runs:
    """Selections of given residuals and gains in log density, one after the other."""

    def __init__(self, *runs):
        self.runs = list(runs)
        self.rejected = []

    def __call__(self, dataset):
        self.rejected.append(np.flatnonzero(dataset.is_rejected).tolist())
        far, gain = self.runs.pop(0)
        residuals = np.random.default_rng(0).normal(size=(50, 1))
        residuals[far] = 100
        log_densities = np.full((50, 1), gain / 49)
        log_densities[0] = -1e3  # what the outlier itself loses does not matter
        return ModelSelection(
            [], [gain], loo=replace(scores(residuals), log_densities=log_densities)
        )


def fifty():
    return table(np.arange(50.0)[:, np.newaxis])


@pytest.mark.parametrize(("gain", "expected"), [(4.9, {}), (5.1, {0})])
def test_a_row_is_rejected_where_the_others_gain_five_nats(gain, expected):
    runs = Runs(([0], 0.0), ([0], gain))

    found = select(runs, fifty())

    assert found.outliers.keys() == set(expected)
    assert runs.rejected == [[], [0]]


def test_outliers_behind_greater_ones_are_rejected_after_them():
    runs = Runs(([0], 0.0), ([0, 1], 20.0), ([0, 1], 26.0))

    found = select(runs, fifty())

    assert found.outliers.keys() == {0, 1}
    assert runs.rejected == [[], [0], [0, 1]]


def test_there_are_three_further_selections_at_most():
    far = [list(range(count)) for count in range(1, 7)]
    runs = Runs(*[(own, 100.0 * number) for number, own in enumerate(far)])

    found = select(runs, fifty())

    assert len(runs.rejected) == 1 + MAX_SELECTIONS
    assert found.outliers.keys() == {0, 1, 2}


def test_without_wrong_targets_or_with_one_kernel_or_classes_nothing_is_rejected(caplog):
    x, y = rows(10, 60)
    wrong = y.copy()
    wrong[5] += 9

    estimator().fit(x, y)
    GaussianProcessRegressor(q="1", l="1").fit(x, wrong)
    GaussianProcessClassifier(q="0,1", l="1").fit(x, np.where(y > 1, "high", "low"))

    assert "contradict" not in caplog.text
