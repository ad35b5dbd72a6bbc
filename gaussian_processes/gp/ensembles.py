"""Ensembles: stacking weights, k-fold indices, and the moments of a mixture."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.scores import log_densities

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# Iterations of expectation-maximisation, each of which costs a product with the densities, and the
# change of the weights that ends them. Where members hardly differ it takes many, and what the
# later ones gain is nothing.
EM_MAX_ITERATIONS, EM_TOLERANCE = 10_000, 1e-8
# A member of less weight changes no prediction visibly, and costs as much as any other.
MIN_WEIGHT = 1e-3
# What the best of some tens of members may owe to luck, in nats of all rows. Its parameters, ten or
# more where every column has its own, were fitted to the rows that are then left out, which is
# worth some nats each, and the best of thirty draws is lucky besides. On 100 rows of five
# development sets log density and coverage are those without this limit (40 nats cost .006 of
# both), on 50 rows .007 more; and exact lines of 20 rows, of which rough kernels are farther
# behind, are fitted to 1e-4 of their deviation rather than to 4e-3.
LUCK_NATS = 120.0


class FittedEstimator(Protocol):
    """A fitted estimator with standard deviations, as those of scikit-learn's Bayesian models."""

    def predict(self, rows: Array, /, *, return_std: bool) -> Any:
        """Return mean and standard deviation for rows of shape (m, d).

        Each is of shape (m, t), or (m,) where there is one target.
        """


class Estimator(Protocol):
    """An estimator: a Gaussian process, or anything else with `fit`."""

    def fit(self, rows: Array, targets: Array, /) -> FittedEstimator:
        """Fit to rows of shape (n, d) and targets of shape (n, t); may return itself."""


@dataclass(frozen=True)
class Ensemble:
    """A mixture of fitted estimators.

    Parameters
    ----------
    members : sequence of FittedEstimator
    weights : ndarray of shape (k,)
        Of sum 1.
    """

    members: Sequence[FittedEstimator]
    weights: Array

    def predict(self, rows: Array, *, return_std: bool = False) -> Any:
        """Predict the mean of the mixture, and its standard deviation if asked, of shape (m, t)."""
        moments = (_mean_and_variance(member, rows) for member in self.members)
        means, variances = zip(*moments, strict=True)
        mean, variance = mixture(self.weights.tolist(), means, variances)
        return (mean, np.sqrt(variance)) if return_std else mean


def stack(
    estimators: Sequence[Estimator], rows: Array, targets: Array, folds: int = 10, seed: int = 0
) -> Ensemble:
    """Stack estimators by their k-fold predictive densities.

    Parameters
    ----------
    estimators : sequence of Estimator
    rows : ndarray of shape (n, d)
    targets : ndarray of shape (n, t)
    folds : int
        Every estimator is fitted that many times, to all rows but those of one fold, and then to
        all.
    seed : int
        Of the folds.

    Returns
    -------
    Ensemble
        Without the estimators of weight 0.
    """
    densities = np.empty((len(rows), len(estimators)))
    for held_out in k_fold_indices(len(rows), folds, seed):
        kept = np.setdiff1d(np.arange(len(rows)), held_out)
        for column, estimator in enumerate(estimators):
            fitted = estimator.fit(rows[kept], targets[kept])
            mean, variance = _mean_and_variance(fitted, rows[held_out])
            densities[held_out, column] = log_densities(targets[held_out], mean, variance)
    weights = stacking_weights(densities)
    selected = np.flatnonzero(weights)
    members = [estimators[column].fit(rows, targets) for column in selected.tolist()]
    return Ensemble(members, weights[selected])


def _mean_and_variance(estimator: FittedEstimator, rows: Array) -> tuple[Array, Array]:
    """Predict mean and variance of shape (m, t), where an estimator may give one target flat."""
    mean, std = estimator.predict(rows, return_std=True)
    return mean.reshape(len(rows), -1), np.square(std).reshape(len(rows), -1)


def k_fold_indices(size: int, folds: int, seed: int) -> list[Indices]:
    """Shuffle rows into folds whose sizes differ by one at most; return each fold's indices."""
    shuffled = np.random.default_rng(seed).permutation(size)
    return [np.sort(part) for part in np.array_split(shuffled, folds)]


