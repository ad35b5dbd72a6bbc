"""Ledger of a search's trials: what was proposed, what is running, and how each ended.

A trial is Optuna's; one whose values are new has a training job, of which the study keeps a row.
One that repeats the values of another is a duplicate: it has no job, and takes over what the other
found.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import log_metrics, results, trials
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, STOPPED, Report
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.results import Results, Row
from gaussian_processes.tuning.space import Value, text
from gaussian_processes.tuning.strategies.base import SAME_AS, Strategy, completion_order
from gaussian_processes.tuning.strategies.bayesian import Bayesian
from gaussian_processes.tuning.trials import ROW, RunningTrial

# Attribute of a study: what tells its training jobs from those of all other searches.
RUN = "run"
# Duplicates in a row after which a strategy is taken to have nothing new to propose.
MAX_DUPLICATES = 100

Key = tuple[Value, ...]


class Ledger:
    """The trials of one search, kept in an Optuna study.

    Parameters
    ----------
    job : TuningJob
    study : optuna.study.Study
    folder : Path, optional
        Where the search is; None if it is in memory alone.
    """

    def __init__(self, job: TuningJob, study: Study, folder: Path | None = None) -> None:
        self.job = job
        self.study = study
        self.folder = folder
        self.exhausted = False
        self.expected_improvements: list[float] = []
        self._duplicates: list[tuple[Trial, int]] = []

    def unfinished(self) -> list[RunningTrial]:
        """Return the trials that an earlier run began and did not end.

        Those that it may have left running are adopted; the others need a new attempt.
        """
        found = []
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            trial = Trial(self.study, frozen._trial_id)
            if SAME_AS in frozen.user_attrs:
                self._duplicates.append((trial, frozen.user_attrs[SAME_AS]))
            elif len(frozen.params) < len(self.job.space):  # the run ended between two parameters
                self.tell(trial, state=TrialState.FAIL)
            else:
                found.append(self._resumed(trial, frozen))
        return found

    def _resumed(self, trial: Trial, frozen: FrozenTrial) -> RunningTrial:
        row = trials.row_of(self.job, frozen)
        if row is None:
            return self._first_attempt(trial)
        resumed = RunningTrial(trial, row, steps=len(frozen.intermediate_values), adopted=True)
        return resumed if row.status == RUNNING else self.next_attempt(resumed)

    def propose(self) -> RunningTrial | None:
        """Return a trial with values that no other has had; None if there is none.

        Duplicates that the strategy proposes before are resolved from what is known. `exhausted`
        says whether it has nothing else to propose, as long as no more trials end.
        """
        self.exhausted = False
        numbers = self._numbers_by_values()
        if len(numbers) >= min(self.job.limits.jobs, self.job.space.size):
            return None
        sampler = self.study.sampler
        is_waiting = isinstance(sampler, Strategy) and not sampler.is_ready(self.study)
        if is_waiting or self.study._stop_flag:
            self.exhausted = True
            return None
        for _ in range(MAX_DUPLICATES):
            trial = self._ask()
            original = numbers.get(self._key(trial.params))
            if original is None:
                return self._first_attempt(trial)
            trial.set_user_attr(SAME_AS, original)
            self._duplicates.append((trial, original))
            self._resolve_duplicates()
        self.exhausted = True
        return None

    def _ask(self) -> Trial:
        """Ask the strategy for values; what one's own raises becomes a sentence."""
        try:
            return self.study.ask(self.job.space.distributions)
        except UserError:
            raise
        except Exception as error:
            raise self._strategy_error("propose values", error) from error

    def tell(
        self, trial: Trial, values: Sequence[float] | None = None, state: TrialState | None = None
    ) -> None:
        """Tell the strategy how a trial ended, likewise."""
        try:
            self.study.tell(trial, values, state)
        except Exception as error:
            raise self._strategy_error("take a trial's end", error) from error

    def _strategy_error(self, action: str, error: Exception) -> UserError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return UserError(
            f"strategy {self.job.strategy} can't {action} ({reason:.500}); correct it, or take"
            " another"
        )

    def _key(self, params: Mapping[str, Any]) -> Key:
        return tuple(self.job.space.from_optuna(params).values())

    def _numbers_by_values(self) -> dict[Key, int]:
        """Numbers of the trials that have, or had, a training job, by their values."""
        frozen = self.study.get_trials(deepcopy=False)
        return {
            self._key(trial.params): trial.number for trial in frozen if ROW in trial.user_attrs
        }

    def _first_attempt(self, trial: Trial) -> RunningTrial:
        """Give a trial's job the next number; duplicates have none, so there are no gaps."""
        numbers = [int(self._suffix(row.name)[0]) for row in trials.rows(self.job, self.study)]
        name = f"{self._prefix}-{max(numbers, default=-1) + 1:03d}"
        values = self.job.space.from_optuna(trial.params)
        return RunningTrial(trial, Row(values, name, RUNNING, {}))

    def next_attempt(self, running: RunningTrial) -> RunningTrial:
        """Return the trial once more, with a job whose name says which attempt it is."""
        number, *attempts = self._suffix(running.row.name)
        attempt = int(attempts[0]) + 1 if attempts else 2
        name = f"{self._prefix}-{number}-{attempt}"
        return RunningTrial(running.trial, Row(running.row.values, name, RUNNING, {}))

    @property
    def _prefix(self) -> str:
        """Prefix of the names of this search's jobs; no other search in the account has it."""
        return f"{self.job.name}-{self.study.user_attrs[RUN]}"

    def _suffix(self, name: str) -> list[str]:
        """Return a job's number, and the number of its attempt if it is not the first."""
        return name.removeprefix(f"{self._prefix}-").split("-")

    def hyperparameters(self, running: RunningTrial) -> dict[str, str]:
        """All hyperparameters of a trial's job, as strings."""
        tuned = {name: text(value) for name, value in running.row.values.items()}
        # AMT passes the objective to the program under the same name.
        objective = self.job.objectives[0].metric
        return {**self.job.static, **tuned, "_tuning_objective_metric": objective}

    def record(self, running: RunningTrial) -> None:
        """Write what is known of a trial's job into the study."""
        trials.record(self.study, running)

    def report_values(self, running: RunningTrial, log: str) -> None:
        """Report every new value of the objective to the pruner, step by step.

        Each value is judged by itself, also where one poll finds several: Hyperband compares
        trials at the same step. There must be one objective.
        """
        metric = self.job.objectives[0].metric
        found = log_metrics.values(log, self.job.metrics[metric])
        last_step = self.job.resources[1] if self.job.resources else math.inf
        frozen = self.study.get_trials(deepcopy=False)[running.trial.number]
        for step, value in enumerate(found[running.steps :], start=running.steps + 1):
            running.steps = step
            if step in frozen.intermediate_values:  # an earlier attempt got as far
                continue
            running.trial.report(value, step)
            if not running.prune_reason and step < last_step and running.trial.should_prune():
                running.prune_reason = f"stopped early after {step} values of {metric}"

    def finish(self, running: RunningTrial, report: Report) -> None:
        """Record the end of a trial's job, and tell the strategy.

        What a job found before it was stopped counts too.
        """
        running.row = self._ended_row(running, report)
        self.record(running)
        losses = [running.row.metrics.get(objective.metric) for objective in self.job.objectives]
        if running.row.status == FAILED or None in losses:
            self.tell(running.trial, state=TrialState.FAIL)
        else:
            self._tell_values(running, losses)
        self._resolve_duplicates()

    def _tell_values(self, running: RunningTrial, values: Any) -> None:
        if running.row.status == STOPPED and len(values) == 1:
            # Its value is the last one that was reported.
            self.tell(running.trial, state=TrialState.PRUNED)
        else:
            self.tell(running.trial, values)
        if self.job.limits.until_converged:
            strategy = Bayesian(self.job.space, 0)
            history = strategy.history(self.study)
            self.expected_improvements.append(
                strategy.max_expected_improvement(running.trial.number, history)
            )

    def _ended_row(self, running: RunningTrial, report: Report) -> Row:
        metrics = {**report.metrics, **log_metrics.last(report.log, self.job.metrics)}
        missing = [
            objective.metric for objective in self.job.objectives if objective.metric not in metrics
        ]
        status = report.state
        failure = running.stop_requested if status == STOPPED else report.failure
        if status == COMPLETED and missing:
            status = FAILED
            failure = (
                f"{missing[0]} was not found in the log by its Regex,"
                f" {self.job.metrics[missing[0]]}; correct the Regex"
            )
        return replace(
            running.row,
            status=status,
            metrics=metrics,
            started=report.started,
            ended=report.ended,
            failure=failure,
            model=report.model,
        )

    def interrupt(self, running: RunningTrial, report: Report, reason: str) -> None:
        """Record that a job was stopped with the search, which will attempt its trial again."""
        running.row = replace(
            running.row,
            status=STOPPED,
            started=report.started,
            ended=report.ended,
            failure=reason,
        )
        self.record(running)

    def _resolve_duplicates(self) -> None:
        """Tell duplicates what the trials that they repeat have found, if those have ended."""
        frozen = self.study.get_trials(deepcopy=False)
        for trial, number in list(self._duplicates):
            original = frozen[number]
            if not original.state.is_finished():
                continue
            if original.values is None:
                self.tell(trial, state=TrialState.FAIL)
            else:
                self.tell(trial, original.values)
            self._duplicates.remove((trial, number))

    def losses(self) -> list[list[float]]:
        """Signed objectives of the trials that gave them, in the order in which they ended."""
        ended = [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state.is_finished() and trial.values and ROW in trial.user_attrs
        ]
        signs = [objective.sign for objective in self.job.objectives]
        return [
            [sign * value for sign, value in zip(signs, trial.values, strict=True)]
            for trial in sorted(ended, key=completion_order)
        ]

    def results(self) -> Results:
        """All training jobs, for the table and the report."""
        return results.of_job(self.job, trials.rows(self.job, self.study), self.folder)
