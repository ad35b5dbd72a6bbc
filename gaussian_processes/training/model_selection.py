"""Model selection among candidates of kernel, relevances and preparation of the columns.

Candidates are fitted and scored on ever more rows of a sample, and only the best go on: successive
halving [1]_, from 500 rows to 2,000. The best alone, or a blend of the last by stacking, is the
model. Everything is pure: a dataset and hyperparameters in, a `ModelSelection` out.

References
----------
.. [1] K. Jamieson and A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
   Optimization", AISTATS 2016.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset, canonical_order
from gaussian_processes.data.preprocessing import Preprocessor
from gaussian_processes.data.schema import Schema
from gaussian_processes.gp import calibration, kernels, marginal_likelihood, scores, tails
from gaussian_processes.gp.calibration import Calibration
from gaussian_processes.gp.ensembles import mixture, stacking_weights
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF, Kernel, Matern52
from gaussian_processes.gp.levels import LevelsLeftOut, UnknownLevel
from gaussian_processes.gp.marginal_likelihood import KernelParameters, TrainingData
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.gp.tails import Tails
from gaussian_processes.linalg.parallel import ParallelMap, WorkerPool
from gaussian_processes.model.model import EnsembleMember, MemberPrediction
from gaussian_processes.sagemaker.hyperparameters import MAX_MEMBERS, Hyperparameters
from gaussian_processes.training.preparation import (
    Preparation,
    fit_preprocessor,
    noise_weights,
    preparations,
    regression_targets,
    with_parameters,
)

Array = NDArray[np.float64]
Classes = NDArray[np.intp]
UnknownLevels = tuple[UnknownLevel | None, ...]

# Rows of each further round of halving, and the candidates that go on to it. A fit costs the cube
# of its rows: the eight of 1,000 rows as much as all of 500, the four of 2,000 rows four times it.
HALVING = ((1_000, 8), (marginal_likelihood.MAX_ROWS, MAX_MEMBERS))
# Kernels that are tried with a relevance for each column, kernels that are tried with the other
# preparations, and candidates that are tried with a Gaussian of the distance: the best so far. Each
# is a search in as many dimensions as there are columns.
RELEVANCE_KERNELS, PREPARED_KERNELS, DISTANCE_CANDIDATES = 6, 2, 4
# A member of less weight hardly changes a prediction, and costs a factor as any other.
MIN_MEMBER_WEIGHT = 0.05
# Rows up to which a blend has as many members as have `FEW_ROWS_MEMBERS` rows together, and weights
# with a prior of `PRIOR_ROWS` rows: who is best of thirty candidates on a few rows is luck, and the
# deviations of the winner are too small. At 5 and 8 rows of noise, intervals of 90 % covered 77 %
# and now 85 and 87; on the development sets log densities gain .11 at 20 rows, .03 at 100 and next
# to nothing at 200. More prior costs accuracy where there is a signal.
FEW_ROWS, FEW_ROWS_MEMBERS, PRIOR_ROWS = 200, 1_600, 3.0
# The hyperparameter that sets each of the kernel's parameters.
PARAMETER_NAMES = {"noise_ratio": "noise", "bias": "bias", "relevance": "ard", "gamma": "gamma"}


@dataclass(frozen=True)
class Candidate:
    """Kernel, relevances and preparation to compare with others.

    Parameters
    ----------
    kernel : Kernel
        The parameters that it learns may have any value.
    preparation : Preparation
    ard : bool
        Whether every column has a relevance of its own.
    start : KernelParameters, optional
        Parameters of a similar candidate, near which the best are; without it they are searched for
        from several starts.
    """

    kernel: Kernel
    preparation: Preparation
    ard: bool = False
    start: KernelParameters | None = None


@dataclass(frozen=True)
class CandidateResult:
    """Parameters and scores of one candidate.

    Parameters
    ----------
    preparation : Preparation
    ard : bool
    parameters : KernelParameters
    rows : int
        Rows that it was fitted and scored on: scores of other numbers of rows do not compare.
    log_marginal_likelihood : float
        Of these rows' targets in their units.
    loo_nlpd : float
        Mean negative log predictive density of every row, given all others; of classes, log loss.
    validation_error : float or None
        On the validation rows: RMSE, or log loss in classification.
    tails : Tails or None
        Where the leave-one-out residuals have heavier ones than the process.
    targets : tuple of int, optional
        Indices of the targets that it was fitted to, where others have candidates of their own.
    unknown_levels : tuple of UnknownLevel and None
        See `EnsembleMember`.
    optimism : float
        By how much `loo_nlpd` is thought too low, see `_optimism`.
    """

    preparation: Preparation
    ard: bool
    parameters: KernelParameters
    rows: int
    log_marginal_likelihood: float
    loo_nlpd: float
    validation_error: float | None
    tails: Tails | None = None
    targets: tuple[int, ...] | None = None
    unknown_levels: UnknownLevels = ()
    optimism: float = 0.0


@dataclass(frozen=True)
class CandidateFit:
    """Result of a candidate, and what weighs it against the others.

    Parameters
    ----------
    result : CandidateResult
    loo_log_densities : ndarray of shape (n, t)
        Log predictive density of every row and target, given all other rows; of classes, of shape
        (n, 1), log probability.
    loo_means, loo_variances : ndarray of shape (n, t)
        Of every row and target, given all other rows.
    """

    result: CandidateResult
    loo_log_densities: Array
    loo_means: Array
    loo_variances: Array


@dataclass(frozen=True)
class LeaveOneOutScores:
    """Leave-one-out residuals and log densities of the blend, of all training rows in their order.

    Parameters
    ----------
    residuals, deviations, log_densities : ndarray of shape (n, t)
        The deviations are the standard ones that are predicted.
    """

    residuals: Array
    deviations: Array
    log_densities: Array


@dataclass(frozen=True)
class ModelSelection:
    """Candidates, their weights in the model, and the calibration of its classes.

    Parameters
    ----------
    candidates : sequence of CandidateResult
    weights : sequence of float
    calibration : Calibration, optional
    loo_nlpd : sequence of float
        Of every target by itself, of the blend on the rows of the last comparison.
    outliers : mapping of int to float
        Training rows that were rejected, and their residuals in robust standard deviations.
    loo : LeaveOneOutScores, optional
        Where all rows were compared on. It is no part of the JSON, since only the selection itself
        needs it, nor of comparisons, since arrays have no single truth value.
    """

    candidates: Sequence[CandidateResult]
    weights: Sequence[float]
    calibration: Calibration | None = None
    loo_nlpd: Sequence[float] = ()
    outliers: Mapping[int, float] = field(default_factory=dict)
    loo: LeaveOneOutScores | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the selection as JSON can hold it."""
        candidates = []
        for candidate in self.candidates:
            content = asdict(candidate)
            content["parameters"]["relevance"] = candidate.parameters.relevance.tolist()
            content["parameters"]["kernel"] = candidate.parameters.kernel.to_json()
            candidates.append(content)
        return {
            "candidates": candidates,
            "weights": list(self.weights),
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "loo_nlpd": list(self.loo_nlpd),
            "outliers": list(self.outliers.items()),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelSelection":
        """Return the selection that `to_json` made this of."""
        candidates = []
        for candidate in content["candidates"]:
            parameters = candidate["parameters"]
            kernel = kernels.from_json(parameters["kernel"])
            relevance = np.array(parameters["relevance"])
            found = KernelParameters(**{**parameters, "kernel": kernel, "relevance": relevance})
            own = {
                "parameters": found,
                "preparation": Preparation(**candidate["preparation"]),
                "tails": None if candidate["tails"] is None else Tails(**candidate["tails"]),
                "targets": candidate["targets"] and tuple(candidate["targets"]),
                "unknown_levels": tuple(
                    map(UnknownLevel.from_json, candidate.get("unknown_levels", ()))
                ),
            }
            candidates.append(CandidateResult(**{**candidate, **own}))
        found_calibration = content["calibration"]
        return cls(
            candidates,
            content["weights"],
            None if found_calibration is None else Calibration.from_json(found_calibration),
            content["loo_nlpd"],
            dict(content.get("outliers", ())),
        )


class Criterion(Protocol):
    """Criterion of the selection."""

    def score(self, result: CandidateResult, /) -> float:
        """Score a candidate: the higher, the better."""


class Evidence:
    """Log marginal likelihood of the sample (GPML section 5.2)."""

    def score(self, result: CandidateResult) -> float:
        """Score a candidate: the higher, the better."""
        return result.log_marginal_likelihood


class LeaveOneOut:
    """Leave-one-out log predictive probability (GPML section 5.3), less its optimism.

    Of classes it is minus log loss.
    """

    def score(self, result: CandidateResult) -> float:
        """Score a candidate: the higher, the better."""
        return -result.loo_nlpd - result.optimism


class Validation:
    """Error on the validation rows."""

    def score(self, result: CandidateResult) -> float:
        """Score a candidate: the higher, the better."""
        if result.validation_error is None:
            raise ValueError("the candidate was evaluated without validation rows")
        return -result.validation_error


CRITERIA: Mapping[str, Criterion] = {
    "evidence": Evidence(),
    "loo": LeaveOneOut(),
    "validation": Validation(),
}


@dataclass(frozen=True)
class Sample:
    """Rows that candidates are compared on, as arrays: another process can evaluate candidates too.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        Their positions in the dataset.
    targets : ndarray of shape (n, t)
        In their units; in classification the indicators of the classes.
    robustness : ndarray of shape (n,)
        See `Dataset`.
    codes : ndarray of shape (n,), optional
        Positions of the rows' classes; None in regression.
    learned_parameters : sequence of str
        Parameters of the kernel that are learned, beside relevances.
    noise_ratio : float
        Of the kernel, where it is not learned.
    tail_gain : float
        Log density that heavy tails must gain, in nats.
    preprocessors : mapping of Preparation to Preprocessor
    data : mapping of Preparation to TrainingData
        The rows, standardised.
    validation : (ndarray of shape (m, c), ndarray of shape (m, t), ndarray of shape (m,)), optional
        Features, targets and weights that the criterion needs beside these.
    """

    rows: NDArray[np.intp]
    targets: Array
    robustness: Array
    codes: Classes | None
    learned_parameters: Sequence[str]
    noise_ratio: float
    tail_gain: float
    preprocessors: Mapping[Preparation, Preprocessor]
    data: Mapping[Preparation, TrainingData]
    validation: tuple[Array, Array, Array] | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.targets)

    @property
    def may_have_tails(self) -> bool:
        """Whether observations may have heavier tails than the process; classes have none."""
        return self.codes is None and not np.isposinf(self.tail_gain)

    def subset(self, max_rows: int) -> "Sample":
        """Return the same sample with `max_rows` rows at most."""
        rows = marginal_likelihood.subset_rows(len(self), max_rows)
        return replace(
            self,
            rows=self.rows[rows],
            targets=self.targets[rows],
            robustness=self.robustness[rows],
            codes=None if self.codes is None else self.codes[rows],
            data={key: data.subset(max_rows) for key, data in self.data.items()},
        )


