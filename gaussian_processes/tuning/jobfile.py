"""Job files: the request of a tuning job as JSON, read and checked.

All that would be refused later is refused at once, in one sentence each.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import validation
from gaussian_processes.tuning.job import TuningJob, of_request
from gaussian_processes.tuning.validation import Runner

RUNNERS = {
    "process": Runner(strategies=True, files=True),
    "docker": Runner(strategies=True, files=True),
    "sagemaker": Runner(strategies=True, files=False),
    "amt": Runner(strategies=False, files=False),
}


@dataclass(frozen=True)
class Changes:
    """What the command line says instead of the file.

    Parameters
    ----------
    strategy : str, optional
    jobs, parallel : int, optional
        MaxNumberOfTrainingJobs and MaxParallelTrainingJobs.
    """

    strategy: str | None = None
    jobs: int | None = None
    parallel: int | None = None


NO_CHANGES = Changes()


def read(path: Path, runner: str, changes: Changes = NO_CHANGES) -> TuningJob:
    """Read a job file.

    Parameters
    ----------
    path : Path
    runner : str
        Of `RUNNERS`.
    changes : Changes, optional

    Raises
    ------
    UserError
        If it is not such a request, or asks for what would be refused later; all reasons are named.
    """
    try:
        request = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}); name a job file") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); correct it") from error
    return check(request, path.parent, runner, changes)


def check(request: Any, folder: Path, runner: str, changes: Changes = NO_CHANGES) -> TuningJob:
    """Return the job that a request describes; see `read`.

    Parameters
    ----------
    folder : Path
        Where relative addresses begin.
    """
    if not isinstance(request, dict):
        raise UserError(
            f"the job file holds a {type(request).__name__}, but it must hold a JSON object;"
            " correct it"
        )
    capabilities = RUNNERS[runner]
    _refuse(validation.shape_violations(request, capabilities))
    request = _changed(request, changes)
    _refuse(validation.shape_violations(request, capabilities))
    _refuse([*validation.part_violations(request), *validation.range_violations(request)])
    job = of_request(request, folder)
    _refuse(
        [
            *validation.name_violations(request),
            *validation.metric_violations(job),
            *validation.hyperparameter_violations(job),
            *validation.strategy_violations(job, capabilities),
            *validation.limit_violations(job),
        ]
    )
    return job


def accepted(request: Mapping[str, Any]) -> TuningJob:
    """Return the job of a request that AMT has accepted, whatever algorithm it is for."""
    _refuse(validation.part_violations(request))
    return of_request(request, Path())


def _refuse(reasons: Iterator[str] | Sequence[str]) -> None:
    if found := list(dict.fromkeys(reasons)):
        raise UserError("; ".join(found))


def _changed(request: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Copy a request with what the command line says instead."""
    request = json.loads(json.dumps(request))
    config = request["HyperParameterTuningJobConfig"]
    limits = config["ResourceLimits"]
    config["Strategy"] = changes.strategy or config["Strategy"]
    if changes.jobs is not None:
        limits["MaxNumberOfTrainingJobs"] = changes.jobs
    if changes.parallel is not None:
        limits["MaxParallelTrainingJobs"] = changes.parallel
    elif changes.jobs is not None and limits["MaxParallelTrainingJobs"] > changes.jobs:
        print(
            f"MaxParallelTrainingJobs is lowered from {limits['MaxParallelTrainingJobs']} to"
            f" {changes.jobs}, the number of training jobs in all",
            file=sys.stderr,
        )
        limits["MaxParallelTrainingJobs"] = changes.jobs
    return request
