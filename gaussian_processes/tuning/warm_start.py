"""Warm start: what an earlier search found, as trials of a new one."""

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.study import Study

from gaussian_processes.errors import UserError
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.results import Results, Row

# Attribute of a trial that an earlier search ran: that search's name.
PARENT = "parent"


@dataclass(frozen=True)
class UsableTrials:
    """Training jobs of an earlier search that a new one can learn from, the best first.

    Parameters
    ----------
    name : str
        Of the earlier search.
    trials : sequence of (Row, tuple of float)
        Those that gave all objectives, with values within the ranges, and their losses.
    """

    name: str
    trials: Sequence[tuple[Row, tuple[float, ...]]]


def usable_trials(job: TuningJob, parent: Results) -> UsableTrials:
    """Return what a job can learn from an earlier search.

    Raises
    ------
    UserError
        If it tuned other hyperparameters.
    """
    ranked = sorted(parent.evaluated, key=lambda pair: pair[1])
    usable = [(row, losses) for row, losses in ranked if _within_ranges(job, row)]
    return UsableTrials(parent.name, usable)


def add_trials(study: Study, job: TuningJob, parent: UsableTrials) -> None:
    """Add an earlier search's trials to a study, or, where its data were others, enqueue its best.

    As many of the best as run in parallel: they are evaluated anew.
    """
    if job.transfer:
        for row, _ in parent.trials[: job.limits.parallel]:
            study.enqueue_trial(job.space.to_optuna(row.values))
        return
    signs = [objective.sign for objective in job.objectives]
    for row, losses in parent.trials:
        values = [sign * loss for sign, loss in zip(signs, losses, strict=True)]
        study.add_trial(
            optuna.create_trial(
                params=job.space.to_optuna(row.values),
                distributions=job.space.distributions,
                values=values,
                user_attrs={PARENT: parent.name},
            )
        )


def _within_ranges(job: TuningJob, row: Row) -> bool:
    if row.values.keys() != {entry.name for entry in job.space}:
        raise UserError(
            f"{row.name} was searched over {', '.join(row.values)}, and this job over others; tune"
            " the same hyperparameters as the search to learn from"
        )
    return all(entry.contains(row.values[entry.name]) for entry in job.space)
