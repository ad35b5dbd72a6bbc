"""Model selection among candidates of kernel and scaling, by log evidence, loo or validation.

Each candidate has the noise, bias and relevance of its highest log marginal likelihood on a sample
of the rows, where it is also judged. Everything is pure: a dataset and hyperparameters in, a
`ModelSelection` out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.preprocessing import Preprocessor
from gaussian_processes.data.schema import Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp import marginal_likelihood, scores
from gaussian_processes.gp.ensembles import stacking_weights
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.marginal_likelihood import KernelParameters, TrainingData
from gaussian_processes.model.model import EnsembleMember, softmax
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training.preparation import (
    fit_preprocessor,
    regression_targets,
    with_parameters,
)

Array = NDArray[np.float64]

# Candidates that are refined on all rows of the sample, which costs some factorisations of it each:
# what a subset says of the others suffices to see that they are worse.
REFINED_CANDIDATES = 3
# Between probabilities that hardly differ, and those that only the largest mean decides.
INVERSE_TEMPERATURE_BOUNDS = (0.1, 1000.0)
# The hyperparameter that sets each of the kernel's parameters.
PARAMETER_NAMES = {"noise_ratio": "noise", "bias": "bias", "relevance": "relevance"}


@dataclass(frozen=True)
class Candidate:
    """Scaling and kernel to compare with others.

    Parameters
    ----------
    scaling : str
    kernel : ArcCosine
    start : KernelParameters, optional
        Parameters of a similar candidate, near which the best are; without it they are searched for
        from several starts.
    """

    scaling: str
    kernel: ArcCosine
    start: KernelParameters | None = None


@dataclass(frozen=True)
class CandidateResult:
    """Parameters and scores of one candidate on the sample.

    Parameters
    ----------
    scaling : str
    parameters : KernelParameters
    log_marginal_likelihood : float
        Of the sample's targets in their units.
    loo_nlpd : float
        Mean negative log predictive density of every row of the sample, given all others.
    validation_error : float or None
        On the validation rows, predicted from the sample: RMSE, or log loss in classification.
    """

    scaling: str
    parameters: KernelParameters
    log_marginal_likelihood: float
    loo_nlpd: float
    validation_error: float | None


@dataclass(frozen=True)
class CandidateFit:
    """Result of a candidate, and what weighs it against the others.

    Parameters
    ----------
    result : CandidateResult
    loo_log_densities : ndarray of shape (n,)
        Log predictive density of every row of the sample, given all others.
    loo_means : ndarray of shape (n, t)
        Mean of every row, likewise.
    """

    result: CandidateResult
    loo_log_densities: Array
    loo_means: Array


@dataclass(frozen=True)
class ModelSelection:
    """Candidates, their weights in the model, and the inverse temperature of its probabilities."""

    candidates: Sequence[CandidateResult]
    weights: Sequence[float]
    inverse_temperature: float

    def to_json(self) -> dict[str, Any]:
        """Return the selection as JSON can hold it."""
        candidates = []
        for candidate in self.candidates:
            content = asdict(candidate)
            content["parameters"]["relevance"] = candidate.parameters.relevance.tolist()
            candidates.append(content)
        return {
            "candidates": candidates,
            "weights": list(self.weights),
            "inverse_temperature": self.inverse_temperature,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelSelection":
        """Return the selection that `to_json` made this of."""
        candidates = []
        for candidate in content["candidates"]:
            parameters = candidate["parameters"]
            kernel = ArcCosine(**parameters["kernel"])
            relevance = np.array(parameters["relevance"])
            found = KernelParameters(**{**parameters, "kernel": kernel, "relevance": relevance})
            candidates.append(CandidateResult(**{**candidate, "parameters": found}))
        return cls(candidates, content["weights"], content["inverse_temperature"])


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
    """Leave-one-out log predictive probability of the sample (GPML section 5.3)."""

    def score(self, result: CandidateResult) -> float:
        """Score a candidate: the higher, the better."""
        return -result.loo_nlpd


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
    targets : ndarray of shape (n, t)
        In their units; in classification the indicators of the classes.
    codes : ndarray of shape (n,), optional
        Positions of the rows' classes; None in regression.
    learned_parameters : sequence of str
        Parameters of the kernel that maximise the log marginal likelihood.
    noise_ratio : float
        Of the kernel, where it is not learned.
    preprocessors : mapping of str to Preprocessor
        By scaling.
    data : mapping of str to TrainingData
        The rows, standardised, by scaling.
    validation : (ndarray of shape (m, c), ndarray of shape (m, t)), optional
        Features and targets that the criterion needs beside these.
    """

    targets: Array
    codes: Array | None
    learned_parameters: Sequence[str]
    noise_ratio: float
    preprocessors: Mapping[str, Preprocessor]
    data: Mapping[str, TrainingData]
    validation: tuple[Array, Array] | None


