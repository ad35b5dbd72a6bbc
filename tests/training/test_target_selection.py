"""Selection for several targets: which share their parameters, by the gain of having their own."""

from dataclasses import replace

import numpy as np
import pytest

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training import model_selection, target_selection

ROWS = 60
SCHEMA = Schema(
    False, 5, (Column("3", 3), Column("4", 4)), (Column("0", 0), Column("1", 1), Column("2", 2))
)
COMPARED = Hyperparameters(q=(1, 2), l=(0,), ard=False, encoding="none")


@pytest.fixture(scope="module")
def rows():
    """Two targets of one wave under little noise, and one of the other feature under much."""
    rng = np.random.default_rng(5)
    x, noise = rng.normal(size=(ROWS, 2)), rng.normal(size=(ROWS, 3))
    wave = np.sin(2 * x[:, 0])
    y = np.column_stack([wave, 3 - 2 * wave, x[:, 1] / 2]) + noise * [0.02, 0.04, 1.0]
    return Dataset(x, y, np.ones(ROWS), lambda row: f"row {row + 1}")


def alone(rows, targets):
    """Select for some of the targets as if the file had no others."""
    kept = list(targets)
    schema = replace(SCHEMA, targets=tuple(SCHEMA.targets[index] for index in kept))
    return model_selection.select(replace(rows, y=rows.y[:, kept]), schema, COMPARED)


@pytest.fixture(scope="module")
def gains(rows):
    """Leave-one-out log density, in nats over all rows, that each target gains by its own."""
    shared = alone(rows, (0, 1, 2))
    return [ROWS * (shared.loo_nlpd[k] - alone(rows, (k,)).loo_nlpd[0]) for k in range(3)]


def parameters(selection):
    return [
        (result.parameters.kernel, result.parameters.noise_ratio, result.parameters.bias, weight)
        for result, weight in zip(selection.candidates, selection.weights, strict=True)
    ]


def by_targets(selection):
    """Parameters and weights of the candidates of each group of targets."""
    found = {}
    pairs = zip(selection.candidates, parameters(selection), strict=True)
    for result, own in pairs:
        found.setdefault(result.targets, []).append(own)
    return found


def test_a_target_that_gains_has_its_own_parameters_and_the_others_share(rows, gains, monkeypatch):
    first, second, third = sorted(range(3), key=lambda k: gains[k])
    monkeypatch.setattr(target_selection, "MIN_TARGET_GAIN", (gains[second] + gains[third]) / 2)

    found = target_selection.select(rows, SCHEMA, COMPARED)

    rest = tuple(sorted((first, second)))
    assert by_targets(found) == {
        (third,): parameters(alone(rows, (third,))),
        rest: parameters(alone(rows, rest)),
    }
    expected = {third: alone(rows, (third,)).loo_nlpd[0]}
    expected |= zip(rest, alone(rows, rest).loo_nlpd, strict=True)
    assert list(found.loo_nlpd) == [expected[k] for k in range(3)]


def test_the_last_one_left_is_as_if_alone(rows, gains, monkeypatch):
    first, second, third = sorted(range(3), key=lambda k: gains[k])
    monkeypatch.setattr(target_selection, "MIN_TARGET_GAIN", (gains[first] + gains[second]) / 2)

    found = target_selection.select(rows, SCHEMA, COMPARED)

    assert set(by_targets(found)) == {(first,), (second,), (third,)}
    assert by_targets(found)[first,] == parameters(alone(rows, (first,)))


def test_without_a_gain_all_share(rows, gains, monkeypatch):
    monkeypatch.setattr(target_selection, "MIN_TARGET_GAIN", max(gains) + 1e-9)

    found = target_selection.select(rows, SCHEMA, COMPARED)

    assert by_targets(found) == {None: parameters(alone(rows, (0, 1, 2)))}


def test_by_default_a_target_unlike_the_others_has_its_own(rows, gains):
    found = target_selection.select(rows, SCHEMA, COMPARED)

    # Of its variance four fifths are noise, of the others' less than a thousandth.
    assert (2,) in by_targets(found)
    assert gains[2] > 5


@pytest.mark.parametrize("asked", [{"per_target": False}, {"q": (1,), "noise": 0.1, "bias": 2.0}])
def test_where_it_is_not_wanted_or_nothing_is_compared_all_share(rows, asked):
    found = target_selection.select(rows, SCHEMA, replace(COMPARED, **asked))

    assert set(by_targets(found)) == {None}


def test_where_it_is_asked_for_every_target_has_its_own(rows):
    asked = replace(COMPARED, q=(1,), noise=0.1, bias=2.0, per_target=True)

    found = target_selection.select(rows, SCHEMA, asked)

    assert set(by_targets(found)) == {(0,), (1,), (2,)}