def select(
    dataset: Dataset,
    schema: Schema,
    hyperparameters: Hyperparameters,
    validation: Dataset | None = None,
    parallel_map: ParallelMap = map,
) -> ModelSelection:
    """Compare the candidates on a sample, and weigh the best.

    The order of the training rows does not matter.

    Parameters
    ----------
    dataset : Dataset
        Training rows.
    schema : Schema
    hyperparameters : Hyperparameters
    validation : Dataset, optional
        Needed for the criterion `validation` only.
    parallel_map : ParallelMap
        Shares candidates that do not depend on each other among hosts and their cores; what they
        come to does not depend on it.
    """
    sample = draw_sample(dataset, schema, hyperparameters, validation)
    criterion = CRITERIA[hyperparameters.criterion]
    few = sample.subset(marginal_likelihood.SUBSET_ROWS)
    paths = parallel_map(
        lambda path: evaluate_path(path, few), kernel_paths(hyperparameters, sample)
    )
    fits = [fit for path in paths for fit in path]
    if hyperparameters.ensemble != "mean":
        with_relevance = relevance_candidates(fits, hyperparameters, criterion)
        fits += parallel_map(lambda candidate: evaluate(candidate, few), with_relevance)
        prepared = prepared_candidates(fits, hyperparameters, sample, criterion)
        fits += parallel_map(lambda candidate: evaluate(candidate, few), prepared)
        with_distance = distance_candidates(fits, hyperparameters, criterion)
        fits += parallel_map(lambda candidate: evaluate(candidate, few), with_distance)
    left_out: list[CandidateFit] = []
    for rows, count in _rounds(len(fits), hyperparameters.ensemble):
        if len(sample) > fits[0].result.rows:
            fits = _ranked(fits, criterion)
            fits, left_out = fits[:count], [*fits[count:], *left_out]
            fits = _refine_all(fits, sample.subset(rows), parallel_map)
    return _weigh(_ranked(fits, criterion), left_out, sample, hyperparameters, len(dataset))


