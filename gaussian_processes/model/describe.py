"""Description of a model's artifact in words, for a person to read."""

from collections.abc import Iterator, Sequence

import numpy as np

from gaussian_processes.data.preprocessing import Preprocessor
from gaussian_processes.data.schema import MISSING_CATEGORY, UNKNOWN_CATEGORY, Column, Schema
from gaussian_processes.model import artifact
from gaussian_processes.model.model import (
    NOVELTY_BOUNDS,
    EnsembleMember,
    Member,
    Model,
    RegressorMember,
)
from gaussian_processes.sagemaker.hyperparameters import format_value


def lines(model: Model, description: artifact.Description) -> Iterator[str]:
    """Describe a model, its scores and its hyperparameters, line by line."""
    libraries = description["libraries"].items()
    versions = ", ".join(f"{name} {version}" for name, version in libraries)
    yield f"a Gaussian process of {description['training_rows']:,} training rows ({versions})"
    yield from _schema_lines(model)
    for member in model.members:
        yield from _member_lines(model, member)
    yield f"standard deviations: {_deviations(model)}"
    for name, value in description.get("scores", {}).items():
        if isinstance(value, float):
            yield f"{name}: {value:.6g}"
        if name == "novelty":
            bins = zip(value, NOVELTY_BOUNDS, strict=True)
            shares = ", ".join(f"{share:.0%} to {bound}" for share, bound in bins if share)
            yield f"novelty of training rows, each left out: {shares}"
    hyperparameters = [
        f"{name}={format_value(name, value)}"
        for name, value in description.get("hyperparameters", {}).items()
        if value not in ("auto", [], "none")
    ]
    yield "hyperparameters: " + ", ".join(hyperparameters)


def _deviations(model: Model) -> str:
    if model.has_factor:
        return "yes"
    if model.has_variance:
        return f"from the {model.processes[0].process.nearest_points} nearest rows, never too small"
    return "no, it was saved without its factor"


def _schema_lines(model: Model) -> Iterator[str]:
    schema = model.schema
    yield f"target: {', '.join(map(schema.target_label, schema.targets))}"
    if model.calibration is not None:
        classes = ", ".join(map(str, schema.classes))
        temperature, floor = model.calibration.inverse_temperature, model.calibration.floor.sum()
        softmax = f"softmax of {temperature:.4g} times the means, and an offset for each"
        softmax += f", and {floor:.2%} of the shares" if floor else ""
        yield f"classes: {classes}; probabilities: {softmax}"
    columns = f"{len(schema.features)} column{'s' * (len(schema.features) != 1)}"
    yield f"features: {columns}, in this order in a request"
    for index, column in enumerate(schema.features):
        categories = column.categories
        kind = "dates" if column.is_date else "numbers"
        kind = kind if categories is None else f"one of {', '.join(categories)}"
        kind += ", or missing" if column.missing_indicator else ""
        kind += "" if schema.has_header else f"; {schema.short_label(column)} in training"
        yield f"  {schema.column_label(index)}: {kind}"
    if schema.ignored:
        yield f"ignored: {schema.ignored_labels}"


