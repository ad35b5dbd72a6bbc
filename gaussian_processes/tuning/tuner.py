"""How does a search run its training jobs?"""

import fcntl
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import Trial, TrialState

from gaussian_processes.errors import BackendBusyError, UserError
from gaussian_processes.tuning import journal, log_metrics, results, stopping
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, STOPPED, Backend, Report
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.results import Results, Row
from gaussian_processes.tuning.space import Value, text
from gaussian_processes.tuning.strategies.base import SAME_AS
from gaussian_processes.tuning.strategies.bayesian import Bayesian

# AMT gives up after as many: what fails five times in a row will fail again.
FAILURES_IN_A_ROW = 5
# How often a strategy may propose what is known already before the search is taken to be over.
REPETITIONS = 100
VANISHED = Report(FAILED, failure="where it ran it is not known any more: somebody removed it")
INTERRUPTED = "stopped with the search, which goes on when it is started again"

Key = tuple[Value, ...]


class InterruptedSearchError(Exception):
    """The search was told to stop before its end."""


@dataclass
class RunningTrial:
    """A training job that is under way.

    Parameters
    ----------
    steps : int
        How many values of the objective it has printed.
    adopted : bool
        Whether an earlier run has started it.
    verdict : str
        Why it is not worth its end, if it is not.
    told : str
        Why it was told to stop.
    """

    trial: Trial
    row: Row
    steps: int = 0
    adopted: bool = False
    verdict: str = ""
    told: str = ""


