"""Could the job of a file ever run?

All that SageMaker, its tuner (AMT) or the training program would refuse is refused here, in one sentence each and all at once,
before anything starts.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker import hyperparameters
from gaussian_processes.tuning import shapes
from gaussian_processes.tuning.job import FILE, GRID, HYPERBAND, TuningJob, of_request, ranges
from gaussian_processes.tuning.space import (
    LOGARITHMIC,
    REVERSE,
    CategoricalRange,
    NumericRange,
    text,
)

# AMT's limits that its request's shape does not show.
MOST_RANGES, MOST_HYPERPARAMETERS = 30, 100
KINDS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
# The hyperparameter that is Hyperband's resource.
STAGES = "stages"


@dataclass(frozen=True)
class Runner:
    """Who is to run a job, which decides what it may ask for.

    Parameters
    ----------
    strategies : bool
        Whether strategies and lists of objectives that AMT lacks are known there.
    files : bool
        Whether it reads channels from files of this machine.
    """

    strategies: bool
    files: bool


RUNNERS = {
    "process": Runner(strategies=True, files=True),
    "docker": Runner(strategies=True, files=True),
    "sagemaker": Runner(strategies=True, files=False),
    "amt": Runner(strategies=False, files=False),
}


@dataclass(frozen=True)
class Changes:
    """What the command line says instead of the file."""

    strategy: str | None = None
    jobs: int | None = None
    parallel: int | None = None


NO_CHANGES = Changes()


def read(path: Path, runner: str, changes: Changes = NO_CHANGES) -> TuningJob:
    """Read a job file.

    Parameters
    ----------
    path : Path
    runner : str
        Of `RUNNERS`.
    changes : Changes, optional

    Raises
    ------
    UserError
        If it is not such a request, or asks for what would be refused later; all reasons are named.
    """
    try:
        request = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}); name a job file") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); correct it") from error
    return check(request, path.parent, runner, changes)


def check(request: Any, folder: Path, runner: str, changes: Changes = NO_CHANGES) -> TuningJob:
    """Return the job that a request describes; see `read`."""
    if not isinstance(request, dict):
        raise UserError(
            f"the job file holds a {type(request).__name__}, but it must hold a JSON object; correct it"
        )
    _refuse(_of_shape(request, RUNNERS[runner]))
    request = _changed(request, changes)
    _refuse(_of_shape(request, RUNNERS[runner]))
    _refuse([*_of_parts(request), *_of_ends(request)])
    job = of_request(request, folder)
    _refuse(
        [
            *_of_names(request),
            *_of_metrics(job),
            *_of_hyperparameters(job),
            *_of_strategy(job, RUNNERS[runner]),
            *_of_limits(job),
        ]
    )
    return job


def accepted(request: Mapping[str, Any]) -> TuningJob:
    """Return the job of a request that AMT has accepted, whatever algorithm it is for."""
    _refuse(_of_parts(request))
    return of_request(request, Path())


def _refuse(reasons: Iterator[str] | Sequence[str]) -> None:
    if found := list(dict.fromkeys(reasons)):
        raise UserError("; ".join(found))


def _changed(request: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Copy a request with what the command line says instead."""
    request = json.loads(json.dumps(request))
    config = request["HyperParameterTuningJobConfig"]
    config["Strategy"] = changes.strategy or config["Strategy"]
    for name, number in (
        ("MaxNumberOfTrainingJobs", changes.jobs),
        ("MaxParallelTrainingJobs", changes.parallel),
    ):
        if number is not None:
            config["ResourceLimits"][name] = number
    return request


