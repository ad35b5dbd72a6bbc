"""How does a row of numbers and levels become a point on the sphere, and a target a number to regress on?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.gp.sphere import project_to_sphere

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# How far from 1 a norm may be that should be 1: under projection=unit, what is lost where coordinates are written with 6 digits.
UNIT_TOLERANCE = 1e-5
# The level of what is no category.
NO_CATEGORY = -1


def locate_request_row(row: int) -> str:
    """Name a row of a request, counted from 1."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class PreprocessingOptions:
    """How rows and targets are to be prepared.

    Parameters
    ----------
    projection : str
        `sphere` scales the coordinates, `normalize` and `unit` take them as they are.
    scaling : str
        `columns` centres every coordinate and divides numbers by their standard deviation (an indicator is between 0 and 1
        already, and a rare level would be blown up); `overall` centres them and divides all by one number, the root mean
        square of what is left; `none` leaves them.
    normalize_y : bool
    bias : float
        The constant coordinate to append; 0 for none.
    """

    projection: str = "sphere"
    scaling: str = "columns"
    normalize_y: bool = True
    bias: float = 0.0


@dataclass(frozen=True)
class Preprocessor:
    """What was learned from the training rows about columns and targets.

    Parameters
    ----------
    projection : str
        `sphere`, `normalize` or `unit`.
    column, category : ndarray of shape (d,)
        The column of a row that each coordinate comes from, and the level that it is the indicator of: `NO_CATEGORY` where it is
        the number itself. Columns that are constant in training have no coordinate.
    imputation_values : ndarray of shape (c,)
        What stands for a missing value, of every column of a row: its mean; of a category none of its levels.
    center, scale : ndarray of shape (d,)
        Taken from every coordinate, and divided by. 0 and 1 unless `projection` is `sphere`.
    relevance : ndarray of shape (d,)
        What every standardised coordinate is multiplied by.
    bias : float
        The constant coordinate appended to every row; a 0 says nothing, so the length of a row is lost.
    target_center, target_scale : ndarray of shape (t,)
        Taken from every target, and divided by.
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
        """How many columns a row has."""
        return len(self.imputation_values)

    def one_hot(self, rows: Array) -> Array:
        """Coordinates of shape (n, d), not yet standardised, of rows of shape (n, c); NaN in them is filled in."""
        coordinates: Array = rows.take(self.column, axis=1)
        np.copyto(coordinates, self._filled, where=np.isnan(coordinates))
        indicators = self._indicators
        if indicators.size:
            coordinates[:, indicators] = coordinates[:, indicators] == self.category[indicators]
        return coordinates

    @cached_property
    def _filled(self) -> Array:
        return self.imputation_values[self.column]

    @cached_property
    def _indicators(self) -> Indices:
        return np.flatnonzero(self.category != NO_CATEGORY)

    def standardized(self, rows: Array) -> Array:
        """Coordinates of rows of shape (n, c) in units of their scale, from their centre; of shape (n, d)."""
        return (self.one_hot(rows) - self.center) / self.scale

    def points(self, rows: Array, place: Callable[[int], str] = locate_request_row) -> Array:
        """Points of norm 1 and shape (n, d + 1), for rows of shape (n, c).

        Parameters
        ----------
        rows : ndarray of shape (n, c)
        place : callable
            What a person calls row i.

        Raises
        ------
        UserError
            If the number of columns differs from training's, a number is not finite, a row has no direction, or, with
            projection=unit, a row's norm is not 1.
        """
        if rows.shape[1] != self.column_count:
            found = f"{place(0)} has {rows.shape[1]} feature columns"
            raise UserError(
                f"{found} and the model was trained on {self.column_count}; give exactly {self.column_count}"
            )
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            standardized = self.standardized(rows)
            points = project_to_sphere(standardized * self.relevance, self.bias)
            wrong = _are_off(points)
            if self.projection == "unit":
                wrong |= _are_off(standardized)
        if wrong.any():
            row = int(wrong.argmax())
            raise self._refusal(rows[row], standardized[row], place(row))
        return points

    def _refusal(self, row: Array, standardized: Array, name: str) -> UserError:
        """Say why a row can't be used."""
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.linalg.norm(standardized)
        for column in np.flatnonzero(np.isinf(row))[:1]:
            return UserError(f"{name}, column {column + 1} is {row[column]}; send finite numbers")
        if not np.isfinite(norm):
            return UserError(
                f"{name} holds {np.nanmax(np.abs(row)):.3g}, which is too large to compute with; correct it"
            )
        if self.projection == "unit":
            return UserError(
                f"{name} has norm {norm:.6g}, and projection=unit takes norm 1; use projection=normalize"
            )
        return UserError(
            f"{name} has norm 0 and so no direction; drop the row, or use projection=sphere with a bias"
        )

    def standardized_targets(self, y: Array) -> Array:
        """Targets of shape (n, t) in units of their spread, from their centre."""
        return (y - self.target_center) / self.target_scale


