"""What does a trained model answer, in the units of the target?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.preprocessing import Preprocessor, locate_request_row
from gaussian_processes.data.schema import Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp.ensembles import average, mixture
from gaussian_processes.gp.regression import GaussianProcess

Array = NDArray[np.float64]

# What a core of 2020 takes: for a row of a request and a training row, every column and every level of the kernel; for an entry
# of the factor, once to fetch it, and with every row to use it.
COLUMN_SECONDS, LEVEL_SECONDS = 2e-10, 1.2e-9
FETCH_SECONDS, ENTRY_SECONDS = 3e-10, 4e-11


@dataclass(frozen=True)
class Prediction:
    """What is expected at some rows.

    Parameters
    ----------
    mean : ndarray of shape (m, t)
        In the units of the targets; in classification of the indicators of the classes.
    variance : ndarray of shape (m, t) or None
        Of a new observation, noise included, in squared units; None if it was not asked for.
    probabilities : ndarray of shape (m, t) or None
        Of the classes; None in regression.
    """

    mean: Array
    variance: Array | None
    probabilities: Array | None = None

    def of(self, rows: slice) -> "Prediction":
        """Return the prediction of some of the rows."""
        parts = (
            None if values is None else values[rows]
            for values in (self.mean, self.variance, self.probabilities)
        )
        return Prediction(*parts)  # type: ignore[arg-type]  # the mean is never None


@dataclass(frozen=True)
class EnsembleMember:
    """A Gaussian process together with what leads from rows to its points and from its numbers to targets.

    Parameters
    ----------
    preprocessor : Preprocessor
    process : GaussianProcess
    weight : float
        Its share of the model.
    """

    preprocessor: Preprocessor
    process: GaussianProcess
    weight: float = 1.0

    def mean(self, rows: Array, place: Callable[[int], str] = locate_request_row) -> Array:
        """Mean at rows of shape (m, c), of shape (m, t)."""
        points = self.preprocessor.points(rows, place)
        return (
            self.process.mean(points) * self.preprocessor.target_scale
            + self.preprocessor.target_center
        )

    def mean_and_variance(
        self, rows: Array, place: Callable[[int], str] = locate_request_row
    ) -> tuple[Array, Array]:
        """Mean and variance at rows of shape (m, c), each of shape (m, t)."""
        mean, variance = self.process.mean_and_variance(self.preprocessor.points(rows, place))
        return (
            mean * self.preprocessor.target_scale + self.preprocessor.target_center,
            variance * self.preprocessor.target_scale**2,
        )


@dataclass(frozen=True)
class Model:
    """One Gaussian process, or several that are blended.

    Parameters
    ----------
    schema : Schema
        What the columns of a row mean.
    members : tuple of Member
        Their weights add up to 1.
    sharpness : float
        In classification, what the means are multiplied by before their softmax makes probabilities of them.
    """

    schema: Schema
    members: tuple[EnsembleMember, ...]
    inverse_temperature: float = 0.0

    @property
    def has_variance(self) -> bool:
        """Whether the factors, which variances need, were kept."""
        return all(member.process.factor is not None for member in self.members)

    def estimated_seconds(self, rows: int, variance: bool) -> float:
        """Roughly how long a core of 2020 predicts so many rows."""
        seconds = 0.0
        for member in self.members:
            size, columns = member.process.points.shape
            levels = member.process.kernel.l + 1
            seconds += rows * size * (columns * COLUMN_SECONDS + levels * LEVEL_SECONDS)
            if variance:
                seconds += size**2 / 2 * (FETCH_SECONDS + rows * ENTRY_SECONDS)
        return seconds

    def predict(
        self, rows: Array, variance: bool = False, place: Callable[[int], str] = locate_request_row
    ) -> Prediction:
        """Predict the targets of some rows.

        Parameters
        ----------
        rows : ndarray of shape (m, c)
            As `schema` reads them.
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
            raise UserError(
                "this model was trained without variance; train again with keep_factor=true to get std or variance"
            )
        weights = [member.weight for member in self.members]
        spread: Array | None = None
        if variance:
            means, spreads = zip(
                *(member.mean_and_variance(rows, place) for member in self.members), strict=True
            )
            mean, spread = mixture(weights, means, spreads)
        else:
            mean = average(weights, [member.mean(rows, place) for member in self.members])
        probabilities = softmax(self.inverse_temperature * mean) if self.schema.classes else None
        return Prediction(mean, spread, probabilities)


def softmax(x: Array) -> Array:
    """Positive numbers of sum 1 in every row, in the ratios of the exponentials."""
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    shares: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
