"""Folders of a training job on this machine: its /opt/ml, its channels and what it leaves."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker.failures import FAILURE_REASON_LENGTH
from gaussian_processes.tuning import aws
from gaussian_processes.tuning.job import FILE, TuningJob

# How long a job may take to end after SIGTERM, as with SageMaker.
GRACE_SECONDS = 120
LOG = "log"


def channels(job: TuningJob, downloads: Path) -> dict[str, Path]:
    """Return the folder of every channel; what is in S3 is downloaded first, once.

    Raises
    ------
    UserError
        If there is no such folder, or nothing at an address.
    """
    found = {}
    for channel in job.definition.get("InputDataConfig", []):
        name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource")
        if source is None:
            raise UserError(
                f"channel {name} is no S3DataSource, and only those are supported; give its files"
                f" in S3 or {FILE}"
            )
        uri = source["S3Uri"]
        if not uri.startswith(FILE):
            found[name] = aws.download(uri, downloads / name)
            continue
        folder = (job.folder / uri.removeprefix(FILE)).resolve()
        if not folder.is_dir():
            raise UserError(
                f"channel {name} is {uri}, but {folder} is no folder; correct the address, or make"
                " the data first"
            )
        found[name] = folder
    return found


def create_job_folder(folder: Path, hyperparameters: Mapping[str, str], job: TuningJob) -> None:
    """Write the configuration of a training job, with empty folders for what it will leave."""
    for part in ("input/config", "input/data", "model", "output/data"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    declared = {
        channel["ChannelName"]: {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        }
        for channel in job.definition.get("InputDataConfig", [])
    }
    _write(folder, "hyperparameters.json", dict(hyperparameters))
    _write(folder, "inputdataconfig.json", declared)
    _write(
        folder,
        "resourceconfig.json",
        {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
    )


def _write(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    (folder / "input/config" / name).write_text(json.dumps(content, indent=2) + "\n")


def failure(folder: Path, status: int, log: str) -> str:
    """Return the text of a job's failure file, or the last line it printed."""
    try:
        reason = (folder / "output/failure").read_text(errors="replace").strip()
    except OSError:
        reason = ""
    lines = log.strip().splitlines() or ["nothing was printed"]
    return (reason or f"exit code {status}: {lines[-1]}")[:FAILURE_REASON_LENGTH]


def model(folder: Path) -> str:
    """Return the folder of the model; empty if there is none."""
    path = folder / "model"
    return str(path) if path.is_dir() and any(path.iterdir()) else ""


def read_log(folder: Path) -> str:
    """Read all that a job has printed."""
    try:
        return (folder / LOG).read_text(errors="replace")
    except OSError:
        return ""


def changed(path: Path) -> datetime | None:
    """Return when a file was last written."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.exists() else None


def owner() -> str:
    """Return user and group of this process, who is to own what a container writes."""
    return f"{os.getuid()}:{os.getgid()}"