def _of_shape(request: dict[str, Any], runner: Runner) -> Iterator[str]:
    """Complaints of botocore's model, but for what is known here and not there."""
    shape = shapes.request_shape("sagemaker", "CreateHyperParameterTuningJob")
    objective = "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective"
    for path, complaint in shapes.violations(shape, request):
        if runner.strategies and path.endswith("Config.Strategy") and "one of" in complaint:
            continue
        if (
            runner.strategies
            and path == objective
            and isinstance(_config(request).get("HyperParameterTuningJobObjective"), list)
        ):
            continue
        if runner.files and path.endswith("S3DataSource.S3Uri") and f"'{FILE}" in complaint:
            continue
        remedy = (
            "; upload the files and name their s3:// address" if f"'{FILE}" in complaint else ""
        )
        yield f"{path or 'the request'} {complaint}{remedy}"
    if runner.strategies and isinstance(
        several := _config(request).get("HyperParameterTuningJobObjective"), list
    ):
        member = shape.members["HyperParameterTuningJobConfig"].members[
            "HyperParameterTuningJobObjective"
        ]
        for position, one in enumerate(several):
            for path, complaint in shapes.violations(member, one, f"{objective}[{position}]"):
                yield f"{path} {complaint}"
        if not several:
            yield f"{objective} is empty; name an objective"


def _config(request: Mapping[str, Any]) -> Mapping[str, Any]:
    found = request.get("HyperParameterTuningJobConfig")
    return found if isinstance(found, Mapping) else {}


