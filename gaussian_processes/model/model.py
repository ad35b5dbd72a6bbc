"""Fitted models: predictions of an ensemble of Gaussian processes, in the units of the targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.preprocessing import Preprocessor, locate_request_row
from gaussian_processes.data.schema import Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp.calibration import Calibration
from gaussian_processes.gp.distributions import PredictiveDistribution, Rows
from gaussian_processes.gp.ensembles import mixture
from gaussian_processes.gp.levels import UnknownLevel
from gaussian_processes.gp.regression import GaussianProcess
from gaussian_processes.gp.tails import (
    Tails,
    degrees_of_freedom,
    variance_factor,
    variance_ratio,
)
from gaussian_processes.model import regressors
from gaussian_processes.model.regressors import Regressor

Array = NDArray[np.float64]

# What a core of 2020 takes: for a row of a request and a training row, every column and every layer
# of the kernel; for an entry of the factor, once to fetch it, and with every row to use it.
COLUMN_SECONDS, LAYER_SECONDS = 2e-10, 1.2e-9
FETCH_SECONDS, ENTRY_SECONDS = 3e-10, 4e-11
# What a regressor of another kind is thought to take: a call, and a row. It is never called in the
# event loop, where nothing may take a millisecond.
REGRESSOR_SECONDS, REGRESSOR_ROW_SECONDS = 5e-3, 5e-5
# Training rows that a model keeps at most, for explanations to compare with.
MAX_BACKGROUND_ROWS = 16
# Upper bounds of the bins of a histogram of novelty.
NOVELTY_BOUNDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Prediction:
    """Predictive distribution of the targets of m rows.

    Parameters
    ----------
    mean : ndarray of shape (m, t)
        In the units of the targets; in classification of the indicators of the classes.
    variance : ndarray of shape (m, t) or None
        Of a new observation, noise included, in squared units; None if it was not asked for. Of a
        Student-t distribution of less than three degrees of freedom, which has next to none, that
        of three at the same scale.
    probabilities : ndarray of shape (m, t) or None
        Of the classes; None in regression.
    make_distribution : callable, optional
        Makes `distribution`, which few requests ask for.
    novelty : ndarray of shape (m, t) or None
        Posterior variance of the function over its prior variance, in [0, 1]: how little the
        training rows say of a row. The processes' mean by their weights; None without variance.
    """

    mean: Array
    variance: Array | None
    probabilities: Array | None = None
    make_distribution: Callable[[], PredictiveDistribution] | None = None
    novelty: Array | None = None

    @cached_property
    def distribution(self) -> PredictiveDistribution:
        """Distribution of new observations: normal, unless `make_distribution` knows another.

        Raises
        ------
        ValueError
            If the variance was not asked for.
        """
        if self.make_distribution is not None:
            return self.make_distribution()
        if self.variance is None:
            raise ValueError("the prediction has no variance: predict with variance=True")
        return PredictiveDistribution.single(self.mean, np.sqrt(self.variance))

    def subset(self, rows: Rows) -> "Prediction":
        """Return the prediction of some of the rows."""
        variance = None if self.variance is None else self.variance[rows]
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        make = None if variance is None else lambda: self.distribution.subset(rows)
        novelty = None if self.novelty is None else self.novelty[rows]
        return Prediction(self.mean[rows], variance, probabilities, make, novelty)

    def of_target(self, index: int) -> "Prediction":
        """Return the prediction of one target of a regression."""
        variance = None if self.variance is None else self.variance[:, [index]]
        make = None if variance is None else lambda: self.distribution.subset(slice(None), [index])
        novelty = None if self.novelty is None else self.novelty[:, [index]]
        return Prediction(self.mean[:, [index]], variance, None, make, novelty)


@dataclass(frozen=True)
class MemberPrediction:
    """Location-scale Student-t distribution that one member predicts for m rows.

    Parameters
    ----------
    mean, squared_scale : ndarray of shape (m, t)
        In the units of the targets.
    degrees_of_freedom : float
    novelty : ndarray of shape (m, t), optional
        See `Prediction`; only processes have one.
    row_degrees : ndarray of shape (m,), optional
        Degrees of freedom of every row, where they differ.
    """

    mean: Array
    squared_scale: Array
    degrees_of_freedom: float
    novelty: Array | None = None
    row_degrees: Array | None = None

    @property
    def variance(self) -> Array:
        """Variance of shape (m, t); as `Prediction` says where there is next to none."""
        if self.row_degrees is None:
            return self.squared_scale * variance_ratio(self.degrees_of_freedom)
        ratios = np.array([variance_ratio(degrees) for degrees in self.row_degrees.tolist()])
        variance: Array = self.squared_scale * ratios[:, np.newaxis]
        return variance

    def spread(self, targets: Sequence[int], count: int) -> "MemberPrediction":
        """Return the prediction at some of `count` targets: the others have no weight here."""
        shape = (len(self.mean), count)
        mean, squared_scale, novelty = np.zeros(shape), np.ones(shape), None
        mean[:, targets], squared_scale[:, targets] = self.mean, self.squared_scale
        if self.novelty is not None:
            novelty = np.zeros(shape)
            novelty[:, targets] = self.novelty
        return replace(self, mean=mean, squared_scale=squared_scale, novelty=novelty)

    @property
    def distribution(self) -> PredictiveDistribution:
        """Distribution of new observations."""
        # A target that is the same everywhere has no scale; its density is finite nevertheless.
        scale = np.sqrt(np.maximum(self.squared_scale, np.finfo(float).tiny))
        if self.row_degrees is None:
            return PredictiveDistribution.single(self.mean, scale, self.degrees_of_freedom)
        return PredictiveDistribution.by_row(self.mean, scale, self.row_degrees)


@dataclass(frozen=True)
class EnsembleMember:
    """A Gaussian process, with the preprocessing that leads from rows to points and back to units.

    Parameters
    ----------
    preprocessor : Preprocessor
    process : GaussianProcess
    weight : float
        Of the ensemble.
    tails : Tails, optional
        Where observations have heavier tails than the process.
    targets : tuple of int, optional
        Indices of the t targets that it predicts, where others have members of their own; all
        unless it is given.
    unknown_levels : tuple of UnknownLevel and None
        What is predicted where a row has each of the preprocessor's `unknown_levels`; what the
        process says where it is None, or the tuple empty.
    """

    preprocessor: Preprocessor
    process: GaussianProcess
    weight: float = 1.0
    tails: Tails | None = None
    targets: tuple[int, ...] | None = None
    unknown_levels: tuple[UnknownLevel | None, ...] = ()

    @property
    def has_variance(self) -> bool:
        """Whether it predicts variances."""
        return self.process.has_variance

    @property
    def factor_bytes(self) -> int:
        """Size of the factor, in bytes."""
        factor = self.process.factor
        return 0 if factor is None else sum(panel.nbytes for panel in factor.panels)

    def without_factor(self) -> "EnsembleMember":
        """Return the member without its factor: it predicts means, but no variances."""
        return replace(self, process=replace(self.process, factor=None))

    def estimated_seconds(self, rows: int, variance: bool) -> float:
        """Estimate how long a core of 2020 takes to predict so many rows."""
        size, columns = self.process.points.shape
        layers = self.process.kernel.layers
        seconds: float = rows * size * (columns * COLUMN_SECONDS + layers * LAYER_SECONDS)
        if variance and self.process.factor is not None:
            seconds += size**2 / 2 * (FETCH_SECONDS + rows * ENTRY_SECONDS)
        elif variance:
            near = min(size, self.process.nearest_points)
            seconds += rows * near**2 * (layers * LAYER_SECONDS + near / 3 * ENTRY_SECONDS)
        return seconds

    def mean(self, rows: Array, locate_row: Callable[[int], str] = locate_request_row) -> Array:
        """Predictive mean, of shape (m, t), at rows of shape (m, c)."""
        return self._in_units(self.process.mean(self.preprocessor.points(rows, locate_row)))

    def predict(
        self,
        rows: Array,
        locate_row: Callable[[int], str] = locate_request_row,
        sample_weight: Array | None = None,
    ) -> MemberPrediction:
        """Predictive distribution at rows of shape (m, c).

        The noise of a row of weight w is σ²ₙ/w, in prediction as in training.
        """
        points = self.preprocessor.points(rows, locate_row)
        mean, variance = self.process.mean_and_variance(points)
        relative = variance / self.process.signal_variance
        novelty = np.clip(relative - self._noise_ratio, 0.0, 1.0)
        if sample_weight is not None:
            noise = self._noise_ratio * self.process.signal_variance
            # Not by adding noise/w - noise: a large weight would leave rounding, which may be < 0.
            variance = np.maximum(variance - noise, 0.0) + np.outer(1 / sample_weight, noise)
        factor, degrees = self._own_scale
        known = MemberPrediction(self._in_units(mean), variance * factor, degrees, novelty)
        return self._widened(known, rows) if any(self.unknown_levels) else known

    def _widened(self, known: MemberPrediction, rows: Array) -> MemberPrediction:
        """Widen the prediction of rows with unknown levels, by the least known of several."""
        is_unknown = self.preprocessor.is_unknown(rows)
        if not is_unknown.any():
            return known
        factor = np.ones_like(known.squared_scale)
        degrees = np.full(len(rows), known.degrees_of_freedom)
        for own, level in zip(is_unknown.T, self.unknown_levels, strict=True):
            if level is not None:
                factor[own] = np.maximum(factor[own], level.squared_scale)
                degrees[own] = np.minimum(degrees[own], level.degrees_of_freedom)
        return replace(known, squared_scale=known.squared_scale * factor, row_degrees=degrees)

    def leave_one_out(
        self,
        targets: Array,
        sample_weight: Array | None = None,
        robustness_weight: Array | None = None,
    ) -> MemberPrediction:
        """Predictive distribution of every training row, given all others.

        Parameters
        ----------
        targets : ndarray of shape (n, t)
            Those of the training that it predicts, in their units.
        sample_weight : ndarray of shape (n,), optional
            Those that it was conditioned with, 1 unless they are given.
        robustness_weight : ndarray of shape (n,), optional
            Their factor for rows that the others contradict. Such a row is predicted as any other
            of its weight: nothing but its own target says that it is one.
        """
        standardized, rows = self.preprocessor.standardized_targets(targets), len(targets)
        mean, variance = self.process.leave_one_out(standardized)
        # 1/[M⁻¹]_ii: the variance is (n σ²_f/[M⁻¹]_ii - residual²)/(n - 1).
        total = rows * self.process.signal_variance
        relative = ((rows - 1) * variance + (standardized - mean) ** 2) / total
        # A row that is left out has the noise of its own weight, λ/w: GPML eq. 5.12 includes it.
        weight = np.ones(rows) if sample_weight is None else sample_weight
        noise = self._noise_ratio / weight[:, np.newaxis]
        novelty = np.clip(relative - noise, 0.0, 1.0)
        if robustness_weight is not None:
            variance = variance * _without_rejection(relative, noise, robustness_weight)
        factor, degrees = self._scale_of(rows - 1)
        return MemberPrediction(self._in_units(mean), variance * factor, degrees, novelty)

    @property
    def _noise_ratio(self) -> float:
        """Noise variance of weight 1 over the prior variance, the jitter included."""
        return self.process.noise_ratio + self.process.jitter

    @cached_property
    def _own_scale(self) -> tuple[Array, float]:
        return self._scale_of(self.process.observations)

    def _scale_of(self, rows: int) -> tuple[Array, float]:
        """Squared scale over the process's variance, of shape (t,), and degrees of freedom."""
        is_centered = self.preprocessor.is_centered
        factor = variance_factor(max(1, rows), is_centered, self.tails)
        degrees = degrees_of_freedom(rows, is_centered, self.tails)
        return factor * self.preprocessor.target_scale**2, degrees

    def _in_units(self, standardized: Array) -> Array:
        return standardized * self.preprocessor.target_scale + self.preprocessor.target_center