def _rounds(candidates: int, ensemble: str) -> Sequence[tuple[int, int]]:
    """Rows and candidates of the rounds of halving; a mean is of all, and one needs no halving."""
    last_rows, _ = HALVING[-1]
    return ((last_rows, candidates),) if ensemble == "mean" or candidates == 1 else HALVING


def draw_sample(
    dataset: Dataset,
    schema: Schema,
    hyperparameters: Hyperparameters,
    validation: Dataset | None,
) -> Sample:
    """Draw the rows to compare on, `MAX_ROWS` at most, standardised by all rows.

    They are in random order, so that evenly spaced subsets of them are as random.
    Of drawn targets that are all 0 no parameter can be learned: then the priors decide.
    """
    order = canonical_order(dataset)
    dataset = dataset.subset(order)
    weights = noise_weights(dataset, schema, hyperparameters)
    size = min(len(dataset), marginal_likelihood.MAX_ROWS)
    generator = np.random.default_rng(hyperparameters.seed)
    indices = generator.choice(len(dataset), size, replace=False)
    drawn = dataset.subset(indices)
    targets = regression_targets(drawn, schema)
    preprocessors, data = {}, {}
    for preparation in preparations(dataset, schema, hyperparameters):
        preprocessor = fit_preprocessor(dataset, schema, hyperparameters, preparation)
        preprocessors[preparation] = preprocessor
        data[preparation] = TrainingData(
            preprocessor.standardized(drawn.X),
            preprocessor.standardized_targets(targets),
            weights[indices],
        )
    return Sample(
        rows=order[indices],
        targets=targets,
        robustness=drawn.robustness,
        codes=drawn.y[:, 0].astype(np.intp) if schema.classes else None,
        learned_parameters=hyperparameters.learned_parameters,
        noise_ratio=hyperparameters.noise or 0.0,
        tail_gain=_tail_gain(hyperparameters),
        preprocessors=preprocessors,
        data=data,
        validation=_validation_rows(hyperparameters, validation),
    )