def stacking_weights(
    densities: Array,
    max_members: int | None = None,
    min_weight: float = MIN_WEIGHT,
    prior_rows: float = 0.0,
) -> Array:
    """Weights of the mixture that gives the observations the highest density.

    Parameters
    ----------
    densities : ndarray of shape (n, k)
        Log density of every observation under each member, which was fitted without it.
    max_members : int, optional
        Members that may have a weight: the heaviest of all, weighed anew among themselves.
    min_weight : float
        A member of less is left out, and the others are weighed anew.
    prior_rows : float
        Observations, beside those that there are, which speak alike for all members that may be the
        best: of few observations the highest density is that of whoever was lucky. Who is farther
        behind than by luck has the less of them, by the ratio of the densities.

    Returns
    -------
    ndarray of shape (k,)
        At least 0, of sum 1.

    Notes
    -----
    Maximises Σ_i log Σ_k w_k p_k(y_i | y_-i): eq. 4 of [1]_, by expectation-maximisation, no
    iteration of which decreases it. Prior rows are a Dirichlet prior of the weights, of which this
    is the mode: α_k = 1 + prior_rows s_k [2]_, of shares s_k in proportion to the density of all
    observations, and at most to that of the best less `LUCK_NATS`.

    References
    ----------
    .. [1] Y. Yao, A. Vehtari, D. Simpson and A. Gelman, "Using stacking to average Bayesian
       predictive distributions", Bayesian Analysis 13, 2018.
    .. [2] A. Gelman et al., "Bayesian Data Analysis", 2013, section 22.3.
    """
    kept = np.arange(densities.shape[1])
    limit = len(kept) if max_members is None else max_members
    own = _maximize_mixture(densities, prior_rows)
    while len(kept) > 1 and (len(kept) > limit or own.min() < min_weight):
        heavy = np.argsort(-own)[:limit]
        heavy = heavy[own[heavy] >= min(min_weight, own.max())]
        kept = kept[np.sort(heavy)]
        own = _maximize_mixture(densities[:, kept], prior_rows)
    weights = np.zeros(densities.shape[1])
    weights[kept] = own / own.sum()
    return weights


def _maximize_mixture(densities: Array, prior_rows: float) -> Array:
    """Weights of the highest density, by expectation-maximisation."""
    # A factor common to a row does not matter, and densities far from 1 would under- or overflow.
    relative = np.exp(densities - densities.max(axis=1, keepdims=True))
    rows, members = densities.shape
    weights, shares = np.full(members, 1 / members), _prior_shares(densities)
    for _ in range(EM_MAX_ITERATIONS):
        total = np.maximum(relative @ weights, np.finfo(float).tiny)
        own = weights * (relative / total[:, np.newaxis]).sum(axis=0)
        previous, weights = weights, (own + prior_rows * shares) / (rows + prior_rows)
        if np.abs(weights - previous).max() < EM_TOLERANCE:
            break
    return weights


def _prior_shares(densities: Array) -> Array:
    """Shares of the members in what prior rows say."""
    total = densities.sum(axis=0)
    relative: Array = np.exp(np.minimum(total - total.max() + LUCK_NATS, 0.0))
    shares: Array = relative / relative.sum()
    return shares


def mixture(
    weights: Sequence[float | Array], means: Sequence[Array], variances: Sequence[Array]
) -> tuple[Array, Array]:
    """Mean and variance of a mixture.

    Parameters
    ----------
    weights : sequence of k float, or of ndarray of shape (t,)
        Of sum 1.
    means, variances : sequence of k ndarray of shape (m, t)
        Of the members.

    Returns
    -------
    mean, variance : ndarray of shape (m, t)
        Σ w_i μ_i, and Σ w_i (σ_i² + (μ_i - μ)²).
    """
    mean = average(weights, means)
    second_moments = [
        variance + np.square(member_mean - mean)
        for variance, member_mean in zip(variances, means, strict=True)
    ]
    return mean, average(weights, second_moments)


def average(weights: Sequence[float | Array], values: Iterable[Array]) -> Array:
    """Weighted sum Σ w_i v_i, of the shape of each value."""
    return reduce(np.add, map(operator.mul, weights, values))
