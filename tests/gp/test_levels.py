from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from gaussian_processes.gp.kernels import ArcCosine, Matern52
from gaussian_processes.gp.levels import LevelsLeftOut
from gaussian_processes.gp.regression import GramMatrix, fit

LEVELS = np.repeat(np.arange(4), [5, 9, 1, 7])


def left_out(kernel, noise=0.1, targets=2):
    rng = np.random.default_rng(3)
    points = rng.normal(size=(len(LEVELS), 3))
    weight = rng.uniform(0.5, 2, size=len(LEVELS))
    y = rng.normal(size=(len(LEVELS), targets)) + LEVELS[:, np.newaxis]
    return LevelsLeftOut(GramMatrix(kernel, points, noise, weight), y), rng.normal(size=(9, 3))


@pytest.mark.parametrize("kernel", [ArcCosine(1, 1), Matern52()])
@pytest.mark.parametrize("level", range(4))
def test_a_level_is_predicted_as_by_a_process_of_the_others(kernel, level):
    is_own = np.equal(LEVELS, level)
    subject, elsewhere = left_out(kernel)
    matrix, y = subject.matrix, subject.targets
    rows, others = np.flatnonzero(is_own), np.flatnonzero(~is_own)
    points = elsewhere[: len(rows)]

    mean, covariance = subject.predict(rows, points)

    # GPML eq. 2.23 and 2.24 of the other rows alone.
    own = kernel(matrix.points[others], matrix.points[others])
    own += 0.1 * np.diag(matrix.noise_scale[others])
    cross = kernel(points, matrix.points[others])
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(own, y[others]), rtol=1e-9)
    expected = kernel(points, points) - cross @ np.linalg.solve(own, cross.T)
    expected += 0.1 * np.diag(matrix.noise_scale[rows])
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-10)


def drawn(levels, per_level, effect, seed, noise=0.3):
    """Observations of levels alone, whose effects are of another deviation than the process's."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(levels), per_level)
    y = rng.normal(0, effect, levels)[codes] + rng.normal(0, noise, len(codes))
    points = np.column_stack([np.eye(levels)[codes], np.zeros(len(codes)), np.ones(len(codes))])
    unknown = np.zeros_like(points)
    unknown[:, -2:] = 1
    return codes, y[:, np.newaxis], points, unknown


def test_levels_that_differ_more_than_the_process_says_widen_what_is_unknown():
    factors = []
    for seed in range(40):
        codes, y, points, unknown = drawn(8, 4, 1.0, seed)
        # So much noise that the process takes the levels' effects for it.
        matrix = GramMatrix(ArcCosine(1, 0), points, 2.0, np.ones(len(codes)))
        factors += LevelsLeftOut(matrix, y).unknown_level(codes, unknown).squared_scale

    assert np.median(factors) > 1.2
    assert min(factors) >= 1


def test_a_factor_without_effect_widens_nothing_that_can_be_seen():
    for seed in range(20):
        codes, y, points, unknown = drawn(2, 40, 0.0, seed)
        points[:, :3] *= 0.01
        unknown[:, :3] *= 0.01
        matrix = GramMatrix(ArcCosine(1, 0), points, 1.0, np.ones(len(codes)))

        level = LevelsLeftOut(matrix, y).unknown_level(codes, unknown)

        # The mean square of 80 normal residuals; a prior draws it towards 1.
        assert level.squared_scale[0] < chi2(80).ppf(0.9999) / 80
        assert level.degrees_of_freedom > 40


@pytest.mark.parametrize("levels", [3, 5, 12])
def test_without_prior_and_noise_a_level_is_an_observation_of_a_normal_sample(monkeypatch, levels):
    """Of L observations: Student-t, L - 1 degrees of freedom, variance s² (1 + 1/L)."""
    monkeypatch.setattr("gaussian_processes.gp.levels.PRIOR_DEGREES", 0.0)
    y = 4 * np.random.default_rng(levels).normal(size=(levels, 1))
    # So near to each other that what they have in common is of any size, beside how they differ.
    points = 1e-3 * np.eye(levels + 1)
    known, unknown = points[:-1], points[-1:]
    matrix = GramMatrix(Matern52(1.0), known, 0.0)
    codes = np.arange(levels)

    level = LevelsLeftOut(matrix, y).unknown_level(codes, np.repeat(unknown, levels, axis=0))

    mean, variance = fit(matrix, y).mean_and_variance(unknown)
    assert level.degrees_of_freedom == pytest.approx(levels - 1, rel=1e-9)
    np.testing.assert_allclose(mean, [y.mean(axis=0)], rtol=1e-3, atol=1e-4)
    squared_scale = variance * level.squared_scale
    np.testing.assert_allclose(squared_scale, [y.var(axis=0, ddof=1) * (1 + 1 / levels)], rtol=1e-3)


def test_each_target_is_widened_by_what_its_own_levels_have_shown():
    codes, y, points, unknown = drawn(8, 4, 1.0, 0)
    matrix = GramMatrix(ArcCosine(1, 0), points, 2.0, np.ones(len(codes)))
    noise = np.random.default_rng(1).normal(size=y.shape)
    constant = np.zeros_like(y)

    both = LevelsLeftOut(matrix, np.hstack([y, noise, constant])).unknown_level(codes, unknown)

    alone = [LevelsLeftOut(matrix, own).unknown_level(codes, unknown) for own in (y, noise)]
    expected = [own.squared_scale[0] for own in alone] + [1.0]
    np.testing.assert_allclose(both.squared_scale, expected, rtol=1e-12)
    assert both.degrees_of_freedom == pytest.approx(alone[0].degrees_of_freedom, rel=1e-12)


def test_a_single_level_and_a_constant_target_say_nothing():
    subject, _ = left_out(ArcCosine(1, 1), targets=1)
    constant = replace(subject, targets=np.zeros_like(subject.targets))

    assert subject.unknown_level(np.zeros(len(LEVELS)), subject.matrix.points) is None
    assert constant.unknown_level(LEVELS, subject.matrix.points).squared_scale == (1.0,)