def _tail_gain(hyperparameters: Hyperparameters) -> float:
    """Leave-one-out log density that heavy tails must gain, in nats, to be taken."""
    if hyperparameters.likelihood == "student":
        return -np.inf
    is_compared = hyperparameters.likelihood == "auto" and hyperparameters.compares_kernels
    return tails.MIN_TAILS_GAIN if is_compared else np.inf


def _validation_rows(
    hyperparameters: Hyperparameters, validation: Dataset | None
) -> tuple[Array, Array, Array] | None:
    if validation is None or hyperparameters.criterion != "validation":
        return None
    return validation.X, validation.y, validation.sample_weight


def kernel_paths(hyperparameters: Hyperparameters, sample: Sample) -> Iterator[list[Candidate]]:
    """Candidates of each scaling and degree, by growing depth, with the preparation asked for.

    The best parameters of one depth are near the best of the next, so that the candidates of a path
    are evaluated one after the other; paths do not depend on each other.
    """
    compares_encodings = hyperparameters.encoding == "auto"
    for preparation in sample.data:
        if compares_encodings and preparation.encoding != "none":
            continue
        for path in _named_kernels(hyperparameters):
            yield [Candidate(kernel, preparation, bool(hyperparameters.ard)) for kernel in path]


def _named_kernels(hyperparameters: Hyperparameters) -> list[list[Kernel]]:
    """Kernels of each degree, by growing depth."""
    if hyperparameters.kernel == Matern52.name:
        return [[Matern52()]]
    kernel = ArcCosineRBF if hyperparameters.kernel == ArcCosineRBF.name else ArcCosine
    return [[kernel(q, depth) for depth in hyperparameters.l] for q in hyperparameters.q]


