"""Validation of a model: shapes, ranges and finiteness of all that its predictions use.

A model that `train` has written passes. What a disk, a person or another program has made of one
may not: a variance below 0, a center that is no number, a depth that would take for ever.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dates import CIRCLE_COORDINATES
from gaussian_processes.data.preprocessing import NO_CATEGORY, Preprocessor
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF, Kernel, Matern52
from gaussian_processes.gp.regression import GaussianProcess
from gaussian_processes.linalg.cholesky import CholeskyFactor
from gaussian_processes.model.model import (
    MAX_BACKGROUND_ROWS,
    EnsembleMember,
    Member,
    Model,
    RegressorMember,
)

Array = NDArray[Any]

PROJECTIONS = ("sphere", "normalize", "unit")
# The hyperparameters' own limits: kernels beyond them are next to constant, and cost time.
MAX_DEGREE, MAX_DEPTH = 10, 20
# What rounding makes of the sum of weights.
WEIGHT_TOLERANCE = 1e-6


def validate(model: Model) -> None:
    """Refuse a model that no training leaves, before a prediction fails or is not a number.

    Raises
    ------
    ValueError
        With the attribute, its value and the rule.
    """
    _validate_schema(model.schema)
    _require(model.processes, "it has no Gaussian process")
    for member in model.members:
        outputs = _validate_targets(member, model.schema)
        _validate_preprocessor(member.preprocessor, model.schema, outputs)
        if isinstance(member, EnsembleMember):
            _validate_process(member, outputs)
        else:
            _validate_regressor(member, model)
    for target in range(model.schema.output_count):
        _validate_weights(
            [own.weight for own in model.members if own.targets is None or target in own.targets]
        )
    _validate_calibration(model)
    _validate_background(model)


def _require(condition: object, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def _require_numbers(
    name: str, array: Array, shape: tuple[int, ...], *, least: float = -math.inf
) -> None:
    """Refuse an array of another shape or type, or with numbers that are not finite or too small.

    Parameters
    ----------
    name : str
    array : ndarray
    shape : tuple of int
    least : float
        The least number that is allowed.
    """
    _require(array.shape == shape, f"{name} has shape {array.shape} where {shape} belongs")
    _require(array.dtype == np.float64, f"{name} is of {array.dtype}, and float64 belongs there")
    _require(np.isfinite(array).all(), f"{name} holds a number that is not finite")
    _require((array >= least).all(), f"{name} holds {np.min(array, initial=0):g}")


def _require_positive(name: str, array: Array, shape: tuple[int, ...]) -> None:
    _require_numbers(name, array, shape)
    _require((array > 0).all(), f"{name} holds {np.min(array, initial=0):g}; it must be positive")


def _require_number(name: str, value: float, least: float) -> None:
    _require(math.isfinite(value), f"{name} is {value}; it must be finite")
    _require(value >= least, f"{name} is {value}; it must be {least:g} or more")


def _require_integer(name: str, value: object, least: int, greatest: int) -> None:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    allowed = is_integer and least <= value <= greatest  # type: ignore[operator]
    _require(allowed, f"{name} is {value!r:.60}; it must be a whole number, {least} to {greatest}")


def _require_texts(name: str, values: Iterable[object]) -> None:
    found = list(values)
    _require(all(isinstance(value, str) for value in found), f"{name} holds what is no text")
    _require(len(set(found)) == len(found), f"{name} holds a text twice")


def _validate_schema(schema: Schema) -> None:
    _require_integer("width", schema.width, 1, 2**31)
    _require(isinstance(schema.has_header, bool), "has_header is neither true nor false")
    _require(schema.targets, "there is no target")
    weights = [schema.sample_weight] if schema.sample_weight else []
    for column in (*schema.features, *schema.targets, *weights):
        _validate_column(column, schema.width)
    _require_texts("ignored", schema.ignored)
    _require(all(isinstance(text, str) for text in schema.remarks), "remarks holds what is no text")
    if schema.missing_values is not None:
        _require_texts("missing_values", schema.missing_values)
    _validate_classes(schema)
    for name in ("missing", "handle_unknown"):
        _require(isinstance(getattr(schema, name), str), f"{name} is no text")


def _validate_column(column: Column, width: int) -> None:
    _require(isinstance(column.name, str), f"{column.name!r:.60} is no name of a column")
    _require_integer(f"position of {column.name:.60}", column.position, 0, width - 1)
    is_bool = isinstance(column.missing_indicator, bool)
    _require(is_bool, f"missing_indicator of {column.name:.60} is neither true nor false")
    _require(isinstance(column.is_date, bool), f"is_date of {column.name:.60} is no truth value")
    if column.categories is not None:
        _require(not column.is_date, f"{column.name:.60} has categories, and is a date")
        _require_texts(f"categories of {column.name:.60}", column.categories)


def _validate_classes(schema: Schema) -> None:
    numbers = [label for label in schema.classes if isinstance(label, int | float)]
    if len(numbers) == len(schema.classes):
        _require(all(map(math.isfinite, numbers)), "classes holds what is not finite")
        _require(len(set(numbers)) == len(numbers), "classes holds a class twice")
    else:
        _require_texts("classes", schema.classes)


def _validate_weights(weights: list[float]) -> None:
    for weight in weights:
        _require_number("weight", weight, 0)
    total = math.fsum(weights)
    _require(abs(total - 1) < WEIGHT_TOLERANCE, f"the weights sum to {total:g}; they must to 1")


def _validate_targets(member: Member, schema: Schema) -> int:
    """Refuse targets that the schema does not have; return the number of the member's."""
    if member.targets is None:
        return schema.output_count
    for target in member.targets:
        _require_integer("target", target, 0, schema.output_count - 1)
    _require(len(set(member.targets)) == len(member.targets), "targets holds one twice")
    _require(not schema.classes, "targets are given, but the target is one of classes")
    return len(member.targets)


