"""Training jobs as processes of this machine, without Docker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import gaussian_processes
from gaussian_processes.resources import available_cpus
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, STOPPED, Report, folders
from gaussian_processes.tuning.job import TuningJob

# The program of the image, by this Python.
TRAIN = (
    sys.executable,
    "-P",
    "-c",
    "import sys; from gaussian_processes.training.main import main; sys.exit(main([]))",
)
# Runs a program, and ends it and all that it has started when the other end of stdin is closed, as
# happens however the search comes to its end: a process of the same group waits for that.
GUARD = (
    "/bin/sh",
    "-c",
    'exec 3<&0 </dev/null; { read -r _ <&3; kill -TERM 0; } & exec 3<&-; exec "$@"',
    "guard",
)


def import_path() -> str:
    """Return PYTHONPATH with the folder of this very package first.

    In a checkout that is not compiled, the current folder would shadow the installed package.
    """
    own = str(Path(gaussian_processes.__file__).parents[1])
    return os.pathsep.join(filter(None, (own, os.environ.get("PYTHONPATH"))))


@dataclass
class Child:
    """A process, and when it was asked to stop."""

    process: subprocess.Popen[bytes]
    started: datetime
    stop_requested: float | None = None
    ended: datetime | None = None


class LocalProcesses:
    """Training jobs as processes, each with a base folder of its own.

    Parameters
    ----------
    job : TuningJob
    folder : Path
        Where the base folders go, each under the training job's name.
    command : sequence of str
        The program; its base folder is in ``SAGEMAKER_BASE_DIR``.
    """

    interval_seconds = 0.1

    def __init__(self, job: TuningJob, folder: Path, command: Sequence[str] = TRAIN) -> None:
        self._job = job
        self._folder = folder.resolve()  # a model is looked for from anywhere
        self._command = command
        self._channels = folders.channels(job, folder / "channels")
        self._children: dict[str, Child] = {}

    def start(self, name: str, hyperparameters: Mapping[str, str]) -> None:
        """Start a process in a session of its own.

        Ctrl-C in a terminal does not reach it, and it ends with this process.
        """
        base = self._folder / name
        folders.create_job_folder(base, hyperparameters, self._job)
        for channel, source in self._channels.items():
            link = base / "input/data" / channel
            link.unlink(missing_ok=True)
            link.symlink_to(source, target_is_directory=True)
        # Jobs side by side would otherwise each start a thread for every core.
        threads = str(max(1, available_cpus() // self._job.limits.parallel))
        environment = {
            **os.environ,
            **self._job.definition.get("Environment", {}),
            "SAGEMAKER_BASE_DIR": str(base),
            "PYTHONPATH": import_path(),
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }
        with (base / folders.LOG).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  the program is ours, or a test's
                [*GUARD, *self._command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children[name] = Child(process, datetime.now(UTC))

    def poll(self, names: Collection[str]) -> Mapping[str, Report]:
        """Report on the processes."""
        return {
            name: self._report(name, self._children[name])
            for name in names
            if name in self._children
        }

    def stop(self, names: Collection[str]) -> None:
        """Send SIGTERM, and after the grace that SageMaker gives, SIGKILL."""
        # Those that an earlier run started have ended with it.
        for name in self._children.keys() & set(names):
            child = self._children[name]
            child.stop_requested = child.stop_requested or time.monotonic()
            _signal(child.process, signal.SIGTERM)

    def _report(self, name: str, child: Child) -> Report:
        status = child.process.poll()  # before the log is read, whose end would otherwise be missed
        base = self._folder / name
        log = folders.read_log(base)
        if status is None:
            if (
                child.stop_requested
                and time.monotonic() - child.stop_requested > folders.GRACE_SECONDS
            ):
                _signal(child.process, signal.SIGKILL)
            return Report(RUNNING, log, child.started)
        child.ended = child.ended or datetime.now(UTC)
        child.process.communicate()  # which closes its stdin, for which the guard waits
        state = COMPLETED if status == 0 else STOPPED if child.stop_requested else FAILED
        reason = folders.failure(base, status, log) if state == FAILED else ""
        return Report(state, log, child.started, child.ended, reason, folders.model(base))


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
