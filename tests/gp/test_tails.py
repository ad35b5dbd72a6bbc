"""Tails of predictive distributions: the closed form of few rows, and heavy ones."""

import numpy as np
import pytest
from scipy import optimize, stats

from gaussian_processes.gp import tails
from gaussian_processes.gp.tails import Tails


def test_the_prediction_of_a_mean_alone_is_the_textbook_s_interval():
    y = np.array([3.0, 5.0, 4.0, 8.0])

    # A process of noise alone: it predicts the mean, and the variance Σ(y - mean)²/n.
    squared_scale = y.var() * tails.variance_factor(4, True)

    # s √(1 + 1/n), Student-t of n - 1 degrees of freedom.
    assert squared_scale == pytest.approx(y.var(ddof=1) * (1 + 1 / 4), rel=1e-14)
    assert tails.degrees_of_freedom(4, True) == 3


def test_without_a_mean_all_rows_are_degrees_of_freedom():
    assert tails.degrees_of_freedom(4, False) == 4
    assert tails.variance_factor(4, False) == 1


def test_the_variance_is_that_of_the_student_t_distribution_and_stays_finite():
    for degrees in (3.0, 4.0, 50.0):
        assert tails.variance_ratio(degrees) == pytest.approx(stats.t(degrees).var(), rel=1e-12)
    assert tails.variance_ratio(np.inf) == 1
    assert tails.variance_ratio(1.0) == tails.variance_ratio(2.5) == 3


@pytest.mark.parametrize("degrees", [4.0, 6.0])
def test_the_scale_of_heavy_tails_has_the_highest_likelihood(degrees):
    residuals = 1.7 * stats.t(degrees).rvs(2_000, random_state=7)

    found = tails.fit(residuals, 1_998.0)

    def loss(log_scale):
        own = stats.t(found.degrees_of_freedom, 0, np.exp(log_scale))
        return -own.logpdf(residuals).sum()

    best = np.exp(optimize.minimize_scalar(loss, bounds=(-2, 2), method="bounded").x)
    assert found.scale == pytest.approx(best, rel=1e-4)
    assert abs(found.degrees_of_freedom - degrees) <= 2


def test_the_interval_of_heavy_tails_holds_its_share():
    residuals = 0.6 * stats.t(4.0).rvs(4_000, random_state=8)

    found = tails.fit(residuals, 3_998.0)

    end = found.scale * stats.t(found.degrees_of_freedom).ppf(0.95)
    assert (np.abs(residuals) <= end).mean() == pytest.approx(0.9, abs=0.02)


def test_normal_residuals_keep_their_tails_unless_heavy_ones_are_asked_for():
    residuals = np.random.default_rng(9).normal(size=1_000)

    assert tails.fit(residuals, 998.0) is None
    assert tails.fit(residuals, 998.0, min_gain=-np.inf).degrees_of_freedom == 30


def test_an_outlier_among_few_rows_makes_heavy_tails():
    residuals = np.append(np.random.default_rng(10).normal(size=99), 12.0)

    assert tails.fit(residuals, 98.0).degrees_of_freedom < 10


@pytest.mark.parametrize("residuals", [np.zeros(20), np.full(20, np.inf)])
def test_residuals_without_a_scale_have_no_tails(residuals):
    with np.errstate(all="ignore"):
        assert tails.fit(residuals, 18.0) is None


@pytest.mark.parametrize("values", [(0.0, 1.0), (4.0, -1.0), (np.inf, 1.0), (4.0, np.nan)])
def test_tails_that_no_distribution_has_are_refused(values):
    with pytest.raises(ValueError, match="where a positive number belongs"):
        Tails(*values)