def select(
    dataset: Dataset,
    schema: Schema,
    hyperparameters: Hyperparameters,
    validation: Dataset | None = None,
) -> ModelSelection:
    """Compare the candidates on a sample, refine the best, and weigh all.

    Parameters
    ----------
    dataset : Dataset
        Training rows.
    schema : Schema
    hyperparameters : Hyperparameters
    validation : Dataset, optional
        Needed for the criterion `validation` only.
    """
    sample = draw_sample(dataset, schema, hyperparameters, validation)
    fits = []
    for path in candidate_paths(hyperparameters):
        fits += evaluate_path(path, sample)
    criterion = CRITERIA[hyperparameters.criterion]
    if sample.learned_parameters and len(sample.targets) > marginal_likelihood.SUBSET_ROWS:
        for index in _ranking(fits, criterion)[:REFINED_CANDIDATES]:
            fits[index] = refine(fits[index].result, sample)
    return _weigh(fits, sample, hyperparameters.ensemble, criterion)


def draw_sample(
    dataset: Dataset,
    schema: Schema,
    hyperparameters: Hyperparameters,
    validation: Dataset | None,
) -> Sample:
    """Draw the rows to compare on, `MAX_ROWS` at most, standardised by all rows.

    Raises
    ------
    UserError
        If the drawn targets are all 0, of which no parameter can be learned.
    """
    size = min(len(dataset), marginal_likelihood.MAX_ROWS)
    generator = np.random.default_rng(hyperparameters.seed)
    drawn = dataset.subset(np.sort(generator.choice(len(dataset), size, replace=False)))
    targets = regression_targets(drawn, schema)
    preprocessors, data = {}, {}
    for scaling in _scalings(hyperparameters):
        preprocessor = fit_preprocessor(dataset, schema, hyperparameters, scaling)
        preprocessors[scaling] = preprocessor
        data[scaling] = TrainingData(
            preprocessor.standardized(drawn.X),
            preprocessor.standardized_targets(targets),
            drawn.sample_weight,
        )
        _check_targets(data[scaling], hyperparameters.learned_parameters)
    return Sample(
        targets=targets,
        codes=drawn.y[:, 0] if schema.classes else None,
        learned_parameters=hyperparameters.learned_parameters,
        noise_ratio=hyperparameters.noise or 0.0,
        preprocessors=preprocessors,
        data=data,
        validation=_validation_rows(hyperparameters, validation),
    )


def _validation_rows(
    hyperparameters: Hyperparameters, validation: Dataset | None
) -> tuple[Array, Array] | None:
    if validation is None or hyperparameters.criterion != "validation":
        return None
    return validation.X, validation.y


def _scalings(hyperparameters: Hyperparameters) -> tuple[str, ...]:
    if hyperparameters.scaling == "auto":
        return ("columns", "overall")
    return (hyperparameters.scaling,)


def _check_targets(data: TrainingData, learned_parameters: Sequence[str]) -> None:
    if learned_parameters and not data.subset().y.any():
        raise UserError(
            "the targets of the rows that were drawn are all 0; set another seed, or"
            f" {PARAMETER_NAMES[learned_parameters[0]]}"
        )


def candidate_paths(hyperparameters: Hyperparameters) -> Iterator[list[Candidate]]:
    """Candidates of each scaling and degree, by growing depth.

    The best parameters of one depth are near the best of the next, so that the candidates of a path
    are evaluated one after the other; paths do not depend on each other.
    """
    for scaling in _scalings(hyperparameters):
        for q in hyperparameters.q:
            yield [Candidate(scaling, ArcCosine(q, depth)) for depth in hyperparameters.l]


def evaluate_path(path: Sequence[Candidate], sample: Sample) -> list[CandidateFit]:
    """Evaluate the candidates of a path, the search for each from the parameters of the last."""
    fits: list[CandidateFit] = []
    for candidate in path:
        start = fits[-1].result.parameters if fits else candidate.start
        fits.append(evaluate(replace(candidate, start=start), sample))
    return fits


