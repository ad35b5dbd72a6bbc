"""Outlying cells: values so far from all others of a column that they may mean something else."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Standard deviations of the others: the largest of 1,000 numbers of a normal distribution is 3.2
# from their mean, of a log-normal one 10.
MAX_DEVIATIONS = 12
# Fewer others have no standard deviation worth the name; nor have those that are mostly one value,
# such as counts that are seldom above 0.
MIN_OTHERS = 10


def find_outlier(values: Array) -> tuple[int, float] | None:
    """Find the first row whose value, least or greatest, is far from all that differ from it.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN where a value is missing.

    Returns
    -------
    tuple of int and float, or None
        The row, and its distance from the mean of the others in their standard deviations.

    Examples
    --------
    >>> find_outlier(np.append(np.arange(20.0), -9999))[0]
    20
    """
    present = values[np.isfinite(values)]
    if not len(present):
        return None
    for extreme in (present.min(), present.max()):
        others = present[present != extreme]
        if len(others) < MIN_OTHERS:
            continue
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            deviations = abs(extreme - others.mean()) / others.std()
        if MAX_DEVIATIONS < deviations < np.inf and np.ptp(np.quantile(others, [0.25, 0.75])):
            return int(np.flatnonzero(values == extreme)[0]), float(deviations)
    return None
