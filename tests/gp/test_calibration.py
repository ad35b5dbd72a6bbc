"""Calibrated probabilities against laws, and against a slow optimisation of the definition."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import norm

from gaussian_processes.gp import calibration


def rows(seed, count=60, k=3, signal=0.5):
    """Classes, and means that say something of them."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(k, count, p=np.arange(1, k + 1) / (k * (k + 1) / 2))
    share = np.bincount(classes, minlength=k) / count
    means = share + signal * (np.eye(k)[classes] - share) + rng.normal(0, 0.2, (count, k))
    return means, classes


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_the_fit_is_the_maximum_of_the_posterior(seed):
    means, classes = rows(seed)
    share = (np.bincount(classes, minlength=3) + 0.5) / (len(classes) + 1.5)

    def posterior(parameters):
        logits = np.log(share) + np.exp(parameters[0]) * (means - share) + parameters[1:]
        likelihood = log_softmax(logits, axis=1)[np.arange(len(classes)), classes].sum()
        prior = (
            norm.logpdf(parameters[0], np.log(4), 1.5) + norm.logpdf(parameters[1:], 0, 0.5).sum()
        )
        return likelihood + prior

    fitted = calibration.fit(means, classes)
    slow = minimize(
        lambda p: -posterior(p),
        [1.0, 0, 0, 0],
        method="Nelder-Mead",
        options={"maxiter": 10_000, "maxfev": 10_000, "xatol": 1e-9, "fatol": 1e-9},
    ).x

    expected = np.exp(
        log_softmax(np.log(share) + np.exp(slow[0]) * (means - share) + slow[1:], axis=1)
    )
    # One row more than the 60, whose class is told by nothing.
    expected = (60 * expected + share) / 61
    np.testing.assert_allclose(fitted.probabilities(means), expected, atol=1e-3)


@pytest.mark.parametrize("count", [30, 3_000])
def test_without_a_signal_the_probabilities_are_the_shares(count):
    rng = np.random.default_rng(5)
    classes = (rng.uniform(size=count) < 0.05).astype(np.intp)
    share = np.bincount(classes, minlength=2) / count
    # A row that is left out is missing from the share that predicts it.
    means = (share * count - np.eye(2)[classes]) / (count - 1)

    probabilities = calibration.fit(means, classes).probabilities(share[np.newaxis])

    np.testing.assert_allclose(probabilities[0], share, atol=0.5 / np.sqrt(count))


@given(st.integers(0, 10**6))
def test_probabilities_are_positive_and_sum_to_one(seed):
    means, classes = rows(seed)

    probabilities = calibration.fit(means, classes).probabilities(10 * means)

    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@given(
    hnp.arrays(float, st.tuples(st.integers(1, 4), st.just(3)), elements=st.floats(-1e300, 1e300))
)
def test_probabilities_are_scipy_s_softmax_however_large_the_means(means):
    subject = calibration.Calibration(0.5, np.array([0.1, -0.2, 0.0]), np.zeros(3))

    expected = np.exp(log_softmax(0.5 * means + subject.offsets, axis=1))

    np.testing.assert_allclose(subject.probabilities(means), expected, rtol=1e-12)


def test_few_rows_make_no_class_certain():
    classes = np.array([0, 1, 1, 1])
    means = 1e6 * np.eye(2)[classes]

    probabilities = calibration.fit(means, classes).probabilities(means)

    # Shares of half a row more each: 1.5 and 3.5 of 5.
    np.testing.assert_allclose(probabilities[0], [(4 + 0.3) / 5, 0.7 / 5], rtol=1e-12)
    np.testing.assert_allclose(probabilities[1], [0.3 / 5, (4 + 0.7) / 5], rtol=1e-12)


def test_a_calibration_survives_json():
    means, classes = rows(3)
    fitted = calibration.fit(means, classes)

    again = calibration.Calibration.from_json(json.loads(json.dumps(fitted.to_json())))

    np.testing.assert_array_equal(again.probabilities(means), fitted.probabilities(means))


def test_what_classes_are_called_does_not_matter():
    means, classes = rows(7)
    order = np.array([2, 0, 1])

    one = calibration.fit(means, classes).probabilities(means)
    other = calibration.fit(means[:, order], np.argsort(order)[classes]).probabilities(
        means[:, order]
    )

    np.testing.assert_allclose(other, one[:, order], atol=1e-4)
