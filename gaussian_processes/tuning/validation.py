"""Rules for the request of a tuning job, each with the sentence that says what is wrong.

All that SageMaker, its tuner (AMT) or the training program would refuse is refused before anything
starts.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker import hyperparameters
from gaussian_processes.tuning import shapes
from gaussian_processes.tuning.job import FILE, GRID, HYPERBAND, TuningJob, ranges
from gaussian_processes.tuning.space import (
    LOGARITHMIC,
    REVERSE,
    CategoricalRange,
    NumericRange,
    text,
)

# AMT's limits that its request's shape does not show.
MAX_RANGES, MAX_HYPERPARAMETERS = 30, 100
KINDS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
# The hyperparameter that is Hyperband's resource.
STAGES = "stages"


@dataclass(frozen=True)
class Runner:
    """Capabilities of what is to run a job, which decide what it may ask for.

    Parameters
    ----------
    strategies : bool
        Whether it has strategies and lists of objectives that AMT lacks.
    files : bool
        Whether it reads channels from files of this machine.
    """

    strategies: bool
    files: bool


def shape_violations(request: dict[str, Any], runner: Runner) -> Iterator[str]:
    """Yield what botocore's model refuses, but for what the runner has beyond AMT."""
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
        for position, entry in enumerate(several):
            for path, complaint in shapes.violations(member, entry, f"{objective}[{position}]"):
                yield f"{path} {complaint}"
        if not several:
            yield f"{objective} is empty; name an objective"


def _config(request: Mapping[str, Any]) -> Mapping[str, Any]:
    found = request.get("HyperParameterTuningJobConfig")
    return found if isinstance(found, Mapping) else {}


