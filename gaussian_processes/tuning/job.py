"""Tuning job: objectives, ranges, limits and strategy.

It is written as the request of boto3's ``create_hyper_parameter_tuning_job``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussian_processes.sagemaker import hyperparameters
from gaussian_processes.tuning.space import (
    LINEAR,
    LOGARITHMIC,
    CategoricalRange,
    NumericRange,
    Range,
    Space,
)

# Those of AMT's strategies that have rules of their own.
GRID, HYPERBAND = "Grid", "Hyperband"
# What the address of a channel on this machine begins with.
FILE = "file://"
# Where a range says Auto, of a hyperparameter whose scale is not declared: three powers of ten are
# more than a line shows.
LOGARITHMIC_RATIO = 1_000


@dataclass(frozen=True)
class Objective:
    """A metric, and which way is better."""

    metric: str
    maximize: bool

    @property
    def sign(self) -> int:
        """What makes a smaller number the better one."""
        return -1 if self.maximize else 1


@dataclass(frozen=True)
class Limits:
    """When a search ends; infinite where there is no such end.

    Parameters
    ----------
    jobs, parallel : float
        Training jobs in all, and at a time.
    seconds, seconds_each : float
        For the whole search, and for a training job.
    target : float or None
        A value of the objective that is good enough.
    not_improving : float
        Training jobs in a row that were no better than the best before.
    until_converged : bool
        Whether to end once hardly any improvement is expected.
    """

    jobs: float
    parallel: int
    seconds: float
    seconds_each: float
    target: float | None
    not_improving: float
    until_converged: bool


@dataclass(frozen=True)
class TuningJob:
    """A job file that was checked.

    Parameters
    ----------
    request : mapping
        As it was written.
    folder : Path
        Where its relative ``file://`` addresses begin.
    metrics : mapping of str to str
        Regular expressions by the metric's name.
    resources : tuple of int, optional
        The least and the most that Hyperband gives a training job, in values of its metric.
    parents : sequence of str
        Searches to learn from.
    transfer : bool
        Whether those had other data, so that only their best points are of use.
    """

    request: Mapping[str, Any]
    folder: Path
    name: str
    strategy: str
    objectives: tuple[Objective, ...]
    space: Space
    static: Mapping[str, str]
    metrics: Mapping[str, str]
    limits: Limits
    early_stopping: bool
    resources: tuple[int, int] | None
    seed: int | None
    parents: tuple[str, ...]
    transfer: bool

    @property
    def definition(self) -> Mapping[str, Any]:
        """Return the training job that every trial is one of."""
        found: Mapping[str, Any] = self.request["TrainingJobDefinition"]
        return found


def of_request(request: Mapping[str, Any], folder: Path) -> TuningJob:
    """Return the job that a request describes, whose parts are there and make sense."""
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    objectives, bands = config["HyperParameterTuningJobObjective"], config.get("StrategyConfig", {})
    warm = request.get("WarmStartConfig", {})
    resources = bands.get("HyperbandStrategyConfig", {})
    return TuningJob(
        request=request,
        folder=folder,
        name=request["HyperParameterTuningJobName"],
        strategy=_as_amt_writes_it(config["Strategy"]),
        objectives=tuple(
            Objective(objective["MetricName"], objective["Type"] == "Maximize")
            for objective in (objectives if isinstance(objectives, list) else [objectives])
        ),
        space=_space(ranges(request)),
        static=definition.get("StaticHyperParameters", {}),
        metrics={
            metric["Name"]: metric["Regex"]
            for metric in definition["AlgorithmSpecification"].get("MetricDefinitions", [])
        },
        limits=_limits(config, definition),
        early_stopping=config.get("TrainingJobEarlyStoppingType", "Off") == "Auto",
        resources=(resources["MinResource"], resources["MaxResource"])
        if len(resources) == 2
        else None,
        seed=config.get("RandomSeed"),
        parents=tuple(
            parent["HyperParameterTuningJobName"]
            for parent in warm.get("ParentHyperParameterTuningJobs", [])
        ),
        transfer=warm.get("WarmStartType") == "TransferLearning",
    )


def _as_amt_writes_it(strategy: str) -> str:
    """Name of a strategy, which the command line takes in small letters too."""
    return next((name for name in (GRID, HYPERBAND) if name.lower() == strategy.lower()), strategy)


def _limits(config: Mapping[str, Any], definition: Mapping[str, Any]) -> Limits:
    limits, criteria = config["ResourceLimits"], config.get("TuningJobCompletionCriteria", {})
    return Limits(
        jobs=limits.get("MaxNumberOfTrainingJobs", math.inf),
        parallel=limits["MaxParallelTrainingJobs"],
        seconds=limits.get("MaxRuntimeInSeconds", math.inf),
        seconds_each=definition["StoppingCondition"].get("MaxRuntimeInSeconds", math.inf),
        target=criteria.get("TargetObjectiveMetricValue"),
        not_improving=criteria.get("BestObjectiveNotImproving", {}).get(
            "MaxNumberOfTrainingJobsNotImproving", math.inf
        ),
        until_converged=criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence")
        == "Enabled",
    )


def _space(given: Mapping[str, Any]) -> Space:
    found: list[Range] = [
        CategoricalRange(entry["Name"], tuple(entry["Values"]))
        for entry in given.get("CategoricalParameterRanges", [])
    ]
    for kind in ("Integer", "Continuous"):
        for entry in given.get(f"{kind}ParameterRanges", []):
            min_value, max_value = float(entry["MinValue"]), float(entry["MaxValue"])
            scaling = entry.get("ScalingType", "Auto")
            scaling = (
                _automatic(entry["Name"], min_value, max_value) if scaling == "Auto" else scaling
            )
            found.append(
                NumericRange(entry["Name"], min_value, max_value, kind == "Integer", scaling)
            )
    return Space(tuple(sorted(found, key=lambda entry: entry.name)))


def _automatic(name: str, min_value: float, max_value: float) -> str:
    """Choose the scale of a range that says Auto.

    The declared one, or a logarithmic one for a wide range of positive numbers.
    """
    declared = {
        entry.name: entry.tuning_range.scaling_type
        for entry in hyperparameters.HYPERPARAMETERS
        if entry.tuning_range
    }
    wide = LOGARITHMIC if min_value > 0 and max_value / min_value >= LOGARITHMIC_RATIO else LINEAR
    scaling = declared.get(name, wide)
    return LINEAR if scaling == LOGARITHMIC and min_value <= 0 else scaling


def ranges(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the ranges of a request, by their kind."""
    found: Mapping[str, Any] = request["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
    return found
