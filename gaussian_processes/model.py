"""What does a trained model answer, in the units of the target?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.features import Features, numbered
from gaussian_processes.regression import GaussianProcess

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """What is expected at some rows.

    Parameters
    ----------
    mean : ndarray of shape (m, t)
        In the units of the targets.
    variance : ndarray of shape (m, t) or None
        Of a new observation, noise included, in squared units; None if it was not asked for.
    """

    mean: Array
    variance: Array | None


@dataclass(frozen=True)
class Model:
    """A Gaussian process together with what leads from rows to its points and from its numbers to targets."""

    features: Features
    process: GaussianProcess

    @property
    def columns(self) -> int:
        """How many columns a row has, exactly."""
        return self.features.columns

    @property
    def has_variance(self) -> bool:
        """Whether the factor, which variances need, was kept."""
        return self.process.factor is not None

    def predict(self, rows: Array, variance: bool = False, place: Callable[[int], str] = numbered) -> Prediction:
        """Predict the targets of some rows.

        Parameters
        ----------
        rows : ndarray of shape (m, d)
        variance : bool
            Whether the variance is wanted too. It costs a triangular solve with as many rows as the training data had.
        place : callable
            What a person calls row i.

        Raises
        ------
        UserError
            If a row can't be used (the message names row and column), or the variance is wanted of a model without.
        """
        if variance and not self.has_variance:
            raise UserError("this model was trained without variance; train again with variance=true to get std or variance")
        points = self.features.points(rows, place)
        mean = self.process.mean(points) * self.features.target_scale + self.features.target_center
        spread = self.process.variance(points) * self.features.target_scale**2 if variance else None
        return Prediction(mean, spread)