def part_violations(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield parts that are needed though the shape has them optional, or not supported."""
    config = request["HyperParameterTuningJobConfig"]
    if "TrainingJobDefinitions" in request or "TrainingJobDefinition" not in request:
        yield (
            "one algorithm is tuned at a time: give one TrainingJobDefinition, and no"
            " TrainingJobDefinitions"
        )
    if "HyperParameterTuningJobObjective" not in config:
        yield (
            "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective is missing: name the"
            " metric to tune for"
        )
    if request.get("Autotune") or config.get("ParameterRanges", {}).get("AutoParameters"):
        yield "Autotune and AutoParameters are not supported: give every range in ParameterRanges"


def range_violations(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield what AMT refuses of the ends of numeric ranges, without which there is no job."""
    for kind in ("Integer", "Continuous"):
        for entry in ranges(request).get(f"{kind}ParameterRanges", []):
            yield from _numeric_range_violations(entry, kind == "Integer")


def name_violations(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield what AMT refuses of the hyperparameters' names, and of categories."""
    named = [entry["Name"] for kind in KINDS for entry in ranges(request).get(kind, [])]
    for entry in ranges(request).get("CategoricalParameterRanges", []):
        if len(set(entry["Values"])) < len(entry["Values"]):
            yield f"the range of {entry['Name']} names a value twice; remove one"
    for name in sorted({name for name in named if named.count(name) > 1}):
        yield f"{name} has {named.count(name)} ranges; keep one"
    if not 1 <= len(named) <= MAX_RANGES:
        yield (
            f"ParameterRanges names {len(named)} hyperparameters, but it must name 1 to"
            f" {MAX_RANGES}"
        )
    static = request["TrainingJobDefinition"].get("StaticHyperParameters", {})
    for name in sorted(set(named) & set(static)):
        yield (
            f"{name} is tuned and static at once; remove it from ParameterRanges or from"
            " StaticHyperParameters"
        )
    if len(named) + len(static) > MAX_HYPERPARAMETERS:
        yield (
            f"the job has {len(named) + len(static)} hyperparameters, more than AMT's"
            f" {MAX_HYPERPARAMETERS}; leave some out"
        )


def _numeric_range_violations(entry: Mapping[str, str], integer: bool) -> Iterator[str]:
    name, scaling = entry["Name"], entry.get("ScalingType", "Auto")
    try:
        min_value, max_value = (float(entry[end]) for end in ("MinValue", "MaxValue"))
        if not math.isfinite(min_value - max_value) or (
            integer and (min_value % 1 or max_value % 1)
        ):
            raise ValueError
    except ValueError:
        kind = "whole numbers" if integer else "numbers"
        yield (
            f"the range of {name} is from {entry['MinValue']!r} to {entry['MaxValue']!r}, but its"
            f" ends must be {kind}"
        )
        return
    if min_value == max_value:
        yield (
            f"the range of {name} holds nothing but {entry['MinValue']}; make it a static"
            " hyperparameter"
        )
    elif min_value > max_value:
        yield (
            f"the range of {name} is from {entry['MinValue']} down to {entry['MaxValue']}; swap its"
            " ends"
        )
    if scaling == LOGARITHMIC and min_value <= 0:
        yield (
            f"the range of {name} is Logarithmic from {entry['MinValue']}, but logarithms need"
            " values above 0; raise MinValue"
        )
    if scaling == REVERSE and (integer or not 0 <= min_value <= max_value < 1):
        yield (
            f"the range of {name} is ReverseLogarithmic, which needs real values from 0 to below 1;"
            " take another ScalingType"
        )


def metric_violations(job: TuningJob) -> Iterator[str]:
    """Yield what AMT refuses of objectives and of metrics' regular expressions."""
    for objective in job.objectives:
        if objective.metric not in job.metrics:
            known = ", ".join(job.metrics) or "none"
            yield (
                f"the objective {objective.metric} is not among the MetricDefinitions ({known}),"
                " and a metric is required for"
                " a tuning job's objective; define it there"
            )
    for name, regex in job.metrics.items():
        try:
            groups = re.compile(regex).groups
        except re.error as error:
            yield (
                f"the Regex of {name} is {regex!r}, which is no regular expression ({error});"
                " correct it"
            )
            continue
        if groups < 1:
            yield (
                f"the Regex of {name} is {regex!r}, which has no group around the number; write"
                f" {name}=(.*?);"
            )


def hyperparameter_violations(job: TuningJob) -> Iterator[str]:
    """Yield what the program refuses of the static values and of the ends of the ranges."""
    ends = {
        entry.name: entry.categories
        if isinstance(entry, CategoricalRange)
        else [text(entry.value(end)) for end in (0, 1)]
        for entry in job.space
    }
    first = {**job.static, **{name: values[0] for name, values in ends.items()}}
    wrong = list(_program_violations(first))
    yield from wrong
    for name, (_, *others) in ends.items():
        for value in others:
            # With what is wrong already, every value would be refused.
            yield from _program_violations({name: value} if wrong else {**first, name: value})


def _program_violations(values: Mapping[str, str]) -> Iterator[str]:
    try:
        hyperparameters.parse(values)
    except UserError as error:
        yield str(error)


def strategy_violations(job: TuningJob, runner: Runner) -> Iterator[str]:
    """Yield what a strategy can not search over, and numbers of jobs that it can not run."""
    if not runner.strategies and len(job.objectives) > 1:
        yield (
            f"AMT takes one objective, but the job has {len(job.objectives)}; run it here, or keep"
            " one"
        )
    if job.strategy == GRID:
        for entry in job.space:
            if isinstance(entry, NumericRange):
                yield (
                    f"{entry.name} is a range of numbers, but Grid takes categorical ranges only;"
                    " list its values there"
                )
        if job.limits.jobs not in (math.inf, job.space.size):
            yield (
                f"MaxNumberOfTrainingJobs is {job.limits.jobs}, but Grid runs all"
                f" {job.space.size:g} combinations; leave it out"
            )
    elif job.limits.jobs == math.inf:
        yield (
            "ResourceLimits.MaxNumberOfTrainingJobs is missing, but only Grid knows by itself when"
            " it ends; give it"
        )
    elif job.space.size < job.limits.jobs:
        yield (
            f"there are {job.space.size:g} combinations of values, fewer than"
            f" MaxNumberOfTrainingJobs, {job.limits.jobs}; widen"
            f" the ranges, or lower it to {job.space.size:g}"
        )
    if job.strategy == HYPERBAND:
        yield from _hyperband_violations(job)


def _hyperband_violations(job: TuningJob) -> Iterator[str]:
    if job.resources is None or job.resources[0] >= job.resources[1]:
        yield (
            "Hyperband needs StrategyConfig.HyperbandStrategyConfig with MinResource below"
            " MaxResource; give both"
        )
    elif (stages := job.static.get(STAGES, "1")) != str(job.resources[1]):
        yield (
            f"Hyperband's MaxResource is {job.resources[1]}, but {STAGES} is {stages}, which is"
            " how often a training job prints"
            f" its objective; make the static hyperparameter {STAGES} the same"
        )
    if job.early_stopping:
        yield "Hyperband stops training jobs by itself; set TrainingJobEarlyStoppingType to Off"


def limit_violations(job: TuningJob) -> Iterator[str]:
    """Yield limits that contradict one another."""
    if job.limits.parallel > job.limits.jobs:
        yield (
            f"MaxParallelTrainingJobs is {job.limits.parallel}, more than the {job.limits.jobs}"
            " jobs in all; lower it"
        )
    if len(job.objectives) > 1 and (
        job.early_stopping or job.strategy == HYPERBAND or job.limits.target is not None
    ):
        yield (
            "early stopping, Hyperband and a target value need one objective; leave them out, or"
            " keep one objective"
        )
    stopping = job.definition["StoppingCondition"]
    if (
        job.definition.get("EnableManagedSpotTraining")
        and stopping.get("MaxWaitTimeInSeconds", 0) < job.limits.seconds_each
    ):
        yield (
            "managed spot training needs StoppingCondition.MaxWaitTimeInSeconds, at least"
            " MaxRuntimeInSeconds; give it"
        )
