"""Page of a model: what its data were taken for, how good it is, and what it has learned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dates import format_date
from gaussian_processes.data.preprocessing import Preprocessor
from gaussian_processes.model import artifact
from gaussian_processes.model.describe import lines
from gaussian_processes.model.model import Model, RegressorMember
from gaussian_processes.report import drawing, page, partial_dependence
from gaussian_processes.report.partial_dependence import BAND_DEVIATIONS, MAX_CATEGORIES, Curve

Array = NDArray[np.float64]

# Pictures of partial dependence; where more columns are as relevant, curves of so many are
# computed, to rank them.
DEPENDENCES, RANKED_COLUMNS = 6, 30
# Targets, and classes, that are drawn: a page has room for few. And points of all targets, of which
# 500 take 0.3 MB.
MAX_TARGETS, MAX_CLASSES, MAX_POINTS = 3, 12, 500
# Lines of what `describe` prints, which has one a column, at the beginning and at the end.
MAX_LINES = 100
# Bins of the histograms: of 500 rows 50 each, which chance moves by a quarter.
BINS = 10
# Powers of ten between which novelty is drawn: it spreads over several of them, few models have
# lower ones, and what is less is drawn at their end. Four bins a power show a shape.
NOVELTY_POWERS, BINS_A_POWER = (-6, 0), 4
# Rows of the held-out ones that are said to be no newer: who is beyond is one of a few.
NOVELTY_QUANTILE = 0.95
ALL_CONSTANT = "There is none: every column is constant in training."
COVERAGES = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class Section:
    """Part of a page: a heading, a sentence, and charts or a table."""

    title: str
    text: str
    charts: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def render(folder: Path) -> str:
    """Render the page of the model in a folder, which needs no network.

    Raises
    ------
    UserError
        If there is no model, or it is not what was saved.
    """
    model, description = artifact.load(folder), artifact.load_description(folder)
    report = artifact.load_report(folder)
    targets = ", ".join(map(model.schema.target_label, model.schema.targets))
    return page.render(
        "report/model.html",
        title=f"Model of {targets}",
        sections=list(_sections(model, report)),
        lines=_shortened(list(lines(model, description))),
    )


def _shortened(found: list[str]) -> list[str]:
    left_out = len(found) - 2 * MAX_LINES
    if left_out <= 0:
        return found
    return [*found[:MAX_LINES], f"({left_out:,} lines are left out)", *found[-MAX_LINES:]]


def _sections(model: Model, report: Mapping[str, Any] | None) -> Iterator[Section]:
    if report is None:
        text = (
            "The model was saved without the data of its report: a job keeps them unless"
            " report=false, a notebook never does."
        )
        yield Section("No pictures of rows", text)
        yield _relevance(model)
        return
    yield _data(model, report["columns"])
    yield _held_out(model, report["held_out"])
    if report["held_out"] and "novelty" in report["held_out"]:
        yield _novelty(report["held_out"])
    curves = _curves(model, _floats(report["background"]))
    yield _relevance(model)
    yield _dependence(model, curves)
    yield _candidates(report["candidates"], _share_of_processes(model))
    if report["learning_curve"]:
        yield _learning_curve(report["learning_curve"])


def _data(model: Model, columns: Sequence[Mapping[str, Any]]) -> Section:
    before = "" if model.schema.has_header else "position "
    rows = [
        [before + own["name"], own.get("role", "feature"), *_kind(own), f"{own['missing']:,}"]
        for own in columns
    ]
    remarks = " ".join(f"{remark}." for remark in model.schema.remarks)
    ignored = f"Left out: {model.schema.ignored_labels}. " if model.schema.ignored else ""
    more = len(model.schema.targets) + len(model.schema.features) - len(rows)
    unshown = f"{more:,} more columns are not shown. " if more else ""
    head = ["column", "role", "taken for", "values", "missing"]
    return Section("Data", ignored + unshown + remarks, columns=head, rows=rows)


def _kind(column: Mapping[str, Any]) -> list[str]:
    categories = column.get("categories")
    if categories:
        most = ", ".join(f"{label} ({rows:,})" for label, rows in categories["most"])
        return [f"{categories['number']} categories", most]
    is_date = column.get("is_date", False)
    write = format_date if is_date else "{:g}".format
    ends = ["?" if value is None else write(value) for value in column["quantiles"]]
    text = f"{ends[0]} to {ends[2]}, median {ends[1]}, {column['distinct']:,} distinct"
    return ["dates" if is_date else "numbers", text]


def _held_out(model: Model, rows: Mapping[str, Any] | None) -> Section:
    title = "Predictions of rows that were left out"
    if rows is None:
        text = "There are none: train with leave_one_out=true, or with a validation channel."
        return Section(title, text)
    each = "of all others" if rows["source"] == "train" else "of the training rows"
    shown = f"{len(rows['target']):,} of {rows['of_rows']:,} {rows['source']} rows"
    if "probabilities" in rows:
        text = f"{shown}, each predicted by a model {each}; bands hold 95 % of what chance does."
        if len(model.schema.classes) > MAX_CLASSES:
            text += f" The confusion matrix is drawn of at most {MAX_CLASSES} classes."
        return Section(title, text, _class_charts(model, rows))
    text = (
        f"{shown}, each predicted by a model {each}. Bars are central 90 % intervals; bands hold"
        " 95 % of what chance makes of a perfect model."
    )
    names = list(map(model.schema.target_label, model.schema.targets))
    text += _unshown("targets", names)
    charts: list[str] = []
    for index, name in enumerate(names[:MAX_TARGETS]):
        charts += _target_charts(rows, index, name)
    return Section(title, text, charts)


def _unshown(kind: str, names: Sequence[str]) -> str:
    """Say that the first of many targets or classes are drawn, where that is so."""
    if len(names) <= MAX_TARGETS:
        return ""
    return f" Of {len(names):,} {kind} the first {MAX_TARGETS} are drawn."


def _target_charts(rows: Mapping[str, Any], index: int, name: str) -> Iterator[str]:
    fields = ("target", "mean", "lower", "upper", "pit")
    columns = {field: _floats(rows[field])[:, index] for field in fields}
    columns["residual"] = columns["target"] - columns["mean"]
    targets = min(MAX_TARGETS, len(rows["target"][0]))
    records = _records(columns)[: MAX_POINTS // targets]
    yield drawing.svg(drawing.predicted(records, name), "Predicted and actual")
    yield drawing.svg(drawing.residuals(records, name), "Residuals")
    pit, size = columns["pit"], len(columns["pit"])
    counts, edges = np.histogram(pit, BINS, (0, 1))
    bins = _records({"start": edges[:-1], "end": edges[1:], "rows": counts})
    band = BAND_DEVIATIONS * np.sqrt(size * (1 - 1 / BINS) / BINS)
    expected = {"low": max(size / BINS - band, 0.0), "high": size / BINS + band}
    yield drawing.svg(drawing.histogram(bins, expected), "Calibration (PIT)")
    found = (abs(2 * pit - 1) <= COVERAGES[:, np.newaxis]).mean(axis=1)
    chart = drawing.diagonal(_shares(COVERAGES, found, size), "interval", "targets inside")
    yield drawing.svg(chart, "Coverage of central intervals")


def _class_charts(model: Model, rows: Mapping[str, Any]) -> list[str]:
    codes, probabilities = _floats(rows["target"])[:, 0].astype(int), _floats(rows["probabilities"])
    happened = np.eye(len(model.schema.classes))[codes]
    which = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    bins = [which == index for index in range(BINS) if (which == index).any()]
    announced = np.array([probabilities[own].mean() for own in bins])
    found = np.array([happened[own].mean() for own in bins])
    sizes = np.array([own.sum() for own in bins])
    reliability = _shares(announced, found, sizes)
    charts = [drawing.svg(drawing.diagonal(reliability, "probability", "how often"), "Reliability")]
    labels = [str(label) for label in model.schema.classes]
    if len(labels) <= MAX_CLASSES:
        matrix = np.zeros((len(labels), len(labels)), int)
        np.add.at(matrix, (codes, probabilities.argmax(axis=1)), 1)
        charts.append(
            drawing.svg(drawing.confusion(_cells(matrix, labels), labels), "Confusion matrix")
        )
    return charts


def _cells(matrix: NDArray[np.int_], labels: Sequence[str]) -> list[dict[str, Any]]:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return [
        {"class": a, "predicted": b, "rows": int(matrix[i, j]), "share": float(shares[i, j])}
        for i, a in enumerate(labels)
        for j, b in enumerate(labels)
    ]


def _shares(announced: Array, found: Array, size: Any) -> list[dict[str, Any]]:
    """Return records of shares, with the central 95 % of what chance makes of those announced."""
    band = BAND_DEVIATIONS * np.sqrt(announced * (1 - announced) / size)
    low, high = (announced - band).clip(0, 1), (announced + band).clip(0, 1)
    return _records({"announced": announced, "found": found, "low": low, "high": high})


def _novelty(rows: Mapping[str, Any]) -> Section:
    novelty = _floats(rows["novelty"])
    most = np.quantile(novelty, NOVELTY_QUANTILE, method="inverted_cdf")
    text = (
        "How little the rows that each was predicted from say of it: the posterior over the prior"
        " variance of the function, 0 where they determine it and 1 where they say nothing of it."
        f" Of {100 * NOVELTY_QUANTILE:g} % of these rows it is {most:.2g} at most. A request of"
        " much more (output novelty) is unlike what the model has seen, and its mean is little"
        " supported by data."
    )
    least, greatest = NOVELTY_POWERS
    edges = np.logspace(least, greatest, (greatest - least) * BINS_A_POWER + 1)
    counts, _ = np.histogram(novelty.clip(edges[0], edges[-1]), edges)
    # From a power of ten on, which has a number on the axis.
    filled = slice(int(counts.nonzero()[0][0]) // BINS_A_POWER * BINS_A_POWER, None)
    bins = {"start": edges[:-1], "end": edges[1:], "share": counts / len(novelty)}
    records = _records({name: values[filled] for name, values in bins.items()})
    powers = edges[::BINS_A_POWER].tolist()
    chart = drawing.shares(records, "novelty", f"{rows['source']} rows", powers)
    return Section("Novelty", text, [drawing.svg(chart, "Novelty of rows that were left out")])


def relevances(model: Model) -> dict[int, float]:
    """Relevance of every feature: the greatest of its coordinates', averaged over the processes.

    A member's relevances are over the greatest of them, which is 1.
    """
    total = dict.fromkeys(range(len(model.schema.features)), 0.0)
    # Not 1 where trees have a share, nor where each target has its own members.
    weights = sum(member.weight for member in model.processes)
    for member in model.processes:
        for column, relevance in _own_relevances(member.preprocessor).items():
            if column in total:
                total[column] += member.weight / weights * relevance
    return total


def _own_relevances(preprocessor: Preprocessor) -> dict[int, float]:
    largest = preprocessor.relevance.max(initial=0.0) or 1.0
    found: dict[int, float] = {}
    pairs = zip(preprocessor.column.tolist(), preprocessor.relevance.tolist(), strict=True)
    for column, relevance in pairs:
        found[column] = max(found.get(column, 0.0), relevance / largest)
    return found


def _curves(model: Model, background: Array) -> dict[int, Curve]:
    """Partial dependences, those on the most relevant columns first."""
    ranked = sorted(relevances(model).items(), key=lambda pair: -pair[1])
    least = ranked[:DEPENDENCES][-1][1]
    ranked = [pair for pair in ranked if pair[1] >= least][:RANKED_COLUMNS]
    curves: dict[int, Curve] = {}
    for column, _ in ranked:
        if curve := partial_dependence.curve(model, background, column):
            curves[column] = curve
    relevance = dict(ranked)
    order = sorted(curves, key=lambda column: (-relevance[column], -curves[column].spread))
    return {column: curves[column] for column in order}


def _relevance(model: Model) -> Section:
    order = sorted(relevances(model).items(), key=lambda pair: -pair[1])[:RANKED_COLUMNS]
    names = list(map(model.schema.short_label, model.schema.features))
    records = [{"column": names[column], "relevance": value} for column, value in order]
    text = (
        "The inverse length scale of a standardised column, over the greatest; of a blend the mean"
        " of its members'. A member without relevances of its own (ard) gives 1 to every column."
    )
    if len(records) < len(names):
        text += f" Of {len(names):,} columns these are the {len(records)} most relevant."
    if not any(value for _, value in order):
        return Section("Relevance", ALL_CONSTANT)
    chart = drawing.svg(drawing.bars(records), "Relevance of columns")
    return Section("Relevance", text, [chart])


def _dependence(model: Model, curves: Mapping[int, Curve]) -> Section:
    title = "Partial dependence"
    if not curves:
        return Section(title, ALL_CONSTANT)
    text = (
        "What is predicted on average over rows of the training data if one column had the value"
        " on the axis, for the most relevant columns. "
    )
    if model.schema.classes:
        text += "Bands are central 95 % intervals of the average over such rows."
    elif model.has_variance:
        text += "Bands are central 95 % intervals of the average, without noise."
    else:
        text += "There is no band: the model was saved without its factor."
    drawn = list(curves.items())[:DEPENDENCES]
    counts = [len(model.schema.features[column].categories or ()) for column, _ in drawn]
    if max(counts) > MAX_CATEGORIES:
        text += f" Of many categories the {MAX_CATEGORIES} most frequent are drawn."
    text += _unshown("classes" if model.schema.classes else "targets", _outputs(model))
    return Section(title, text, [_dependence_chart(model, *pair) for pair in drawn])


def _outputs(model: Model) -> list[str]:
    """Names of the classes or, in regression, of the targets."""
    classes = [str(label) for label in model.schema.classes]
    return classes or list(map(model.schema.target_label, model.schema.targets))


def _dependence_chart(model: Model, column: int, own: Curve) -> str:
    feature, classes = model.schema.features[column], model.schema.classes
    outputs = _outputs(model)
    values = own.values.tolist()
    if feature.categories is not None:
        values = [feature.category_name(int(code)) for code in values]
    elif feature.is_date:
        values = [format_date(days) for days in values]
    shown = range(min(len(outputs), MAX_TARGETS))
    if len(classes) == 2:
        # The probability of the other is 1 less that.
        shown = range(1, 2)
    records = [
        {
            "value": value,
            "output": outputs[output],
            "mean": float(own.mean[at, output]),
            "lower": float(own.lower[at, output]),
            "upper": float(own.upper[at, output]),
        }
        for output in shown
        for at, value in enumerate(values)
    ]
    title = "probability" if classes else "target"
    if len(shown) == 1:
        title = f"probability of {outputs[1]}" if classes else outputs[0]
    kind = "N" if feature.categories is not None else "T" if feature.is_date else "Q"
    chart = drawing.dependence(records, kind, title, len(shown) > 1)
    return drawing.svg(chart, model.schema.short_label(feature))


def _share_of_processes(model: Model) -> float:
    """Share of the processes in a target's blend; trees and other members have the rest."""
    others = [member for member in model.members if isinstance(member, RegressorMember)]
    return 1.0 - sum(own.weight for own in others if own.targets is None or 0 in own.targets)


def _candidates(candidates: Mapping[str, Any], share: float) -> Section:
    text = (
        "What was compared, the best first, and its weight in the model. Scores of fewer rows are"
        " of an earlier round and not comparable with those of more."
    )
    if share < 1:
        text += f" These weights are among the Gaussian processes, which are {share:.1%} of the"
        text += " model."
    # The weight comes last, which a phone would show last.
    columns = [candidates["columns"][-1], *candidates["columns"][:-1]]
    rows = [[_cell(row[-1]), *map(_cell, row[:-1])] for row in candidates["rows"]]
    return Section("Candidates and blend", text, columns=columns, rows=rows)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _learning_curve(points: Sequence[Mapping[str, float]]) -> Section:
    metric = "RMSE" if "RMSE" in points[0] else "log_loss"
    records = [{"rows": point["rows"], "value": point[metric]} for point in points]
    chart = drawing.svg(drawing.curve(records, f"validation {metric}"), "Learning curve")
    text = "Models of growing parts of the rows (stages); the last one is of all."
    return Section("Learning curve", text, [chart])


def _floats(values: Sequence[Any]) -> Array:
    return np.array(values, float)


def _records(columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    lists = [column.tolist() for column in columns.values()]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True)]
