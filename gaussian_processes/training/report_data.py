"""Data of a model's report, kept in its artifact: what `describe --html` draws beside the model.

See `collect` for the content. A few hundred rows are kept whatever the size of the training data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset, canonical_order
from gaussian_processes.data.schema import Schema
from gaussian_processes.gp.marginal_likelihood import subset_rows
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.training import evaluation, reporting
from gaussian_processes.training.model_selection import ModelSelection

Array = NDArray[np.float64]

# Rows whose predictions are drawn: more would be a blot in a picture, and the page stay below 1 MB.
PREDICTED_ROWS = 500
# Rows that partial dependence is the mean over: its standard error is a tenth of their spread.
BACKGROUND_ROWS = 100
# Numbers of the background at most (0.5 MB); of more columns it has fewer rows.
BACKGROUND_NUMBERS = 20_000
# Targets and features that are described: who has more looks at a few.
DESCRIBED_COLUMNS = 100
# Categories of a column that are named: a line of a table has room for few.
NAMED_CATEGORIES = 5
# Of the central intervals; a sentence of `report.model_page` names it.
COVERAGE = 0.9
# Significant digits of the numbers: a picture shows three, and all 17 would treble the file.
DIGITS = 6


def collect(
    model: Model,
    selection: ModelSelection,
    datasets: Mapping[str, Dataset],
    leave_one_out: Prediction | None,
    curve: Sequence[Mapping[str, object]],
) -> dict[str, Any]:
    """Collect the data of a report, as JSON can hold it.

    Parameters
    ----------
    model : Model
        Without factors that hosts share, which one host alone can't predict with.
    selection : ModelSelection
    datasets : mapping of str to Dataset
    leave_one_out : Prediction, optional
        Of the training rows; without it the validation rows are predicted, if there are any.
    curve : sequence of mappings
        What `learning_curve` returns.

    Returns
    -------
    dict
        ``columns``: what the first of them hold, and how many cells are missing; ``candidates``:
        those of candidates.csv; ``held_out``: targets and predictions of rows that the predicting
        model did not have, and their novelty, the mean of several targets; of regression the ends
        of the central 90 % interval and the probability integral transform, too; ``background``:
        rows of X, to be averaged over; ``learning_curve``.
    """
    training = datasets["train"]
    candidates = reporting.candidate_records(selection)
    return {
        "columns": _describe_columns(model.schema, training)[:DESCRIBED_COLUMNS],
        "candidates": {
            "columns": list(candidates[0]),
            "rows": [list(candidate.values()) for candidate in candidates],
        },
        "held_out": _held_out(model, datasets, leave_one_out),
        "background": _rounded(_background(training)),
        "learning_curve": [dict(point) for point in curve],
    }


def _background(training: Dataset) -> Array:
    """Rows of X, of shape (b, c), the same in whatever order they were read."""
    count = min(BACKGROUND_ROWS, max(1, BACKGROUND_NUMBERS // max(1, training.X.shape[1])))
    return training.X[canonical_order(training)[subset_rows(len(training), count)]]


def learning_curve(
    stages: Sequence[Mapping[str, float]], rows: int, scores: Mapping[str, object]
) -> list[dict[str, object]]:
    """Join the validation scores of the stages and, at the end, of the model of all rows."""
    if not stages:
        return []
    names = [name for name in stages[0] if name != "rows"]
    last = {name: scores[f"validation:{name}"] for name in names}
    return [*(dict[str, object](stage) for stage in stages), {"rows": rows, **last}]


def _describe_columns(schema: Schema, training: Dataset) -> list[dict[str, Any]]:
    """Describe targets and features by their cells."""
    targets = zip(schema.targets, training.y.T, strict=True)
    described = [] if schema.classes else [_describe(own.name, y) for own, y in targets]
    if schema.classes:
        codes = training.y[:, 0].astype(int)
        counts = np.bincount(codes, minlength=len(schema.classes)).tolist()
        labels = [str(label) for label in schema.classes]
        name = schema.targets[0].name
        described = [{"name": name, "missing": 0, "categories": _counted(labels, counts)}]
    for target in described:
        target["role"] = "target"
    for index, column in enumerate(schema.features):
        cells = training.X[:, index]
        if column.categories is None:
            described.append({**_describe(column.name, cells), "is_date": column.is_date})
            continue
        counts = [int((cells == code).sum()) for code in range(len(column.categories))]
        missing = int((~np.isin(cells, range(len(column.categories)))).sum())
        categories = _counted(list(column.categories), counts)
        described.append({"name": column.name, "missing": missing, "categories": categories})
    return described


def _describe(name: str, cells: Array) -> dict[str, Any]:
    """Describe a column of numbers."""
    found = cells[~np.isnan(cells)]
    ends = np.quantile(found, [0, 0.5, 1]) if len(found) else np.full(3, np.nan)
    return {
        "name": name,
        "missing": int(np.isnan(cells).sum()),
        "distinct": len(np.unique(found)),
        "quantiles": _rounded(ends),
    }


def _counted(labels: Sequence[str], counts: Sequence[int]) -> dict[str, Any]:
    """Return the number of categories, and the most frequent of them with their counts."""
    order = sorted(range(len(labels)), key=lambda index: -counts[index])
    most = [[labels[index], counts[index]] for index in order[:NAMED_CATEGORIES]]
    return {"number": len(labels), "most": most}


def _held_out(
    model: Model, datasets: Mapping[str, Dataset], leave_one_out: Prediction | None
) -> dict[str, Any] | None:
    """Targets and predictions of some rows that the predicting model did not have."""
    name = "train" if leave_one_out is not None else "validation"
    if leave_one_out is None and not (name in datasets and model.has_variance):
        return None
    rows, order = datasets[name], canonical_order(datasets[name])
    chosen = order[subset_rows(len(rows), PREDICTED_ROWS)]
    part = rows.subset(chosen)
    if leave_one_out is not None:
        prediction = leave_one_out.subset(chosen)
    else:
        prediction = evaluation.predict(model, part)
    kept: dict[str, Any] = {"source": name, "of_rows": len(rows), "target": _rounded(part.y)}
    if prediction.novelty is not None:
        kept["novelty"] = _rounded(prediction.novelty.mean(axis=1))
    if prediction.probabilities is not None:
        return {**kept, "probabilities": _rounded(prediction.probabilities)}
    distribution = prediction.distribution
    return {
        **kept,
        "mean": _rounded(prediction.mean),
        "lower": _rounded(distribution.quantile((1 - COVERAGE) / 2)),
        "upper": _rounded(distribution.quantile((1 + COVERAGE) / 2)),
        "pit": _rounded(distribution.cdf(part.y)),
    }


def _rounded(values: Array) -> list[Any]:
    """Return numbers of any shape as lists, rounded to `DIGITS` digits; None for NaN."""
    flat = [None if np.isnan(v) else float(f"{v:.{DIGITS}g}") for v in values.ravel().tolist()]
    if values.ndim == 1:
        return flat
    width = values.shape[1]
    return [flat[start : start + width] for start in range(0, len(flat), width)]