@dataclass(frozen=True)
class RegressorMember:
    """A regressor of another kind, of one target, beside the processes of an ensemble.

    Parameters
    ----------
    preprocessor : Preprocessor
        Of that target.
    name : str
        Of its class, as `regressors.resolve` takes it.
    regressor : Regressor
        Fitted to all training rows.
    left_out : ndarray of shape (n, 2)
        Mean and variance of every training row by a regressor that has not seen its fold,
        standardised.
    residual_variance : float
        Of these rows' residuals; the variance of a prediction that has none of its own.
    weight : float
        Of the ensemble.
    tails : Tails, optional
        Where observations have heavier tails than a normal distribution.
    targets : tuple of int, optional
        Index of its target; None where there is one only.
    """

    preprocessor: Preprocessor
    name: str
    regressor: Regressor
    left_out: Array
    residual_variance: float
    weight: float = 1.0
    tails: Tails | None = None
    targets: tuple[int, ...] | None = None

    has_variance = True
    factor_bytes = 0

    def without_factor(self) -> "RegressorMember":
        """Return the member, which has no factor."""
        return self

    def estimated_seconds(self, rows: int, variance: bool) -> float:  # noqa: ARG002  one interface
        """Estimate how long a prediction takes: too long for the event loop, whatever it is."""
        return REGRESSOR_SECONDS + rows * REGRESSOR_ROW_SECONDS

    def mean(self, rows: Array, locate_row: Callable[[int], str] = locate_request_row) -> Array:
        """Predictive mean, of shape (m, 1), at rows of shape (m, c)."""
        return self.predict(rows, locate_row).mean

    def predict(
        self,
        rows: Array,
        locate_row: Callable[[int], str] = locate_request_row,  # noqa: ARG002  processes refuse
        sample_weight: Array | None = None,
    ) -> MemberPrediction:
        """Predictive distribution at rows of shape (m, c), of observations of a weight."""
        coordinates = self.preprocessor.standardized(rows)
        mean, variance = regressors.predict(self.regressor, coordinates, self.residual_variance)
        return self._in_units(mean, variance if sample_weight is None else variance / sample_weight)

    def leave_one_out(
        self,
        targets: Array,  # noqa: ARG002  one interface
        sample_weight: Array | None = None,  # noqa: ARG002
        robustness_weight: Array | None = None,  # noqa: ARG002
    ) -> MemberPrediction:
        """Predictive distribution of every training row, whose fold was left out."""
        return self._in_units(*self.left_out.T)

    def _in_units(self, mean: Array, variance: Array) -> MemberPrediction:
        scale, center = self.preprocessor.target_scale, self.preprocessor.target_center
        width, degrees = 1.0, np.inf
        if self.tails is not None:
            width, degrees = self.tails.scale, self.tails.degrees_of_freedom
        columns = mean[:, np.newaxis], variance[:, np.newaxis]
        return MemberPrediction(
            columns[0] * scale + center, columns[1] * (width * scale) ** 2, degrees
        )