def relevance_candidates(
    fits: Sequence[CandidateFit], hyperparameters: Hyperparameters, criterion: Criterion
) -> list[Candidate]:
    """Pair the best kernels so far with a relevance for every column."""
    if not hyperparameters.compares_relevances:
        return []
    best = [fit.result for fit in _ranked(fits, criterion)[:RELEVANCE_KERNELS]]
    return [
        Candidate(result.parameters.kernel, result.preparation, True, result.parameters)
        for result in best
        if len(result.parameters.relevance) > 1
    ]


def prepared_candidates(
    fits: Sequence[CandidateFit],
    hyperparameters: Hyperparameters,
    sample: Sample,
    criterion: Criterion,
) -> list[Candidate]:
    """Pair the best kernels so far with every other preparation of the columns."""
    if hyperparameters.encoding != "auto":
        return []
    encodings = [key for key in sample.data if key.encoding != "none"]
    ard = hyperparameters.compares_relevances or bool(hyperparameters.ard)
    best = _distinct_kernels([fit.result for fit in _ranked(fits, criterion)])
    return [
        Candidate(kernel, preparation, ard)
        for kernel in best[:PREPARED_KERNELS]
        for preparation in encodings
    ]


def _distinct_kernels(results: Sequence[CandidateResult]) -> list[Kernel]:
    """Kernels of some results, each once whatever it has learned."""
    found = [result.parameters.kernel for result in results]
    return list(
        dict.fromkeys(kernel.with_values(**dict.fromkeys(kernel.learned, 1.0)) for kernel in found)
    )


def distance_candidates(
    fits: Sequence[CandidateFit], hyperparameters: Hyperparameters, criterion: Criterion
) -> list[Candidate]:
    """Multiply the kernels of the best candidates of each degree by a Gaussian of the distance.

    One of each, because the Gaussian leaves depths of one degree little to differ by. The other
    parameters start from what was found without, among others.
    """
    if not hyperparameters.compares_distances:
        return []
    found: dict[int, Candidate] = {}
    for fit in _ranked(fits, criterion):
        result, own = fit.result, fit.result.parameters
        if isinstance(own.kernel, ArcCosine) and len(own.relevance):
            kernel = ArcCosineRBF(own.kernel.q, own.kernel.l)
            candidate = Candidate(kernel, result.preparation, result.ard, own)
            found.setdefault(own.kernel.q, candidate)
    return list(found.values())[:DISTANCE_CANDIDATES]


def evaluate_path(path: Sequence[Candidate], sample: Sample) -> list[CandidateFit]:
    """Evaluate the candidates of a path, the search for each from the parameters of the last."""
    fits: list[CandidateFit] = []
    for candidate in path:
        start = fits[-1].result.parameters if fits else candidate.start
        fits.append(evaluate(replace(candidate, start=start), sample))
    return fits


def evaluate(candidate: Candidate, sample: Sample) -> CandidateFit:
    """Learn a candidate's parameters from all rows of a sample, and score it there."""
    preprocessor = sample.preprocessors[candidate.preparation]
    initial = KernelParameters(
        candidate.kernel, sample.noise_ratio, preprocessor.bias, preprocessor.relevance
    ).with_kernel(candidate.kernel)
    parameters = marginal_likelihood.maximize_posterior(
        initial,
        learned_names(sample.learned_parameters, candidate.kernel, candidate.ard),
        sample.data[candidate.preparation],
        candidate.start,
    )
    return _score(candidate.preparation, candidate.ard, parameters, sample)


def refine(result: CandidateResult, sample: Sample) -> CandidateFit:
    """Learn a candidate's parameters from more rows, from where fewer have led, and score it."""
    names = learned_names(sample.learned_parameters, result.parameters.kernel, result.ard)
    start = marginal_likelihood.floor_noise(result.parameters, names)
    data = sample.data[result.preparation]
    parameters = marginal_likelihood.maximize_posterior(result.parameters, names, data, start)
    return _score(result.preparation, result.ard, parameters, sample)


def _refine_all(
    fits: Sequence[CandidateFit], sample: Sample, parallel_map: ParallelMap
) -> list[CandidateFit]:
    return list(parallel_map(lambda fit: refine(fit.result, sample), fits))


def learned_names(learned_parameters: Sequence[str], kernel: Kernel, ard: bool) -> list[str]:
    """Names of all parameters that a candidate learns: shared ones, the kernel's and relevances."""
    return [*learned_parameters, *kernel.learned, *(["relevance"] if ard else [])]


