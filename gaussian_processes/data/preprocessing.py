"""Preprocessing of rows: imputation, one-hot encoding, scaling, projection to the sphere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.gp.sphere import project_to_sphere

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# How far from 1 a norm may be that should be 1: under projection=unit, what is lost where
# coordinates are written with 6 digits.
UNIT_TOLERANCE = 1e-5
# The category of a coordinate that is a number.
NO_CATEGORY = -1


def locate_request_row(row: int) -> str:
    """Locate a row in a request, for messages: counted from 1."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class PreprocessingOptions:
    """Options of preprocessing.

    Parameters
    ----------
    projection : str
        `sphere` scales the coordinates, `normalize` and `unit` leave them as they are.
    scaling : str
        `columns` centers every coordinate and divides numbers by their standard deviation (an
        indicator is between 0 and 1 already, and that of a rare category would be blown up);
        `overall` centers them and divides all by one number, the root mean square of the centered
        coordinates; `none` leaves them.
    normalize_y : bool
        Whether targets are centered and divided by their standard deviation.
    bias : float
        Constant coordinate to append; 0 for none.
    """

    projection: str = "sphere"
    scaling: str = "columns"
    normalize_y: bool = True
    bias: float = 0.0


@dataclass(frozen=True)
class Preprocessor:
    """Preprocessing fitted to training rows.

    Parameters
    ----------
    projection : str
        `sphere`, `normalize` or `unit`.
    column, category : ndarray of shape (d,)
        Column of a row that each coordinate comes from, and the category that it indicates:
        `NO_CATEGORY` where it is the number itself. Columns that are constant in training have no
        coordinate.
    imputation_values : ndarray of shape (c,)
        Value of every column in place of a missing one: its mean; for a category, no category.
    center, scale : ndarray of shape (d,)
        Subtracted from every coordinate, and divided by. 0 and 1 unless `projection` is `sphere`.
    relevance : ndarray of shape (d,)
        Factor of every standardized coordinate: the inverse of its length scale.
    bias : float
        Constant coordinate appended to every row; without it (0) the length of a row is lost.
    target_center, target_scale : ndarray of shape (t,)
        Subtracted from every target, and divided by.
    """

    projection: str
    column: Indices
    category: Indices
    imputation_values: Array
    center: Array
    scale: Array
    relevance: Array
    bias: float
    target_center: Array
    target_scale: Array

    @property
    def column_count(self) -> int:
        """Number of columns of a row."""
        return len(self.imputation_values)

    def one_hot(self, rows: Array) -> Array:
        """Impute and one-hot encode rows of shape (n, c) as coordinates of shape (n, d)."""
        coordinates: Array = rows.take(self.column, axis=1)
        np.copyto(coordinates, self._imputed, where=np.isnan(coordinates))
        indicators = self._indicators
        if indicators.size:
            coordinates[:, indicators] = coordinates[:, indicators] == self.category[indicators]
        return coordinates

    @cached_property
    def _imputed(self) -> Array:
        """Imputation value of every coordinate."""
        return self.imputation_values[self.column]

    @cached_property
    def _indicators(self) -> Indices:
        """Indices of the coordinates that indicate a category."""
        return np.flatnonzero(self.category != NO_CATEGORY)

    def standardized(self, rows: Array) -> Array:
        """Coordinates of rows of shape (n, c), centered and scaled, of shape (n, d)."""
        return (self.one_hot(rows) - self.center) / self.scale

    def points(self, rows: Array, locate_row: Callable[[int], str] = locate_request_row) -> Array:
        """Points on the unit sphere, of shape (n, d + 1), of rows of shape (n, c).

        Parameters
        ----------
        rows : ndarray of shape (n, c)
        locate_row : callable
            Location of row i, for messages.

        Raises
        ------
        UserError
            If the number of columns differs from training's, a number is not finite, a row has no
            direction, or, with projection=unit, the norm of a row is not 1.
        """
        if rows.shape[1] != self.column_count:
            raise UserError(
                f"{locate_row(0)} has {rows.shape[1]} feature columns and the model was trained on"
                f" {self.column_count}; give exactly {self.column_count}"
            )
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            standardized = self.standardized(rows)
            points = project_to_sphere(standardized * self.relevance, self.bias)
            invalid = _not_unit(points)
            if self.projection == "unit":
                invalid |= _not_unit(standardized)
        if invalid.any():
            row = int(invalid.argmax())
            raise self._invalid_row_error(rows[row], standardized[row], locate_row(row))
        return points

    def _invalid_row_error(self, row: Array, standardized: Array, location: str) -> UserError:
        """Explain why a row has no point on the sphere."""
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.linalg.norm(standardized)
        for column in np.flatnonzero(np.isinf(row))[:1]:
            return UserError(
                f"{location}, column {column + 1} is {row[column]}; send finite numbers"
            )
        if not np.isfinite(norm):
            largest = np.nanmax(np.abs(row))
            return UserError(
                f"{location} holds {largest:.3g}, which is too large to compute with; correct it"
            )
        if self.projection == "unit":
            return UserError(
                f"{location} has norm {norm:.6g}, and projection=unit takes norm 1;"
                " use projection=normalize"
            )
        return UserError(
            f"{location} has norm 0 and so no direction; drop the row, or use projection=sphere"
            " with a bias"
        )

    def standardized_targets(self, y: Array) -> Array:
        """Targets of shape (n, t), centered and scaled."""
        return (y - self.target_center) / self.target_scale


