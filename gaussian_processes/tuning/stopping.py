"""Early stopping of training jobs, and completion criteria of a search."""

from collections.abc import Sequence
from statistics import fmean, median

from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gaussian_processes.tuning.job import HYPERBAND, TuningJob

# Fewer jobs have no meaningful median.
MIN_OTHERS = 3
# Of Hyperband: with each rung a third of the jobs goes on, as in the paper.
REDUCTION = 3
# On a smooth bowl the improvement that is still expected falls to this part of the spread of what
# was seen within 21 jobs; the best of them is then 0.005 of the ranges from the bottom, and 0.03 at
# most. Three times, lest a guess decide.
CONVERGED, CONVERGED_TIMES = 0.01, 3


class Median(BasePruner):
    """AMT's median rule: stop a job worse than the median of the others' running averages.

    The averages are up to the same step. A job is let alone where none has gone on after that step:
    all is done then, and stopping it would save nothing.
    """

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to stop a trial."""
        step = trial.last_step
        if step is None:
            return False
        others = [
            other
            for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if step in other.intermediate_values
        ]
        if len(others) < MIN_OTHERS or not any((other.last_step or 0) > step for other in others):
            return False
        others_median = median(_average(other, step) for other in others)
        value = trial.intermediate_values[step]
        return (
            value > others_median
            if study.direction == StudyDirection.MINIMIZE
            else value < others_median
        )


def _average(trial: FrozenTrial, step: int) -> float:
    return fmean(value for at, value in trial.intermediate_values.items() if at <= step)


def pruner(job: TuningJob) -> BasePruner:
    """Return the pruner that stops trials of a job early."""
    if job.strategy == HYPERBAND and job.resources:
        return HyperbandPruner(
            min_resource=job.resources[0], max_resource=job.resources[1], reduction_factor=REDUCTION
        )
    return Median() if job.early_stopping else NopPruner()


def reason_to_end(
    job: TuningJob, losses: Sequence[Sequence[float]], expected_improvements: Sequence[float]
) -> str:
    """Return why a search ends before its last job; empty if it goes on.

    Parameters
    ----------
    losses : sequence
        Of the jobs that gave their objectives, in the order in which they ended.
    expected_improvements : sequence of float
        Improvement still expected after each, in standard deviations.
    """
    limits = job.limits
    firsts = [values[0] for values in losses]
    if (
        limits.target is not None
        and firsts
        and min(firsts) <= job.objectives[0].sign * limits.target
    ):
        return f"the target {limits.target:g} is reached"
    since = _since_improvement(firsts)
    if len(job.objectives) == 1 and since >= limits.not_improving:
        return f"{since} training jobs in a row were no better than the best before"
    recent = expected_improvements[-CONVERGED_TIMES:]
    if limits.until_converged and len(recent) == CONVERGED_TIMES and max(recent) < CONVERGED:
        return (
            f"no more than {max(recent):.2g} standard deviations of improvement are expected of"
            " another training job"
        )
    return ""


def _since_improvement(losses: Sequence[float]) -> int:
    best, since = float("inf"), 0
    for loss in losses:
        since = 0 if loss < best else since + 1
        best = min(best, loss)
    return since