def _member_lines(model: Model, member: Member) -> Iterator[str]:
    share, own = "", list(model.schema.targets)
    if member.targets is not None:
        own = [model.schema.targets[index] for index in member.targets]
        share = f", {member.weight:.1%} of {', '.join(map(model.schema.target_label, own))}"
    elif len(model.members) > 1:
        share = f", {member.weight:.1%} of the model"
    if isinstance(member, RegressorMember):
        deviation = np.sqrt(member.residual_variance) * member.preprocessor.target_scale[0]
        yield f"{member.name}{share}: standard deviation of what it leaves {deviation:.6g}"
        return
    process, preprocessor = member.process, member.preprocessor
    yield f"kernel: {process.kernel}{share}"
    jitter = f" (and {process.jitter:g} of jitter)" if process.jitter else ""
    yield (
        f"  projection={preprocessor.projection}, bias={preprocessor.bias:.6g},"
        f" noise={process.noise_ratio:.6g}{jitter}"
    )
    if not model.schema.classes:
        yield from _deviation_lines(model.schema, own, member)
    if member.tails is not None:
        yield (
            f"  tails: Student-t of {member.tails.degrees_of_freedom:g} degrees of freedom,"
            f" {member.tails.scale:.4g} times as wide"
        )
    for (coordinate, _), level in zip(
        preprocessor.unknown_levels, member.unknown_levels, strict=False
    ):
        if level is not None:
            name = model.schema.features[preprocessor.column[coordinate]].name
            scales = ", ".join(f"{scale:.4g}" for scale in np.sqrt(level.squared_scale))
            yield (
                f"  unknown levels of {name}: {scales} times as wide,"
                f" {level.degrees_of_freedom:.3g} degrees of freedom"
            )
    for encoding in _encodings(model.schema, preprocessor):
        yield f"  encoding: {encoding}"
    if (preprocessor.relevance != 1).any():
        yield "  relevance: " + ", ".join(_relevances(model.schema, preprocessor))


def _encodings(schema: Schema, preprocessor: Preprocessor) -> Iterator[str]:
    """Yield what the columns of numbers become beside themselves, or in their place."""
    if preprocessor.normal_scores:
        yield "numbers as their normal scores"
    if periods := _periods(schema, preprocessor):
        yield f"dates as days and by their periods ({periods})"
    indicated = preprocessor.column[preprocessor.is_indicator].tolist()
    if not all(schema.category_counts[column] for column in indicated):
        yield "numbers of few values also as categories"


def _periods(schema: Schema, preprocessor: Preprocessor) -> str:
    """Periods of dates that are features, with their columns."""
    on_circles = zip(preprocessor.column.tolist(), preprocessor.circle.tolist(), strict=True)
    names = [
        f"{schema.short_label(schema.features[column])} by {circle.partition(',')[0]}"
        for column, circle in on_circles
        if circle
    ]
    return ", ".join(dict.fromkeys(names))


def _deviation_lines(
    schema: Schema, targets: Sequence[Column], member: EnsembleMember
) -> Iterator[str]:
    """Yield the deviations of the noise and of the function, in every target's units."""
    signal_variance = member.process.signal_variance * member.preprocessor.target_scale**2
    for column, variance in zip(targets, signal_variance, strict=True):
        noise, function = np.sqrt(variance * member.process.noise_ratio), np.sqrt(variance)
        yield (
            f"  {schema.target_label(column)}: standard deviation of the noise {noise:.6g},"
            f" of the function {function:.6g}"
        )


def _relevances(schema: Schema, preprocessor: Preprocessor) -> Iterator[str]:
    """Yield the name of every coordinate, and its relevance."""
    for coordinate, relevance in enumerate(preprocessor.relevance.tolist()):
        yield f"{_coordinate_name(schema, preprocessor, coordinate)} {relevance:.3g}"


def _coordinate_name(schema: Schema, preprocessor: Preprocessor, coordinate: int) -> str:
    """Name of a coordinate: its column and, of an indicator, the category or the number."""
    index, value = int(preprocessor.column[coordinate]), preprocessor.category[coordinate]
    if index >= len(schema.features):
        indicated = schema.indicated_features[index - len(schema.features)]
        return f"{schema.short_label(schema.features[indicated])}={MISSING_CATEGORY}"
    column = schema.features[index]
    name = schema.short_label(column)
    if circle := preprocessor.circle[coordinate]:
        return f"{name} ({circle})"
    if not preprocessor.is_indicator[coordinate]:
        return name
    if column.categories is None:
        return f"{name}={value:g}"
    if value == UNKNOWN_CATEGORY:
        return f"{name}=(unknown)"
    return f"{name}={column.category_name(int(value))}"