def _not_unit(points: Array) -> NDArray[np.bool_]:
    """Whether each row's norm is not 1, as where its square is out of floating point's range."""
    norms = np.sqrt(np.vecdot(points, points))
    not_unit: NDArray[np.bool_] = ~(np.abs(norms - 1) <= UNIT_TOLERANCE)
    return not_unit


def fit(
    rows: Array, y: Array, category_counts: Sequence[int], options: PreprocessingOptions
) -> Preprocessor:
    """Fit preprocessing to training rows; the relevance of every coordinate is 1.

    Parameters
    ----------
    rows : ndarray of shape (n, c)
        Numbers, and codes of categories; NaN where a value is missing.
    y : ndarray of shape (n, t)
    category_counts : sequence of int
        Number of categories of each column; 0 for numbers.
    options : PreprocessingOptions

    Raises
    ------
    UserError
        If the targets are all alike, or numbers are too large or too small to be squared.
    """
    target_center, target_scale = _fit_targets(y, options.normalize_y)
    column, category = _coordinates(category_counts)
    zeros, ones = np.zeros(len(column)), np.ones(len(column))
    unscaled = Preprocessor(
        projection=options.projection,
        column=column,
        category=category,
        imputation_values=_imputation_values(rows, category_counts),
        center=zeros,
        scale=ones,
        relevance=ones,
        bias=options.bias,
        target_center=target_center,
        target_scale=target_scale,
    )
    if options.projection != "sphere":
        return unscaled
    return _fit_scaling(unscaled, unscaled.one_hot(rows), options.scaling)


def _fit_targets(y: Array, normalize_y: bool) -> tuple[Array, Array]:
    """Center and scale of every target; refuse targets that are all alike."""
    if len(y) == 1 and normalize_y:
        raise UserError(
            "there is one training row, and nothing to learn from less than two; give more rows"
        )
    center, scale = np.zeros(y.shape[1]), np.ones(y.shape[1])
    if normalize_y:
        center, scale = _standardization(y)
    if not ((y - center) / scale).any():
        raise UserError(
            f"every target is {y[0, 0]:.6g}, so there is nothing to learn; check that the target is"
            " column 1"
        )
    return center, scale


def _coordinates(category_counts: Sequence[int]) -> tuple[Indices, Indices]:
    """Column and category of every coordinate: one for a number, one for each category."""
    column = np.repeat(np.arange(len(category_counts)), np.maximum(category_counts, 1))
    categories = [np.arange(count) if count else [NO_CATEGORY] for count in category_counts]
    return column, np.concatenate(categories).astype(np.intp)


def _imputation_values(rows: Array, category_counts: Sequence[int]) -> Array:
    """Mean of every column's values that are not missing; for a category, no category."""
    present = ~np.isnan(rows)
    # A sum that overflows is refused where the numbers are squared.
    with np.errstate(over="ignore"):
        mean = np.where(present, rows, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    return np.where(np.array(category_counts) > 0, float(NO_CATEGORY), mean)


def _fit_scaling(unscaled: Preprocessor, coordinates: Array, scaling: str) -> Preprocessor:
    """Fit center and scale of the coordinates that are not constant, and drop the others."""
    center, scale = _standardization(coordinates)
    kept = np.flatnonzero((coordinates != coordinates[0]).any(axis=0))
    column, category = unscaled.column[kept], unscaled.category[kept]
    center, scale = center[kept], scale[kept]
    if scaling == "overall":
        scale = np.full(len(kept), np.sqrt(np.square(scale).mean()) if len(kept) else 1.0)
    elif scaling == "none":
        center, scale = np.zeros(len(kept)), np.ones(len(kept))
    else:
        scale[category != NO_CATEGORY] = 1.0
    return replace(
        unscaled,
        column=column,
        category=category,
        center=center,
        scale=scale,
        relevance=np.ones(len(kept)),
    )


def _standardization(columns: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of every column; 1 in place of a constant column's deviation."""
    center = columns.mean(axis=0)
    # The mean of a constant column may differ from it in the last digit, which must not become its
    # scale.
    constant = (columns == columns[0]).all(axis=0)
    center[constant] = columns[0, constant]
    with np.errstate(over="ignore"):
        scale = np.sqrt(np.square(columns - center).mean(axis=0))
    for column in np.flatnonzero(~np.isfinite(scale) | (scale == 0) & ~constant)[:1]:
        largest = np.abs(columns[:, column]).max()
        raise UserError(
            f"the square of {largest:.3g} is out of floating point's range; give such numbers in"
            " other units"
        )
    scale[constant] = 1.0
    return center, scale
