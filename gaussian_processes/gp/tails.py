"""Degrees of freedom and scale of Student-t predictive distributions.

The signal variance σ²_f is integrated out under its reference prior 1/σ²_f: the prediction is a
Student-t distribution of as many degrees of freedom as there are observations, one less where the
mean of the targets was taken off them (O'Hagan, Kendall's Advanced Theory of Statistics 2B, section
9.10). Where leave-one-out residuals have heavier tails than that, `fit` finds how heavy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.distributions import log_density

Array = NDArray[np.float64]

# Degrees of freedom of heavy tails: from the least whose kurtosis is on the edge of being finite to
# where a normal distribution is as good.
HEAVY_DEGREES = (4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0)
# What two more parameters must gain in log density, in nats: Akaike's criterion.
MIN_TAILS_GAIN = 2.0
# Iterations of expectation-maximisation for a scale: each gains half a digit or more.
SCALE_ITERATIONS = 50
# A Student-t distribution of 2 degrees of freedom or less has no variance, and that of slightly
# more says nothing of where observations are: the ratio is that of 3 degrees at the most.
MIN_VARIANCE_DEGREES = 3.0


@dataclass(frozen=True)
class Tails:
    """Heavy tails of a predictive distribution.

    Parameters
    ----------
    degrees_of_freedom : float
        Of the Student-t distribution.
    scale : float
        Factor of the scale that the process predicts, positive.
    """

    degrees_of_freedom: float
    scale: float

    def __post_init__(self) -> None:
        """Refuse numbers that no distribution has."""
        for value in (self.degrees_of_freedom, self.scale):
            if not 0 < value < np.inf:
                raise ValueError(f"its tails have {value} where a positive number belongs")


def degrees_of_freedom(rows: int, is_centered: bool, tails: Tails | None = None) -> float:
    """Degrees of freedom of the prediction from so many observations, at least 1.

    Parameters
    ----------
    rows : int
    is_centered : bool
        Whether the mean of the targets was taken off them.
    tails : Tails, optional
    """
    own = float(max(1, rows - is_centered))
    return own if tails is None else min(own, tails.degrees_of_freedom)


def variance_factor(rows: int, is_centered: bool, tails: Tails | None = None) -> float:
    """Square of the scale of the prediction, over the variance that the process predicts.

    The process divides yᵀα by the number of observations n where its degrees of freedom belong.
    The mean that was taken off has a variance of 1/n of what it was taken off: the factor 1 + 1/n.
    Parameters are those of `degrees_of_freedom`.
    """
    factor = rows / degrees_of_freedom(rows, is_centered)
    if is_centered:
        factor *= 1 + 1 / rows
    return factor if tails is None else factor * tails.scale**2


def variance_ratio(degrees: float) -> float:
    """Variance of a Student-t distribution over its squared scale: ν/(ν - 2), and at most 3."""
    if np.isinf(degrees):
        return 1.0
    floored = max(degrees, MIN_VARIANCE_DEGREES)
    return floored / (floored - 2)


def fit(standardized: Array, degrees: float, min_gain: float = MIN_TAILS_GAIN) -> Tails | None:
    """Fit heavy tails to standardized leave-one-out residuals.

    Parameters
    ----------
    standardized : ndarray
        Of any shape: residuals over the scales that were predicted for them.
    degrees : float
        Degrees of freedom that they should have.
    min_gain : float
        Log density that tails must gain over these, in nats.

    Returns
    -------
    Tails or None
        Of the highest log density; None where the gain is less.
    """
    if not standardized.size:
        return None
    base = _log_likelihood(standardized, 1.0, degrees)
    candidates = [
        Tails(heavy, scale)
        for heavy in HEAVY_DEGREES
        if heavy < degrees and 0 < (scale := fit_scale(standardized, heavy)) < np.inf
    ]
    if not np.isfinite(base) or not candidates:
        return None
    logs = [
        _log_likelihood(standardized, tails.scale, tails.degrees_of_freedom) for tails in candidates
    ]
    best = int(np.argmax(logs))
    return candidates[best] if logs[best] - base > min_gain else None


def fit_scale(standardized: Array, degrees: float) -> float:
    """Scale of the highest likelihood, by expectation-maximisation; parameters as of `fit`."""
    squares = np.square(standardized)
    variance = float(squares.mean())
    for _ in range(SCALE_ITERATIONS):
        if not 0 < variance < np.inf:
            break
        variance = float(((degrees + 1) * squares / (degrees + squares / variance)).mean())
    return float(np.sqrt(variance))


def _log_likelihood(standardized: Array, scale: float, degrees: float) -> float:
    return float(log_density(standardized, np.zeros(1), np.array([scale]), degrees).sum())
