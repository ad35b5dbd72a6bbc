"""Strategies by their names, and the import of one's own."""

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import inspyred
from optuna.samplers import BaseSampler

from gaussian_processes.errors import UserError
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.strategies.base import Strategy
from gaussian_processes.tuning.strategies.bayesian import Bayesian
from gaussian_processes.tuning.strategies.evolution import PAES, Genetic, ParticleSwarm
from gaussian_processes.tuning.strategies.generational import Generational
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


# Name of a class, and its keyword arguments if there are any.
OWN = re.compile(r"(?P<module>[\w.]+):(?P<name>\w+)(?P<call>\(.*\))?")


def load(job: TuningJob, seed: int) -> BaseSampler:
    """Make the sampler that a job names.

    Parameters
    ----------
    job : TuningJob
        Its strategy is of `STRATEGIES`, in capitals or not, or ``module:Class``, or
        ``module:Class(name=value, …)``. The module is looked for beside the job file and in the
        folder of the command too. The class is an Optuna sampler, which is given `space` and `seed`
        if it takes them, or one of inspyred's evolutionary computations.

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
    match = OWN.fullmatch(job.strategy)
    if match is None:
        raise UserError(
            f"strategy {job.strategy} is unknown; name one of {', '.join(STRATEGIES)}, or one's"
            " own as module:Class or module:Class(name=value)"
        )
    arguments = _keyword_arguments(job.strategy, match["call"] or "()")
    found = _import(job, match["module"], match["name"])
    try:
        if _is_a(found, inspyred.ec.EvolutionaryComputation):
            return _generational(job, seed, found, arguments)
        takes = inspect.signature(found).parameters
        given = {"space": job.space, "seed": seed}
        own = {name: value for name, value in given.items() if name in takes}
        sampler: BaseSampler = found(**{**own, **arguments})
    except (TypeError, ValueError) as error:
        raise UserError(f"strategy {job.strategy} can't be made: {error}") from error
    return sampler


def _generational(
    job: TuningJob, seed: int, computation: Any, arguments: dict[str, Any]
) -> BaseSampler:
    several = len(job.objectives) > 1
    if several and computation.__module__ != inspyred.ec.emo.__name__:
        raise UserError(
            f"{job.strategy} takes one objective, but the job has {len(job.objectives)}; take"
            " inspyred.ec.emo:NSGA2 or PAES"
        )
    return Generational(job.space, seed, computation, arguments)


def _keyword_arguments(strategy: str, call: str) -> dict[str, Any]:
    """Parse ``(name=value, …)``, whose values are literals of Python's."""
    try:
        parsed = ast.parse(f"f{call}", mode="eval").body
        if not isinstance(parsed, ast.Call) or parsed.args:
            raise ValueError("arguments need names")
        return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in parsed.keywords}
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f"strategy {strategy} has arguments that can't be read ({error}); write"
            " module:Class(name=value, …) with numbers, texts or lists"
        ) from error


def _import(job: TuningJob, module: str, name: str) -> Any:
    for folder in (job.folder.resolve(), Path.cwd()):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"strategy {job.strategy} can't be imported ({error}); correct the module or the class"
        ) from error
    if not _is_a(found, BaseSampler) and not _is_a(found, inspyred.ec.EvolutionaryComputation):
        raise UserError(
            f"strategy {job.strategy} is no optuna.samplers.BaseSampler and no"
            " inspyred.ec.EvolutionaryComputation; derive it from one of these"
        )
    return found


def _is_a(found: Any, base: type) -> bool:
    return isinstance(found, type) and issubclass(found, base)