def _of_parts(request: Mapping[str, Any]) -> Iterator[str]:
    """What may be left out by its shape, and yet is needed; or may be there, and yet is not known here."""
    config = request["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinitions" in request or "TrainingJobDefinition" not in request:
        yield "one algorithm is tuned here: give one TrainingJobDefinition, and no TrainingJobDefinitions"
    if "HyperParameterTuningJobObjective" not in config:
        yield "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective is missing: name the metric to tune for"
    if request.get("Autotune") or config.get("ParameterRanges", {}).get("AutoParameters"):
        yield "Autotune and AutoParameters are not known here: give every range in ParameterRanges"


def _of_ends(request: Mapping[str, Any]) -> Iterator[str]:
    """What AMT refuses of ranges of numbers: without ends that make sense there is no job to look at further."""
    for kind in ("Integer", "Continuous"):
        for entry in ranges(request).get(f"{kind}ParameterRanges", []):
            yield from _of_numbers(entry, kind == "Integer")


def _of_names(request: Mapping[str, Any]) -> Iterator[str]:
    """What AMT refuses of the hyperparameters' names, and of words."""
    named = [entry["Name"] for kind in KINDS for entry in ranges(request).get(kind, [])]
    for entry in ranges(request).get("CategoricalParameterRanges", []):
        if len(set(entry["Values"])) < len(entry["Values"]):
            yield f"the range of {entry['Name']} names a value twice; remove one"
    for name in sorted({name for name in named if named.count(name) > 1}):
        yield f"{name} has {named.count(name)} ranges; keep one"
    if not 1 <= len(named) <= MOST_RANGES:
        yield f"ParameterRanges names {len(named)} hyperparameters, but it must name 1 to {MOST_RANGES}"
    static = request["TrainingJobDefinition"].get("StaticHyperParameters", {})
    for name in sorted(set(named) & set(static)):
        yield f"{name} is tuned and static at once; remove it from ParameterRanges or from StaticHyperParameters"
    if len(named) + len(static) > MOST_HYPERPARAMETERS:
        yield f"the job has {len(named) + len(static)} hyperparameters, more than AMT's {MOST_HYPERPARAMETERS}; leave some out"


def _of_numbers(entry: Mapping[str, str], whole: bool) -> Iterator[str]:
    name, scaling = entry["Name"], entry.get("ScalingType", "Auto")
    try:
        least, greatest = (float(entry[end]) for end in ("MinValue", "MaxValue"))
        if not math.isfinite(least - greatest) or (whole and (least % 1 or greatest % 1)):
            raise ValueError
    except ValueError:
        kind = "whole numbers" if whole else "numbers"
        yield f"the range of {name} is from {entry['MinValue']!r} to {entry['MaxValue']!r}, but its ends must be {kind}"
        return
    if least == greatest:
        yield f"the range of {name} holds nothing but {entry['MinValue']}; make it a static hyperparameter"
    elif least > greatest:
        yield f"the range of {name} is from {entry['MinValue']} down to {entry['MaxValue']}; swap its ends"
    if scaling == LOGARITHMIC and least <= 0:
        yield f"the range of {name} is Logarithmic from {entry['MinValue']}, but logarithms need values above 0; raise MinValue"
    if scaling == REVERSE and (whole or not 0 <= least <= greatest < 1):
        yield f"the range of {name} is ReverseLogarithmic, which needs real values from 0 to below 1; take another ScalingType"


def _of_metrics(job: TuningJob) -> Iterator[str]:
    for objective in job.objectives:
        if objective.metric not in job.metrics:
            known = ", ".join(job.metrics) or "none"
            yield (
                f"the objective {objective.metric} is not among the MetricDefinitions ({known}), and a metric is required for"
                " a tuning job's objective; define it there"
            )
    for name, regex in job.metrics.items():
        try:
            groups = re.compile(regex).groups
        except re.error as error:
            yield f"the Regex of {name} is {regex!r}, which is no regular expression ({error}); correct it"
            continue
        if groups < 1:
            yield f"the Regex of {name} is {regex!r}, which has no group around the number; write {name}=(.*?);"


def _of_hyperparameters(job: TuningJob) -> Iterator[str]:
    """What the training program would refuse, of the static values and of the ends of the ranges."""
    ends = {
        one.name: one.categories
        if isinstance(one, CategoricalRange)
        else [text(one.value(end)) for end in (0, 1)]
        for one in job.space
    }
    first = {**job.static, **{name: values[0] for name, values in ends.items()}}
    wrong = list(_refused(first))
    yield from wrong
    for name, (_, *others) in ends.items():
        for value in others:
            # With what is wrong already, every value would be refused.
            yield from _refused({name: value} if wrong else {**first, name: value})


def _refused(values: Mapping[str, str]) -> Iterator[str]:
    try:
        hyperparameters.parse(values)
    except UserError as error:
        yield str(error)


def _of_strategy(job: TuningJob, runner: Runner) -> Iterator[str]:
    if not runner.strategies and len(job.objectives) > 1:
        yield f"AMT takes one objective, but the job has {len(job.objectives)}; run it here, or keep one"
    if job.strategy == GRID:
        for entry in job.space:
            if isinstance(entry, NumericRange):
                yield f"{entry.name} is a range of numbers, but Grid takes categorical ranges only; list its values there"
        if job.limits.jobs not in (math.inf, job.space.size):
            yield (
                f"MaxNumberOfTrainingJobs is {job.limits.jobs}, but Grid runs all {job.space.size} combinations; leave it out"
            )
    elif job.limits.jobs == math.inf:
        yield "ResourceLimits.MaxNumberOfTrainingJobs is missing, but only Grid knows by itself when it ends; give it"
    elif job.space.size < job.limits.jobs:
        yield (
            f"there are {job.space.size:g} combinations of values, fewer than MaxNumberOfTrainingJobs, {job.limits.jobs}; widen"
            f" the ranges, or lower it to {job.space.size:g}"
        )
    if job.strategy == HYPERBAND:
        yield from _of_hyperband(job)


def _of_hyperband(job: TuningJob) -> Iterator[str]:
    if job.resources is None or job.resources[0] >= job.resources[1]:
        yield "Hyperband needs StrategyConfig.HyperbandStrategyConfig with MinResource below MaxResource; give both"
    elif (stages := job.static.get(STAGES, "1")) != str(job.resources[1]):
        yield (
            f"Hyperband's MaxResource is {job.resources[1]}, but {STAGES} is {stages}, which is how often a training job prints"
            f" its objective; make the static hyperparameter {STAGES} the same"
        )
    if job.early_stopping:
        yield "Hyperband stops training jobs by itself; set TrainingJobEarlyStoppingType to Off"


def _of_limits(job: TuningJob) -> Iterator[str]:
    if job.limits.parallel > job.limits.jobs:
        yield f"MaxParallelTrainingJobs is {job.limits.parallel}, more than the {job.limits.jobs} jobs in all; lower it"
    if len(job.objectives) > 1 and (
        job.early_stopping or job.strategy == HYPERBAND or job.limits.target is not None
    ):
        yield "early stopping, Hyperband and a target value need one objective; leave them out, or keep one objective"
    stopping = job.definition["StoppingCondition"]
    if (
        job.definition.get("EnableManagedSpotTraining")
        and stopping.get("MaxWaitTimeInSeconds", 0) < job.limits.seconds_each
    ):
        yield "managed spot training needs StoppingCondition.MaxWaitTimeInSeconds, at least MaxRuntimeInSeconds; give it"