def _score(
    preparation: Preparation, ard: bool, parameters: KernelParameters, sample: Sample
) -> CandidateFit:
    """Condition on the sample, and score."""
    preprocessor, data = sample.preprocessors[preparation], sample.data[preparation]
    process, scale = data.condition(parameters), preprocessor.target_scale
    member = EnsembleMember(with_parameters(preprocessor, parameters), process)
    weights = data.sample_weight, sample.robustness
    prediction = member.leave_one_out(sample.targets, *weights)
    heavy = _fit_tails(prediction, sample)
    if heavy is not None:
        member = replace(member, tails=heavy)
        prediction = member.leave_one_out(sample.targets, *weights)
    densities = _loo_log_densities(prediction, sample)
    result = CandidateResult(
        preparation=preparation,
        ard=ard,
        parameters=parameters,
        rows=len(sample),
        log_marginal_likelihood=process.log_marginal_likelihood()
        - len(data.y) * float(np.log(scale).sum()),
        loo_nlpd=-float(densities.sum(axis=1).mean()),
        validation_error=_validation_error(member, prediction.mean, sample),
        tails=heavy,
        optimism=_optimism(ard, parameters, sample),
    )
    return CandidateFit(result, densities, prediction.mean, prediction.variance)


def _optimism(ard: bool, parameters: KernelParameters, sample: Sample) -> float:
    """Log loss by which the rows flatter the parameters that they have taught, in nats a row.

    A row that is left out has taught the parameters nevertheless: one nat in all for each that not
    every candidate has, which makes leave-one-out Akaike's criterion [1]_. Without it relevances
    are overfitted to classes, whose indicators are no normal observations. In regression their
    prior suffices: there it gained nothing on the development sets.

    References
    ----------
    .. [1] M. Stone, "An Asymptotic Equivalence of Choice of Model by Cross-Validation and Akaike's
       Criterion", Journal of the Royal Statistical Society B 39, 1977.
    """
    if sample.codes is None:
        return 0.0
    relevances = len(parameters.relevance) if ard else 0
    return (relevances + len(parameters.kernel.learned)) / len(sample)


def _fit_tails(prediction: MemberPrediction, sample: Sample) -> Tails | None:
    """Fit heavy tails to leave-one-out predictions of targets.

    All rows say how many degrees of freedom they have, and those that are not rejected their scale.
    """
    if not sample.may_have_tails:
        return None
    scale = np.sqrt(np.maximum(prediction.squared_scale, np.finfo(float).tiny))
    varies = (sample.targets != sample.targets[0]).any(axis=0)
    standardized = ((sample.targets - prediction.mean) / scale)[:, varies]
    heavy = tails.fit(standardized, prediction.degrees_of_freedom, sample.tail_gain)
    is_rejected = sample.robustness < 1
    if heavy is None or not is_rejected.any():
        return heavy
    own_scale = tails.fit_scale(standardized[~is_rejected], heavy.degrees_of_freedom)
    return replace(heavy, scale=own_scale) if 0 < own_scale < np.inf else heavy


def _loo_log_densities(prediction: MemberPrediction, sample: Sample) -> Array:
    """Log density of every row and target, given the other rows, of shape (n, t).

    Of a class it is its calibrated log probability, of shape (n, 1). Targets that are constant in
    the sample have no say: theirs are 0.
    """
    mean = prediction.mean
    if sample.codes is None:
        varies = (sample.targets != sample.targets[0]).any(axis=0)
        logs: Array = np.where(varies, prediction.distribution.log_density(sample.targets), 0.0)
        return logs
    probabilities = calibration.fit(mean, sample.codes).probabilities(mean)
    own = probabilities[np.arange(len(mean)), sample.codes]
    densities: Array = np.log(np.maximum(own, np.finfo(float).tiny))[:, np.newaxis]
    return densities


def _validation_error(member: EnsembleMember, loo_means: Array, sample: Sample) -> float | None:
    """RMSE on the weighted validation rows, or log loss of classes; None without such rows."""
    if sample.validation is None:
        return None
    rows, y, weight = sample.validation
    mean = member.mean(rows)
    if sample.codes is None:
        return scores.rmse(y, mean, weight)
    fitted = calibration.fit(loo_means, sample.codes)
    return scores.log_loss(y[:, 0], fitted.probabilities(mean), weight)