def _validate_preprocessor(preprocessor: Preprocessor, schema: Schema, outputs: int) -> None:
    projection = preprocessor.projection
    _require(projection in PROJECTIONS, f"projection is {projection:.60}")
    _require_number("bias", preprocessor.bias, 0)
    coordinates = (len(preprocessor.column),)
    columns = len(schema.category_counts)  # features, and indicators of their missing numbers
    _require(preprocessor.column.ndim == 1, "column is no list of whole numbers")
    within = (preprocessor.column >= 0) & (preprocessor.column < columns)
    _require(within.all(), f"column names a feature beyond the {columns} that there are")
    _require_numbers("imputation_values", preprocessor.imputation_values, (columns,))
    _require_numbers("center", preprocessor.center, coordinates)
    _require_positive("scale", preprocessor.scale, coordinates)
    _require_numbers("relevance", preprocessor.relevance, coordinates, least=0)
    _require_numbers("target_center", preprocessor.target_center, (outputs,))
    _require_positive("target_scale", preprocessor.target_scale, (outputs,))
    _validate_categories(preprocessor, schema)
    _validate_circles(preprocessor, schema)
    _validate_normal_scores(preprocessor)


def _validate_categories(preprocessor: Preprocessor, schema: Schema) -> None:
    """Refuse a category that a column of categories does not have."""
    coordinates = (len(preprocessor.column),)
    _require_numbers("category", preprocessor.category, coordinates)
    is_indicator = preprocessor.is_indicator
    _require(
        is_indicator.shape == coordinates,
        f"is_indicator has shape {is_indicator.shape} where {coordinates} belongs",
    )
    counts = np.array(schema.category_counts, int)[preprocessor.column]
    codes = preprocessor.category[is_indicator & (counts > 0)]
    allowed = (codes >= NO_CATEGORY) & (codes < counts[is_indicator & (counts > 0)])
    _require((allowed & (codes == np.floor(codes))).all(), "category is none of its column's")
    _require(is_indicator[counts > 0].all(), "is_indicator is false where a column has categories")


def _validate_circles(preprocessor: Preprocessor, schema: Schema) -> None:
    """Refuse a circle of what is no period, or of a column without dates."""
    circle = preprocessor.circle
    _require(circle.shape == preprocessor.column.shape, "circle is no list of coordinates")
    on_circle = circle != ""
    _require(set(circle[on_circle].tolist()) <= set(CIRCLE_COORDINATES), "circle has no such place")
    are_dates = np.isin(preprocessor.column[on_circle], schema.dates)
    _require(are_dates.all(), "circle is of a column that is no date")
    _require(not preprocessor.is_indicator[on_circle].any(), "is_indicator is true on a circle")


def _validate_normal_scores(preprocessor: Preprocessor) -> None:
    for column, scores in preprocessor.normal_scores.items():
        name = f"normal_scores of column {column}"
        _require(0 <= column < preprocessor.column_count, f"{name} are of no feature")
        knots = scores.values.shape
        _require(len(knots) == 1 and knots[0], f"{name} have no knots")
        _require_numbers(f"values of {name}", scores.values, knots)
        _require_numbers(f"scores of {name}", scores.scores, knots)
        for numbers in (scores.values, scores.scores):
            _require((numbers[1:] > numbers[:-1]).all(), f"{name} do not increase")


def _validate_process(member: EnsembleMember, outputs: int) -> None:
    process, coordinates = member.process, len(member.preprocessor.column)
    _validate_kernel(process.kernel)
    _require_integer("iterations", process.iterations, 0, 2**31)
    _require_integer("nearest_points", process.nearest_points, 0, 2**31)
    _require_number("noise_ratio", process.noise_ratio, 0)
    _require_number("jitter", process.jitter, 0)
    rows = len(process.points)
    _require(rows, "it has no training rows")
    _require_integer("training_rows", process.observations, rows, 2**53)
    _validate_replicates(process)
    _require_positive("signal_variance", process.signal_variance, (outputs,))
    _require_numbers("points", process.points, (rows, coordinates + 1))
    _require_numbers("alpha", process.alpha, (rows, outputs))
    _validate_points(process)
    _validate_unknown_levels(member, outputs)
    if process.noise_scale is not None:
        _require_positive("noise_scale", process.noise_scale, (rows,))
    if process.factor is not None:
        _validate_factor(process.factor)


