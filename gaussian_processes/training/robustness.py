"""Rejection of outliers: rows whose targets all others contradict teach the model next to nothing.

One wrong target makes the noise of all rows, and hides the function from them. Rows far from their
leave-one-out predictions, in units of what is usual among these, are rejected, and the model is
selected again (reweighted least squares [1]_): kept where the other rows are then predicted better.
Rejected rows still count in leave-one-out scores and in the tails, as rows like any other: there
may be more of their kind.

References
----------
.. [1] P. J. Rousseeuw and A. M. Leroy, *Robust Regression and Outlier Detection*, Wiley 1987,
   chapter 3.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.training.model_selection import LeftOut, ModelSelection, Outlier

Array = NDArray[np.float64]

# Deviations from which on a row may be rejected. No normal observation is as far, and of a
# Student-t distribution of 4 degrees of freedom one in 2,000. Nearer ones are what its tails are
# for: on the development sets those at 8 to 10 were hard to predict, not wrong.
MIN_DEVIATIONS = 10.0
# Share of the rows that may be rejected: more of them are no errors, but a part of the function
# that no candidate describes.
MAX_SHARE = 0.1
# Leave-one-out log density that the other rows must gain, in nats for each that is rejected. Fewer
# may be the luck of another search.
MIN_GAIN = 5.0
# Selections at most after the first: outliers may be hidden behind greater ones.
MAX_SELECTIONS = 3
# Standard deviations in a median absolute deviation of a normal distribution.
MEDIAN_DEVIATIONS = 1.4826
# Deviation of a rejected row's noise, in its residuals. These are measured beside the outliers,
# whose noise makes the usual ones up to thirty times too great on the development sets.
REJECTION = 30.0
# Less would leave a row's own variance no digit beside that of its noise.
MIN_WEIGHT = 1e-12


def select(run: Callable[[Dataset], ModelSelection], dataset: Dataset) -> ModelSelection:
    """Select the model of a dataset, and the outliers among its rows.

    Parameters
    ----------
    run : callable
        Selects the model of rows with robustness weights; alike on all hosts.
    dataset : Dataset
        The training rows.
    """
    best = run(dataset)
    for _ in range(MAX_SELECTIONS):
        outliers = find_outliers(best.left_out)
        if {outlier.row for outlier in outliers} <= {outlier.row for outlier in best.outliers}:
            break
        found = replace(run(reject(dataset, outliers)), outliers=outliers)
        if not _gains(best, found):
            break
        best = found
    return best


def find_outliers(left_out: LeftOut | None) -> tuple[Outlier, ...]:
    """Find the rows that are far from what all others predict.

    Parameters
    ----------
    left_out : LeftOut or None
        Without it there are none.
    """
    if left_out is None:
        return ()
    sizes = np.abs(left_out.residuals)
    usual = MEDIAN_DEVIATIONS * np.median(sizes, axis=0)
    # Most residuals of a constant target, and of one that is mostly 0, are 0.
    varies = usual > 0
    deviations = (sizes[:, varies] / usual[varies]).max(axis=1, initial=0.0)
    rows = np.flatnonzero(deviations > MIN_DEVIATIONS)
    if len(rows) > MAX_SHARE * len(sizes):
        return ()
    return tuple(map(Outlier, rows.tolist(), deviations[rows].tolist()))


def _gains(best: ModelSelection, found: ModelSelection) -> bool:
    """Whether the rows that are not rejected are predicted better than before."""
    if best.left_out is None or found.left_out is None:
        return False
    gains = (found.left_out.log_densities - best.left_out.log_densities).sum(axis=1)
    others = np.delete(gains, [outlier.row for outlier in found.outliers])
    return bool(others.sum() > MIN_GAIN * len(found.outliers))


def reject(dataset: Dataset, outliers: tuple[Outlier, ...]) -> Dataset:
    """Return the training rows with robustness weights, next to nothing for outliers."""
    if not outliers:
        return dataset
    weights = np.ones(len(dataset))
    for outlier in outliers:
        weights[outlier.row] = max(MIN_WEIGHT, (REJECTION * outlier.deviations) ** -2)
    return replace(dataset, robustness_weight=weights)
