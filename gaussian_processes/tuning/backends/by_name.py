"""Backends by the names that the command line gives them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from gaussian_processes.tuning.backends import Backend
from gaussian_processes.tuning.backends.docker import DockerContainers
from gaussian_processes.tuning.backends.local import LocalProcesses
from gaussian_processes.tuning.backends.sagemaker import SageMakerJobs
from gaussian_processes.tuning.job import TuningJob

BACKENDS: Mapping[str, Callable[[TuningJob, Path], Backend]] = {
    "process": LocalProcesses,
    "docker": DockerContainers,
    "sagemaker": SageMakerJobs,
}
