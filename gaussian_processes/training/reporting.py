"""Reports of a training job: metrics on stdout, remarks and tables in the log, files of results."""

import csv
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.dates import format_date, periods
from gaussian_processes.data.outliers import find_outlier
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.data.table import Table
from gaussian_processes.files import atomic_write
from gaussian_processes.sagemaker.environment import emit_metric
from gaussian_processes.sagemaker.hyperparameters import STACKED_ROWS, Hyperparameters
from gaussian_processes.training.model_selection import ModelSelection

Array = NDArray[np.float64]

LOGGER = logging.getLogger(__name__)
# Often enough to see that a long fit moves, seldom enough for a log that is kept.
PROGRESS_SECONDS = 10
# A row of hundreds of columns is recognised by its first.
MAX_ROW_CHARACTERS = 400


def report_metrics(metrics: Mapping[str, float], leads: bool = True) -> dict[str, float]:
    """Print metrics, on the leader of the hosts, for the regular expressions that find them."""
    for name, value in metrics.items() if leads else ():
        emit_metric(name, value)
    return dict(metrics)


def format_scores(scores: Mapping[str, float]) -> str:
    """Scores in a sentence."""
    return ", ".join(f"{name} {value:.6g}" for name, value in scores.items())


def log_table(channel: str, table: Table) -> None:
    """Log what was read from the files of a channel, and its first two rows."""
    for note in table.notes:
        LOGGER.info(note)
    log_warnings(table.warnings)
    LOGGER.info(
        f"{channel}: {len(table):,} rows of {table.width} columns, from {len(table.sources)}"
        " file(s)"
    )
    for row in range(min(2, len(table))):
        LOGGER.info(table.describe_row(row)[:MAX_ROW_CHARACTERS])


def log_warnings(warnings: Sequence[str]) -> None:
    """Log what was put in the place of something else, a line for each."""
    for warning in warnings:
        LOGGER.warning(warning)


def constant_targets(schema: Schema, dataset: Dataset) -> list[Column]:
    """Return the targets that are the same in all rows."""
    if schema.classes:
        return []
    constant = (dataset.y == dataset.y[0]).all(axis=0)
    return [schema.targets[index] for index in np.flatnonzero(constant).tolist()]


def describe_constant_targets(schema: Schema, dataset: Dataset, part: str) -> list[str]:
    """Describe the targets that are predicted as the constant that they are in a part of the rows.

    Each is one sentence.
    """
    sentences = []
    for target in constant_targets(schema, dataset):
        value = dataset.y[0, schema.targets.index(target)]
        sentences.append(
            f"target {schema.target_label(target)} is {value:.6g} in all {len(dataset):,} rows of"
            f" {part}: this is predicted, with a variance that rests on no deviation but the"
            " number's own magnitude"
        )
    return sentences


def log_schema(schema: Schema, training: Dataset) -> None:
    """Log how the columns were understood."""
    LOGGER.info(_describe_target(schema))
    for column in schema.features:
        if column.categories is not None:
            codes = range(column.category_count)
            LOGGER.info(
                f"feature {schema.file_column_label(column)} has {len(codes)} categories:"
                f" {', '.join(map(column.category_name, codes))[:200]}"
            )
    for index in schema.dates:
        label = schema.file_column_label(schema.features[index])
        LOGGER.info(_describe_dates(label, training.X[:, index]))


def _describe_dates(label: str, days: Array) -> str:
    """Describe a column of dates: their range, and what of them is a feature."""
    if np.isnan(days).all():
        return f"feature {label} has dates, all of which are missing"
    first, last = (format_date(day) for day in (np.nanmin(days), np.nanmax(days)))
    parts = "".join(f", and by {period}" for period in periods(days))
    return (
        f"feature {label} has dates from {first} to {last}, as days{parts}; trends beyond these"
        " dates are not foreseen"
    )


def _describe_target(schema: Schema) -> str:
    """Describe the target, and the features by their kinds."""
    kind = "numbers"
    if schema.classes:
        kind = f"{len(schema.classes)} classes ({', '.join(map(str, schema.classes))[:200]})"
    names = ", ".join(schema.target_label(column) for column in schema.targets)
    categories = sum(column.categories is not None for column in schema.features)
    kinds = (
        f"{len(schema.features) - categories - len(schema.dates)} numbers, {categories} categories"
    )
    kinds += f", {len(schema.dates)} dates" if schema.dates else ""
    ignored = f"; left out: {schema.ignored_labels[:200]}" if schema.ignored else ""
    return f"target: {names}, {kind}; features: {len(schema.features)} columns ({kinds}){ignored}"


def remarks(schema: Schema, dataset: Dataset) -> Iterator[str]:
    """Find what a person may not have meant in the training rows; a sentence for each."""
    if schema.classes:
        counts = np.bincount(dataset.y[:, 0].astype(int), minlength=len(schema.classes))
        for code in np.flatnonzero(counts == 1).tolist():
            yield f"class {schema.classes[code]} has one row: is it a mistake in writing another?"
    for column in schema.features:
        if column.categories and len(column.categories) > len(dataset) / 2 and len(dataset) > 2:
            yield (
                f"{schema.file_column_label(column)} has hardly a row a category: if it is a name"
                " or a date, put it into ignore, or make numbers of it"
            )
    yield from _outlier_remarks(schema, dataset)
    cells = dataset.X[:, : len(schema.features)]
    constant = (cells[0] == cells).all(axis=0) | np.isnan(cells).all(axis=0)
    for index in np.flatnonzero(constant).tolist():
        label = schema.file_column_label(schema.features[index])
        yield f"feature {label} is constant, so it does not matter to predictions"
    duplicates = len(dataset) - len(np.unique(dataset.X, axis=0))
    if duplicates:
        yield (
            f"{duplicates:,} training rows have the features of another, which flatters"
            " leave-one-out scores"
        )


