"""Scores of predictions: squared and absolute errors, densities, accuracy and log loss.

Arrays of shape (m, t) are scored over all their elements.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rmse(targets: Array, mean: Array) -> float:
    """Root mean squared error, in the units of the targets."""
    return float(np.sqrt(np.square(targets - mean).mean()))


def mae(targets: Array, mean: Array) -> float:
    """Mean absolute error, in the units of the targets."""
    return float(np.abs(targets - mean).mean())


def r2(targets: Array, mean: Array) -> float:
    """Coefficient of determination R², as scikit-learn's `r2_score` defines it.

    It is 1 for perfect predictions and 0 for the targets' own mean. Where the targets are constant
    it would be a division by zero: then it is 1 for perfect predictions and 0 for all others.
    """
    residual_sum = np.square(targets - mean).sum()
    total_sum = np.square(targets - targets.mean(axis=0)).sum()
    return float(1 - residual_sum / total_sum) if total_sum > 0 else float(residual_sum == 0)


def nlpd(targets: Array, mean: Array, variance: Array) -> float:
    """Mean negative log predictive density under normal distributions, in nats (GPML eq. 2.34)."""
    return float((np.log(2 * np.pi * variance) + np.square(targets - mean) / variance).mean() / 2)


def accuracy(codes: Array, probabilities: Array) -> float:
    """Share of the rows whose most probable class is the true one.

    Parameters
    ----------
    codes : ndarray of shape (m,)
        Index of every row's true class.
    probabilities : ndarray of shape (m, k)
    """
    return float((probabilities.argmax(axis=1) == codes).mean())


def log_loss(codes: Array, probabilities: Array) -> float:
    """Mean negative log probability of the true classes, in nats; arguments as of `accuracy`."""
    of_true_class = np.take_along_axis(probabilities, codes.astype(np.intp)[:, np.newaxis], axis=1)
    # A probability that has underflowed to 0 would make the mean infinite, and SageMaker drop it.
    return float(-np.log(np.maximum(of_true_class, np.finfo(float).tiny)).mean())


def log_densities(targets: Array, mean: Array, variance: Array) -> Array:
    """Log density of every row under independent normal distributions, of shape (m,)."""
    terms = np.log(2 * np.pi * variance) + np.square(targets - mean) / variance
    logs: Array = -terms.sum(axis=1) / 2
    return logs
