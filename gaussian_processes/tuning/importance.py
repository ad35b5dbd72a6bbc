"""Importance of hyperparameters by functional analysis of variance (fANOVA).

F. Hutter, H. Hoos and K. Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter
Importance", ICML 2014.
"""

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import create_trial

from gaussian_processes.tuning.results import Results

# A forest on fewer training jobs tells chance from nothing.
MIN_JOBS = 8


def importances(search: Results) -> dict[str, float]:
    """Share of the objective's variance that each hyperparameter explains, all adding up to 1.

    Returns
    -------
    dict of str to float
        The most important comes first; empty where there are less than `MIN_JOBS` objectives, or
        all of them are the same.
    """
    losses = {losses[0] for _, losses in search.evaluated}
    if len(search.evaluated) < MIN_JOBS or len(losses) == 1 or search.space.size == 1:
        return {}
    return get_param_importances(_study(search), evaluator=FanovaImportanceEvaluator(seed=0))


def _study(search: Results) -> Study:
    """Return a study in memory that holds the training jobs that have an objective."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(verbosity)
    for row, losses in search.evaluated:
        parameters = search.space.to_optuna(row.values)
        distributions = search.space.distributions
        study.add_trial(
            create_trial(params=parameters, distributions=distributions, value=losses[0])
        )
    return study
