import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics

from gaussian_processes.gp import scores

rng = np.random.default_rng(8)
TARGETS, MEAN, VARIANCE = (
    rng.normal(size=(20, 1)),
    rng.normal(size=(20, 1)),
    rng.random(size=(20, 1)) + 0.1,
)


def test_errors_agree_with_scikit_learn():
    assert scores.rmse(TARGETS, MEAN) == pytest.approx(
        metrics.root_mean_squared_error(TARGETS, MEAN), rel=1e-14
    )
    assert scores.mae(TARGETS, MEAN) == pytest.approx(
        metrics.mean_absolute_error(TARGETS, MEAN), rel=1e-14
    )
    assert scores.r2(TARGETS, MEAN) == pytest.approx(metrics.r2_score(TARGETS, MEAN), rel=1e-14)


@pytest.mark.parametrize("mean", [2.0, 3.0])
def test_constant_targets_are_scored_as_scikit_learn_does(mean):
    targets, means = np.full((4, 1), 2.0), np.full((4, 1), mean)

    assert scores.r2(targets, means) == metrics.r2_score(targets, means)


def test_the_density_is_the_normal_one():
    expected = -norm.logpdf(TARGETS, MEAN, np.sqrt(VARIANCE)).mean()

    assert scores.nlpd(TARGETS, MEAN, VARIANCE) == pytest.approx(expected, rel=1e-14)


def test_row_densities_are_those_of_independent_normal_distributions():
    targets, mean = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    variance = rng.random(size=(20, 3)) + 0.1

    expected = norm.logpdf(targets, mean, np.sqrt(variance)).sum(axis=1)

    np.testing.assert_allclose(scores.log_densities(targets, mean, variance), expected, rtol=1e-13)


def test_accuracy_and_log_loss_agree_with_scikit_learn():
    codes = rng.integers(0, 3, size=50).astype(float)
    probabilities = rng.dirichlet(np.ones(3), size=50)

    assert scores.accuracy(codes, probabilities) == metrics.accuracy_score(
        codes, probabilities.argmax(axis=1)
    )
    assert scores.log_loss(codes, probabilities) == pytest.approx(
        metrics.log_loss(codes, probabilities, labels=[0, 1, 2]), rel=1e-13
    )


def test_a_probability_that_underflows_leaves_the_log_loss_finite():
    assert np.isfinite(scores.log_loss(np.array([0.0]), np.array([[0.0, 1.0]])))


def test_weighted_scores_are_scikit_learns():
    generator = np.random.default_rng(12)
    y, mean = generator.normal(size=(2, 9, 1))
    weight = generator.uniform(0.1, 5, 9)
    codes, shares = generator.integers(0, 3, 9), generator.dirichlet(np.ones(3), 9)

    found = [
        scores.rmse(y, mean, weight),
        scores.mae(y, mean, weight),
        scores.r2(y, mean, weight),
        scores.accuracy(codes, shares, weight),
        scores.log_loss(codes, shares, weight),
    ]

    expected = [
        metrics.root_mean_squared_error(y, mean, sample_weight=weight),
        metrics.mean_absolute_error(y, mean, sample_weight=weight),
        metrics.r2_score(y, mean, sample_weight=weight),
        metrics.accuracy_score(codes, shares.argmax(axis=1), sample_weight=weight),
        metrics.log_loss(codes, shares, sample_weight=weight, labels=[0, 1, 2]),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
