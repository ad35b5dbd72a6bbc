"""Fitted models: predictions of an ensemble of Gaussian processes, in the units of the targets."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.preprocessing import Preprocessor, locate_request_row
from gaussian_processes.data.schema import Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp.calibration import Calibration
from gaussian_processes.gp.ensembles import average, mixture
from gaussian_processes.gp.regression import GaussianProcess

Array = NDArray[np.float64]

# What a core of 2020 takes: for a row of a request and a training row, every column and every layer
# of the kernel; for an entry of the factor, once to fetch it, and with every row to use it.
COLUMN_SECONDS, LAYER_SECONDS = 2e-10, 1.2e-9
FETCH_SECONDS, ENTRY_SECONDS = 3e-10, 4e-11


@dataclass(frozen=True)
class Prediction:
    """Predictive distribution of the targets of m rows.

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

    def subset(self, rows: slice) -> "Prediction":
        """Return the prediction of some of the rows."""
        variance = None if self.variance is None else self.variance[rows]
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        return Prediction(self.mean[rows], variance, probabilities)


@dataclass(frozen=True)
class EnsembleMember:
    """A Gaussian process, with the preprocessing that leads from rows to points and back to units.

    Parameters
    ----------
    preprocessor : Preprocessor
    process : GaussianProcess
    weight : float
        Of the ensemble.
    """

    preprocessor: Preprocessor
    process: GaussianProcess
    weight: float = 1.0

    def mean(self, rows: Array, locate_row: Callable[[int], str] = locate_request_row) -> Array:
        """Predictive mean, of shape (m, t), at rows of shape (m, c)."""
        return self._in_units(self.process.mean(self.preprocessor.points(rows, locate_row)))

    def mean_and_variance(
        self,
        rows: Array,
        locate_row: Callable[[int], str] = locate_request_row,
        sample_weight: Array | None = None,
    ) -> tuple[Array, Array]:
        """Predictive mean and variance, each of shape (m, t), at rows of shape (m, c).

        The noise of a row of weight w is σ²ₙ/w, in prediction as in training.
        """
        points = self.preprocessor.points(rows, locate_row)
        mean, variance = self.process.mean_and_variance(points)
        if sample_weight is not None:
            noise = (self.process.noise_ratio + self.process.jitter) * self.process.signal_variance
            variance += np.outer(1 / sample_weight - 1, noise)
        return self._in_units(mean), variance * self.preprocessor.target_scale**2

    def _in_units(self, standardized: Array) -> Array:
        return standardized * self.preprocessor.target_scale + self.preprocessor.target_center


@dataclass(frozen=True)
class Model:
    """An ensemble of Gaussian processes: of one, usually.

    Parameters
    ----------
    schema : Schema
        What the columns of a row mean.
    members : tuple of EnsembleMember
        Of weights that sum to 1.
    calibration : Calibration, optional
        In classification, what makes probabilities of the means.
    """

    schema: Schema
    members: tuple[EnsembleMember, ...]
    calibration: Calibration | None = None

    @property
    def has_variance(self) -> bool:
        """Whether the factors, which variances need, were kept."""
        return all(member.process.factor is not None for member in self.members)

    @property
    def factor_bytes(self) -> int:
        """Size of the factors, in bytes."""
        factors = [member.process.factor for member in self.members]
        return sum(panel.nbytes for factor in factors if factor for panel in factor.panels)

    def without_factors(self) -> "Model":
        """Return the model without its factors: it predicts means, but no variances."""
        members = [
            replace(member, process=replace(member.process, factor=None)) for member in self.members
        ]
        return replace(self, members=tuple(members))

    def estimated_seconds(self, rows: int, variance: bool) -> float:
        """Estimate how long a core of 2020 takes to predict so many rows."""
        seconds = 0.0
        for member in self.members:
            size, columns = member.process.points.shape
            layers = member.process.kernel.l + 1
            seconds += rows * size * (columns * COLUMN_SECONDS + layers * LAYER_SECONDS)
            if variance:
                seconds += size**2 / 2 * (FETCH_SECONDS + rows * ENTRY_SECONDS)
        return seconds

    def predict(
        self,
        rows: Array,
        variance: bool = False,
        locate_row: Callable[[int], str] = locate_request_row,
        sample_weight: Array | None = None,
    ) -> Prediction:
        """Predict the targets of some rows.

        Parameters
        ----------
        rows : ndarray of shape (m, c)
            As `schema` encodes them.
        variance : bool
            Whether to compute the variance. It costs a triangular solve with as many rows as the
            training data had.
        locate_row : callable
            Names row i in messages.
        sample_weight : ndarray of shape (m,), optional
            Of the observations to predict; 1 unless it is given.

        Raises
        ------
        UserError
            If a row can't be used (the message names row and column), or the variance is asked of a
            model without factors.
        """
        weights = [member.weight for member in self.members]
        if variance:
            mean, total_variance = self._mixture(weights, rows, locate_row, sample_weight)
        else:
            mean = average(weights, [member.mean(rows, locate_row) for member in self.members])
            total_variance = None
        return self.with_probabilities(mean, total_variance)

    def with_probabilities(self, mean: Array, variance: Array | None) -> Prediction:
        """Return the prediction of these moments, with the probabilities of the classes if any."""
        probabilities = None if self.calibration is None else self.calibration.probabilities(mean)
        return Prediction(mean, variance, probabilities)

    def _mixture(
        self,
        weights: list[float],
        rows: Array,
        locate_row: Callable[[int], str],
        sample_weight: Array | None,
    ) -> tuple[Array, Array]:
        if not self.has_variance:
            raise UserError(
                "this model was trained without its factor; train again with keep_factor=true to"
                " get std or variance"
            )
        predictions = [
            member.mean_and_variance(rows, locate_row, sample_weight) for member in self.members
        ]
        means, variances = zip(*predictions, strict=True)
        return mixture(weights, means, variances)
