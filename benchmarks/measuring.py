"""Seconds and memory of subjects, interleaved, each in processes of its own."""

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gaussian_processes.resources import available_memory

ROOT = Path(__file__).parents[1]
# With its kernels for AVX-512, OpenBLAS's threaded syrk crashes, and potrf with it, from
# somewhere between 15,000 and 20,000 rows on; with these it passes.
PASSING_CORETYPE = "Haswell"


@dataclass(frozen=True)
class Subject:
    """Something to measure.

    Parameters
    ----------
    label : str
        Its name in the table.
    work : str
        ``MODULE:FUNCTION`` below `benchmarks.subjects`.
    arguments : mapping
        Of the function.
    bytes_needed : float
        About how much memory it takes: where less is free it is skipped.
    compared : bool
        Whether it is also run with the OpenBLAS kernels that a peer that has crashed is run with
        again.
    coretype : str
        OpenBLAS's kernels; its own choice unless given.
    """

    label: str
    work: str
    arguments: Mapping[str, Any]
    bytes_needed: float = 0.0
    compared: bool = False
    coretype: str = ""


@dataclass(frozen=True)
class Run:
    """Seconds and memory of one process, and its findings."""

    seconds: float
    start_bytes: int
    peak_bytes: int
    found: Mapping[str, Any]


class FailedError(Exception):
    """A subject came to no result, for the reason that is given."""


class CrashedError(FailedError):
    """A subject's process was ended by a signal."""


@dataclass
class Measurement:
    """Runs of one subject, until one fails."""

    subject: Subject
    runs: list[Run] = field(default_factory=list)
    failure: FailedError | None = None

    def repeat(self) -> None:
        """Run it once more, if it has not failed."""
        if self.failure is None:
            print(f"{self.label} …", file=sys.stderr, flush=True)
            try:
                self.runs.append(run(self.subject))
            except FailedError as error:
                print(f"  {error}", file=sys.stderr, flush=True)
                self.failure = error

    @property
    def label(self) -> str:
        """Name in the table."""
        coretype = self.subject.coretype
        return (
            f"{self.subject.label} (OPENBLAS_CORETYPE={coretype})"
            if coretype
            else self.subject.label
        )

    @property
    def succeeded(self) -> bool:
        """Whether every run came to its end."""
        return self.failure is None

    @property
    def crashed(self) -> bool:
        """Whether a signal ended it."""
        return isinstance(self.failure, CrashedError)

    @property
    def seconds(self) -> float:
        """Median."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def spread(self) -> tuple[float, float]:
        """Seconds of the fastest and of the slowest run."""
        return min(run.seconds for run in self.runs), max(run.seconds for run in self.runs)

    @property
    def peak_bytes(self) -> float:
        """Median of the process's peak memory, with Python, its libraries and the data."""
        return statistics.median(run.peak_bytes for run in self.runs)

    @property
    def start_bytes(self) -> float:
        """Median of the memory that the process had when the work began."""
        return statistics.median(run.start_bytes for run in self.runs)

    @property
    def found(self) -> Mapping[str, Any]:
        """Findings of the last run."""
        return self.runs[-1].found


def measure(subjects: Sequence[Subject], repetitions: int) -> list[Measurement]:
    """Run every subject `repetitions` times, interleaved, so that noise meets all alike.

    If one crashes, it and those that are to be compared are also run with OpenBLAS's kernels that
    do not.
    """
    measurements = [Measurement(subject) for subject in subjects]
    for measurement in measurements:
        measurement.repeat()
    if any(measurement.crashed for measurement in measurements):
        again = [
            measurement.subject
            for measurement in measurements
            if measurement.crashed or measurement.subject.compared
        ]
        passing = [Measurement(replace(subject, coretype=PASSING_CORETYPE)) for subject in again]
        for measurement in passing:
            measurement.repeat()
        measurements += passing
    for _ in range(repetitions - 1):
        for measurement in measurements:
            measurement.repeat()
    return measurements


def run(subject: Subject) -> Run:
    """Run a subject in a process of its own.

    Raises
    ------
    FailedError
        If it was skipped for lack of memory, crashed, or ended with an error.
    """
    return run_together([subject])[0]


def run_together(subjects: Sequence[Subject]) -> list[Run]:
    """Run subjects at the same time, each in a process of its own; errors are those of `run`."""
    free, needed = available_memory(), sum(subject.bytes_needed for subject in subjects)
    if needed > free:
        raise FailedError(
            f"skipped: it takes about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free"
        )
    processes = [_start(subject) for subject in subjects]
    outputs = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        if process.returncode < 0:
            raise CrashedError(f"crashed: {signal.Signals(-process.returncode).name}")
        if process.returncode:
            raise FailedError(f"failed: {(errors.strip() or 'no word').splitlines()[-1]}")
    return [Run(**json.loads(output.splitlines()[-1])) for output, _ in outputs]


def _start(subject: Subject) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        **({"OPENBLAS_CORETYPE": subject.coretype} if subject.coretype else {}),
    }
    command = [
        sys.executable,
        "-m",
        "benchmarks.subjects",
        subject.work,
        json.dumps(subject.arguments),
    ]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
