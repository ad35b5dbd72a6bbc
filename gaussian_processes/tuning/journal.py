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
from gaussian_processes.tuning.ledger import RUN, Ledger
from gaussian_processes.tuning.results import JOB

JOURNAL = "journal.log"
# Attribute of a study.
SEED = "seed"
# Parts of a request that may not change from one run of a search to the next, and those that may if
# that is asked for.
CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
FIXED = (
    ("HyperParameterTuningJobName",),
    (CONFIG, "ParameterRanges"),
    (DEFINITION, "StaticHyperParameters"),
    (DEFINITION, "InputDataConfig"),
    (CONFIG, "HyperParameterTuningJobObjective"),
    (CONFIG, "Strategy"),
    (CONFIG, "StrategyConfig"),
    (CONFIG, "RandomSeed"),
    (CONFIG, "TrainingJobEarlyStoppingType"),
)
LIMITS = (
    (CONFIG, "ResourceLimits", "MaxNumberOfTrainingJobs"),
    (CONFIG, "ResourceLimits", "MaxParallelTrainingJobs"),
    (CONFIG, "ResourceLimits", "MaxRuntimeInSeconds"),
    (CONFIG, "TuningJobCompletionCriteria"),
)
# Trials that are tried in memory: samplers begin with one or two at random.
TRIED = 3
# Values of which a person can tell the difference at a glance.
Short = str | int | float | None


def check(job: TuningJob, folder: Path, extend: bool = False) -> None:
    """Refuse a job that can not be searched in a folder, before anything is written.

    Parameters
    ----------
    extend : bool
        Whether the limits may be others than those of the search that the folder holds.

    Raises
    ------
    UserError
        If the folder holds the search of another job, or there is no such strategy, or it proposes
        nothing.
    """
    _try_strategy(job)
    if not (folder / JOB).exists():
        return
    before, asked = json.loads((folder / JOB).read_text()), _with_absolute_channels(job)
    for part in (*FIXED, *LIMITS):
        old, new = _part(before, part), _part(asked, part)
        if _comparable(old) == _comparable(new) or (extend and part in LIMITS):
            continue
        remedy = "give another folder with --out"
        if part in LIMITS:
            remedy = f"go on under the new limits with --extend, or {remedy}"
        raise UserError(
            f"{folder} holds a search with another {part[-1]}{_difference(old, new)}; {remedy}"
        )


def _try_strategy(job: TuningJob) -> None:
    """Let the strategy propose a few trials in memory, with objectives that mean nothing."""
    study = create_study(job)
    ledger = Ledger(job, study)
    for number in range(TRIED):
        running = ledger.propose()
        if running is None and number == 0:
            raise UserError(f"strategy {job.strategy} proposes nothing; correct its arguments")
        if running is None:
            return
        ledger.tell(running.trial, [float(number)] * len(job.objectives))


def _comparable(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _difference(old: Any, new: Any) -> str:
    return f", {old} and not {new}" if isinstance(old, Short) and isinstance(new, Short) else ""


def is_new(folder: Path) -> bool:
    """Whether a folder holds no search yet."""
    return not (folder / JOURNAL).exists()


def open_study(job: TuningJob, folder: Path) -> Study:
    """Open the study of a folder: a new one, or as an earlier run left it; see `check`."""
    folder.mkdir(parents=True, exist_ok=True)
    request = _with_absolute_channels(job)
    (folder / JOB).write_text(json.dumps(request, indent=2) + "\n")
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
    # Samplers of grids stop the study when they are through, which Optuna refuses outside its loop.
    study._thread_local.in_optimize_loop = True
    return study


def _sampler(job: TuningJob, seed: int) -> BaseSampler:
    """Sampler of a job, without Optuna's warning that some are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return strategies.load(job, seed)


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
    for name in names[:-1]:
        request = request.get(name, {})
    return request.get(names[-1])
