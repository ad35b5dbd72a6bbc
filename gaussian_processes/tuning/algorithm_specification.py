"""What does SageMaker want to know of this algorithm's hyperparameters?

All of it is made from their one declaration: the specification that CreateAlgorithm takes, and the ranges of a tuning job.
"""

import math
from typing import Any

from gaussian_processes.sagemaker.environment import CHANNELS, metric_regex
from gaussian_processes.sagemaker.hyperparameters import (
    HYPERPARAMETERS,
    Hyperparameter,
    Number,
    Word,
)

# What a tuning job may be for, and which way is better.
OBJECTIVES = {
    "validation:RMSE": "Minimize",
    "validation:MAE": "Minimize",
    "validation:R2": "Maximize",
    "validation:NLPD": "Minimize",
    "validation:accuracy": "Maximize",
    "validation:log_loss": "Minimize",
    "cross_validation:RMSE": "Minimize",
    "cross_validation:accuracy": "Maximize",
    "train:LOO_RMSE": "Minimize",
    "train:LOO_NLPD": "Minimize",
    "train:log_evidence": "Maximize",
}
CONTENT_TYPES = ["text/csv", "application/jsonlines", "application/x-npy"]
# Enough memory for 20,000 rows and more; those with GPUs would not be used.
INSTANCE_TYPES = [
    "ml.m5.large",
    "ml.m5.xlarge",
    "ml.m5.2xlarge",
    "ml.m5.4xlarge",
    "ml.c5.xlarge",
    "ml.c5.4xlarge",
    "ml.r5.xlarge",
]


def algorithm(image: str) -> dict[str, Any]:
    """Request of CreateAlgorithm, but for its name, and the ranges of a tuning job."""
    return {
        "TrainingSpecification": {
            "TrainingImage": image,
            "SupportedHyperParameters": [_specification(entry) for entry in HYPERPARAMETERS],
            "SupportedTrainingInstanceTypes": INSTANCE_TYPES,
            "SupportsDistributedTraining": False,
            "MetricDefinitions": [
                {"Name": name, "Regex": metric_regex(name)} for name in OBJECTIVES
            ],
            "TrainingChannels": [
                {
                    "Name": name,
                    "IsRequired": name == "train",
                    "SupportedContentTypes": CONTENT_TYPES,
                    "SupportedCompressionTypes": ["None", "Gzip"],
                    "SupportedInputModes": ["File", "FastFile", "Pipe"],
                }
                for name in CHANNELS
            ],
            "SupportedTuningJobObjectiveMetrics": [
                {"Type": way, "MetricName": name} for name, way in OBJECTIVES.items()
            ],
        },
        "ParameterRanges": parameter_ranges(),
    }


def parameter_ranges() -> dict[str, list[dict[str, str]]]:
    """Ranges that a tuning job is to search unless it knows better."""
    ranges: dict[str, list[dict[str, str]]] = {
        "IntegerParameterRanges": [],
        "ContinuousParameterRanges": [],
    }
    for entry in HYPERPARAMETERS:
        if entry.tuning:
            ends = {"MinValue": f"{entry.tuning.least:g}", "MaxValue": f"{entry.tuning.greatest:g}"}
            kind = "Integer" if _whole(entry) else "Continuous"
            ranges[f"{kind}ParameterRanges"].append(
                {"Name": entry.name, **ends, "ScalingType": entry.tuning.scaling}
            )
    return ranges


def _specification(entry: Hyperparameter) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Name": entry.name,
        "Description": entry.meaning,
        "Type": "FreeText",
        "IsTunable": entry.tuning is not None,
        "IsRequired": False,
    }
    if entry.default:
        found["DefaultValue"] = entry.default
    if isinstance(entry.kind, Word):
        found |= {
            "Type": "Categorical",
            "Range": {
                "CategoricalParameterRangeSpecification": {"Values": list(entry.kind.values)}
            },
        }
    # One that also takes a word, a list or any number is free text to SageMaker, unless it is there to be tuned.
    elif (
        isinstance(entry.kind, Number)
        and not entry.kind.auto
        and math.isfinite(entry.kind.greatest)
    ):
        found |= _numbers(entry, entry.kind.least, entry.kind.greatest)
    elif entry.tuning:
        found |= _numbers(entry, entry.tuning.least, entry.tuning.greatest)
        found.pop("DefaultValue")  # `auto` is no number
    return found


def _numbers(entry: Hyperparameter, least: float, greatest: float) -> dict[str, Any]:
    kind = "Integer" if _whole(entry) else "Continuous"
    ends = {"MinValue": f"{least:g}", "MaxValue": f"{greatest:g}"}
    return {"Type": kind, "Range": {f"{kind}ParameterRangeSpecification": ends}}


def _whole(entry: Hyperparameter) -> bool:
    """Whether a range is one of whole numbers; those of lists are, whose kind is no number."""
    return entry.kind.whole if isinstance(entry.kind, Number) else True
