"""Regressors of other kinds that an ensemble may have as members beside Gaussian processes.

A class of one's own needs the four methods of `Regressor`, and is named as ``module:Class``. An
artifact says which class reads its files, and a class is code: only those that the environment
variable `REGRESSORS_VARIABLE` lists are imported.
"""

import importlib
import os
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.gp.ensembles import k_fold_indices
from gaussian_processes.sagemaker.failures import platform_reason
from gaussian_processes.sagemaker.parameter_types import BOOSTING, MEMBER_NAME

Array = NDArray[np.float64]

# The class of the regressor that comes with this package.
BOOSTING_CLASS = "gaussian_processes.model.boosting:BoostedTrees"
# Classes that may be imported, as ``module:Class``, with commas between them.
REGRESSORS_VARIABLE = "GAUSSIAN_PROCESSES_MEMBERS"
# Folds that predict every training row by a regressor that has not seen it.
FOLDS = 5
# Fewer rows in a fold say nothing of a regressor's errors.
MIN_ROWS = 4 * FOLDS
# A variance of standardised targets that no residual falls below: their rounding.
MIN_VARIANCE = 1e-12


class Regressor(Protocol):
    """Regressor of one target, made without arguments."""

    def fit(self, x: Array, y: Array, sample_weight: Array, /) -> None:
        """Fit to coordinates of shape (n, d), targets and weights of shape (n,), standardised."""

    def predict(self, x: Array, /) -> Array | tuple[Array, Array]:
        """Predict the means of m rows, or their means and variances, each of shape (m,).

        Where there is no variance, that of the out-of-fold residuals takes its place.
        """

    def save(self, folder: Path, /) -> None:
        """Write files into an empty folder."""

    @classmethod
    def load(cls, folder: Path, /) -> Self:
        """Read all that `save` wrote: the folder is gone when this returns."""


def resolve(name: str) -> type[Regressor]:
    """Return the class of a member: of `boosting`, or of ``module:Class``.

    Raises
    ------
    UserError
        If there is no such class, or the environment does not list it.
    """
    if name != BOOSTING and name not in _allowed():
        raise UserError(
            f"{name} is not among the members that this image allows; derive an image with"
            f" ENV {REGRESSORS_VARIABLE}={name}"
        )
    module, _, attribute = (BOOSTING_CLASS if name == BOOSTING else name).partition(":")
    try:
        found: type[Regressor] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, OSError) as error:  # the last where a library is missing
        raise UserError(f"the member {name} can't be imported ({error}); install it") from error
    return found


def load(name: str, folder: Path, coordinates: int) -> Regressor:
    """Load a regressor, and try it on a row of so many coordinates.

    Raises
    ------
    UserError
        If its class is not allowed, or can't be imported.
    ValueError
        If its files are not of such a regressor.
    """
    found = resolve(name)
    try:
        regressor = found.load(folder)
        predict(regressor, np.zeros((1, coordinates)), 1.0)
    except Exception as error:  # a class of one's own may raise any
        if platform_reason(error):
            raise
        raise ValueError(f"the member {name} can't be read: {error}") from error
    return regressor


def _allowed() -> list[str]:
    names = os.environ.get(REGRESSORS_VARIABLE, "").split(",")
    return [name for name in map(str.strip, names) if MEMBER_NAME.fullmatch(name)]


def predict(regressor: Regressor, x: Array, residual_variance: float) -> tuple[Array, Array]:
    """Means and variances of m rows, each of shape (m,).

    Raises
    ------
    UserError
        If the regressor predicts something else.
    """
    mean, variance = _checked(regressor, x)
    return mean, np.full(len(x), residual_variance) if variance is None else variance


def predict_out_of_fold(
    regressor_class: type[Regressor], x: Array, y: Array, sample_weight: Array
) -> tuple[Array, float]:
    """Predict every row by a regressor that was fitted to the other folds.

    Returns
    -------
    ndarray of shape (n, 2)
        Mean and variance of an observation of each row's weight.
    float
        Variance of the residuals, of an observation of weight 1.
    """
    means, variances = np.empty(len(y)), np.full(len(y), np.nan)
    for left in k_fold_indices(len(y), FOLDS, seed=0):
        kept = np.setdiff1d(np.arange(len(y)), left)
        regressor = regressor_class()
        regressor.fit(x[kept], y[kept], sample_weight[kept])
        means[left], own = _checked(regressor, x[left])
        if own is not None:
            variances[left] = own
    residual_variance = max(float(np.mean(sample_weight * (y - means) ** 2)), MIN_VARIANCE)
    variances[np.isnan(variances)] = residual_variance
    return np.column_stack([means, variances / sample_weight]), residual_variance


def _checked(regressor: Regressor, x: Array) -> tuple[Array, Array | None]:
    """Means and, where it has them, variances; refuse what is neither."""
    predicted = regressor.predict(x)
    mean, variance = predicted if isinstance(predicted, tuple) else (predicted, None)
    given = [mean] if variance is None else [mean, variance]
    arrays = [np.asarray(values, np.float64) for values in given]
    for values in arrays:
        if values.shape != (len(x),) or not np.isfinite(values).all():
            raise UserError(
                f"the member {type(regressor).__name__} predicts an array of shape {values.shape}"
                f" for {len(x)} rows; it must be a finite number for each"
            )
    return arrays[0], np.maximum(arrays[1], MIN_VARIANCE) if len(arrays) > 1 else None
