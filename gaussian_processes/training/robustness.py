"""Rejection of outliers by reweighting: training rows whose targets contradict all other rows.

One wrong target raises the noise of all rows, and hides the function. Rows of large leave-one-out
residuals, in robust standard deviations, get next to no weight, and the model is selected again
[1]_; this is kept where the other rows are then predicted better. Rejected rows still count in
leave-one-out scores and in the tails, as rows like any other: there may be more of their kind.

References
----------
.. [1] P. J. Rousseeuw and A. M. Leroy, *Robust Regression and Outlier Detection*, Wiley 1987,
   chapter 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.training.model_selection import LeaveOneOutScores, ModelSelection

Array = NDArray[np.float64]

# Robust standard deviations from which on a row is an outlier: no normal observation is as far, and
# of a Student-t distribution of 4 degrees of freedom one in 2,600. Nearer ones are what its tails
# are for: on the development sets those at 8 to 10 were hard to predict, not wrong. Once an outlier
# is known, half of them suffice: there are more of its kind.
MIN_DEVIATIONS, MIN_DEVIATIONS_BESIDE = 10.0, 5.0
# Share of the rows that may be rejected: more of them are no errors, but a part of the function
# that no candidate describes.
MAX_SHARE = 0.1
# Leave-one-out log density that the other rows must gain, in nats for each that is rejected. Less
# may be the luck of another search.
MIN_GAIN = 5.0
# Selections after the first, each as long as it: great outliers mask smaller ones, and make right
# rows near them look wrong.
MAX_SELECTIONS = 3
# Standard deviation of a normal distribution over its median absolute deviation.
MAD_TO_STANDARD_DEVIATION = 1.4826
# Standard deviation of a rejected row's noise over its residual. It is large because residuals are
# measured with the outliers present, whose noise inflates the usual ones up to thirtyfold on the
# development sets; tenfold greater residuals are rejected again. What a good row says is lost where
# it is rejected.
NOISE_PER_RESIDUAL, GROWTH = 30.0, 10.0
# With a smaller weight a row's own variance would keep no digit beside that of its noise.
MIN_WEIGHT = 1e-16


def select(run: Callable[[Dataset], ModelSelection], dataset: Dataset) -> ModelSelection:
    """Select the model of a dataset, and the outliers among its rows.

    Parameters
    ----------
    run : callable
        Selects the model of rows with robustness weights. It returns the same arrays on all hosts,
        which therefore come to the same end here.
    dataset : Dataset
        The training rows.

    Returns
    -------
    ModelSelection
        With its outliers.
    """
    best = run(dataset)
    for _ in range(MAX_SELECTIONS):
        nearest = MIN_DEVIATIONS_BESIDE if best.outliers else MIN_DEVIATIONS
        outliers = outlying_rows(best.loo, dataset, nearest)
        if outliers.keys() == best.outliers.keys() and not _has_grown(outliers, best.outliers):
            break
        found = replace(run(reject(dataset, outliers)), outliers=outliers)
        if not _improves(found, best):
            break
        best = found
    return best


def _has_grown(outliers: Mapping[int, float], known: Mapping[int, float]) -> bool:
    """Whether a row proves to be much farther than it was thought, and needs less weight."""
    return any(deviations > GROWTH * known[row] for row, deviations in outliers.items())


def outlying_rows(
    loo: LeaveOneOutScores | None, dataset: Dataset, min_deviations: float
) -> dict[int, float]:
    """Return the rows that are far from what all others predict.

    Parameters
    ----------
    loo : LeaveOneOutScores or None
        Without them there are none.
    dataset : Dataset
        The training rows. Targets that are mostly one number have no outliers: their other numbers
        are not wrong.
    min_deviations : float
        Robust standard deviations from which on a row is an outlier.

    Returns
    -------
    dict of int to float
        Residual of each such row, in robust standard deviations of all: the largest of its targets.
    """
    if loo is None:
        return {}
    standardized = _robust_deviations(loo.residuals / loo.deviations)
    # A row of little weight may be off by more. One of much weight need not be off by less, where
    # the function is not known.
    weight = np.minimum(1.0, dataset.sample_weight / np.median(dataset.sample_weight))
    weighted = _robust_deviations(loo.residuals * np.sqrt(weight)[:, np.newaxis])
    deviations = np.maximum(weighted, standardized)
    low, high = np.quantile(dataset.y, (0.25, 0.75), axis=0)
    is_far = (deviations > min_deviations) & (low < high)
    is_far &= is_far.mean(axis=0) <= MAX_SHARE
    rows = np.flatnonzero(is_far.any(axis=1))
    largest = np.where(is_far, deviations, 0.0).max(axis=1)[rows]
    return dict(zip(rows.tolist(), largest.tolist(), strict=True))


def _robust_deviations(residuals: Array) -> Array:
    """Distances from the median, in standard deviations by the median of such distances."""
    distances = np.abs(residuals - np.median(residuals, axis=0))
    scale = MAD_TO_STANDARD_DEVIATION * np.median(distances, axis=0)
    # Most residuals of a constant target are alike, and no one is an outlier.
    return np.divide(distances, scale, out=np.zeros_like(distances), where=scale > 0)


def _improves(found: ModelSelection, best: ModelSelection) -> bool:
    """Whether the rows that neither selection rejects gain enough for the rows it rejects more.

    One that rejects fewer may lose as much.
    """
    if found.loo is None or best.loo is None:
        return False
    gains = (found.loo.log_densities - best.loo.log_densities).sum(axis=1)
    gain = np.delete(gains, list(found.outliers.keys() | best.outliers.keys())).sum()
    return bool(gain > MIN_GAIN * (len(found.outliers) - len(best.outliers)))


def reject(dataset: Dataset, outliers: Mapping[int, float]) -> Dataset:
    """Return training rows with robustness weights: next to nothing for outliers.

    Parameters
    ----------
    dataset : Dataset
    outliers : mapping of int to float
        As `outlying_rows` returns them.
    """
    if not outliers:
        return dataset
    weights = np.ones(len(dataset))
    noise = NOISE_PER_RESIDUAL * np.array(list(outliers.values()))
    weights[list(outliers)] = np.maximum(MIN_WEIGHT, noise**-2)
    return replace(dataset, robustness_weight=weights)
