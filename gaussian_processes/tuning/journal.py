"""What does a search remember, so that it can go on?

An Optuna study in a file of its folder: its trials, with what is known of their training jobs.
"""

import json
import secrets
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import stopping, strategies
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.results import JOB, Results, Row, of_job

JOURNAL = "journal.log"
# Names under which a trial and a study keep what is ours.
NAME, ROW, PARENT = "name", "row", "parent"
SEED, RUN = "seed", "run"


def open_study(job: TuningJob, folder: Path) -> Study:
    """Study of a folder: new, or as an earlier run left it.

    Raises
    ------
    UserError
        If the folder holds the search of another job.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _keep(job, folder / JOB)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _storage(folder / JOURNAL)
    known = [summary.study_name for summary in storage.get_all_studies()]
    directions = [
        StudyDirection.MAXIMIZE if objective.maximize else StudyDirection.MINIMIZE
        for objective in job.objectives
    ]
    study = optuna.create_study(
        storage=storage,
        study_name=job.name,
        directions=directions,
        load_if_exists=True,
        pruner=stopping.pruner(job),
    )
    if job.name not in known:
        # A search without a seed gets one all the same, so that what was drawn can be drawn again.
        study.set_user_attr(SEED, secrets.randbelow(2**31) if job.seed is None else job.seed)
        study.set_user_attr(RUN, secrets.token_hex(4))
    study.sampler = _quietly(job, study.user_attrs[SEED])
    return study


class _Unlocked(BaseJournalFileLock):
    """No lock: the runner has the folder for itself, and Optuna's files of locks outlive a run that was killed."""

    def acquire(self) -> bool:
        """Go on."""
        return True

    def release(self) -> None:
        """Do nothing."""


def _storage(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_Unlocked()))


def _quietly(job: TuningJob, seed: int) -> BaseSampler:
    """Sampler of a job; that Optuna calls some experimental is for its author to know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return strategies.load(job, seed)


def _keep(job: TuningJob, path: Path) -> None:
    """Keep the job beside its results; only its strategy and its limits may change from one run to the next."""
    # What it names relative to its own folder has to be found from here too.
    request = _absolute(job)
    if path.exists():
        before = json.loads(path.read_text())
        for part in (
            ("HyperParameterTuningJobConfig", "ParameterRanges"),
            ("TrainingJobDefinition", "StaticHyperParameters"),
            ("HyperParameterTuningJobConfig", "HyperParameterTuningJobObjective"),
            ("HyperParameterTuningJobName",),
        ):
            if _part(before, part) != _part(request, part):
                raise UserError(
                    f"{path.parent} holds a search with another {part[-1]}; give another folder with --out"
                )
    path.write_text(json.dumps(request, indent=2) + "\n")


def _absolute(job: TuningJob) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(json.dumps(job.request))
    for channel in request["TrainingJobDefinition"].get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        if source.get("S3Uri", "").startswith("file://"):
            source["S3Uri"] = (
                f"file://{(job.folder / source['S3Uri'].removeprefix('file://')).resolve()}"
            )
    return request


def _part(request: Any, names: Sequence[str]) -> Any:
    for name in names:
        request = request.get(name, {})
    return request


def note(study: Study, number: int, row: Row) -> None:
    """Remember what is known of a trial's training job."""
    trial = study.get_trials(deepcopy=False)[number]
    content = {
        "name": row.name,
        "status": row.status,
        "metrics": dict(row.metrics),
        "started": _iso(row.started),
        "ended": _iso(row.ended),
        "failure": row.failure,
        "model": row.model,
    }
    study._storage.set_trial_user_attr(trial._trial_id, ROW, content)


def row_of(job: TuningJob, trial: FrozenTrial) -> Row | None:
    """Return what is known of a trial's training job; None if it had none of its own."""
    content = trial.user_attrs.get(ROW)
    if content is None:
        return None
    times = {
        end: datetime.fromisoformat(content[end]) if content[end] else None
        for end in ("started", "ended")
    }
    return Row(job.space.loaded(trial.params), **{**content, **times})


def rows(job: TuningJob, study: Study) -> list[Row]:
    """Return all training jobs, in the order of their trials."""
    found = (row_of(job, trial) for trial in study.get_trials(deepcopy=False))
    return [row for row in found if row is not None]


def finished(study: Study) -> list[FrozenTrial]:
    """Trials that gave their objectives, in the order in which they ended."""
    trials = [
        one
        for one in study.get_trials(deepcopy=False)
        if one.state.is_finished() and one.values and ROW in one.user_attrs
    ]
    return sorted(
        trials, key=lambda one: (one.datetime_complete is None, one.datetime_complete, one.number)
    )


def unfinished(study: Study) -> list[FrozenTrial]:
    """Return trials that an earlier run began and did not end."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def learn_from(study: Study, job: TuningJob, parent: Results) -> int:
    """Warm start: take an earlier search's trials for known, or, where its data were others, begin with its best.

    Returns
    -------
    int
        How many of its training jobs were of use: those that gave all objectives, with values within the ranges.
    """
    used = 0
    for row, losses in sorted(parent.judged, key=lambda pair: pair[1]):
        if not _inside(job, row):
            continue
        used += 1
        stored = job.space.stored(row.values)
        if not job.transfer:
            values = [
                objective.sign * loss
                for objective, loss in zip(job.objectives, losses, strict=True)
            ]
            attributes = {PARENT: parent.name}
            study.add_trial(
                optuna.create_trial(
                    params=stored,
                    distributions=job.space.distributions,
                    values=values,
                    user_attrs=attributes,
                )
            )
        elif used <= job.limits.parallel:
            study.enqueue_trial(stored)
    return used


def _inside(job: TuningJob, row: Row) -> bool:
    if row.values.keys() != {entry.name for entry in job.space}:
        raise UserError(
            f"{row.name} was searched over {', '.join(row.values)}, and this job over others; tune the same hyperparameters as"
            " the search to learn from"
        )
    return all(entry.holds(row.values[entry.name]) for entry in job.space)


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def results(job: TuningJob, study: Study) -> Results:
    """Return what there is to show."""
    return of_job(job, rows(job, study))
