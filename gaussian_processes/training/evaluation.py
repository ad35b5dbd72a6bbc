"""Evaluation of a model: predictions where the targets are given, and their scores."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Schema
from gaussian_processes.files import atomic_write
from gaussian_processes.gp import scores
from gaussian_processes.model.model import Model, Prediction

Array = NDArray[np.float64]


def predict(model: Model, dataset: Dataset) -> Prediction:
    """Predict the rows of a dataset, with the variances that their weights make of the noise.

    A model without a factor predicts no variances.
    """
    variance = model.has_variance
    return model.predict(dataset.X, variance, dataset.locate_row, dataset.sample_weight)


def log_marginal_likelihood(model: Model, rows: int) -> float:
    """Log marginal likelihood of the `rows` training rows, in the units of the target.

    That of an ensemble is the weighted mean of its processes'. Constant targets have none.
    """
    total = weight = 0.0
    for member in model.processes:
        varies = member.process.varies
        units = rows * float(np.log(member.preprocessor.target_scale[varies]).sum())
        total += member.weight * (member.process.log_marginal_likelihood() - units)
        weight += member.weight
    # Of models for each of some targets, the weights sum to as many.
    return total if len(model.processes) == len(model.members) else total / weight


def score(dataset: Dataset, prediction: Prediction) -> dict[str, float]:
    """Score predictions of a dataset over all targets, in their units; the scores by their names.

    Errors count by the weight of their row. Densities do so already, by their variances: their mean
    is over the rows.

    Predictions without a variance have no density. Targets that are all constant have no
    coefficient of determination, which divides by their variance. Both are left out.
    """
    targets, weight = dataset.y, dataset.sample_weight
    if prediction.probabilities is not None:
        codes = targets[:, 0]
        return {
            "accuracy": scores.accuracy(codes, prediction.probabilities, weight),
            "log_loss": scores.log_loss(codes, prediction.probabilities, weight),
        }
    found = {
        "RMSE": scores.rmse(targets, prediction.mean, weight),
        "MAE": scores.mae(targets, prediction.mean, weight),
    }
    if (targets != targets[:1]).any():
        found["R2"] = scores.r2(targets, prediction.mean, weight)
    if prediction.variance is not None:
        found["NLPD"] = -float(prediction.distribution.log_density(targets).mean())
    return found


def score_by_target(
    schema: Schema, dataset: Dataset, prediction: Prediction
) -> dict[str, dict[str, float]]:
    """Score every target by itself, where there are several."""
    if len(schema.targets) == 1:
        return {}
    return {
        column.name: score(replace(dataset, y=dataset.y[:, [index]]), prediction.of_target(index))
        for index, column in enumerate(schema.targets)
    }


def write_predictions(
    path: Path,
    schema: Schema,
    targets: Array,
    prediction: Prediction,
    extra: Mapping[str, Sequence[object]] | None = None,
) -> None:
    """Write targets and predictions into a CSV file, whole or not at all.

    The columns of `extra` come after the row's number.
    """
    extra = extra or {}
    names = ["row", *extra, *_column_names(schema, prediction)]
    records = zip(*extra.values(), _records(schema, targets, prediction), strict=True)

    def write(partial: Path) -> None:
        with partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            for row, (*before, record) in enumerate(records, start=1):
                writer.writerow([row, *before, *record])

    atomic_write(path, write)


def _column_names(schema: Schema, prediction: Prediction) -> list[str]:
    if schema.classes:
        probabilities = [f"probability_{label}" for label in schema.classes]
        return ["target", "predicted_label", "probability", *probabilities]
    parts = ["target", "mean", "std"][: len(_regression_columns(prediction)) + 1]
    if len(schema.targets) == 1:
        return parts
    return [f"{name}_{column.name}" for column in schema.targets for name in parts]


def _regression_columns(prediction: Prediction) -> list[Array]:
    """Means, and standard deviations where there are variances."""
    if prediction.variance is None:
        return [prediction.mean]
    return [prediction.mean, np.sqrt(prediction.variance)]


def _records(schema: Schema, targets: Array, prediction: Prediction) -> Iterator[list[object]]:
    if prediction.probabilities is None:
        columns = [targets, *_regression_columns(prediction)]
        yield from np.dstack(columns).reshape(len(targets), -1).tolist()
        return
    codes = targets[:, 0].astype(int).tolist()
    for code, shares in zip(codes, prediction.probabilities, strict=True):
        predicted = int(shares.argmax())
        yield [
            schema.classes[code],
            schema.classes[predicted],
            float(shares[predicted]),
            *shares.tolist(),
        ]
