"""Warm start: what an earlier search found, as trials of a new one."""

import optuna
from optuna.study import Study

from gaussian_processes.errors import UserError
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.results import Results, Row

# Attribute of a trial that an earlier search ran: that search's name.
PARENT = "parent"


def add_trials(study: Study, job: TuningJob, parent: Results) -> int:
    """Add an earlier search's trials to a study, or, where its data were others, enqueue its best.

    Returns
    -------
    int
        How many of its training jobs were of use: those that gave all objectives, with values
        within the ranges.

    Raises
    ------
    UserError
        If it tuned other hyperparameters.
    """
    ranked = sorted(parent.evaluated, key=lambda pair: pair[1])
    usable = [(row, losses) for row, losses in ranked if _within_ranges(job, row)]
    if job.transfer:
        for row, _ in usable[: job.limits.parallel]:
            study.enqueue_trial(job.space.to_optuna(row.values))
        return len(usable)
    signs = [objective.sign for objective in job.objectives]
    for row, losses in usable:
        values = [sign * loss for sign, loss in zip(signs, losses, strict=True)]
        study.add_trial(
            optuna.create_trial(
                params=job.space.to_optuna(row.values),
                distributions=job.space.distributions,
                values=values,
                user_attrs={PARENT: parent.name},
            )
        )
    return len(usable)


def _within_ranges(job: TuningJob, row: Row) -> bool:
    if row.values.keys() != {entry.name for entry in job.space}:
        raise UserError(
            f"{row.name} was searched over {', '.join(row.values)}, and this job over others; tune"
            " the same hyperparameters as the search to learn from"
        )
    return all(entry.contains(row.values[entry.name]) for entry in job.space)