def evaluate(candidate: Candidate, sample: Sample) -> CandidateFit:
    """Learn a candidate's parameters from a subset of the sample, and score it on the sample."""
    preprocessor = sample.preprocessors[candidate.scaling]
    parameters = marginal_likelihood.maximize_log_marginal_likelihood_on_subset(
        KernelParameters(
            candidate.kernel, sample.noise_ratio, preprocessor.bias, preprocessor.relevance
        ),
        sample.learned_parameters,
        sample.data[candidate.scaling],
        candidate.start,
    )
    return _evaluate(candidate.scaling, parameters, sample)


def refine(result: CandidateResult, sample: Sample) -> CandidateFit:
    """Learn a candidate's parameters from all rows of the sample, and score it anew."""
    parameters = marginal_likelihood.maximize_log_marginal_likelihood(
        result.parameters,
        sample.learned_parameters,
        sample.data[result.scaling],
        result.parameters,
    )
    return _evaluate(result.scaling, parameters, sample)


def _evaluate(scaling: str, parameters: KernelParameters, sample: Sample) -> CandidateFit:
    """Condition on the sample, and score."""
    preprocessor, data = sample.preprocessors[scaling], sample.data[scaling]
    process, scale = data.condition(parameters), preprocessor.target_scale
    mean, variance = process.leave_one_out(data.y)
    mean, variance = mean * scale + preprocessor.target_center, variance * scale**2
    densities = scores.log_densities(
        sample.targets, mean, np.maximum(variance, np.finfo(float).tiny)
    )
    member = EnsembleMember(with_parameters(preprocessor, parameters), process)
    result = CandidateResult(
        scaling,
        parameters,
        process.log_marginal_likelihood() - len(data.y) * float(np.log(scale).sum()),
        -float(densities.mean()),
        _validation_error(member, mean, sample),
    )
    return CandidateFit(result, densities, mean)


def _validation_error(member: EnsembleMember, loo_means: Array, sample: Sample) -> float | None:
    """RMSE on the validation rows, or the log loss of classes; None without such rows."""
    if sample.validation is None:
        return None
    rows, y = sample.validation
    mean = member.mean(rows)
    if sample.codes is None:
        return scores.rmse(y, mean)
    inverse_temperature = fit_inverse_temperature(loo_means, sample.codes)
    return scores.log_loss(y[:, 0], softmax(inverse_temperature * mean))


def _ranking(fits: Sequence[CandidateFit], criterion: Criterion) -> list[int]:
    """Positions of the candidates, the best first."""
    return sorted(range(len(fits)), key=lambda index: -criterion.score(fits[index].result))


def _weigh(
    fits: Sequence[CandidateFit], sample: Sample, ensemble: str, criterion: Criterion
) -> ModelSelection:
    weights = _weights(fits, ensemble, criterion)
    inverse_temperature = 0.0
    if sample.codes is not None:
        means = np.tensordot(weights, np.array([fit.loo_means for fit in fits]), axes=1)
        inverse_temperature = fit_inverse_temperature(means, sample.codes)
    return ModelSelection([fit.result for fit in fits], weights.tolist(), inverse_temperature)


def _weights(fits: Sequence[CandidateFit], ensemble: str, criterion: Criterion) -> Array:
    """Weight of each candidate in the model, in all 1."""
    if ensemble == "stack":
        return stacking_weights(np.column_stack([fit.loo_log_densities for fit in fits]))
    if ensemble == "mean":
        return np.full(len(fits), 1 / len(fits))
    best: Array = np.eye(1, len(fits), _ranking(fits, criterion)[0])[0]
    return best


def fit_inverse_temperature(mean: Array, codes: Array) -> float:
    """Fit the factor of the classes' means whose softmax has the smallest log loss.

    Parameters
    ----------
    mean : ndarray of shape (n, k)
        Of the indicators, each row predicted from all others: so the probabilities are right for
        rows that were not seen.
    codes : ndarray of shape (n,)
        Positions of the rows' classes.

    Notes
    -----
    Temperature scaling: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    section 4.2. The loss is convex in the inverse temperature.
    """
    found = minimize_scalar(
        lambda log: scores.log_loss(codes, softmax(np.exp(log) * mean)),
        bounds=np.log(INVERSE_TEMPERATURE_BOUNDS),
        method="bounded",
    )
    return float(np.exp(found.x))
