"""Journal of a search: its Optuna study in a file of its folder, so that it can go on."""

import json
import secrets
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.study import Study, StudyDirection

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import stopping, strategies
from gaussian_processes.tuning.job import FILE, TuningJob
from gaussian_processes.tuning.ledger import RUN
from gaussian_processes.tuning.results import JOB

JOURNAL = "journal.log"
# Attribute of a study.
SEED = "seed"
# Parts of a request that may not change from one run of a search to the next.
CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
FIXED = (
    (CONFIG, "ParameterRanges"),
    (DEFINITION, "StaticHyperParameters"),
    (CONFIG, "HyperParameterTuningJobObjective"),
    ("HyperParameterTuningJobName",),
)


def open_study(job: TuningJob, folder: Path) -> Study:
    """Open the study of a folder: a new one, or as an earlier run left it.

    Raises
    ------
    UserError
        If the folder holds the search of another job.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _keep_request(job, folder / JOB)
    backend = JournalFileBackend(str(folder / JOURNAL), lock_obj=_Unlocked())
    return create_study(job, JournalStorage(backend))


class _Unlocked(BaseJournalFileLock):
    """No lock: a run has its folder for itself, and Optuna's lock files outlive a killed run."""

    def acquire(self) -> bool:
        """Go on."""
        return True

    def release(self) -> None:
        """Do nothing."""


def create_study(job: TuningJob, storage: BaseStorage | None = None) -> Study:
    """Create the study of a job, or load it from a storage that has it; in memory without one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage,
        study_name=job.name,
        directions=[
            StudyDirection.MAXIMIZE if objective.maximize else StudyDirection.MINIMIZE
            for objective in job.objectives
        ],
        load_if_exists=True,
        pruner=stopping.pruner(job),
    )
    if RUN not in study.user_attrs:
        # A search without a seed gets one all the same, so that what was drawn can be drawn again.
        study.set_user_attr(SEED, secrets.randbelow(2**31) if job.seed is None else job.seed)
        study.set_user_attr(RUN, secrets.token_hex(4))
    study.sampler = _sampler(job, study.user_attrs[SEED])
    return study


def _sampler(job: TuningJob, seed: int) -> BaseSampler:
    """Sampler of a job, without Optuna's warning that some are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return strategies.load(job, seed)


def _keep_request(job: TuningJob, path: Path) -> None:
    """Keep the request beside its results; only its strategy and its limits may change."""
    request = _with_absolute_channels(job)
    if path.exists():
        before = json.loads(path.read_text())
        for part in FIXED:
            if _part(before, part) != _part(request, part):
                raise UserError(
                    f"{path.parent} holds a search with another {part[-1]}; give another folder"
                    " with --out"
                )
    path.write_text(json.dumps(request, indent=2) + "\n")


def _with_absolute_channels(job: TuningJob) -> dict[str, Any]:
    """Copy of a request whose relative addresses can be followed from any folder."""
    request: dict[str, Any] = json.loads(json.dumps(job.request))
    for channel in request[DEFINITION].get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        if source.get("S3Uri", "").startswith(FILE):
            path = job.folder / source["S3Uri"].removeprefix(FILE)
            source["S3Uri"] = f"{FILE}{path.resolve()}"
    return request


def _part(request: Any, names: Sequence[str]) -> Any:
    for name in names:
        request = request.get(name, {})
    return request
