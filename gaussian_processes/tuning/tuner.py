"""Tuner: the loop that polls a backend, and does what the scheduler gives out."""

import fcntl
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gaussian_processes.errors import BackendBusyError, UserError
from gaussian_processes.tuning import journal, results, warm_start
from gaussian_processes.tuning.backends import Backend, Report
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.ledger import Ledger
from gaussian_processes.tuning.results import Results
from gaussian_processes.tuning.scheduler import STOPPED_WITH_SEARCH, Actions, Scheduler

INTERRUPTED = "stopped with the search, which goes on when it is started again"


Watch = Callable[[Results, int], None]


def _ignore(found: Results, running: int) -> None:
    """Watch nothing."""


class InterruptedSearchError(Exception):
    """A search that a signal ended before its last training job."""


class Tuner:
    """A search over training jobs.

    Parameters
    ----------
    job : TuningJob
    backend : callable
        Makes the backend, where the training jobs run, once the job is accepted: some download
        what a refused search has no use for.
    folder : Path
        Where the search's journal and its table are.
    parents : callable
        Gives the results of an earlier search by its name.
    extend : bool
        Whether the limits may be others than those of the search that the folder holds.

    Attributes
    ----------
    ending : str
        Why the search ended before its last job; empty if it did not.

    Raises
    ------
    UserError
        If the folder holds another search, or an earlier one to learn from is not to be found.
    """

    def __init__(
        self,
        job: TuningJob,
        backend: Callable[[], Backend],
        folder: Path,
        parents: Callable[[str], Results],
        extend: bool = False,
    ) -> None:
        # All that may be refused is refused before anything is written.
        journal.check(job, folder, extend)
        names = job.parents if journal.is_new(folder) else ()
        self._parents = [warm_start.usable_trials(job, parents(name)) for name in names]
        self.job = job
        self._backend = backend()
        self.study = journal.open_study(job, folder)
        self.ending = ""
        self._watch: Watch = _ignore
        self._folder = folder
        self._ledger = Ledger(job, self.study, folder)
        self._began = time.monotonic()

    def run(self, watch: Watch = _ignore) -> Results:
        """Run the search to its end.

        Parameters
        ----------
        watch : callable
            Is called with the results and the number of running jobs whenever something has
            changed.

        Raises
        ------
        UserError
            If five training jobs in a row fail, or the backend refuses; the table is written
            nevertheless.
        InterruptedSearchError
            If a signal came: the jobs that ran have been stopped, and the table written.
        """
        self._watch = watch
        with _exclusive(self._folder), _deferred_signals() as interrupted:
            if not self.study.get_trials(deepcopy=False):
                self._learn_from_parents()
            scheduler = Scheduler(self._ledger)
            try:
                self._loop(scheduler, interrupted)
            except UserError:
                self._stop_all(scheduler, STOPPED_WITH_SEARCH)
                raise
            finally:
                self.ending = scheduler.ending
                self._show(scheduler)
        return self._ledger.results()

    def _learn_from_parents(self) -> None:
        for parent in self._parents:
            warm_start.add_trials(self.study, self.job, parent)
            sentence = f"{len(parent.trials)} training jobs of {parent.name} are of use"
            print(sentence, file=sys.stderr, flush=True)

    def _loop(self, scheduler: Scheduler, interrupted: threading.Event) -> None:
        reports: Mapping[str, Report] | None = None
        while True:
            self._perform(scheduler, self._advance(scheduler, reports))
            if scheduler.error:
                raise UserError(scheduler.error)
            if scheduler.done:
                return
            if interrupted.wait(self._backend.interval_seconds):
                self._stop_all(scheduler, INTERRUPTED)
                raise InterruptedSearchError(
                    f"stopped; the same command goes on, with what is in {self._folder}"
                )
            reports = self._poll(scheduler)

    def _stop_all(self, scheduler: Scheduler, reason: str) -> None:
        """Stop the jobs that run, and wait for their end; a second Ctrl-C does not wait."""
        scheduler.abort(reason)
        reports: Mapping[str, Report] | None = None
        while True:
            self._perform(scheduler, self._advance(scheduler, reports))
            if scheduler.done:
                return
            time.sleep(self._backend.interval_seconds)
            reports = self._poll(scheduler)

    def _advance(self, scheduler: Scheduler, reports: Mapping[str, Report] | None) -> Actions:
        before = set(scheduler.running)
        actions = scheduler.advance(reports, datetime.now(UTC), time.monotonic() - self._began)
        if before - set(scheduler.running):
            self._show(scheduler)
        return actions

    def _poll(self, scheduler: Scheduler) -> Mapping[str, Report] | None:
        """Return reports on the running jobs; None while the backend is busy."""
        if not scheduler.running:
            return {}
        try:
            return self._backend.poll(list(scheduler.running))
        except BackendBusyError:
            return None

    def _perform(self, scheduler: Scheduler, actions: Actions) -> None:
        """Do what the scheduler gives out; what a busy backend does not take is tried again."""
        try:
            for stop in actions.stops:
                self._backend.stop(stop.names)
                scheduler.confirm(stop)
        except BackendBusyError:
            scheduler.postpone(actions.starts)
            return
        for position, start in enumerate(actions.starts):
            try:
                self._backend.start(start.name, start.hyperparameters)
            except BackendBusyError:
                scheduler.postpone(actions.starts[position:])
                return
            except UserError:
                scheduler.postpone(actions.starts[position:])
                raise
            self._show(scheduler)

    def _show(self, scheduler: Scheduler) -> None:
        found = self._ledger.results()
        results.write(found, self._folder)
        self._watch(found, len(scheduler.running))


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another run is using {folder}; wait for its end, or give another folder with"
                " --out"
            ) from error
        yield


@contextmanager
def _deferred_signals() -> Iterator[threading.Event]:
    """Let Ctrl-C or SIGTERM set an event, so that neither ends a job's start half-way.

    A second signal raises `KeyboardInterrupt`.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def interrupt(*_: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