def _are_off(points: Array) -> NDArray[np.bool_]:
    """Which of some rows have not norm 1: where the square of a row was out of floating point's range, projecting it failed."""
    off: NDArray[np.bool_] = ~(np.abs(np.sqrt(np.vecdot(points, points)) - 1) <= UNIT_TOLERANCE)
    return off


def fit(
    rows: Array, y: Array, levels: Sequence[int], preparation: PreprocessingOptions
) -> Preprocessor:
    """Learn centres and scales from training rows; the relevance of every coordinate is 1.

    Parameters
    ----------
    rows : ndarray of shape (n, c)
        Numbers, and positions of levels; NaN where a value is missing.
    y : ndarray of shape (n, t)
    levels : sequence of int
        How many levels each column has; 0 for numbers.
    preparation : PreprocessingOptions

    Raises
    ------
    UserError
        If the targets are all alike, or numbers are too large or too small to be squared.
    """
    if len(y) == 1 and preparation.normalize_y:
        raise UserError(
            "there is one training row, and nothing to learn from less than two; give more rows"
        )
    center, scale = (
        _standardization(y)
        if preparation.normalize_y
        else (np.zeros(y.shape[1]), np.ones(y.shape[1]))
    )
    if not ((y - center) / scale).any():
        raise UserError(
            f"every target is {y[0, 0]:.6g}, so there is nothing to learn; check that the target is column 1"
        )
    source = np.repeat(np.arange(len(levels)), np.maximum(levels, 1))
    level = np.concatenate(
        [np.arange(count) if count else [NO_CATEGORY] for count in levels]
    ).astype(np.intp)
    none, one = np.zeros(len(source)), np.ones(len(source))
    raw = Preprocessor(
        preparation.projection,
        source,
        level,
        _fill(rows, levels),
        none,
        one,
        one,
        preparation.bias,
        center,
        scale,
    )
    return (
        _scaled(raw, raw.one_hot(rows), preparation.scaling)
        if preparation.projection == "sphere"
        else raw
    )


def _fill(rows: Array, levels: Sequence[int]) -> Array:
    """Mean of what is there of every column, and no level of a category."""
    there = ~np.isnan(rows)
    with np.errstate(
        over="ignore"
    ):  # numbers that are too large are refused where they are squared
        mean = np.where(there, rows, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.where(np.array(levels) > 0, float(NO_CATEGORY), mean)


def _scaled(raw: Preprocessor, coordinates: Array, scaling: str) -> Preprocessor:
    """Features whose coordinates are those that are not constant, centred and scaled."""
    center, scale = _standardization(coordinates)
    kept = np.flatnonzero((coordinates != coordinates[0]).any(axis=0))
    center, scale = center[kept], scale[kept]
    if scaling == "overall":
        scale = np.full(len(kept), np.sqrt(np.square(scale).mean()) if len(kept) else 1.0)
    elif scaling == "none":
        center, scale = np.zeros(len(kept)), np.ones(len(kept))
    else:
        scale[raw.category[kept] != NO_CATEGORY] = 1.0
    column, category, relevance = raw.column[kept], raw.category[kept], np.ones(len(kept))
    return replace(
        raw, column=column, category=category, center=center, scale=scale, relevance=relevance
    )


def _standardization(columns: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of every column; a constant column is only centred."""
    center = columns.mean(axis=0)
    # The mean of a constant column may differ from it in the last digit, which must not become its scale.
    constant = (columns == columns[0]).all(axis=0)
    center[constant] = columns[0, constant]
    with np.errstate(over="ignore"):
        scale = np.sqrt(np.square(columns - center).mean(axis=0))
    for column in np.flatnonzero(~np.isfinite(scale) | (scale == 0) & ~constant)[:1]:
        largest = np.abs(columns[:, column]).max()
        raise UserError(
            f"the square of {largest:.3g} is out of floating point's range; give such numbers in other units"
        )
    scale[constant] = 1.0
    return center, scale
