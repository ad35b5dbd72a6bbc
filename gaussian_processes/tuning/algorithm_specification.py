"""Specification of this algorithm for SageMaker: hyperparameters, metrics and channels.

All of it is made from their one declaration: the specification that CreateAlgorithm takes, and the
ranges of a tuning job.
"""

import math
from typing import Any

from gaussian_processes.sagemaker.environment import CHANNELS, metric_regex
from gaussian_processes.sagemaker.hyperparameters import (
    HYPERPARAMETERS,
    HyperparameterSpecification,
)
from gaussian_processes.sagemaker.parameter_types import (
    CategoricalParameter,
    ContinuousParameter,
    IntegerParameter,
)

ALGORITHM_NAME = "gaussian-processes"
DESCRIPTION = "Exact Gaussian-process regression and classification with arc-cosine kernels"
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
# What an endpoint takes and gives.
REQUEST_TYPES = [*CONTENT_TYPES, "application/json", "application/x-recordio-protobuf"]
RESPONSE_TYPES = ["text/csv", "application/json", "application/jsonlines", "application/x-npy"]
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
# Batch transform has no r5.
TRANSFORM_INSTANCE_TYPES = [name for name in INSTANCE_TYPES if ".r5." not in name]


def create_algorithm(image: str, name: str = ALGORITHM_NAME) -> dict[str, Any]:
    """Return a complete request of CreateAlgorithm: it trains, hosts and transforms."""
    return {
        "AlgorithmName": name,
        "AlgorithmDescription": DESCRIPTION,
        "TrainingSpecification": _training_specification(image),
        "InferenceSpecification": {
            "Containers": [{"Image": image}],
            "SupportedTransformInstanceTypes": TRANSFORM_INSTANCE_TYPES,
            "SupportedRealtimeInferenceInstanceTypes": INSTANCE_TYPES,
            "SupportedContentTypes": REQUEST_TYPES,
            "SupportedResponseMIMETypes": RESPONSE_TYPES,
        },
    }


def _training_specification(image: str) -> dict[str, Any]:
    return {
        "TrainingImage": image,
        "SupportedHyperParameters": [_specification(entry) for entry in HYPERPARAMETERS],
        "SupportedTrainingInstanceTypes": INSTANCE_TYPES,
        "SupportsDistributedTraining": True,
        "MetricDefinitions": [{"Name": name, "Regex": metric_regex(name)} for name in OBJECTIVES],
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
    }


def parameter_ranges() -> dict[str, list[dict[str, str]]]:
    """Ranges that a tuning job is to search unless it knows better."""
    ranges: dict[str, list[dict[str, str]]] = {
        "IntegerParameterRanges": [],
        "ContinuousParameterRanges": [],
    }
    for entry in HYPERPARAMETERS:
        if entry.tuning_range:
            ends = {
                "MinValue": f"{entry.tuning_range.min_value:g}",
                "MaxValue": f"{entry.tuning_range.max_value:g}",
            }
            kind = "Integer" if _is_integer(entry) else "Continuous"
            ranges[f"{kind}ParameterRanges"].append(
                {"Name": entry.name, **ends, "ScalingType": entry.tuning_range.scaling_type}
            )
    return ranges


def _specification(entry: HyperparameterSpecification) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Name": entry.name,
        "Description": entry.description,
        "Type": "FreeText",
        "IsTunable": entry.tuning_range is not None,
        "IsRequired": False,
    }
    if entry.default:
        found["DefaultValue"] = entry.default
    if isinstance(entry.parameter_type, CategoricalParameter):
        found |= {
            "Type": "Categorical",
            "Range": {
                "CategoricalParameterRangeSpecification": {
                    "Values": list(entry.parameter_type.values)
                }
            },
        }
    # One that also takes a word, a list or any number is free text to SageMaker, unless it is there
    # to be tuned.
    elif (
        isinstance(entry.parameter_type, ContinuousParameter | IntegerParameter)
        and not entry.parameter_type.auto
        and math.isfinite(entry.parameter_type.max_value)
    ):
        found |= _numbers(entry, entry.parameter_type.min_value, entry.parameter_type.max_value)
    elif entry.tuning_range:
        found |= _numbers(entry, entry.tuning_range.min_value, entry.tuning_range.max_value)
        found.pop("DefaultValue")  # `auto` is no number
    return found


def _numbers(
    entry: HyperparameterSpecification, min_value: float, max_value: float
) -> dict[str, Any]:
    kind = "Integer" if _is_integer(entry) else "Continuous"
    ends = {"MinValue": f"{min_value:g}", "MaxValue": f"{max_value:g}"}
    return {"Type": kind, "Range": {f"{kind}ParameterRangeSpecification": ends}}


def _is_integer(entry: HyperparameterSpecification) -> bool:
    """Whether a range is one of whole numbers; those of lists are, whose kind is no number."""
    return not isinstance(entry.parameter_type, ContinuousParameter)
