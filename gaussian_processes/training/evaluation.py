"""How good is a model where the truth is known, and what did it say there?"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Schema
from gaussian_processes.files import atomic_write
from gaussian_processes.gp import scores
from gaussian_processes.gp.ensembles import mixture
from gaussian_processes.model.model import Model, Prediction, softmax

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def predict(model: Model, examples: Dataset) -> Prediction:
    """Predict the rows of examples, with variances."""
    return model.predict(examples.X, variance=True, place=examples.locate_row)


def leave_one_out(model: Model, targets: Array) -> Prediction:
    """Predict every row that a model was trained on from all the others.

    Parameters
    ----------
    model : Model
    targets : ndarray of shape (n, t)
        What it was trained on; in classification the indicators of the classes.
    """
    means, variances = [], []
    for member in model.members:
        mean, variance = member.process.leave_one_out(
            member.preprocessor.standardized_targets(targets)
        )
        means.append(mean * member.preprocessor.target_scale + member.preprocessor.target_center)
        variances.append(variance * member.preprocessor.target_scale**2)
    mean, variance = mixture([member.weight for member in model.members], means, variances)
    return Prediction(
        mean, variance, softmax(model.inverse_temperature * mean) if model.schema.classes else None
    )


def joined(folds: Sequence[Indices], parts: Sequence[Prediction]) -> Prediction:
    """Put predictions of folds of the rows together, in the order of the rows."""
    order = np.argsort(np.concatenate(folds))

    def whole(arrays: Sequence[Array | None]) -> Array | None:
        there = [array for array in arrays if array is not None]
        return np.concatenate(there)[order] if there else None

    mean = np.concatenate([part.mean for part in parts])[order]
    return Prediction(
        mean,
        whole([part.variance for part in parts]),
        whole([part.probabilities for part in parts]),
    )


def scored(targets: Array, prediction: Prediction) -> dict[str, float]:
    """Scores of predictions, by their names: over all targets, in their units."""
    if prediction.probabilities is not None:
        codes = targets[:, 0]
        return {
            "accuracy": scores.accuracy(codes, prediction.probabilities),
            "log_loss": scores.log_loss(codes, prediction.probabilities),
        }
    assert prediction.variance is not None  # noqa: S101  whoever scores has asked for it
    return {
        "RMSE": scores.rmse(targets, prediction.mean),
        "MAE": scores.mae(targets, prediction.mean),
        "R2": scores.r2(targets, prediction.mean),
        "NLPD": scores.nlpd(targets, prediction.mean, prediction.variance),
    }


def by_target(
    schema: Schema, targets: Array, prediction: Prediction
) -> dict[str, dict[str, float]]:
    """Scores of every target by itself, where there are several."""
    if len(schema.targets) == 1 or prediction.variance is None:
        return {}
    return {
        column.name: scored(
            targets[:, [index]],
            Prediction(prediction.mean[:, [index]], prediction.variance[:, [index]]),
        )
        for index, column in enumerate(schema.targets)
    }


def write(
    path: Path,
    schema: Schema,
    targets: Array,
    prediction: Prediction,
    extra: Mapping[str, Sequence[object]] | None = None,
) -> None:
    """Write targets and predictions into a file of CSV, whole or not at all; `extra` columns come after the row's number."""
    names = ["row", *(extra or {}), *_names(schema)]
    records = zip(*(extra or {}).values(), _lines(schema, targets, prediction), strict=True)
    lines = ([row, *before, *line] for row, (*before, line) in enumerate(records, start=1))

    def fill(partial: Path) -> None:
        with partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(lines)

    atomic_write(path, fill)


def _names(schema: Schema) -> list[str]:
    if schema.classes:
        return [
            "target",
            "predicted_label",
            "probability",
            *(f"probability_{label}" for label in schema.classes),
        ]
    if len(schema.targets) == 1:
        return ["target", "mean", "std"]
    return [
        f"{name}_{column.name}" for column in schema.targets for name in ("target", "mean", "std")
    ]


def _lines(schema: Schema, targets: Array, prediction: Prediction) -> Iterator[list[object]]:
    if prediction.probabilities is not None:
        for code, shares in zip(
            targets[:, 0].astype(int).tolist(), prediction.probabilities, strict=True
        ):
            yield [
                schema.classes[code],
                schema.classes[int(shares.argmax())],
                float(shares.max()),
                *shares.tolist(),
            ]
    else:
        assert prediction.variance is not None  # noqa: S101  whoever writes has asked for it
        yield from (
            np.dstack([targets, prediction.mean, np.sqrt(prediction.variance)])
            .reshape(len(targets), -1)
            .tolist()
        )
