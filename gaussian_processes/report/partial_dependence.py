"""Partial dependence of a model's predictions on one column.

J. H. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics
29, 2001, section 8.2.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.model.model import Member, MemberPrediction, Model, RegressorMember

Array = NDArray[np.float64]

# Values of a column of numbers that the curve is computed at, between these quantiles of it.
GRID_VALUES, GRID_ENDS = 20, (0.02, 0.98)
# Categories that it is computed for, the most frequent ones: a picture has room for few.
MAX_CATEGORIES = 12
# Standard deviations on either side of the mean that hold 95 % of a normal distribution.
BAND_DEVIATIONS = 1.96


@dataclass(frozen=True)
class Curve:
    """Mean prediction at some values of a column, with a band.

    Parameters
    ----------
    values : ndarray of shape (g,)
        Numbers, or codes of categories.
    mean, lower, upper : ndarray of shape (g, t)
    """

    values: Array
    mean: Array
    lower: Array
    upper: Array

    @property
    def spread(self) -> float:
        """Standard deviation of the mean over the values, summed over targets or classes."""
        return float(self.mean.std(axis=0).sum())


def curve(model: Model, background: Array, column: int) -> Curve | None:
    """Compute the partial dependence on a column, averaged over the rows of a background.

    In regression the band is the central 95 % of the posterior of the averaged function, without
    noise; in classification that of the average over other rows of their kind.

    Parameters
    ----------
    model : Model
    background : ndarray of shape (b, c)
    column : int

    Returns
    -------
    Curve or None
        None for a column that is the same, or missing, in all rows.
    """
    values = _grid(model, background[:, column], column)
    if len(values) < 2:
        return None
    rows = np.repeat(background[np.newaxis], len(values), axis=0)
    rows[:, :, column] = values[:, np.newaxis]
    if model.calibration is not None:
        return _probabilities(model, values, rows)
    blend = model.blend([_average(member, rows) for member in model.members])
    band = BAND_DEVIATIONS * np.sqrt(np.asarray(blend.variance))
    return Curve(values, blend.mean, blend.mean - band, blend.mean + band)


def _grid(model: Model, cells: Array, column: int) -> Array:
    """Values that the curve is computed at, of shape (g,), ascending."""
    categories = model.schema.features[column].categories
    if categories is not None:
        counts = np.array([(cells == code).sum() for code in range(len(categories))])
        return np.sort(np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]).astype(float)
    present = cells[~np.isnan(cells)]
    if not len(present):
        return present
    distinct = np.unique(present)
    if len(distinct) <= GRID_VALUES:
        return distinct
    low, high = np.quantile(present, GRID_ENDS)
    return np.linspace(low, high, GRID_VALUES)


def _probabilities(model: Model, values: Array, rows: Array) -> Curve:
    """Partial dependence of probabilities, for rows of shape (g, b, c)."""
    found = model.predict(rows.reshape(-1, rows.shape[2])).probabilities
    if found is None:
        raise ValueError("the model has no classes")
    shares = found.reshape(*rows.shape[:2], -1)
    mean = shares.mean(axis=1)
    band = BAND_DEVIATIONS * shares.std(axis=1) / np.sqrt(shares.shape[1])
    return Curve(values, mean, (mean - band).clip(0, 1), (mean + band).clip(0, 1))


def _average(member: Member, rows: Array) -> MemberPrediction:
    """Posterior of the function averaged over rows, of shape (g, t), without noise.

    The average is linear in the function, so that its variance is σ²_f (mean k(a, a') - ‖L⁻¹ k̄‖²),
    where k̄ is the mean of k(a, X) over the rows a (GPML eq. 2.26). A regressor has no posterior.

    Parameters
    ----------
    rows : ndarray of shape (g, b, c)
    """
    if isinstance(member, RegressorMember):
        mean = np.array([member.mean(block).mean(axis=0) for block in rows])
        return MemberPrediction(mean, np.zeros_like(mean), np.inf)
    process, preprocessor = member.process, member.preprocessor
    covariances, priors, means = [], [], []
    for block in rows:
        points = preprocessor.points(block)
        covariances.append(process.kernel(points, process.points).mean(axis=0))
        priors.append(process.kernel(points, points).mean())
        means.append(member.mean(block).mean(axis=0))
    share = np.zeros(len(rows))  # a model that was saved without its factor has no band
    if process.factor is not None:
        explained = process.factor.quadratic_form(np.array(covariances).T.copy())
        share = np.maximum(np.array(priors) - explained, 0.0)
    variance = np.outer(share, process.signal_variance * preprocessor.target_scale**2)
    return MemberPrediction(np.array(means), variance, np.inf)
