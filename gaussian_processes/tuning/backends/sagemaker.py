"""How do training jobs run on SageMaker?"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import aws, shapes
from gaussian_processes.tuning.backends import FAILED, RUNNING, STOPPED, Report
from gaussian_processes.tuning.job import TuningJob

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
# SageMaker's states, of which two mean that the end is near but has not come.
STATES = {"Stopping": RUNNING, "Deleting": STOPPED}
# A listing lags behind: a job that was just started may be missing from it.
LAG_SECONDS = 60


@dataclass
class Followed:
    """A training job, and what has been read of its log.

    Parameters
    ----------
    lines : dict
        By their event's id: an event may be given twice.
    """

    begun: float = field(default_factory=time.monotonic)
    started: datetime | None = None
    lines: dict[str, str] = field(default_factory=dict)
    latest: int = 0

    @property
    def log(self) -> str:
        """All lines so far."""
        return "\n".join(self.lines.values())


class SageMakerJobs:
    """Training jobs of one search, looked at by listings: of jobs, and of log events.

    Parameters
    ----------
    job : TuningJob
    folder : Path
        Not used: everything is in S3.
    interval_seconds : float
        SageMaker allows some two listings a second to a whole account; a job takes minutes.
    """

    def __init__(self, job: TuningJob, folder: Path, interval_seconds: float = 20) -> None:  # noqa: ARG002  as for any place
        self.interval_seconds = interval_seconds
        self._job = job
        self._followed: dict[str, Followed] = {}

    def start(self, name: str, hyperparameters: Mapping[str, str]) -> None:
        """Create a training job of the definition, which has nearly the same shape."""
        shape = shapes.request_shape("sagemaker", "CreateTrainingJob")
        request = {
            key: value for key, value in self._job.definition.items() if key in shape.members
        }
        request |= {"TrainingJobName": name, "HyperParameters": dict(hyperparameters)}
        if "Tags" in self._job.request:
            request["Tags"] = self._job.request["Tags"]
        try:
            with aws.patience():
                aws.client("sagemaker").create_training_job(**request)
        except UserError as error:
            if "ResourceInUse" not in str(error):  # an attempt whose answer was lost has started it
                raise
        self._followed[name] = Followed()

    def poll(self, names: Collection[str]) -> Mapping[str, Report]:
        """List the jobs and what they have printed; what has ended is described once."""
        prefix = _common(names)
        for name in (
            names
        ):  # also those that a runner before this one has started: their lines come only once
            self._followed.setdefault(name, Followed())
        listed = {one["TrainingJobName"]: one for one in self._listed(prefix)}
        self._read_logs(prefix)
        reports = {}
        for name in names:
            followed = self._followed[name]
            if name in listed:
                followed.started = listed[name]["CreationTime"]
                reports[name] = self._report(name, listed[name]["TrainingJobStatus"], followed)
            elif time.monotonic() - followed.begun < LAG_SECONDS:
                reports[name] = Report(RUNNING, followed.log)
        return reports

    def stop(self, names: Collection[str]) -> None:
        """Ask SageMaker to stop the jobs; it gives them two minutes."""
        for name in names:
            try:
                with aws.patience():
                    aws.client("sagemaker").stop_training_job(TrainingJobName=name)
            except UserError as error:
                if "ValidationException" not in str(error):  # it has ended by itself
                    raise

    @staticmethod
    def _listed(prefix: str) -> list[Any]:
        return aws.pages(
            "sagemaker",
            "list_training_jobs",
            "TrainingJobSummaries",
            NameContains=prefix,
            MaxResults=100,
        )

    def _read_logs(self, prefix: str) -> None:
        """Read all jobs' new events in one listing: a stream's name begins with its job's."""
        since = min((one.latest for one in self._followed.values()), default=0)
        arguments = {
            "logGroupName": LOG_GROUP,
            "logStreamNamePrefix": prefix,
            **({"startTime": since} if since else {}),
        }
        try:
            events = aws.pages("logs", "filter_log_events", "events", **arguments)
        except UserError as error:
            if "ResourceNotFound" not in str(
                error
            ):  # until the first job prints, there is no such group
                raise
            return
        for event in events:
            followed = self._followed.get(event["logStreamName"].partition("/")[0])
            if followed is not None:
                followed.lines[event["eventId"]] = event["message"]
                followed.latest = max(followed.latest, event["timestamp"])

    def _report(self, name: str, status: str, followed: Followed) -> Report:
        if STATES.get(status, status) == RUNNING:
            return Report(RUNNING, followed.log, followed.started)
        with aws.patience():
            return self._described(name, followed)

    @staticmethod
    def _described(name: str, followed: Followed) -> Report:
        """Report of a job that has ended; its last lines may reach the log later, and SageMaker has read them by itself."""
        details = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
        state = STATES.get(details["TrainingJobStatus"], details["TrainingJobStatus"])
        return Report(
            state,
            followed.log,
            details.get("TrainingStartTime") or details.get("CreationTime"),
            details.get("TrainingEndTime"),
            details.get("FailureReason", "") if state == FAILED else "",
            details.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
            {one["MetricName"]: one["Value"] for one in details.get("FinalMetricDataList", [])},
        )


def _common(names: Collection[str]) -> str:
    """Prefix that the names of a search's jobs share: all but their numbers."""
    shortest, longest = min(names), max(names)
    size = next(
        (at for at, (a, b) in enumerate(zip(shortest, longest, strict=False)) if a != b),
        len(shortest),
    )
    return shortest[:size]