class Tuner:
    """A search: its study, the place where its training jobs run, and those that run.

    Parameters
    ----------
    job : TuningJob
    place : Backend
    folder : Path
        Where its journal and its table are.
    parents : callable
        Gives the results of an earlier search by its name.
    watch : callable
        Is called with the results, and the jobs running, whenever something has changed.
    """

    def __init__(
        self,
        job: TuningJob,
        place: Backend,
        folder: Path,
        parents: Callable[[str], Results],
        watch: Callable[[Results, int], None] = lambda *_: None,
    ) -> None:
        self.job = job
        self.study: Study = journal.open_study(job, folder)
        self.ending = ""
        self._place = place
        self._folder = folder
        self._parents = parents
        self._watch = watch
        self._began = time.monotonic()
        self._running: dict[str, RunningTrial] = {}
        self._waiting: list[RunningTrial] = []
        self._followers: list[tuple[Trial, int]] = []
        self._failures = 0
        self._promises: list[float] = []

    def run(self) -> Results:
        """Run to the end.

        Raises
        ------
        UserError
            If five training jobs in a row fail, or the search can't go on; the table is written nevertheless.
        InterruptedSearchError
            If a signal came: the jobs that run have been stopped, and the table written.
        """
        with _alone(self._folder), _interruptible() as told:
            try:
                self._begin()
                while self._step():
                    if told.wait(self._place.interval_seconds):
                        self._stop_all(INTERRUPTED)
                        raise InterruptedSearchError(
                            f"stopped; the same command goes on, with what is in {self._folder}"
                        )
            except UserError:
                self._stop_all("stopped with the search")
                raise
            finally:
                self._show()
        return journal.results(self.job, self.study)

    def _begin(self) -> None:
        """Take up what an earlier run has left, or what earlier searches have found."""
        if not self.study.get_trials(deepcopy=False):
            for name in self.job.parents:
                used = journal.learn_from(self.study, self.job, self._parents(name))
                _say(f"{used} training jobs of {name} are of use to this search")
        for frozen in journal.unfinished(self.study):
            trial = Trial(self.study, frozen._trial_id)
            if SAME_AS in frozen.user_attrs:
                self._followers.append((trial, frozen.user_attrs[SAME_AS]))
            elif len(frozen.params) < len(self.job.space):  # it ended between two words
                self.study.tell(trial, state=TrialState.FAIL)
            else:
                self._take_up(trial, journal.row_of(self.job, frozen))

    def _take_up(self, trial: Trial, row: Row | None) -> None:
        """Follow a training job that an earlier run may have left running; start it if that run has not."""
        if row and row.status == RUNNING:
            steps = len(self.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
            self._running[row.name] = RunningTrial(trial, row, steps, adopted=True)
        else:
            self._waiting.append(self._next_attempt(trial, row))

    def _next_attempt(self, trial: Trial, row: Row | None) -> RunningTrial:
        """Begin once more, under a name that says which attempt it is."""
        attempts = (
            row.name.removeprefix(f"{self._prefix}-").split("-")[1:] or ["1"] if row else ["0"]
        )
        return self._slot(trial, int(attempts[0]) + 1)

    @property
    def _prefix(self) -> str:
        """What the names of all training jobs of this search begin with, in this account only."""
        return f"{self.job.name}-{self.study.user_attrs[journal.RUN]}"

    def _slot(self, trial: Trial, attempt: int = 1) -> RunningTrial:
        again = f"-{attempt}" if attempt > 1 else ""
        return RunningTrial(
            trial,
            Row(
                self.job.space.loaded(trial.params),
                f"{self._prefix}-{trial.number:03d}{again}",
                RUNNING,
                {},
            ),
        )

    def _step(self) -> bool:
        """Look at every job, and start others; whether there is more to do."""
        if not self.ending:
            self._fill()
        if not self._running and not self._waiting:
            return False
        reports = self._poll(list(self._running))
        if reports is not None:
            for name, slot in list(self._running.items()):
                self._look(name, slot, reports.get(name, VANISHED))
        if not self.ending:
            self.ending = self._reason_to_end()
        if self.ending:
            self._waiting.clear()
            self._tell_to_stop(list(self._running), f"the search ended: {self.ending}")
        return True

    def _poll(self, names: list[str]) -> Mapping[str, Report] | None:
        """Reports of some jobs, or None while the place is busy."""
        try:
            return self._place.poll(names) if names else {}
        except BackendBusyError:
            return None

    def _fill(self) -> None:
        while len(self._running) < self.job.limits.parallel:
            slot = self._waiting.pop(0) if self._waiting else self._next()
            if slot is None:
                return
            self._note(slot)
            try:
                self._place.start(slot.row.name, self._strings(slot))
            except BackendBusyError:
                self._waiting.insert(0, slot)
                return
            self._running[slot.row.name] = slot
            self._show()

    def _strings(self, slot: RunningTrial) -> dict[str, str]:
        values = {name: text(value) for name, value in slot.row.values.items()}
        # AMT tells the program in the same way what it is tuned for.
        return {
            **self.job.static,
            **values,
            "_tuning_objective_metric": self.job.objectives[0].metric,
        }

    def _next(self) -> RunningTrial | None:
        """Return a trial with new values; one whose values are known is answered from what is known."""
        known = self._known()
        if len(known) >= self.job.limits.jobs:
            return None
        for _ in range(REPETITIONS if len(known) < self.job.space.size else 0):
            trial = self.study.ask(self.job.space.distributions)
            before = known.get(tuple(self.job.space.loaded(trial.params).values()))
            if before is None:
                return self._slot(trial)
            trial.set_user_attr(SAME_AS, before)
            self._followers.append((trial, before))
            self._answer()
        if not self._running:
            self.ending = f"{self.job.strategy} proposes only what is known"
        return None

    def _known(self) -> dict[Key, int]:
        """Numbers of the trials that have, or had, a training job, by their values."""
        trials = [
            one for one in self.study.get_trials(deepcopy=False) if journal.ROW in one.user_attrs
        ]
        return {tuple(self.job.space.loaded(one.params).values()): one.number for one in trials}

    def _answer(self) -> None:
        """Tell the trials that repeat another what that one has found, if it has."""
        trials = self.study.get_trials(deepcopy=False)
        for trial, before in list(self._followers):
            known = trials[before]
            if known.state.is_finished():
                failed = known.values is None
                self.study.tell(
                    trial,
                    None if failed else known.values,
                    TrialState.FAIL if failed else TrialState.COMPLETE,
                )
                self._followers.remove((trial, before))

    def _look(self, name: str, slot: RunningTrial, report: Report) -> None:
        """Take note of what a job has printed, and of its end."""
        if slot.adopted and not slot.told and report.state not in (RUNNING, COMPLETED):
            # Whatever ended it while nobody looked, a crash of this machine or Ctrl-C, says nothing of its values.
            del self._running[name]
            self._waiting.append(self._next_attempt(slot.trial, slot.row))
            return
        if slot.row.started is None and report.started:
            slot.row = replace(slot.row, started=report.started)
            self._note(slot)
        if len(self.job.objectives) == 1:
            self._count(name, slot, report)
        if report.state != RUNNING:
            del self._running[name]
            self._end(slot, report)
        elif report.started and _seconds_since(report.started) > self.job.limits.seconds_each:
            self._tell_to_stop(
                [name], f"it ran longer than MaxRuntimeInSeconds, {self.job.limits.seconds_each:g}"
            )

    def _count(self, name: str, slot: RunningTrial, report: Report) -> None:
        """Report every new value of the objective, and stop a job that is not worth its end.

        Each is judged by itself, also where a look finds several: Hyperband compares jobs at the same step.
        """
        found = log_metrics.values(report.log, self.job.metrics[self.job.objectives[0].metric])
        reported = self.study.get_trials(deepcopy=False)[slot.trial.number].intermediate_values
        for step, value in enumerate(found[slot.steps :], start=slot.steps + 1):
            slot.steps = step
            if step not in reported:  # as it is if an earlier attempt got as far
                slot.trial.report(value, step)
                if not slot.verdict and step < self._last_step and slot.trial.should_prune():
                    slot.verdict = (
                        f"stopped early after {step} values of {self.job.objectives[0].metric}"
                    )
        if slot.verdict and report.state == RUNNING:
            self._tell_to_stop([name], slot.verdict)

    @property
    def _last_step(self) -> float:
        return self.job.resources[1] if self.job.resources else math.inf

    def _end(self, slot: RunningTrial, report: Report) -> None:
        """Remember how a job ended, and tell the strategy."""
        found = {**report.metrics, **log_metrics.last(report.log, self.job.metrics)}
        missing = [one.metric for one in self.job.objectives if one.metric not in found]
        state, failure = report.state, slot.told if report.state == STOPPED else report.failure
        if state == COMPLETED and missing:
            state = FAILED
            failure = f"{missing[0]} was not found in the log by its Regex, {self.job.metrics[missing[0]]}; correct the Regex"
        slot.row = replace(
            slot.row,
            status=state,
            metrics=found,
            started=report.started,
            ended=report.ended,
            failure=failure,
            model=report.model,
        )
        self._note(slot)
        self._tell(
            slot, state, [] if missing else [found[one.metric] for one in self.job.objectives]
        )
        self._answer()
        self._failures = self._failures + 1 if state == FAILED else 0
        self._show()
        if self._failures >= FAILURES_IN_A_ROW:
            raise UserError(
                f"{self._failures} training jobs in a row failed, the last one because: {failure}"
            )

    def _tell(self, slot: RunningTrial, state: str, values: list[float]) -> None:
        """Tell the strategy; what a job has found before it was stopped counts too."""
        if state == FAILED or not values:
            self.study.tell(slot.trial, state=TrialState.FAIL)
            return
        if state == STOPPED and len(values) == 1:
            self.study.tell(
                slot.trial, state=TrialState.PRUNED
            )  # its value is the last one that was reported
        else:
            self.study.tell(slot.trial, values)
        if self.job.limits.until_converged:
            strategy = Bayesian(self.job.space, 0)
            self._promises.append(strategy.promise(slot.trial.number, strategy.past(self.study)))

    def _reason_to_end(self) -> str:
        if time.monotonic() - self._began > self.job.limits.seconds:
            return f"MaxRuntimeInSeconds, {self.job.limits.seconds:g}, is over"
        signs = [one.sign for one in self.job.objectives]
        losses = [
            [sign * value for sign, value in zip(signs, one.values, strict=True)]
            for one in journal.finished(self.study)
        ]
        return stopping.reason_to_end(self.job, losses, self._promises)

    def _tell_to_stop(self, names: list[str], reason: str) -> None:
        names = [name for name in names if not self._running[name].told]
        if names:
            try:
                self._place.stop(names)
            except BackendBusyError:
                return  # the next look tries again
            for name in names:
                self._running[name].told = reason

    def _stop_all(self, reason: str) -> None:
        """Stop the jobs that run, and wait for their end; another Ctrl-C does not."""
        while self._running:
            self._tell_to_stop(list(self._running), reason)
            for name, report in (self._poll(list(self._running)) or {}).items():
                if report.state != RUNNING:
                    slot = self._running.pop(name)
                    slot.row = replace(
                        slot.row,
                        status=STOPPED,
                        started=report.started,
                        ended=report.ended,
                        failure=reason,
                    )
                    self._note(slot)
            time.sleep(self._place.interval_seconds)
        for slot in self._waiting:
            slot.row = replace(slot.row, status=STOPPED, failure=reason)
            self._note(slot)

    def _note(self, slot: RunningTrial) -> None:
        journal.note(self.study, slot.trial.number, slot.row)

    def _show(self) -> None:
        found = journal.results(self.job, self.study)
        results.write(found, self._folder)
        self._watch(found, len(self._running))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _seconds_since(time: datetime) -> float:
    return (datetime.now(UTC) - time).total_seconds()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep another run out of a folder."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another run is using {folder}; wait for its end, or give another folder with --out"
            ) from error
        yield


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Let Ctrl-C or SIGTERM set an event, so that neither ends a job's start half-way; a second one ends everything."""
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return

    def tell(*_: Any) -> None:
        if told.is_set():
            raise KeyboardInterrupt
        told.set()

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
