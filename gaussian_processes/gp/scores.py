"""Scores of predictions: squared and absolute errors, densities, accuracy and log loss.

Arrays of shape (m, t) are scored over all their elements. Where rows have weights, of shape (m,),
means over them are weighted by these, as scikit-learn's are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rmse(targets: Array, mean: Array, sample_weight: Array | None = None) -> float:
    """Root mean squared error, in the units of the targets."""
    return float(np.sqrt(_mean(np.square(targets - mean), sample_weight)))


def mae(targets: Array, mean: Array, sample_weight: Array | None = None) -> float:
    """Mean absolute error, in the units of the targets."""
    return _mean(np.abs(targets - mean), sample_weight)


def r2(targets: Array, mean: Array, sample_weight: Array | None = None) -> float:
    """Coefficient of determination R², as scikit-learn's `r2_score` defines it.

    It is 1 for perfect predictions and 0 for the targets' own mean. Where the targets are constant
    it would be a division by zero: then it is 1 for perfect predictions and 0 for all others.
    """
    residual = _mean(np.square(targets - mean), sample_weight)
    center = np.average(targets, axis=0, weights=sample_weight)
    total = _mean(np.square(targets - center), sample_weight)
    return 1 - residual / total if total > 0 else float(residual == 0)


def nlpd(targets: Array, mean: Array, variance: Array) -> float:
    """Mean negative log predictive density under normal distributions, in nats (GPML eq. 2.34)."""
    return float((np.log(2 * np.pi * variance) + np.square(targets - mean) / variance).mean() / 2)


def accuracy(codes: Array, probabilities: Array, sample_weight: Array | None = None) -> float:
    """Share of the rows whose most probable class is the true one.

    Parameters
    ----------
    codes : ndarray of shape (m,)
        Index of every row's true class.
    probabilities : ndarray of shape (m, k)
    """
    return _mean((probabilities.argmax(axis=1) == codes)[:, np.newaxis], sample_weight)


def log_loss(codes: Array, probabilities: Array, sample_weight: Array | None = None) -> float:
    """Mean negative log probability of the true classes, in nats; arguments as of `accuracy`."""
    of_true_class = np.take_along_axis(probabilities, codes.astype(np.intp)[:, np.newaxis], axis=1)
    # A probability that has underflowed to 0 would make the mean infinite, and SageMaker drop it.
    return -_mean(np.log(np.maximum(of_true_class, np.finfo(float).tiny)), sample_weight)


def log_densities(targets: Array, mean: Array, variance: Array) -> Array:
    """Log density of every row under independent normal distributions, of shape (m,)."""
    terms = np.log(2 * np.pi * variance) + np.square(targets - mean) / variance
    logs: Array = -terms.sum(axis=1) / 2
    return logs


def _mean(values: NDArray[Any], sample_weight: Array | None) -> float:
    """Mean of values of shape (m, t), the rows weighted."""
    return float(np.average(values.mean(axis=1), weights=sample_weight))
