"""Strategies by their names, and the import of one's own."""

import importlib
import inspect
import sys
from pathlib import Path

from optuna.samplers import BaseSampler

from gaussian_processes.errors import UserError
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.strategies.base import Strategy
from gaussian_processes.tuning.strategies.bayesian import Bayesian
from gaussian_processes.tuning.strategies.evolution import PAES, Genetic, ParticleSwarm
from gaussian_processes.tuning.strategies.plain import Grid, Random

STRATEGIES: dict[str, type[Strategy]] = {
    "random": Random,
    "grid": Grid,
    "bayesian": Bayesian,
    # As in the paper, values are random; what differs is how long each is trained.
    "hyperband": Random,
    "genetic": Genetic,
    "particleswarm": ParticleSwarm,
    "paes": PAES,
}


def load(job: TuningJob, seed: int) -> BaseSampler:
    """Make the sampler that a job names.

    Parameters
    ----------
    job : TuningJob
        Its strategy is of `STRATEGIES`, in capitals or not, or ``module:Class``, which is looked
        for beside the job file and in the folder of the command too. The class is an Optuna
        sampler; of `space` and `seed` it is given what it takes.

    Raises
    ------
    UserError
        If there is no such strategy, or it searches for another number of objectives.
    """
    known = STRATEGIES.get(job.strategy.lower())
    if known is None:
        return _own(job, seed)
    if len(job.objectives) > 1 and known not in (Random, Grid, PAES):
        raise UserError(
            f"{job.strategy} takes one objective, but the job has {len(job.objectives)}; take PAES"
            " or Random"
        )
    return known(job.space, seed)


def _own(job: TuningJob, seed: int) -> BaseSampler:
    module, _, name = job.strategy.partition(":")
    if not name:
        raise UserError(
            f"strategy {job.strategy} is unknown; name one of {', '.join(STRATEGIES)}, or one's"
            " own as module:Class"
        )
    for folder in (job.folder.resolve(), Path.cwd()):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"strategy {job.strategy} can't be imported ({error}); correct the module or the class"
        ) from error
    if not (isinstance(found, type) and issubclass(found, BaseSampler)):
        raise UserError(
            f"strategy {job.strategy} is no optuna.samplers.BaseSampler; derive it from that class"
        )
    takes = inspect.signature(found).parameters
    return found(
        **{key: value for key, value in (("space", job.space), ("seed", seed)) if key in takes}
    )
