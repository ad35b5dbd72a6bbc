"""Trainer: from a dataset and a model selection to a conditioned model."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.cluster.cholesky import DISTRIBUTED_WIDTH
from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.preprocessing import Preprocessor
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp import iterative, marginal_likelihood
from gaussian_processes.gp.iterative import Iterations
from gaussian_processes.gp.nearest import NEAREST_ROWS
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.gp.replicates import find_replicates
from gaussian_processes.linalg import cholesky
from gaussian_processes.linalg.cg import CG_TOLERANCE, IterationProgress
from gaussian_processes.linalg.cholesky import NotPositiveDefiniteError, Progress, slices
from gaussian_processes.model.model import EnsembleMember, Model
from gaussian_processes.sagemaker.hyperparameters import MAX_MEMBERS, Hyperparameters
from gaussian_processes.sagemaker.logs import SILENT
from gaussian_processes.training import regressor_members, robustness, target_selection
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.model_selection import (
    PARAMETER_NAMES,
    CandidateResult,
    ModelSelection,
    learned_names,
)
from gaussian_processes.training.preparation import (
    Preparation,
    fit_preprocessor,
    noise_weights,
    regression_targets,
    with_parameters,
)
from gaussian_processes.training.storage import (
    NoRoomError,
    StoragePlan,
    plan_landmarks,
    plan_storage,
)
from gaussian_processes.training.target_selection import of_targets, schema_of_targets

LOGGER = logging.getLogger(__name__)
Array = NDArray[np.float64]

# Rows from which on all hosts share the factor. Fewer take one host a minute or so, and messages
# between hosts about as long.
MIN_SHARED_ROWS = 30_000
# Members that the log tells of, the heaviest. On few rows there are up to thirty of small weights.
LOGGED_MEMBERS = 2 * MAX_MEMBERS
# Outliers that the log names, the farthest: a few show their kind.
LOGGED_OUTLIERS = 5


def no_progress() -> None:
    """Make no report of progress."""


@dataclass(frozen=True)
class Trainer:
    """Training as a job's hyperparameters ask.

    Parameters
    ----------
    hyperparameters : Hyperparameters
    schema : Schema
    validation : Dataset, optional
        Rows that ``criterion=validation`` compares on.
    logger : Logger
        For what a person may want to know.
    progress : callable
        Makes the report of one factorisation's progress.
    iteration_progress : callable
        Makes the report of the progress of one solution by conjugate gradients.
    hosts : Hosts
        Hosts of the job, all of which train alike.
    """

    hyperparameters: Hyperparameters
    schema: Schema
    validation: Dataset | None = None
    logger: logging.Logger = LOGGER
    progress: Callable[[], Progress | None] = no_progress
    iteration_progress: Callable[[], IterationProgress | None] = no_progress
    hosts: Hosts = field(default_factory=Hosts)

    def quiet(self) -> "Trainer":
        """Return the same trainer with a silenced logger, for models on the way to the job's."""
        return replace(self, logger=SILENT)

    def alone(self) -> "Trainer":
        """Return the same trainer on this host only, for what others do not train."""
        return replace(self, hosts=Hosts())

    def check(self, *datasets: Dataset) -> None:
        """Refuse, before hours are spent, rows that have no point in the training projection."""
        preprocessor = fit_preprocessor(
            datasets[0], self.schema, self.hyperparameters, Preparation()
        )
        for dataset in datasets:
            preprocessor.points(dataset.X, dataset.locate_row)

    def shares_factor(self, rows: int) -> bool:
        """Return whether all hosts share the factor of so many rows, or the leader has it alone.

        Likewise the products and the preconditioner of conjugate gradients.
        """
        return len(self.hosts) > 1 and rows >= MIN_SHARED_ROWS

    def panel_width(self, rows: int) -> int:
        """Columns of a panel of the factor of so many rows."""
        return DISTRIBUTED_WIDTH if self.shares_factor(rows) else cholesky.PANEL_WIDTH

    def select(self, dataset: Dataset, checkpoint: Checkpoint) -> ModelSelection:
        """Select the model, or load what an earlier run has selected."""
        regressor_members.check(self.hyperparameters, self.schema, len(dataset))
        loaded = checkpoint.load("selection")
        content = next(filter(None, self.hosts.gather(loaded)), None)
        if content is None:
            content = robustness.select(self._select, dataset).to_json()
        if loaded is None:
            checkpoint.save("selection", content)
        return ModelSelection.from_json(content)

    def _select(self, dataset: Dataset) -> ModelSelection:
        """Select the model of rows with robustness weights, as the leader does.

        Processors differ in last digits, by which a weight may be zero or not.
        """
        own = target_selection.select(
            dataset, self.schema, self.hyperparameters, self.validation, self.hosts.map_on_cores
        )
        found: ModelSelection = self.hosts.gather(own)[0]
        return found

    def fit(self, selection: ModelSelection, dataset: Dataset, checkpoint: Checkpoint) -> Model:
        """Condition the selected candidates on all rows, outliers among them rejected."""
        self._log_outliers(selection.outliers, dataset)
        kept = [index for index, weight in enumerate(selection.weights) if weight]
        heaviest = sorted(kept, key=lambda index: -selection.weights[index])[:LOGGED_MEMBERS]
        members = []
        for index in kept:
            result, weight = selection.candidates[index], selection.weights[index]
            trainer = self if index in heaviest else self.quiet()
            trainer._log_candidate(result, weight)
            child = checkpoint.child(f"member-{index}")
            members.append(trainer._fit_member(result, weight, dataset, child))
        if len(kept) > len(heaviest):
            share = sum(selection.weights[index] for index in set(kept) - set(heaviest))
            count = len(kept) - len(heaviest)
            self.logger.info(f"{count} further kernels; {share:.1%} of the model")
        model = Model(self.schema, tuple(members), selection.calibration)
        return self._with_regressors(model, dataset)

    def _log_outliers(self, outliers: Mapping[int, float], dataset: Dataset) -> None:
        """Log which rows were rejected, the farthest first."""
        if not outliers:
            return
        farthest = sorted(outliers, key=lambda row: -outliers[row])[:LOGGED_OUTLIERS]
        places = [
            f"{dataset.locate_row(row)} ({outliers[row]:.0f} deviations away)" for row in farthest
        ]
        others = len(outliers) - len(places)
        self.logger.warning(
            f"the model learns next to nothing from {len(outliers)} row(s) whose targets all other"
            f" rows contradict: {', '.join(places)}{f' and {others} more' if others else ''};"
            " correct or remove what is wrong, or set likelihood=normal to learn from all alike"
        )

    def _with_regressors(self, model: Model, dataset: Dataset) -> Model:
        """Add the members that are no processes, and log their weights."""
        if not self.hyperparameters.regressors:
            return model
        weights = noise_weights(dataset, self.schema, self.hyperparameters)
        blend = regressor_members.add(model, dataset, self.hyperparameters, weights)
        for name, share in regressor_members.shares(blend, self.hyperparameters).items():
            self.logger.info(f"{name}: {share:.1%} of the model, the processes the rest")
        return blend

    def select_and_fit(self, dataset: Dataset, checkpoint: Checkpoint) -> Model:
        """Select the model, and condition it on all rows."""
        selection = self.select(dataset, checkpoint)
        return self.fit(selection, robustness.reject(dataset, selection.outliers), checkpoint)

    def _fit_member(
        self, result: CandidateResult, weight: float, dataset: Dataset, checkpoint: Checkpoint
    ) -> EnsembleMember:
        dataset = of_targets(dataset, result.targets)
        schema = schema_of_targets(self.schema, result.targets)
        preprocessor = with_parameters(
            fit_preprocessor(dataset, schema, self.hyperparameters, result.preparation),
            result.parameters,
        )
        weights = noise_weights(dataset, schema, self.hyperparameters)
        matrix = GramMatrix.merged(
            result.parameters.kernel,
            preprocessor.points(dataset.X, dataset.locate_row),
            result.parameters.noise_ratio,
            weights,
            find_replicates(preprocessor.standardized(dataset.X), weights),
        )
        y = preprocessor.standardized_targets(regression_targets(dataset, schema))
        if self._iterates(matrix, checkpoint):
            process = self._condition_iteratively(matrix, y)
        else:
            process = self._condition(matrix, y, self._plan_storage(matrix, checkpoint))
        if self.hyperparameters.deviations == "nearest":
            process = process.with_nearest_points(NEAREST_ROWS, matrix.noise_scale)
        self._log_deviations(process, preprocessor, schema.targets)
        return EnsembleMember(
            preprocessor, process, weight, result.tails, result.targets, result.unknown_levels
        )

    def _iterates(self, matrix: GramMatrix, checkpoint: Checkpoint) -> bool:
        """Return whether α comes from conjugate gradients: as asked for, or for lack of room."""
        if not (self.hyperparameters.may_iterate and matrix.noise_ratio):
            return False
        if self.hyperparameters.solver == "cg":
            return True
        shared = self.shares_factor(matrix.observations)
        precision, hosts = self.hyperparameters.precision, len(self.hosts) if shared else 1
        try:
            plan_storage(matrix.points.shape, precision, checkpoint, hosts)
            reason = ""
        except NoRoomError as error:
            reason = str(error)
        if shared:
            reason = max(self.hosts.gather(reason))
        if reason:
            self.logger.warning(f"there is no room for the factor ({reason}): solver=cg is taken")
        return bool(reason)

    def _condition_iteratively(self, matrix: GramMatrix, y: Array) -> GaussianProcess:
        """Condition on the observations without a factor."""
        hosts = self.hosts if self.shares_factor(matrix.observations) else Hosts()
        # As many as the host of the least memory has room for.
        rank = min(hosts.gather(plan_landmarks(matrix.points.shape, len(hosts))))
        share = hosts.share_rows(len(matrix))
        iterations = Iterations(rank, self.iteration_progress(), share)
        self.logger.info(
            f"conjugate gradients with {rank:,} landmarks: the model has no factor, and"
            f" {self._deviations_without_factor}"
        )
        try:
            process, residual = iterative.fit(hosts.share(matrix), y, iterations.solve)
        except NotPositiveDefiniteError as error:
            raise UserError(
                f"conjugate gradients do not converge with noise {matrix.noise_ratio:g} ({error});"
                " set noise to more, or solver to cholesky"
            ) from error
        self.logger.info(
            f"{process.iterations} iterations of conjugate gradients solved for the weights to a"
            f" residual of {residual:.1e}"
        )
        return process

    def _plan_storage(self, matrix: GramMatrix, checkpoint: Checkpoint) -> StoragePlan:
        """Plan the precision and place of the factor, in the precision of an earlier run if any.

        What fits into memory may differ when the job is started again; the panels that are kept are
        of the first choice.
        """
        stored = checkpoint.load("storage") or {"precision": self.hyperparameters.precision}
        plan = self._agreed_plan(matrix, stored["precision"], checkpoint)
        precision = "mixed" if plan.dtype == "float32" else "float64"
        checkpoint.save("storage", {"precision": precision})
        return plan

    def _agreed_plan(
        self, matrix: GramMatrix, precision: str, checkpoint: Checkpoint
    ) -> StoragePlan:
        """Plan the storage; where hosts share the factor, in the coarsest precision of any."""
        shape = matrix.points.shape
        if not self.shares_factor(matrix.observations):
            return plan_storage(shape, precision, checkpoint)
        hosts = self.hosts
        dtypes = hosts.gather(plan_storage(shape, precision, checkpoint, len(hosts)).dtype)
        precision = "mixed" if "float32" in dtypes else "float64"
        return plan_storage(shape, precision, checkpoint, len(hosts))

    def _condition(self, matrix: GramMatrix, y: Array, plan: StoragePlan) -> GaussianProcess:
        """Condition on the observations; in float64 where float32 does not suffice."""
        self.logger.info(str(plan))
        if finished := len(plan(matrix.noise_ratio).finished()):
            panels = len(slices(len(matrix), self.panel_width(matrix.observations)))
            self.logger.info(f"{finished} of its {panels} panels are there already")
        process = None
        try:
            shared = self.shares_factor(matrix.observations)
            run = self.hosts.factorise if shared else cholesky.factorise
            own = self.hosts.share(matrix) if shared else matrix
            process = fit(own, y, plan, self.progress(), run)
        except NotPositiveDefiniteError as error:
            self.logger.warning(
                f"float32 does not suffice to factorise this matrix ({error}), so float64 is taken"
            )
        if process is None:  # not within `except`, whose traceback holds on to the failed factor
            plan.checkpoint.save("storage", {"precision": "float64"})
            plan = self._agreed_plan(matrix, "float64", plan.checkpoint)
            return self._condition(matrix, y, plan)
        self._log_precision(process, matrix)
        return process

    def _log_candidate(self, result: CandidateResult, weight: float) -> None:
        """Log what a candidate is, and what in it a person may want to change."""
        parameters = result.parameters
        shared = self.hyperparameters.learned_parameters
        learned = learned_names(shared, parameters.kernel, result.ard)
        sentence = (
            f"kernel {parameters.kernel};"
            f" noise={parameters.noise_ratio:.6g}, bias={parameters.bias:.6g}"
        )
        if result.preparation.encoding != "none":
            sentence += f", encoding={result.preparation.encoding}"
        if learned:
            names = ", ".join(PARAMETER_NAMES[name] for name in learned)
            sentence += f"; {names} learned from {result.rows:,} rows"
        if result.tails is not None:
            degrees = result.tails.degrees_of_freedom
            sentence += f", Student-t tails of {degrees:g} degrees of freedom"
        if weight < 1:
            sentence += f"; {weight:.1%} of the model"
        if result.targets is not None:
            names = ", ".join(self.schema.targets[index].name for index in result.targets)
            sentence += f"; of target {names}"
        self.logger.info(sentence)
        for name in marginal_likelihood.at_bounds(parameters, learned):
            low, high = marginal_likelihood.BOUNDS[name]
            self.logger.warning(
                f"{PARAMETER_NAMES[name]} is at the end of its range, {low:g} to {high:g}"
            )
        if "relevance" in learned:
            relevance = ", ".join(f"{number:.3g}" for number in parameters.relevance)
            self.logger.info(f"relevance={relevance}")

    @property
    def _deviations_without_factor(self) -> str:
        """What a model without a factor predicts beside means."""
        if self.hyperparameters.deviations == "nearest":
            return (
                f"predicts standard deviations from the {NEAREST_ROWS} nearest training rows, none"
                " smaller than that from all"
            )
        return "predicts means only; deviations=nearest predicts standard deviations, too"

    def _log_precision(self, process: GaussianProcess, matrix: GramMatrix) -> None:
        """Log what a factor in float32, or a matrix that is not positive definite, has cost."""
        if process.iterations:
            self.logger.info(
                f"{process.iterations} iterations in float64 refined the weights to a residual of"
                f" {CG_TOLERANCE:g}"
            )
            # Rounding of float32, 6e-8, over the smallest eigenvalue.
            error = min(1.0, 1e-6 / max(matrix.noise_ratio, 1e-6))
            self.logger.info(
                f"variances come from float32, with relative errors of up to {error:.0e}"
            )
        if process.jitter:
            self.logger.warning(
                f"the matrix is not positive definite with noise {matrix.noise_ratio:g}:"
                f" {process.jitter:g} was added to its diagonal"
            )

    def _log_deviations(
        self, process: GaussianProcess, preprocessor: Preprocessor, targets: Sequence[Column]
    ) -> None:
        """Log the deviations of noise and function in each target's units; classes have none."""
        if self.schema.classes:
            return
        for column, target in enumerate(targets):
            several = len(self.schema.targets) > 1
            units = (
                f"the units of {self.schema.target_label(target)}"
                if several
                else "the target's units"
            )
            scale = preprocessor.target_scale[column]
            signal = np.sqrt(process.signal_variance[column]) * scale
            noise = np.sqrt(process.signal_variance[column] * process.noise_ratio) * scale
            self.logger.info(
                f"in {units}: standard deviation of the noise {noise:.6g}, of the function"
                f" {signal:.6g}"
            )
