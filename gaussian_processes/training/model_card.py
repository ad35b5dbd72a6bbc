"""Model quality and model card of a training job, as SageMaker's model registry takes them.

The model quality has the schema of Model Monitor's model quality metrics, and the card that of
SageMaker Model Cards. What only a person knows, such as the intended uses, is left to that person.
"""

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gaussian_processes.data.schema import Schema
from gaussian_processes.files import atomic_write
from gaussian_processes.model.model import Model, RegressorMember
from gaussian_processes.sagemaker.hyperparameters import format_value

Record = dict[str, Any]

EVALUATION_FILE, CARD_FILE = "evaluation.json", "model_card.json"
# What a model is judged by where there are several: rows that nothing was chosen by come first.
EVALUATIONS = ("test", "validation", "cross_validation", "train:LOO")
# The registry's names of the scores that it knows.
METRICS = {"RMSE": "rmse", "MAE": "mae", "R2": "r2", "accuracy": "accuracy"}
CAVEAT = (
    "Far from the training rows predictions are extrapolations: compare their standard deviations,"
    " or their novelty, with those of the training rows before a prediction is acted upon."
)


def write(
    model: Model,
    hyperparameters: Mapping[str, object],
    scores: Mapping[str, object],
    folder: Path,
) -> None:
    """Write evaluation.json, if there are scores to fill it with, and model_card.json.

    Parameters
    ----------
    model : Model
    hyperparameters : mapping
        As they were asked for.
    scores : mapping
        Metrics by their names, such as ``validation:RMSE``.
    folder : Path
    """
    card = model_card(model, hyperparameters, scores)
    quality = model_quality(model.schema, scores)
    for name, record in ((EVALUATION_FILE, quality), (CARD_FILE, card)):
        if record:
            text = json.dumps(record, indent=2, allow_nan=False) + "\n"
            atomic_write(folder / name, partial(Path.write_text, data=text))


def model_quality(schema: Schema, scores: Mapping[str, object]) -> Record:
    """Return the model quality on the rows that judge best; empty if none are scored."""
    for evaluation in EVALUATIONS:
        if metrics := _metrics(scores, evaluation):
            described = {
                name: {"value": value, "standard_deviation": "NaN"}
                for name, value in metrics.items()
            }
            return {f"{_problem(schema)}_metrics": described}
    return {}


def model_card(
    model: Model,
    hyperparameters: Mapping[str, object],
    scores: Mapping[str, object],
) -> Record:
    """Return the content of a model card, as far as a training job knows it."""
    schema, rows = model.schema, model.processes[0].process.observations
    return {
        "model_overview": {
            "model_description": _description(schema),
            "problem_type": _problem(schema).replace("_", " ").capitalize(),
            "algorithm_type": _algorithm(model),
        },
        "training_details": {
            "training_observations": f"{rows:,} rows of {len(schema.features)} columns",
            "training_job_details": {
                "user_provided_hyper_parameters": [
                    {"name": name, "value": format_value(name, value)}
                    for name, value in hyperparameters.items()
                ],
                "user_provided_training_metrics": [
                    {"name": name, "value": value}
                    for name, value in scores.items()
                    if name.startswith("train:") and _is_number(value)
                ],
            },
        },
        "evaluation_details": [
            {"name": name, "metric_groups": [_metric_group(schema, metrics)]}
            for name in EVALUATIONS
            if (metrics := _metrics(scores, name))
        ],
        "additional_information": {"caveats_and_recommendations": CAVEAT},
    }


def _metrics(scores: Mapping[str, object], evaluation: str) -> dict[str, float]:
    """Scores of an evaluation under the registry's names, with the mean squared error."""
    separator = "_" if evaluation == "train:LOO" else ":"
    found: dict[str, float] = {}
    for name, registered in METRICS.items():
        value = scores.get(f"{evaluation}{separator}{name}")
        if isinstance(value, float) and math.isfinite(value):
            found[registered] = value
    if "rmse" in found:
        found["mse"] = found["rmse"] ** 2
    return found


def _metric_group(schema: Schema, metrics: Mapping[str, float]) -> Record:
    data = [{"name": name, "type": "number", "value": value} for name, value in metrics.items()]
    return {"name": f"{_problem(schema)}_metrics", "metric_data": data}


def _problem(schema: Schema) -> str:
    """Kind of the problem, as the registry names its metrics."""
    if not schema.classes:
        return "regression"
    kind = "binary" if len(schema.classes) == 2 else "multiclass"
    return f"{kind}_classification"


def _algorithm(model: Model) -> str:
    """Name the kernels of the processes, and what they are blended with."""
    kernels = sorted({member.process.kernel.name for member in model.processes})
    others = sorted({own.name for own in model.members if isinstance(own, RegressorMember)})
    blended = f", blended with {', '.join(others)}" if others else ""
    return f"Exact Gaussian process (kernel {', '.join(kernels)}){blended}"


def _description(schema: Schema) -> str:
    targets = ", ".join(map(schema.target_label, schema.targets))
    return f"Predicts {targets} from {len(schema.features)} columns"


def _is_number(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)
