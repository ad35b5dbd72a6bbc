"""Training jobs as containers of the image, on this machine's Docker engine."""

import json
import subprocess
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gaussian_processes.errors import UserError
from gaussian_processes.resources import available_cpus
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, STOPPED, Report, folders
from gaussian_processes.tuning.job import TuningJob

# A container says by this label which folder's search it belongs to.
LABEL = "gaussian-processes.tuning"
# What Docker writes for a time that has not come.
NEVER = "0001-01-01"


class DockerContainers:
    """Training jobs as containers, each with a folder at /opt/ml and the channels mounted below it.

    Parameters
    ----------
    job : TuningJob
    folder : Path
        Where those folders go, each under the training job's name.

    Raises
    ------
    UserError
        If no Docker engine answers.
    """

    interval_seconds = 0.5

    def __init__(self, job: TuningJob, folder: Path) -> None:
        self._job = job
        self._folder = folder.resolve()
        self._image = image(job)
        docker("version", remedy="start it, or run on process")
        self._channels = folders.channels(job, folder / "channels")
        self._stop_requested: dict[str, float] = {}

    def start(self, name: str, hyperparameters: Mapping[str, str]) -> None:
        """Start a container with its share of the cores."""
        base = self._folder / name
        folders.create_job_folder(base, hyperparameters, self._job)
        for channel in self._channels:
            # Or the engine makes it, as root's.
            (base / "input/data" / channel).mkdir(exist_ok=True)
        remedy = f"build the image as {self._image}, or correct TrainingImage"
        try:
            docker("run", *self._options(name, base), self._image, "train", remedy=remedy)
        except UserError:
            _remove(name)  # one that could not be started is there nevertheless
            raise

    def _options(self, name: str, base: Path) -> list[str]:
        """Options of ``docker run`` for a training job."""
        cpus = available_cpus() / self._job.limits.parallel
        options = ["--detach", "--name", name, "--label", f"{LABEL}={self._folder}"]
        options += ["--user", folders.owner(), "--cpus", f"{cpus:g}"]
        options += ["--volume", f"{base}:/opt/ml"]
        for channel, source in self._channels.items():
            target = f"/opt/ml/input/data/{channel}"
            options += ["--mount", f"type=bind,source={source},target={target},readonly"]
        for key, value in self._job.definition.get("Environment", {}).items():
            options += ["--env", f"{key}={value}"]
        if self._job.definition.get("EnableNetworkIsolation"):
            options += ["--network", "none"]
        return options

    def poll(self, names: Collection[str]) -> Mapping[str, Report]:
        """Inspect all containers in one call; remove those that have ended."""
        found = {container["Names"] for container in self._listed()} & set(names)
        if not found:
            return {}
        details = json.loads(docker("inspect", *sorted(found)))
        return {
            container["Name"].lstrip("/"): self._report(
                container["Name"].lstrip("/"), container["State"]
            )
            for container in details
        }

    def stop(self, names: Collection[str]) -> None:
        """Send SIGTERM, and after the grace that SageMaker gives, SIGKILL."""
        for container in self._listed():
            if container["Names"] in names and container["State"] == "running":
                self._stop_requested.setdefault(container["Names"], time.monotonic())
                _kill(container["Names"], "TERM")

    def _listed(self) -> list[Any]:
        """List the containers of this search, also those that an earlier run of it started."""
        lines = docker(
            "ps", "--all", "--filter", f"label={LABEL}={self._folder}", "--format", "json"
        )
        return [json.loads(line) for line in lines.splitlines()]

    def _report(self, name: str, state: Mapping[str, Any]) -> Report:
        log = docker("logs", name)
        started, ended = _time(state["StartedAt"]), _time(state["FinishedAt"])
        if state["Status"] in ("created", "running"):
            if name in self._stop_requested:
                # Asked again: until its program has a handler, the first process of a container
                # ignores the signal.
                waited = time.monotonic() - self._stop_requested[name]
                _kill(name, "KILL" if waited > folders.GRACE_SECONDS else "TERM")
            return Report(RUNNING, log, started)
        base, status = self._folder / name, int(state["ExitCode"])
        (base / folders.LOG).write_text(log)
        docker("rm", "--volumes", name)
        end = COMPLETED if status == 0 else STOPPED if name in self._stop_requested else FAILED
        reason = folders.failure(base, status, log) if end == FAILED else ""
        if state.get("OOMKilled"):
            reason = (
                "the engine ended it because memory ran out; give the engine more, or run fewer"
                " jobs in parallel"
            )
        return Report(end, log, started, ended, reason, folders.model(base))


def image(job: TuningJob) -> str:
    """Return the image that a job names.

    Raises
    ------
    UserError
        If it names an algorithm instead.
    """
    found: str | None = job.definition["AlgorithmSpecification"].get("TrainingImage")
    if found is None:
        raise UserError(
            "AlgorithmSpecification names no TrainingImage, which Docker needs; give the image's"
            " name"
        )
    return found


def docker(*words: str, remedy: str = "read the engine's log") -> str:
    """Run a command of Docker's; return what it prints, stderr included.

    Raises
    ------
    UserError
        If it fails, with its last line.
    """
    try:
        done = subprocess.run(  # noqa: S603  the words are ours
            ["docker", *words],  # noqa: S607  whichever is on the path
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            # Ctrl-C in a terminal is for the search, which stops its containers in good order.
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise UserError(
            "there is no docker command on the path; install Docker, or run on process"
        ) from error
    if done.returncode:
        reason = (done.stdout.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"docker {words[0]} failed ({reason}); {remedy}")
    return done.stdout


def _kill(name: str, signal: str) -> None:
    # It may end by itself just before.
    subprocess.run(["docker", "kill", "--signal", signal, name], capture_output=True, check=False)  # noqa: S603, S607


def _remove(name: str) -> None:
    # There may be none.
    subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)  # noqa: S603, S607


def _time(text: str) -> datetime | None:
    """Parse a time as Docker writes it: with nanoseconds, which Python's parser refuses."""
    if text.startswith(NEVER):
        return None
    whole, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{rest[:6].ljust(6, '0')}+00:00")
