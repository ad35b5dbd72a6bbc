"""How does a row of a table become a point on the sphere, and a target a number to regress on?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.sphere import project

Array = NDArray[np.float64]

# How far from 1 the norm of a row may be under inputs=unit: what is lost where coordinates are written with 6 digits.
UNIT_TOLERANCE = 1e-5


def numbered(row: int) -> str:
    """Name a row of a request, counted from 1."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class Features:
    """What was learned from the training rows about columns and targets.

    Parameters
    ----------
    inputs : str
        `sphere`, `normalize` or `unit`.
    center, scale : ndarray of shape (d,)
        Taken from every column, and divided by. 0 and 1 unless `inputs` is `sphere`.
    relevance : ndarray of shape (d,)
        What every standardised column is multiplied by.
    bias : float
        The constant coordinate appended to every row; a 0 says nothing, so the length of a row is lost.
    target_center, target_scale : ndarray of shape (t,)
        Taken from every target, and divided by.
    """

    inputs: str
    center: Array
    scale: Array
    relevance: Array
    bias: float
    target_center: Array
    target_scale: Array

    @property
    def columns(self) -> int:
        """How many columns a row has."""
        return len(self.center)

    def standardized(self, rows: Array) -> Array:
        """Rows of shape (n, d) in units of the columns' spread, from their centre."""
        return (rows - self.center) / self.scale

    def points(self, rows: Array, place: Callable[[int], str] = numbered) -> Array:
        """Points of norm 1 and shape (n, d + 1), for rows of shape (n, d).

        Parameters
        ----------
        rows : ndarray of shape (n, d)
        place : callable
            What a person calls row i.

        Raises
        ------
        UserError
            If the number of columns differs from training's, a number is not finite, a row has no direction, or, with
            inputs=unit, a row's norm is not 1.
        """
        self._check(rows, place)
        return project(self.standardized(rows) * self.relevance, self.bias)

    def targets(self, y: Array) -> Array:
        """Targets of shape (n, t) in units of their spread, from their centre."""
        return (y - self.target_center) / self.target_scale

    def _check(self, rows: Array, place: Callable[[int], str]) -> None:
        if rows.shape[1] != self.columns:
            found = f"{place(0)} has {rows.shape[1]} feature columns"
            raise UserError(f"{found} and the model was trained on {self.columns}; give exactly {self.columns}")
        for row, column in np.argwhere(~np.isfinite(rows))[:1]:
            raise UserError(f"{place(row)}, column {column + 1} is {rows[row, column]}; send finite numbers")
        with np.errstate(over="ignore"):
            norms = np.linalg.norm(self.standardized(rows), axis=1)
        for row in np.flatnonzero(~np.isfinite(norms))[:1]:
            raise UserError(f"{place(row)} holds {np.abs(rows[row]).max():.3g}, which is too large to compute with; correct it")
        if self.inputs == "unit":
            for row in np.flatnonzero(np.abs(norms - 1) > UNIT_TOLERANCE)[:1]:
                raise UserError(f"{place(row)} has norm {norms[row]:.6g}, and inputs=unit takes norm 1; use inputs=normalize")
        if self.bias == 0:
            for row in np.flatnonzero(norms == 0)[:1]:
                raise UserError(f"{place(row)} has norm 0 and so no direction; drop the row, or use inputs=sphere with a bias")


def learn(rows: Array, y: Array, inputs: str, standardize_targets: bool, bias: float = 0.0) -> Features:
    """Learn centres and scales from training rows; the relevance of every column is 1.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
    y : ndarray of shape (n, t)
    inputs : str
        `sphere` standardises the columns, `normalize` and `unit` take them as they are.
    standardize_targets : bool
    bias : float
        The constant coordinate to append; 0 for none.

    Raises
    ------
    UserError
        If the targets are all alike, or numbers are too large or too small to be squared.
    """
    columns, targets = rows.shape[1], y.shape[1]
    if len(y) == 1 and standardize_targets:
        raise UserError("there is one training row, and nothing to learn from less than two; give more rows")
    center, scale = _standardization(rows) if inputs == "sphere" else (np.zeros(columns), np.ones(columns))
    target_center, target_scale = _standardization(y) if standardize_targets else (np.zeros(targets), np.ones(targets))
    if not ((y - target_center) / target_scale).any(axis=0).all():
        raise UserError(f"every target is {y[0, 0]:.6g}, so there is nothing to learn; check that the target is column 1")
    return Features(inputs, center, scale, np.ones(columns), bias, target_center, target_scale)


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
        raise UserError(f"the square of {largest:.3g} is out of floating point's range; give such numbers in other units")
    scale[constant] = 1.0
    return center, scale
