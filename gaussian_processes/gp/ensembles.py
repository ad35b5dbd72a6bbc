"""How do several predictions become one?"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.scores import log_densities

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# Steps towards the maximum, each of which costs a product with the densities, and the change of the weights that ends them:
# where members hardly differ the way is long, and what it still gains is nothing.
EM_MAX_ITERATIONS, EM_TOLERANCE = 10_000, 1e-8
# A member of less weight changes no prediction that anybody could tell, and costs as much as any other.
MIN_WEIGHT = 1e-3


class FittedEstimator(Protocol):
    """What predicts targets at some rows."""

    def predict(self, rows: Array, /) -> tuple[Array, Array]:
        """Return mean and variance, of shape (m, t), for rows of shape (m, d)."""


class Estimator(Protocol):
    """What learns from rows and targets to predict others: a Gaussian process, or anything else."""

    def fit(self, rows: Array, targets: Array, /) -> FittedEstimator:
        """Learn from rows of shape (n, d) and targets of shape (n, t)."""


@dataclass(frozen=True)
class Ensemble:
    """Predictors, and how much each counts."""

    members: Sequence[FittedEstimator]
    weights: Array

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and variance of the mixture, of shape (m, t)."""
        means, variances = zip(*(member.predict(rows) for member in self.members), strict=True)
        return mixture(self.weights.tolist(), means, variances)


def stack(
    estimators: Sequence[Estimator], rows: Array, targets: Array, folds: int = 10, seed: int = 0
) -> Ensemble:
    """Blend estimators by the weights that predict best what each had not seen.

    Parameters
    ----------
    estimators : sequence of Estimator
    rows : ndarray of shape (n, d)
    targets : ndarray of shape (n, t)
    folds : int
        Every estimator is fitted that many times, to all rows but those of one fold, and then to all.
    seed : int
        Of the folds.

    Returns
    -------
    Ensemble
        Without the estimators that do not count.
    """
    densities = np.empty((len(rows), len(estimators)))
    for left_out in k_fold_indices(len(rows), folds, seed):
        kept = np.setdiff1d(np.arange(len(rows)), left_out)
        for column, estimator in enumerate(estimators):
            mean, variance = estimator.fit(rows[kept], targets[kept]).predict(rows[left_out])
            densities[left_out, column] = log_densities(targets[left_out], mean, variance)
    weights = stacking_weights(densities)
    counting = np.flatnonzero(weights)
    return Ensemble(
        [estimators[column].fit(rows, targets) for column in counting.tolist()], weights[counting]
    )


def k_fold_indices(size: int, folds: int, seed: int) -> list[Indices]:
    """Positions of every fold's rows, in order: a shuffle by the seed, cut into folds that differ by a row at most."""
    shuffled = np.random.default_rng(seed).permutation(size)
    return [np.sort(part) for part in np.array_split(shuffled, folds)]


def stacking_weights(densities: Array) -> Array:
    """Weights of the mixture that gives the observations the highest density.

    Parameters
    ----------
    densities : ndarray of shape (n, m)
        Log density of every observation under each member that has not seen it.

    Returns
    -------
    ndarray of shape (m,)
        At least 0, of sum 1; 0 for a member that hardly counts.

    Notes
    -----
    Maximises Σ_i log Σ_m w_m p_m(y_i | y_-i): Yao, Vehtari, Simpson & Gelman, "Using stacking to average Bayesian predictive
    distributions", Bayesian Analysis 13 (2018), eq. 4; by expectation-maximisation, every step of which goes uphill.
    """
    # The largest of a row as the unit: densities far from 1 would under- or overflow, and a factor does not matter.
    relative = np.exp(densities - densities.max(axis=1, keepdims=True))
    weights = np.full(densities.shape[1], 1 / densities.shape[1])
    for _ in range(EM_MAX_ITERATIONS):
        total = np.maximum(relative @ weights, np.finfo(float).tiny)
        before, weights = weights, weights * (relative / total[:, np.newaxis]).mean(axis=0)
        if np.abs(weights - before).max() < EM_TOLERANCE:
            break
    weights[weights < MIN_WEIGHT] = 0.0
    kept: Array = weights / weights.sum()
    return kept


def mixture(
    weights: Sequence[float], means: Sequence[Array], variances: Sequence[Array]
) -> tuple[Array, Array]:
    """Mean and variance of a mixture.

    Parameters
    ----------
    weights : sequence of k float
        Of sum 1.
    means, variances : sequence of k ndarray of shape (m, t)
        Of the members.

    Returns
    -------
    mean, variance : ndarray of shape (m, t)
        Σ w_i μ_i, and Σ w_i (σ_i² + (μ_i - μ)²).
    """
    mean = average(weights, means)
    spreads = [own + np.square(other - mean) for own, other in zip(variances, means, strict=True)]
    return mean, average(weights, spreads)


def average(weights: Sequence[float], values: Iterable[Array]) -> Array:
    """Σ w_i v_i, of the shape of each value."""
    return reduce(np.add, map(operator.mul, weights, values))
