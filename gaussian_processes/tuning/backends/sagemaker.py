"""Training jobs on SageMaker."""

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
# SageMaker's states that are not ours.
STATES = {"Stopping": RUNNING, "Deleting": STOPPED}
# A listing lags behind: a job that was just started may be missing from it.
LAG_SECONDS = 60


@dataclass
class TrackedJob:
    """A training job, and the lines of its log that were read.

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
    """Training jobs of one search, polled by listings: of jobs, and of log events.

    Parameters
    ----------
    job : TuningJob
    folder : Path
        Not used: everything is in S3.
    interval_seconds : float
        SageMaker allows some two listings a second to a whole account; a job takes minutes.
    """

    def __init__(self, job: TuningJob, folder: Path, interval_seconds: float = 20) -> None:  # noqa: ARG002  as of any backend
        self.interval_seconds = interval_seconds
        self._job = job
        self._tracked: dict[str, TrackedJob] = {}

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
        self._tracked[name] = TrackedJob()

    def poll(self, names: Collection[str]) -> Mapping[str, Report]:
        """List the jobs and what they have printed; what has ended is described once."""
        prefix = _common(names)
        # Also those that an earlier run has started: their lines come only once.
        for name in names:
            self._tracked.setdefault(name, TrackedJob())
        listed = {summary["TrainingJobName"]: summary for summary in self._listed(prefix)}
        self._read_logs(prefix)
        reports = {}
        for name in names:
            tracked = self._tracked[name]
            if name in listed:
                tracked.started = listed[name]["CreationTime"]
                reports[name] = self._report(name, listed[name]["TrainingJobStatus"], tracked)
            elif time.monotonic() - tracked.begun < LAG_SECONDS:
                reports[name] = Report(RUNNING, tracked.log)
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
        since = min((tracked.latest for tracked in self._tracked.values()), default=0)
        arguments = {
            "logGroupName": LOG_GROUP,
            "logStreamNamePrefix": prefix,
            **({"startTime": since} if since else {}),
        }
        try:
            events = aws.pages("logs", "filter_log_events", "events", **arguments)
        except UserError as error:
            # Until the first job prints, there is no such group.
            if "ResourceNotFound" not in str(error):
                raise
            return
        for event in events:
            tracked = self._tracked.get(event["logStreamName"].partition("/")[0])
            if tracked is not None:
                tracked.lines[event["eventId"]] = event["message"]
                tracked.latest = max(tracked.latest, event["timestamp"])

    def _report(self, name: str, status: str, tracked: TrackedJob) -> Report:
        if STATES.get(status, status) == RUNNING:
            return Report(RUNNING, tracked.log, tracked.started)
        with aws.patience():
            return self._described(name, tracked)

    @staticmethod
    def _described(name: str, tracked: TrackedJob) -> Report:
        """Report on a job that has ended.

        Its last lines may reach the log later, and SageMaker has read them by itself.
        """
        details = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
        state = STATES.get(details["TrainingJobStatus"], details["TrainingJobStatus"])
        return Report(
            state,
            tracked.log,
            details.get("TrainingStartTime") or details.get("CreationTime"),
            details.get("TrainingEndTime"),
            details.get("FailureReason", "") if state == FAILED else "",
            details.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
            {
                metric["MetricName"]: metric["Value"]
                for metric in details.get("FinalMetricDataList", [])
            },
        )


def _common(names: Collection[str]) -> str:
    """Return the prefix that the names of a search's jobs share: all but their numbers."""
    shortest, longest = min(names), max(names)
    size = next(
        (at for at, (a, b) in enumerate(zip(shortest, longest, strict=False)) if a != b),
        len(shortest),
    )
    return shortest[:size]
