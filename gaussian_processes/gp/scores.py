"""How good are predictions, given what happened?

Arrays of shape (m, t) are scored over all their numbers.
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
    """Coefficient of determination: 1 for perfect predictions, 0 for those of the targets' own mean.

    Where the targets are constant it would be a division by zero; as in scikit-learn it is then 1 for perfect predictions
    and 0 for all others.
    """
    residual = np.square(targets - mean).sum()
    spread = np.square(targets - targets.mean(axis=0)).sum()
    return float(1 - residual / spread) if spread > 0 else float(residual == 0)


def nlpd(targets: Array, mean: Array, variance: Array) -> float:
    """Mean negative log predictive density, in nats: of targets under normal distributions (GPML eq. 2.34)."""
    return float((np.log(2 * np.pi * variance) + np.square(targets - mean) / variance).mean() / 2)


def accuracy(codes: Array, probabilities: Array) -> float:
    """Share of rows whose most probable class is theirs: for codes of shape (m,) and probabilities of shape (m, k)."""
    return float((probabilities.argmax(axis=1) == codes).mean())


def log_loss(codes: Array, probabilities: Array) -> float:
    """Mean negative log probability of the classes that came true, in nats."""
    of_the_true = np.take_along_axis(probabilities, codes.astype(np.intp)[:, np.newaxis], axis=1)
    # A probability that has underflowed to 0 would make the mean infinite, and SageMaker drop it.
    return float(-np.log(np.maximum(of_the_true, np.finfo(float).tiny)).mean())


def log_densities(targets: Array, mean: Array, variance: Array) -> Array:
    """Log density of every row's targets under independent normal distributions, of shape (m,)."""
    logs: Array = (
        -(np.log(2 * np.pi * variance) + np.square(targets - mean) / variance).sum(axis=1) / 2
    )
    return logs