def _ranked(fits: Sequence[CandidateFit], criterion: Criterion) -> list[CandidateFit]:
    """Candidates, the best first."""
    return sorted(fits, key=lambda fit: -criterion.score(fit.result))


def _weigh(
    ranked: Sequence[CandidateFit],
    left_out: Sequence[CandidateFit],
    sample: Sample,
    hyperparameters: Hyperparameters,
    rows: int,
) -> ModelSelection:
    """Weigh the candidates of the last round; those that were left out have no weight."""
    if hyperparameters.stacks(rows):
        densities = [fit.loo_log_densities.sum(axis=1) - fit.result.optimism for fit in ranked]
        weights = _stack(np.column_stack(densities))
    elif hyperparameters.ensemble == "mean":
        weights = np.full(len(ranked), 1 / len(ranked))
    else:
        weights = np.eye(1, len(ranked))[0]
    fitted, codes = None, sample.subset(ranked[0].result.rows).codes
    if codes is not None:
        means = np.tensordot(weights, np.array([fit.loo_means for fit in ranked]), axes=1)
        fitted = calibration.fit(means, codes)
    few = sample.subset(marginal_likelihood.SUBSET_ROWS)
    results = [
        replace(fit.result, unknown_levels=_unknown_levels(fit.result, few))
        if weight
        else fit.result
        for fit, weight in zip(ranked, weights, strict=True)
    ]
    log_densities = _blended_log_densities(ranked, weights)
    has_all = sample.may_have_tails and ranked[0].result.rows == rows
    return ModelSelection(
        [*results, *[fit.result for fit in left_out]],
        [*weights.tolist(), *[0.0] * len(left_out)],
        fitted,
        (-log_densities.mean(axis=0)).tolist(),
        loo=_leave_one_out_scores(ranked, weights, sample, log_densities) if has_all else None,
    )


def _leave_one_out_scores(
    ranked: Sequence[CandidateFit], weights: Array, sample: Sample, log_densities: Array
) -> LeaveOneOutScores:
    """Leave-one-out scores of the blend, in the order of the training rows."""
    means = [fit.loo_means for fit in ranked]
    variances = [fit.loo_variances for fit in ranked]
    mean, variance = mixture(weights.tolist(), means, variances)
    deviations = np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    order = np.argsort(sample.rows)
    residuals = sample.targets - mean
    return LeaveOneOutScores(residuals[order], deviations[order], log_densities[order])


def _unknown_levels(result: CandidateResult, sample: Sample) -> UnknownLevels:
    """Distributions at the unknown levels of every factor, which classes do not need."""
    preprocessor = with_parameters(sample.preprocessors[result.preparation], result.parameters)
    if sample.codes is not None or preprocessor.projection != "sphere":
        return ()
    data = sample.data[result.preparation]
    parameters = replace(result.parameters, relevance=preprocessor.relevance)
    matrix = GramMatrix(
        parameters.kernel, parameters.points(data.z), parameters.noise_ratio, data.sample_weight
    )
    left_out = LevelsLeftOut(matrix, data.y)

    def unknown_level(index: int) -> UnknownLevel | None:
        unknown = parameters.points(preprocessor.with_unknown_level(data.z, index))
        return left_out.unknown_level(preprocessor.level_of(data.z, index), unknown)

    with WorkerPool():  # products are so small that BLAS takes longer to wake its threads
        return tuple(map(unknown_level, range(len(preprocessor.unknown_levels))))


def _stack(densities: Array) -> Array:
    """Stacking weights, of shape (k,), for log densities of shape (n, k)."""
    rows = len(densities)
    if rows > FEW_ROWS:
        return stacking_weights(densities, MAX_MEMBERS, MIN_MEMBER_WEIGHT)
    return stacking_weights(densities, FEW_ROWS_MEMBERS // rows, prior_rows=PRIOR_ROWS)


def _blended_log_densities(fits: Sequence[CandidateFit], weights: Array) -> Array:
    """Leave-one-out log densities of a blend, of shape (n, t)."""
    kept = np.flatnonzero(weights)
    logs = np.stack([fits[index].loo_log_densities for index in kept.tolist()])
    blended: Array = np.logaddexp.reduce(logs + np.log(weights[kept])[:, np.newaxis, np.newaxis])
    return blended
