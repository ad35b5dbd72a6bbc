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
