"""Tuning jobs of SageMaker's own tuner (AMT): submitting, following, and their results."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from gaussian_processes.errors import BackendBusyError
from gaussian_processes.tuning import aws, jobfile, results, shapes
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.results import Results, Row

ENDED = {"Completed", "Failed", "Stopped", "DeleteFailed"}
INTERVAL_SECONDS = 30.0


def submit(job: TuningJob) -> None:
    """Submit the file's request to AMT, as it is."""
    with aws.patience():
        aws.client("sagemaker").create_hyper_parameter_tuning_job(**job.request)


def follow(name: str, watch: Callable[[Results, int], None]) -> Results:
    """Watch a tuning job to its end; return its results.

    Raises
    ------
    UserError
        If it failed as a whole.
    """
    while True:
        try:
            details = description(name)
            found = _results(name, details, {})
            watch(found, details.get("TrainingJobStatusCounters", {}).get("InProgress", 0))
            if details["HyperParameterTuningJobStatus"] in ENDED:
                return results_of(name)
        except BackendBusyError:
            pass  # the next poll will tell
        time.sleep(INTERVAL_SECONDS)


def description(name: str) -> Mapping[str, Any]:
    """Describe a tuning job."""
    with aws.patience():
        found: Mapping[str, Any] = aws.client("sagemaker").describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name
        )
    return found


def results_of(name: str) -> Results:
    """Results of a tuning job, as far as they have come, with all metrics of every training job."""
    return _results(name, description(name), _finals(name))


def _results(
    name: str, details: Mapping[str, Any], finals: Mapping[str, Mapping[str, Any]]
) -> Results:
    job = _job(details)
    return results.of_job(
        job,
        [
            _row(job, summary, finals.get(summary["TrainingJobName"], {}))
            for summary in _summaries(name)
        ],
    )


def _summaries(name: str) -> list[Any]:
    """Training jobs, the first one first."""
    return aws.pages(
        "sagemaker",
        "list_training_jobs_for_hyper_parameter_tuning_job",
        "TrainingJobSummaries",
        HyperParameterTuningJobName=name,
        MaxResults=100,
        SortBy="CreationTime",
        SortOrder="Ascending",
    )


def _finals(name: str) -> dict[str, Mapping[str, Any]]:
    """Describe the jobs that have ended: a listing lacks their other metrics and their models."""
    found = {}
    for summary in _summaries(name):
        if summary["TrainingJobStatus"] != "InProgress":
            found[summary["TrainingJobName"]] = _patiently(summary["TrainingJobName"])
    return found


def _patiently(name: str) -> Mapping[str, Any]:
    while True:
        try:
            with aws.patience():
                found: Mapping[str, Any] = aws.client("sagemaker").describe_training_job(
                    TrainingJobName=name
                )
                return found
        except BackendBusyError:
            time.sleep(1)


def _row(job: TuningJob, summary: Mapping[str, Any], details: Mapping[str, Any]) -> Row:
    final = summary.get("FinalHyperParameterTuningJobObjectiveMetric", {})
    tuned = summary["TunedHyperParameters"]
    return Row(
        values={
            entry.name: entry.parse(tuned[entry.name]) for entry in job.space if entry.name in tuned
        },
        name=summary["TrainingJobName"],
        status=summary["TrainingJobStatus"],
        metrics={
            **{
                metric["MetricName"]: metric["Value"]
                for metric in details.get("FinalMetricDataList", [])
            },
            **({final["MetricName"]: final["Value"]} if final else {}),
        },
        started=summary.get("TrainingStartTime"),
        ended=summary.get("TrainingEndTime"),
        failure=summary.get("FailureReason", ""),
        model=details.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
    )


def job_of(name: str) -> TuningJob:
    """Return the job that was submitted to AMT under a name."""
    return _job(description(name))


def _job(details: Mapping[str, Any]) -> TuningJob:
    shape = shapes.request_shape("sagemaker", "CreateHyperParameterTuningJob")
    return jobfile.accepted({key: value for key, value in details.items() if key in shape.members})
