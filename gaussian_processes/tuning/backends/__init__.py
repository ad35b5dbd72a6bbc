"""Where do training jobs run?"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

RUNNING, COMPLETED, FAILED, STOPPED = "InProgress", "Completed", "Failed", "Stopped"


@dataclass(frozen=True)
class Report:
    """What is known of a training job.

    Parameters
    ----------
    state : str
        In SageMaker's words: `InProgress`, `Completed`, `Failed` or `Stopped`.
    log : str
        All that it has printed so far.
    failure : str
        Why it failed.
    model : str
        Where its model is: a folder, or an S3 address.
    metrics : mapping of str to float
        Those that the backend has read from the log itself.
    """

    state: str
    log: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    failure: str = ""
    model: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


class Backend(Protocol):
    """Somewhere to run training jobs, by the names that they are given."""

    interval_seconds: float
    """How long to wait between two looks."""

    def start(self, name: str, hyperparameters: Mapping[str, str]) -> None:
        """Start a job, and return at once; `BackendBusyError` if it has to wait."""

    def poll(self, names: Collection[str]) -> Mapping[str, Report]:
        """Look at all jobs at once; a name that is not in the answer is not known there (any more)."""

    def stop(self, names: Collection[str]) -> None:
        """Ask jobs to stop, and return at once."""
