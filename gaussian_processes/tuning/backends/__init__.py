"""Interface of a backend: somewhere to run training jobs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

RUNNING, COMPLETED, FAILED, STOPPED = "InProgress", "Completed", "Failed", "Stopped"


@dataclass(frozen=True)
class Report:
    """State of a training job as a backend sees it.

    Parameters
    ----------
    state : str
        As SageMaker has it: `InProgress`, `Completed`, `Failed` or `Stopped`.
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
    """A backend runs training jobs under the names that it is given."""

    interval_seconds: float
    """How long to wait between two polls."""

    def start(self, name: str, hyperparameters: Mapping[str, str]) -> None:
        """Start a job, and return at once; raise `BackendBusyError` if it has to wait."""

    def poll(self, names: Collection[str]) -> Mapping[str, Report]:
        """Report on all jobs at once; a name without a report is unknown to the backend."""

    def stop(self, names: Collection[str]) -> None:
        """Ask jobs to stop, and return at once."""
