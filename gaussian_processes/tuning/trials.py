"""Trials of a search that have a training job, and the rows that the study keeps of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.results import Row

# Attribute of a trial.
ROW = "row"


@dataclass
class RunningTrial:
    """A trial whose training job waits or runs.

    Parameters
    ----------
    row : Row
        What is known of the job.
    steps : int
        How many values of the objective it has printed.
    adopted : bool
        Whether an earlier run of the search started it.
    prune_reason : str
        Why it is not worth its end; empty if it is.
    stop_requested : str
        Why the backend was asked to stop it; empty if it was not.
    """

    trial: Trial
    row: Row
    steps: int = 0
    adopted: bool = False
    prune_reason: str = ""
    stop_requested: str = ""


def rows(job: TuningJob, study: Study) -> list[Row]:
    """Training jobs of a study, in the order of their trials."""
    found = (row_of(job, trial) for trial in study.get_trials(deepcopy=False))
    return [row for row in found if row is not None]


def row_of(job: TuningJob, trial: FrozenTrial) -> Row | None:
    """Training job of a trial; None if it has none of its own."""
    content = trial.user_attrs.get(ROW)
    if content is None:
        return None
    times = {
        end: datetime.fromisoformat(content[end]) if content[end] else None
        for end in ("started", "ended")
    }
    return Row(job.space.from_optuna(trial.params), **{**content, **times})


def record(study: Study, running: RunningTrial) -> None:
    """Write what is known of a trial's job into the study."""
    trial = study.get_trials(deepcopy=False)[running.trial.number]
    study._storage.set_trial_user_attr(trial._trial_id, ROW, _content(running.row))


def _content(row: Row) -> dict[str, Any]:
    """Return what the study keeps of a row: the values are the trial's parameters."""
    return {
        "name": row.name,
        "status": row.status,
        "metrics": dict(row.metrics),
        "started": row.started.isoformat() if row.started else None,
        "ended": row.ended.isoformat() if row.ended else None,
        "failure": row.failure,
        "model": row.model,
    }