def _outlier_remarks(schema: Schema, dataset: Dataset) -> Iterator[str]:
    """Name the outlying cells of targets and of features that are numbers, one a column."""
    columns = [] if schema.classes else [*zip(schema.targets, dataset.y.T, strict=True)]
    columns += zip(schema.features, dataset.X.T[: len(schema.features)], strict=True)
    for column, values in columns:
        found = find_outlier(values) if column.categories is None else None
        if found is None:
            continue
        row, deviations = found
        label = schema.file_column_label(column)
        row_label, _, file = dataset.locate_row(row).partition(" of ")
        value = format_date(values[row]) if column.is_date else f"{values[row]:.6g}"
        yield (
            f"{row_label}, {label} of {file} is {value}, {deviations:.6g} standard"
            " deviations from the mean of the others: correct it, or name it in missing_values if"
            " it means missing"
        )


def report_selection(
    selection: ModelSelection, hyperparameters: Hyperparameters, rows: int, folder: Path
) -> None:
    """Write candidates.csv, and log its table if there are several candidates.

    Parameters
    ----------
    selection : ModelSelection
    hyperparameters : Hyperparameters
    rows : int
        Training rows.
    folder : Path
    """
    records = candidate_records(selection)
    atomic_write(folder / "candidates.csv", lambda path: _write_csv(path, records))
    if len(records) == 1:
        return
    members = sum(weight > 0 for weight in selection.weights)
    chosen = f"the best by {hyperparameters.criterion}"
    if hyperparameters.stacks(rows):
        chosen = f"{members} blended by stacking"
    elif hyperparameters.ensemble == "mean":
        chosen = "all alike"
    compared = max(candidate.rows for candidate in selection.candidates)
    LOGGER.info(
        f"{len(records)} candidates, the last of them compared on {compared:,} rows;"
        f" chosen: {chosen}"
    )
    if hyperparameters.ensemble == "auto" and rows > STACKED_ROWS:
        LOGGER.info(
            f"beyond {STACKED_ROWS:,} rows candidates are not blended unless ensemble=stack: each"
            " of at most 4 members costs a factor, in time, memory and the model's size"
        )
    _log_table(records)


def candidate_records(selection: ModelSelection) -> list[dict[str, object]]:
    """Return the lines of candidates.csv, with the weights in the blend."""
    records = []
    for candidate, weight in zip(selection.candidates, selection.weights, strict=True):
        kernel = candidate.parameters.kernel.to_json()
        record: dict[str, object] = {
            **({} if candidate.targets is None else {"targets": _numbers(candidate.targets)}),
            "scaling": candidate.preparation.scaling,
            "encoding": candidate.preparation.encoding,
            "ard": candidate.ard,
            "kernel": kernel["name"],
            "q": kernel.get("q", ""),
            "l": kernel.get("l", ""),
            "gamma": kernel.get("gamma", ""),
            "noise": candidate.parameters.noise_ratio,
            "bias": candidate.parameters.bias,
            "rows": candidate.rows,
            "log_evidence": candidate.log_marginal_likelihood,
            "LOO_NLPD": candidate.loo_nlpd,
        }
        if candidate.validation_error is not None:
            record["validation"] = candidate.validation_error
        records.append(record | {"weight": weight})
    return records


def _numbers(targets: Sequence[int]) -> str:
    """Numbers of targets, from 1, in one cell of a table."""
    return " ".join(str(target + 1) for target in targets)


def _log_table(records: Sequence[Mapping[str, object]]) -> None:
    """Log records as lines, with the columns one below the other."""
    lines = [list(records[0]), *([_format_cell(cell) for cell in own.values()] for own in records)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        LOGGER.info("  ".join(padded))


def _format_cell(cell: object) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _write_csv(path: Path, records: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, records[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def write_metrics(metrics: Mapping[str, object], folder: Path) -> None:
    """Write metrics.json."""
    text = json.dumps(metrics, indent=2) + "\n"
    atomic_write(folder / "metrics.json", lambda path: path.write_text(text))


def log_share(what: str, seconds: float, total_seconds: float) -> None:
    """Log the share of a part in the job's time."""
    LOGGER.info(
        f"{what} took {seconds:.1f} of the job's {total_seconds:.1f} seconds"
        f" ({seconds / total_seconds:.0%})"
    )


@dataclass
class FactorizationProgress:
    """Report of a factorisation's progress, in the log now and then."""

    began: float | None = None
    logged: float = 0.0
    done_before: float = 0.0
    done: float = 0.0

    def __call__(self, done: float, total: float) -> None:
        """Take note of the operations done, and log a line if the last one is long ago."""
        now = time.monotonic()
        if self.began is None or done < self.done:  # with a larger jitter it begins again
            self.began, self.logged, self.done_before = now, now, done
        self.done = done
        if now - self.logged >= PROGRESS_SECONDS:
            rate = (done - self.done_before) / (now - self.began)
            left = _format_duration((total - done) / rate)
            LOGGER.info(
                f"factorising: {done / total:.0%} done at {rate / 1e9:.0f} GFLOP/s, {left} left"
            )
            self.logged = now


@dataclass
class IterationProgress:
    """Report of the progress of conjugate gradients, in the log now and then."""

    logged: float | None = None

    def __call__(self, iteration: int, residual: float) -> None:
        """Log the iteration and its residual, if the last line, or the first iteration, is old."""
        now = time.monotonic()
        if self.logged is None:
            self.logged = now
        if now - self.logged >= PROGRESS_SECONDS:
            LOGGER.info(f"conjugate gradients: iteration {iteration}, residual {residual:.1e}")
            self.logged = now


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