def _validate_unknown_levels(member: EnsembleMember, outputs: int) -> None:
    """Refuse unknown levels of other columns, or that are surer than the process."""
    found, count = member.unknown_levels, len(member.preprocessor.unknown_levels)
    _require(len(found) in {0, count}, f"unknown_levels are {len(found)} where {count} belong")
    for level in filter(None, found):
        degrees, squared_scale = level.degrees_of_freedom, np.array(level.squared_scale)
        _require_positive("degrees_of_freedom of unknown_levels", np.array([degrees]), (1,))
        name = "squared_scale of unknown_levels"
        _require_numbers(name, squared_scale, (outputs,), least=0)
        _require((squared_scale >= 1).all(), f"{name} is less than 1")


def _validate_regressor(member: RegressorMember, model: Model) -> None:
    """Refuse a regressor of several targets, or residuals of other rows than were trained on."""
    targets = range(model.schema.output_count) if member.targets is None else member.targets
    _require(len(targets) == 1, f"the member {member.name} is of {len(targets)} targets")
    rows = model.processes[0].process.observations
    _require_numbers("left_out", member.left_out, (rows, 2))
    _require_positive("variances of left_out", member.left_out[:, 1], (rows,))
    _require_positive("residual_variance", np.array([member.residual_variance]), (1,))


def _validate_replicates(process: GaussianProcess) -> None:
    """Refuse observations of other points than there are, or without weight."""
    replicates, rows = process.replicates, len(process.points)
    merged = process.observations != rows
    _require(merged == (replicates is not None), "replicates belong where some share a point")
    if replicates is not None:
        observations = (process.observations,)
        _require_positive("weights of replicates", replicates.sample_weight, observations)
        points = np.unique(replicates.point)
        _require(np.array_equal(points, np.arange(rows)), "replicates are not of all points")


def _validate_background(model: Model) -> None:
    """Refuse a background of other columns, or with cells that no training row has."""
    background, schema = model.background, model.schema
    if background is None:
        return
    columns = len(schema.category_counts)
    _require(background.ndim == 2, "background is no table")
    count = len(background)
    _require(0 < count <= MAX_BACKGROUND_ROWS, f"background has {count} rows")
    may_miss = np.append(schema.accepts_missing, np.zeros(len(schema.indicated_features), bool))
    _require(background.shape[1] == columns, f"background has not {columns} columns")
    missing = np.isnan(background)
    _require((~missing | may_miss).all(), "background misses what may not be missing")
    _require_numbers("background", np.where(missing, 0.0, background), (count, columns))


def _validate_kernel(kernel: Kernel) -> None:
    if isinstance(kernel, ArcCosine | ArcCosineRBF):
        _require_integer("q", kernel.q, 0, MAX_DEGREE)
        _require_integer("l", kernel.l, 0, MAX_DEPTH)
    if isinstance(kernel, ArcCosineRBF | Matern52):
        _require_number("gamma", kernel.gamma, 0)


def _validate_points(process: GaussianProcess) -> None:
    """Refuse points that have no direction."""
    with np.errstate(over="ignore"):
        squares = np.vecdot(process.points, process.points)
    has_direction = (squares > np.finfo(float).tiny) & np.isfinite(squares)
    _require(has_direction.all(), "points holds one that has no direction")


def _validate_factor(factor: CholeskyFactor) -> None:
    """Refuse a factor with a diagonal that is not positive, or numbers that are not finite."""
    for panel in factor.panels:
        _require((np.diagonal(panel) > 0).all(), "its factor has a diagonal that is not positive")
        # A sum is finite if all numbers are, unless they are far beyond those of any factor.
        with np.errstate(over="ignore", invalid="ignore"):
            total = panel.sum()
        _require(np.isfinite(total), "its factor holds a number that is not finite")


def _validate_calibration(model: Model) -> None:
    """Refuse classes without a calibration, or one of other classes."""
    calibration, count = model.calibration, len(model.schema.classes)
    found = 0 if calibration is None else len(calibration.offsets)
    _require(found == count, f"it calibrates {found} classes, and its target has {count}")
    if calibration is not None:
        _require_number("inverse_temperature", calibration.inverse_temperature, 0)
        _require_numbers("offsets", calibration.offsets, (count,))
        _require_numbers("floor", calibration.floor, (count,))
        is_share = (calibration.floor >= 0).all() and calibration.floor.sum() < 1
        _require(is_share, "floor holds no probabilities of sum below 1")
