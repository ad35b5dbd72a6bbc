"""Scheduler of a search: takes reports on training jobs in, gives out which to start and to stop.

It has no clock, process, thread or file of its own: the loop in `tuner` polls the backend, passes
the time, and does what it is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gaussian_processes.tuning import stopping
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, Report
from gaussian_processes.tuning.ledger import Ledger
from gaussian_processes.tuning.trials import RunningTrial

# AMT gives up after as many: what fails five times in a row will fail again.
MAX_CONSECUTIVE_FAILURES = 5
VANISHED = Report(FAILED, failure="the backend has no such job any more: somebody removed it")
STOPPED_WITH_SEARCH = "stopped with the search"


@dataclass(frozen=True)
class Start:
    """Start a training job."""

    name: str
    hyperparameters: Mapping[str, str]


@dataclass(frozen=True)
class Stop:
    """Ask training jobs to stop."""

    names: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Actions:
    """What the loop is to do next: first stop, then start."""

    stops: tuple[Stop, ...] = ()
    starts: tuple[Start, ...] = ()


class Scheduler:
    """Decides which trials run.

    Parameters
    ----------
    ledger : Ledger
        Of the search's job; trials that an earlier run has begun are taken up.

    Attributes
    ----------
    running : dict of str to RunningTrial
        By the name of the training job.
    ending : str
        Why the search ends before its last job; empty if it does not.
    error : str
        Why the search can't go on; empty if it can.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.running: dict[str, RunningTrial] = {}
        self.ending = ""
        self.error = ""
        self._job = ledger.job
        self._ledger = ledger
        self._abort_reason = ""
        self._consecutive_failures = 0
        self._waiting: list[RunningTrial] = []
        for trial in ledger.unfinished():
            if trial.adopted:
                self.running[trial.row.name] = trial
            else:
                self._waiting.append(trial)

    @property
    def done(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.running and not self._waiting

    def advance(
        self, reports: Mapping[str, Report] | None, now: datetime, elapsed_seconds: float
    ) -> Actions:
        """Take in reports; return what to do next.

        Parameters
        ----------
        reports : mapping of str to Report, optional
            On all running jobs, by their names; one that is missing has vanished. None if the
            backend was not asked, or did not answer.
        now : datetime
        elapsed_seconds : float
            Since this run of the search began.
        """
        if reports is not None:
            for trial in list(self.running.values()):
                self._observe(trial, reports.get(trial.row.name, VANISHED))
        if not self.ending:
            self.ending = self._reason_to_end(elapsed_seconds)
        if self._abort_reason or self.ending:
            self._drop_waiting(self._abort_reason or f"the search ended: {self.ending}")
        starts = () if self._abort_reason or self.ending else tuple(self._starts())
        return Actions(tuple(self._stops(now)), starts)

    def abort(self, reason: str) -> None:
        """Start nothing any more, and stop what runs; a later run attempts it again."""
        self._abort_reason = self._abort_reason or reason

    def postpone(self, starts: Sequence[Start]) -> None:
        """Let jobs wait that could not be started."""
        self._waiting[:0] = [self.running.pop(start.name) for start in starts]

    def confirm(self, stop: Stop) -> None:
        """Note that the backend was asked to stop some jobs; until then, each step asks again."""
        for name in stop.names:
            self.running[name].stop_requested = stop.reason

    def _observe(self, trial: RunningTrial, report: Report) -> None:
        """Take in the report on one job: its start, its values, its end."""
        if trial.adopted and not trial.stop_requested and report.state not in (RUNNING, COMPLETED):
            # Whatever ended it while no run watched, a crash of this machine or Ctrl-C, says
            # nothing of its values.
            del self.running[trial.row.name]
            self._waiting.append(self._ledger.next_attempt(trial))
            return
        if trial.row.started is None and report.started:
            trial.row = replace(trial.row, started=report.started)
            self._ledger.record(trial)
        if len(self._job.objectives) == 1:
            self._ledger.report_values(trial, report.log)
        if report.state != RUNNING:
            del self.running[trial.row.name]
            self._finish(trial, report)

    def _finish(self, trial: RunningTrial, report: Report) -> None:
        if self._abort_reason and report.state != COMPLETED:
            self._ledger.interrupt(trial, report, self._abort_reason)
            return
        self._ledger.finish(trial, report)
        failed = trial.row.status == FAILED
        self._consecutive_failures = self._consecutive_failures + 1 if failed else 0
        if self._consecutive_failures == MAX_CONSECUTIVE_FAILURES:
            self.error = (
                f"{self._consecutive_failures} training jobs in a row failed, the last one"
                f" because: {trial.row.failure}"
            )
            self.abort(STOPPED_WITH_SEARCH)

    def _reason_to_end(self, elapsed_seconds: float) -> str:
        limit = self._job.limits.seconds
        if elapsed_seconds > limit:
            return f"MaxRuntimeInSeconds, {limit:g}, is over"
        ledger = self._ledger
        return stopping.reason_to_end(self._job, ledger.losses(), ledger.expected_improvements)

    def _drop_waiting(self, reason: str) -> None:
        for trial in self._waiting:
            self._ledger.interrupt(trial, Report(RUNNING), reason)
        self._waiting.clear()

    def _stops(self, now: datetime) -> list[Stop]:
        """Jobs to stop, together where all have one reason."""
        running = [trial for trial in self.running.values() if not trial.stop_requested]
        if self._abort_reason or self.ending:
            reason = self._abort_reason or f"the search ended: {self.ending}"
            return [Stop(tuple(trial.row.name for trial in running), reason)] if running else []
        reasons = {trial.row.name: self._reason_to_stop(trial, now) for trial in running}
        return [Stop((name,), reason) for name, reason in reasons.items() if reason]

    def _reason_to_stop(self, trial: RunningTrial, now: datetime) -> str:
        limit, started = self._job.limits.seconds_each, trial.row.started
        if started and (now - started).total_seconds() > limit:
            return f"it ran longer than MaxRuntimeInSeconds, {limit:g}"
        return trial.prune_reason

    def _starts(self) -> list[Start]:
        """Fill the free slots: first with trials that wait, then with new ones."""
        starts = []
        while len(self.running) < self._job.limits.parallel:
            trial = self._waiting.pop(0) if self._waiting else self._ledger.propose()
            if trial is None:
                break
            self._ledger.record(trial)
            self.running[trial.row.name] = trial
            starts.append(Start(trial.row.name, self._ledger.hyperparameters(trial)))
        if not self.running and self._ledger.exhausted:
            self.ending = f"{self._job.strategy} proposes only what is known"
        return starts