def _without_rejection(relative: Array, noise: Array, robustness_weight: Array) -> Array:
    """Factor of the leave-one-out variance of rows that are predicted as if not rejected.

    A row of weight w was conditioned with noise of λ/w. Without its robustness weight r that is
    λ r/w, and the rest comes off 1/[M⁻¹]_ii, which leaves the noise at the least.

    Parameters
    ----------
    relative : ndarray of shape (n, t)
        1/[M⁻¹]_ii.
    noise : ndarray of shape (n, 1)
        λ/w.
    robustness_weight : ndarray of shape (n,)
    """
    factor = np.ones_like(relative)
    rejected = robustness_weight < 1
    own = noise[rejected] * robustness_weight[rejected, np.newaxis]
    left = np.maximum(relative[rejected] - noise[rejected] + own, own)
    factor[rejected] = left / relative[rejected]
    return factor


Member = EnsembleMember | RegressorMember


@dataclass(frozen=True)
class Model:
    """An ensemble of Gaussian processes, of one usually, and of regressors beside them.

    Parameters
    ----------
    schema : Schema
        What the columns of a row mean.
    members : tuple of EnsembleMember and RegressorMember
        The processes first; of weights that sum to 1 for every target.
    calibration : Calibration, optional
        In classification, what makes probabilities of the means.
    background : ndarray of shape (m, c), optional
        Representative training rows, as `schema` encodes them, that explanations compare with.
    """

    schema: Schema
    members: tuple[Member, ...]
    calibration: Calibration | None = None
    background: Array | None = None

    @property
    def processes(self) -> tuple[EnsembleMember, ...]:
        """The members that are Gaussian processes: one at least."""
        return tuple(member for member in self.members if isinstance(member, EnsembleMember))

    @property
    def has_variance(self) -> bool:
        """Whether it predicts variances: from factors that were kept, or from nearest rows."""
        return all(member.has_variance for member in self.members)

    @property
    def has_factor(self) -> bool:
        """Whether there are the factors, which evidence and leave-one-out need."""
        return all(member.process.factor is not None for member in self.processes)

    @property
    def factor_bytes(self) -> int:
        """Size of the factors, in bytes."""
        return sum(member.factor_bytes for member in self.members)

    def without_factors(self) -> "Model":
        """Return the model without its factors: it predicts means, and no variances from them."""
        return replace(self, members=tuple(member.without_factor() for member in self.members))

    def estimated_seconds(self, rows: int, variance: bool) -> float:
        """Estimate how long a core of 2020 takes to predict so many rows."""
        return sum(member.estimated_seconds(rows, variance) for member in self.members)

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
        if variance:
            members = self._with_factors
            return self.blend([own.predict(rows, locate_row, sample_weight) for own in members])
        mean = np.zeros((len(rows), self.schema.output_count))
        for member in self.members:
            mean[:, self._columns(member)] += member.weight * member.mean(rows, locate_row)
        return Prediction(mean, None, self._probabilities(mean))

    def leave_one_out(
        self,
        targets: Array,
        sample_weight: Array | None = None,
        robustness_weight: Array | None = None,
    ) -> Prediction:
        """Predict every training row from all others.

        Parameters
        ----------
        targets : ndarray of shape (n, t)
            Those of the training; in classification the indicators of the classes.
        sample_weight : ndarray of shape (n,), optional
            Those that the members are conditioned with, 1 unless they are given.
        robustness_weight : ndarray of shape (n,), optional
            Their factor for rows that the others contradict, see `EnsembleMember.leave_one_out`.
        """
        return self.blend(
            [
                own.leave_one_out(targets[:, self._columns(own)], sample_weight, robustness_weight)
                for own in self._with_factors
            ]
        )

    def blend(self, predictions: Sequence[MemberPrediction]) -> Prediction:
        """Blend the predictions of all members: their mixture."""
        weights: list[float | Array] = [member.weight for member in self.members]
        if any(member.targets is not None for member in self.members):
            weights = [self._target_weights(member) for member in self.members]
            predictions = self._spread(predictions)
        if len(predictions) == 1:
            mean, variance = predictions[0].mean, predictions[0].variance
        else:
            means = [prediction.mean for prediction in predictions]
            variances = [prediction.variance for prediction in predictions]
            mean, variance = mixture(weights, means, variances)

        def distribution() -> PredictiveDistribution:
            own = [prediction.distribution for prediction in predictions]
            return PredictiveDistribution.blend(weights, own)

        novelty = _blend_novelty(weights, predictions)
        return Prediction(mean, variance, self._probabilities(mean), distribution, novelty)

    def _columns(self, member: Member) -> slice | list[int]:
        """Columns of the targets that a member predicts."""
        return slice(None) if member.targets is None else list(member.targets)

    def _target_weights(self, member: Member) -> Array:
        """Weight of a member in the mixture of each target, of shape (t,)."""
        weights = np.zeros(self.schema.output_count)
        weights[self._columns(member)] = member.weight
        return weights

    def _spread(self, predictions: Sequence[MemberPrediction]) -> list[MemberPrediction]:
        """Predictions of the members over all targets."""
        count = self.schema.output_count
        return [
            prediction.spread(range(count) if member.targets is None else member.targets, count)
            for member, prediction in zip(self.members, predictions, strict=True)
        ]

    def _probabilities(self, mean: Array) -> Array | None:
        return None if self.calibration is None else self.calibration.probabilities(mean)

    @property
    def _with_factors(self) -> tuple[Member, ...]:
        """The members, which need their factors for a variance."""
        if not self.has_variance:
            raise UserError(
                "this model was trained without its factor; train again with keep_factor=true,"
                " and not with solver=cg, or with deviations=nearest, to get std or variance"
            )
        return self.members


def _blend_novelty(
    weights: Sequence[float | Array], predictions: Sequence[MemberPrediction]
) -> Array | None:
    """Mean novelty of the predictions that have one, by their weights."""
    total: Array | float = 0.0
    known: Array | float = 0.0
    for weight, prediction in zip(weights, predictions, strict=True):
        if prediction.novelty is not None:
            total, known = total + weight * prediction.novelty, known + weight
    if len(predictions) == sum(prediction.novelty is not None for prediction in predictions):
        known = 1.0
    return None if np.all(known == 0) else np.asarray(total / known)
