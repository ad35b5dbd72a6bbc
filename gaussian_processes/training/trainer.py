"""How do examples become a model?

Candidates of kernel and scaling, each with the noise, bias and relevance of its highest evidence, are compared on a sample;
those that are chosen are conditioned on all examples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from gaussian_processes.data import preprocessing
from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.preprocessing import PreprocessingOptions, Preprocessor
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp import marginal_likelihood, scores
from gaussian_processes.gp.ensembles import stacking_weights
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.marginal_likelihood import KernelParameters, TrainingData
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.linalg.cg import CG_TOLERANCE
from gaussian_processes.linalg.cholesky import NotPositiveDefiniteError, Progress, slices
from gaussian_processes.model.model import EnsembleMember, Model, softmax
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.storage import Storage, choose

Array = NDArray[np.float64]
Say = Callable[[str], None]

# Candidates that are refined on all rows of the sample: what few rows say of the others suffices to see that they are worse.
REFINED_CANDIDATES = 3
# The hyperparameter of each parameter that the search finds.
HYPERPARAMETERS = {"noise_ratio": "noise", "bias": "bias", "relevance": "relevance"}
# Between probabilities that hardly differ, and those that only the largest mean decides.
SHARPNESS = (0.1, 1000.0)


@dataclass(frozen=True)
class CandidateResult:
    """What one candidate has come to on the sample.

    Parameters
    ----------
    scaling : str
    prior : KernelParameters
    log_evidence : float
        Of the sample's targets in their units.
    loo_nlpd : float
        Mean negative log density of every row of the sample, predicted from all others.
    validation_error : float or None
        On the validation rows, predicted from the sample: RMSE, or log loss in classification.
    """

    scaling: str
    prior: KernelParameters
    log_evidence: float
    loo_nlpd: float
    validation_error: float | None

    def score(self, criterion: str) -> float:
        """What a criterion makes of it: the higher, the better."""
        return {
            "evidence": self.log_evidence,
            "loo": -self.loo_nlpd,
            "validation": -(self.validation_error or 0.0),
        }[criterion]


@dataclass(frozen=True)
class CandidateFit:
    """A trial, and what else is known of it while others are judged.

    Parameters
    ----------
    trial : CandidateResult
    densities : ndarray of shape (n,)
        Log density of every row of the sample, predicted from all others.
    means : ndarray of shape (n, t)
        Mean of every row, likewise.
    learned : Preprocessor
    known : TrainingData
        What it was conditioned on.
    """

    trial: CandidateResult
    densities: Array
    means: Array
    learned: Preprocessor
    known: TrainingData


@dataclass(frozen=True)
class ModelSelection:
    """Candidates, how much each counts in the model, and how sharp its probabilities are."""

    trials: Sequence[CandidateResult]
    weights: Sequence[float]
    inverse_temperature: float


@dataclass(frozen=True)
class Trainer:
    """Makes models of examples, as a job's settings say.

    Parameters
    ----------
    settings : Hyperparameters
    schema : Schema
    validation : Dataset, optional
        What ``criterion=validation`` compares on.
    say : callable
        Told, in sentences, what a person may want to know.
    progress : callable
        Makes what is told how far a factorisation is.
    """

    settings: Hyperparameters
    schema: Schema
    validation: Dataset | None
    say: Say
    progress: Callable[[], Progress | None]

    def choose(self, examples: Dataset, checkpoint: Checkpoint) -> ModelSelection:
        """Compare the candidates on a sample of the examples, or recall what an earlier run has chosen."""
        noted = checkpoint.recall("choice")
        if noted is None:
            noted = _written(self._compare(examples))
            checkpoint.note("choice", noted)
        return _read(noted)

    def fit(self, examples: Dataset, checkpoint: Checkpoint) -> Model:
        """Choose and condition."""
        return self.condition(self.choose(examples, checkpoint), examples, checkpoint)

    def condition(self, choice: ModelSelection, examples: Dataset, checkpoint: Checkpoint) -> Model:
        """Condition the candidates that count on all examples."""
        members = []
        for index, (trial, weight) in enumerate(zip(choice.trials, choice.weights, strict=True)):
            if weight:
                self._remark(trial, weight, min(len(examples), marginal_likelihood.MAX_ROWS))
                prior, learned = trial.prior, self._features(examples, trial.scaling)
                learned = replace(learned, bias=prior.bias, relevance=prior.relevance)
                process = self._process(
                    prior, learned, examples, checkpoint.part(f"member-{index}")
                )
                members.append(EnsembleMember(learned, process, weight))
        return Model(self.schema, tuple(members), choice.inverse_temperature)

    def _remark(self, trial: CandidateResult, weight: float, rows: int) -> None:
        """Say what a candidate is, and what in it a person may want to change."""
        prior, names = trial.prior, self.learned_names
        share = f"; {weight:.1%} of the model" if weight < 1 else ""
        hyperparameters = ", ".join(HYPERPARAMETERS[name] for name in names)
        origin = (
            f"; {hyperparameters} of the highest log evidence on {rows:,} rows" if names else ""
        )
        self.say(
            f"kernel q={prior.kernel.q}, l={prior.kernel.l}; noise={prior.noise_ratio:.6g}, bias={prior.bias:.6g}{origin}{share}"
        )
        for name in marginal_likelihood.at_bounds(prior, names):
            low, high = marginal_likelihood.BOUNDS[name]
            self.say(f"{HYPERPARAMETERS[name]} is at the end of its range, {low:g} to {high:g}")
        if "relevance" in names:
            self.say(f"relevance={', '.join(f'{weight:.3g}' for weight in prior.relevance)}")

    def check(self, *parts: Dataset) -> None:
        """Refuse, before hours are spent, rows that the first of some examples leads to expect no points of."""
        learned = self._features(parts[0], "columns")
        for examples in parts:
            learned.points(examples.X, examples.locate_row)

    def targets(self, examples: Dataset) -> Array:
        """Targets to regress on, of shape (n, t): in classification the indicators of the classes."""
        if not self.schema.classes:
            return examples.y
        indicators: Array = (examples.y == np.arange(len(self.schema.classes))).astype(float)
        return indicators

    def _features(self, examples: Dataset, scaling: str) -> Preprocessor:
        settings = self.settings
        # A bias that is still to be found is positive; so is the 1 that stands for it here.
        bias = 1.0 if settings.bias is None else settings.bias
        preparation = PreprocessingOptions(
            settings.projection, scaling, settings.normalizes_y, bias
        )
        return preprocessing.fit(
            examples.X, self.targets(examples), self.schema.category_counts, preparation
        )

    def _compare(self, examples: Dataset) -> ModelSelection:
        """Judge every candidate on a sample, refine those that lead, and weigh all."""
        size = min(len(examples), marginal_likelihood.MAX_ROWS)
        indices = np.sort(
            np.random.default_rng(self.settings.seed).choice(len(examples), size, replace=False)
        )
        sample = examples.subset(indices)
        verdicts = [
            self._evaluate(*candidate, sample) for candidate in self._candidates(examples, sample)
        ]
        ranking = sorted(
            range(len(verdicts)),
            key=lambda index: -verdicts[index].trial.score(self.settings.criterion),
        )
        for index in (
            ranking[:REFINED_CANDIDATES]
            if size > marginal_likelihood.SUBSET_ROWS and self.learned_names
            else ()
        ):
            trial, learned, known = (
                verdicts[index].trial,
                verdicts[index].learned,
                verdicts[index].known,
            )
            prior = marginal_likelihood.maximize_log_marginal_likelihood(
                trial.prior, self.learned_names, known, trial.prior
            )
            verdicts[index] = self._evaluate(trial.scaling, prior, learned, known, sample)
        trials = [verdict.trial for verdict in verdicts]
        weights = self._weights(
            trials, np.column_stack([verdict.densities for verdict in verdicts])
        )
        blended = np.tensordot(weights, np.array([verdict.means for verdict in verdicts]), axes=1)
        return ModelSelection(
            trials, weights.tolist(), _sharpness(blended, sample) if self.schema.classes else 0.0
        )

    def _candidates(
        self, examples: Dataset, sample: Dataset
    ) -> Iterator[tuple[str, KernelParameters, Preprocessor, TrainingData]]:
        """Every scaling and kernel, with what few rows of the sample say of its other parameters."""
        settings, names = self.settings, self.learned_names
        for scaling in (
            ("columns", "overall") if settings.scaling == "auto" else (settings.scaling,)
        ):
            learned = self._features(examples, scaling)
            known = TrainingData(
                learned.standardized(sample.X),
                learned.standardized_targets(self.targets(sample)),
                sample.sample_weight,
            )
            if names and not known.subset().y.any():
                raise UserError(
                    f"the targets of the rows that were drawn are all 0; set another seed, or {HYPERPARAMETERS[names[0]]}"
                )
            for q in settings.q:
                start = None
                for depth in settings.l:
                    prior = KernelParameters(
                        ArcCosine(q, depth), settings.noise or 0.0, learned.bias, learned.relevance
                    )
                    # The best of one depth is near the best of the next, which is found from there in a few steps.
                    start = marginal_likelihood.maximize_log_marginal_likelihood_on_subset(
                        prior, names, known, start
                    )
                    yield scaling, start, learned, known

    def _evaluate(
        self,
        scaling: str,
        prior: KernelParameters,
        learned: Preprocessor,
        known: TrainingData,
        sample: Dataset,
    ) -> "CandidateFit":
        """Condition a candidate on the sample, and see how it does there."""
        process, scale = known.condition(prior), learned.target_scale
        mean, variance = process.leave_one_out(known.y)
        mean, variance = mean * scale + learned.target_center, variance * scale**2
        densities = scores.log_densities(
            self.targets(sample), mean, np.maximum(variance, np.finfo(float).tiny)
        )
        evidence = process.log_marginal_likelihood() - len(sample) * float(np.log(scale).sum())
        error = None
        if self.validation is not None and self.settings.criterion == "validation":
            here = replace(learned, bias=prior.bias, relevance=prior.relevance)
            inverse_temperature = _sharpness(mean, sample) if self.schema.classes else 0.0
            error = self._error(
                EnsembleMember(here, process).mean(self.validation.X), inverse_temperature
            )
        return CandidateFit(
            CandidateResult(scaling, prior, evidence, -float(densities.mean()), error),
            densities,
            mean,
            learned,
            known,
        )

    def _error(self, mean: Array, inverse_temperature: float) -> float:
        """RMSE on the validation rows, or the log loss of classes."""
        assert self.validation is not None  # noqa: S101  whoever asks has looked
        if self.schema.classes:
            return scores.log_loss(self.validation.y[:, 0], softmax(inverse_temperature * mean))
        return scores.rmse(self.validation.y, mean)

    def _weights(self, trials: Sequence[CandidateResult], densities: Array) -> Array:
        """How much each candidate counts, in all 1."""
        if self.settings.ensemble == "stack":
            return stacking_weights(densities)
        if self.settings.ensemble == "mean":
            return np.full(len(trials), 1 / len(trials))
        best = int(np.argmax([trial.score(self.settings.criterion) for trial in trials]))
        alone: Array = np.eye(1, len(trials), best)[0]
        return alone

    @property
    def learned_names(self) -> list[str]:
        """Parameters of a prior that are left to be found."""
        names = [
            name
            for name in ("noise_ratio", "bias")
            if getattr(self.settings, HYPERPARAMETERS[name]) is None
        ]
        return [*names, "relevance"] if self.settings.ard == "auto" else names

    def _process(
        self,
        prior: KernelParameters,
        learned: Preprocessor,
        examples: Dataset,
        checkpoint: Checkpoint,
    ) -> GaussianProcess:
        """Condition a prior on all examples, in the precision and place that an earlier run has chosen, if there was one."""
        # What fits into memory may differ when the job is started again; the panels that are there are of the first choice.
        noted = checkpoint.recall("storage") or {"precision": self.settings.precision}
        matrix = GramMatrix(
            prior.kernel,
            learned.points(examples.X, examples.locate_row),
            prior.noise_ratio,
            examples.sample_weight,
        )
        storage = choose(matrix.points.shape, noted["precision"], checkpoint)
        checkpoint.note(
            "storage", {"precision": "mixed" if storage.dtype == "float32" else "float64"}
        )
        process = self._conditioned(
            matrix, learned.standardized_targets(self.targets(examples)), storage
        )
        for column, target in enumerate(self.schema.targets if not self.schema.classes else ()):
            noise, signal = (
                np.sqrt(process.signal_variance[column] * part) for part in (prior.noise_ratio, 1)
            )
            scale = learned.target_scale[column]
            of = (
                f"the units of {target.name}"
                if len(self.schema.targets) > 1
                else "the target's units"
            )
            self.say(
                f"in {of}: standard deviation of the noise {noise * scale:.6g}, of the function {signal * scale:.6g}"
            )
        return process

    def _conditioned(self, matrix: GramMatrix, targets: Array, storage: Storage) -> GaussianProcess:
        """Condition on the observations, and say how it went."""
        say = self.say
        say(str(storage))
        if finished := len(storage(matrix.noise_ratio).finished()):
            say(f"{finished} of its {len(slices(len(matrix)))} panels are there already")
        process = None
        try:
            process = fit(matrix, targets, storage, self.progress())
        except NotPositiveDefiniteError as error:
            say(f"float32 does not suffice to factorise this matrix ({error}), so float64 is taken")
        if (
            process is None
        ):  # not within `except`, where the traceback holds on to the factor that has failed
            storage.checkpoint.note("storage", {"precision": "float64"})
            return self._conditioned(
                matrix, targets, choose(matrix.points.shape, "float64", storage.checkpoint)
            )
        if process.iterations:
            say(
                f"{process.iterations} iterations in float64 refined the weights to a residual of {CG_TOLERANCE:g}"
            )
            say(
                f"variances come from float32, with relative errors of up to {min(1.0, 1e-6 / max(matrix.noise_ratio, 1e-6)):.0e}"
            )
        if process.jitter:
            say(
                f"the matrix is not positive definite with noise {matrix.noise_ratio:g}: {process.jitter:g} was added to its diagonal"
            )
        return process


def _sharpness(mean: Array, sample: Dataset) -> float:
    """What the means of classes are multiplied by for the softmax of the smallest log loss.

    Parameters
    ----------
    mean : ndarray of shape (n, k)
        Of the indicators, each row predicted from all others: so the probabilities are right for rows that were not seen.
    sample : Dataset

    Notes
    -----
    Temperature scaling: C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2. The loss is convex
    in the sharpness, the inverse of the temperature.
    """
    found = minimize_scalar(
        lambda log: scores.log_loss(sample.y[:, 0], softmax(np.exp(log) * mean)),
        bounds=np.log(SHARPNESS),
        method="bounded",
    )
    return float(np.exp(found.x))


def _written(choice: ModelSelection) -> dict[str, Any]:
    """Choice as JSON can hold it."""
    trials = [
        asdict(trial) | {"relevance": trial.prior.relevance.tolist()} for trial in choice.trials
    ]
    for trial in trials:
        trial["prior"].pop("relevance")
    return {
        "trials": trials,
        "weights": list(choice.weights),
        "inverse_temperature": choice.inverse_temperature,
    }


def _read(noted: Mapping[str, Any]) -> ModelSelection:
    trials = []
    for trial in noted["trials"]:
        prior = {
            **trial["prior"],
            "kernel": ArcCosine(**trial["prior"]["kernel"]),
            "relevance": np.array(trial["relevance"]),
        }
        rest = {name: value for name, value in trial.items() if name not in {"prior", "relevance"}}
        trials.append(CandidateResult(prior=KernelParameters(**prior), **rest))
    return ModelSelection(trials, noted["weights"], noted["inverse_temperature"])


@dataclass(frozen=True)
class Learner:
    """Training for arrays of numbers, as `ensembles.stack` takes it beside learners of one's own.

    Parameters
    ----------
    settings : Hyperparameters
        Of regression.

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)[:, np.newaxis]
    >>> mean, variance = Learner().fit(x, 2 * x + 1).predict(np.array([[0.5]]))
    >>> print(mean.round(3))
    [[2.]]
    """

    settings: Hyperparameters = field(default_factory=Hyperparameters)

    def fit(self, rows: Array, targets: Array) -> "FittedRegressor":
        """Learn from rows of shape (n, d) and targets of shape (n, t)."""
        columns = [
            Column(str(position), position) for position in range(rows.shape[1] + targets.shape[1])
        ]
        schema = Schema(
            False, len(columns), tuple(columns[: rows.shape[1]]), tuple(columns[rows.shape[1] :])
        )
        examples = Dataset(rows, targets, np.ones(len(rows)), preprocessing.locate_request_row)
        teacher = Trainer(self.settings, schema, None, lambda _: None, lambda: None)
        with TemporaryDirectory(prefix="panels-") as scratch:
            checkpoint = Checkpoint(Path(scratch))
            return FittedRegressor(teacher.fit(examples, checkpoint))


@dataclass(frozen=True)
class FittedRegressor:
    """A model for arrays of numbers."""

    model: Model

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Mean and variance, of shape (m, t), for rows of shape (m, d)."""
        prediction = self.model.predict(rows, variance=True)
        assert prediction.variance is not None  # noqa: S101  it was asked for
        return prediction.mean, prediction.variance
