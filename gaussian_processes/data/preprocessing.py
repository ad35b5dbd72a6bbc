"""Preprocessing of rows: imputation, one-hot encoding, normal scores, scaling, projection."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data import dates
from gaussian_processes.data.cells import first_true
from gaussian_processes.data.normal_scores import NormalScores
from gaussian_processes.errors import UserError
from gaussian_processes.gp.sphere import append_bias, project_to_sphere

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# How far from 1 a norm may be that should be 1: under projection=unit, what is lost where
# coordinates are written with 6 digits.
NORM_TOLERANCE = 1e-5
# The code of what is none of a column's categories, and the category of its indicator.
NO_CATEGORY = -1
# Distinct values up to which a column of numbers can also be categories: months are 12. Two values
# are categories already.
FEW_VALUES = range(3, 13)
# Cells of a column that may be far from the rest at most: a twentieth. Of them are those farther
# than ten deviations of the other cells; 20 million normal cells have none, and of 60 columns of
# public tables one does, whose two cells are a mistake.
FAR_SHARE, FAR_DEVIATIONS = 0.05, 10.0
# How many times greater a deviation with the far cells is than one without, where they drive it:
# nine tenths of the variance are theirs. Of those columns' deviations no other is twice as great.
DRIVEN_RATIO = 3.0
# Weight of a training row with a far cell: noise of ten times the deviation. The value that belongs
# there is unknown, which is noise of the size of what the column does to the target. A hundredth
# makes that of five such rows of 200 invisible; what it costs is what they say otherwise.
FAR_WEIGHT = 0.01
# Deviations of the other cells at which far cells of training rows are put that are farther: the
# direction of their row is the same to six digits, and beside their distances those of other rows
# keep enough digits to learn from.
FAR_LIMIT = 1e6


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
        indicator is between 0 and 1 already, and that of a rare category would be blown up), both
        without cells that are far from all others and drive them;
        `overall` centers them and divides all by one number, the root mean square of the centered
        coordinates; `none` leaves them.
    normalize_y : bool
        Whether targets are centered and divided by their standard deviation.
    bias : float
        Constant coordinate to append; 0 for none.
    few_values_as_categories : bool
        Whether a column of numbers that has few distinct values is one-hot encoded as well.
    normal_scores : bool
        Whether every column of numbers is replaced by its normal scores.
    periods : bool
        Whether the periods that a column of dates spans are features beside its days.
    """

    projection: str = "sphere"
    scaling: str = "columns"
    normalize_y: bool = True
    bias: float = 0.0
    few_values_as_categories: bool = False
    normal_scores: bool = False
    periods: bool = True


@dataclass(frozen=True)
class Preprocessor:
    """Preprocessing fitted to training rows.

    Parameters
    ----------
    projection : str
        `sphere`, `normalize` or `unit`.
    column : ndarray of shape (d,)
        Column of a row that each coordinate comes from. Columns that are constant in training have
        no coordinate.
    is_indicator : ndarray of bool of shape (d,)
        Whether the coordinate is 1 where the column has one value and 0 elsewhere, rather than the
        number itself.
    category : ndarray of shape (d,)
        That value of an indicator: the code of a category, or a number; 0 elsewhere. Of a column of
        categories the indicator of `NO_CATEGORY` is 1 where all others are 0.
    circle : ndarray of str of shape (d,)
        Of `dates.CIRCLE_COORDINATES`, the one that a coordinate is of a column of dates; "" where
        it is none. A circle keeps its shape: distances on it depend on the phases' difference.
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
    normal_scores : mapping of int to NormalScores
        Of the columns whose numbers are replaced by theirs.
    """

    projection: str
    column: Indices
    is_indicator: NDArray[np.bool_]
    category: Array
    circle: NDArray[np.str_]
    imputation_values: Array
    center: Array
    scale: Array
    relevance: Array
    bias: float
    target_center: Array
    target_scale: Array
    normal_scores: Mapping[int, NormalScores] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the preprocessing as JSON can hold it."""
        content = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        del content["normal_scores"]
        plain = {name: np.asarray(value).tolist() for name, value in content.items()}
        scores = [
            {"column": column, "values": own.values.tolist(), "scores": own.scores.tolist()}
            for column, own in self.normal_scores.items()
        ]
        return {**plain, "normal_scores": scores}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Preprocessor":
        """Return the preprocessing that `to_json` made this of."""
        types = {"column": np.intp, "is_indicator": np.bool_, "circle": np.str_}
        values: dict[str, Any] = {
            name: np.array(value, types.get(name, float))
            for name, value in content.items()
            if name not in {"projection", "bias", "normal_scores"}
        }
        scores = {
            int(own["column"]): NormalScores(np.array(own["values"]), np.array(own["scores"]))
            for own in content["normal_scores"]
        }
        projection, bias = str(content["projection"]), float(content["bias"])
        return cls(**values, projection=projection, bias=bias, normal_scores=scores)

    @property
    def column_count(self) -> int:
        """Number of columns of a row."""
        return len(self.imputation_values)

    @property
    def is_centered(self) -> bool:
        """Whether the mean of the targets is taken off them."""
        return bool(self.target_center.any() or (self.target_scale != 1).any())

    def one_hot(self, rows: Array) -> Array:
        """Impute and one-hot encode rows of shape (n, c) as coordinates of shape (n, d).

        Levels that training did not have, and missing ones of which it learned nothing, are a level
        of their own. The levels of a factor are exchangeable (a random effect, A. Gelman and
        J. Hill, "Data Analysis Using Regression and Multilevel/Hierarchical Models", 2007, section
        12.2), so that a new one is as far from every other as they are from each other; without a
        coordinate it would be nearer to each, and be predicted too surely.
        """
        coordinates: Array = rows.take(self.column, axis=1)
        np.copyto(coordinates, self._imputed, where=np.isnan(coordinates))
        for coordinate, scores in self._scored:
            coordinates[:, coordinate] = scores.transform(coordinates[:, coordinate])
        for coordinate in self._on_circles:
            days = rows[:, self.column[coordinate]]
            coordinates[:, coordinate] = dates.circle(str(self.circle[coordinate]), days)
        indicators = self._indicators
        if indicators.size:
            coordinates[:, indicators] = coordinates[:, indicators] == self.category[indicators]
        for coordinate, levels in self.unknown_levels:
            coordinates[:, coordinate] = ~coordinates[:, levels].any(axis=1)
        return coordinates

    @cached_property
    def _imputed(self) -> Array:
        """Imputation value of every coordinate."""
        return self.imputation_values[self.column]

    @cached_property
    def _indicators(self) -> Indices:
        """Indices of the coordinates that indicate a category."""
        return np.flatnonzero(self.is_indicator)

    @cached_property
    def _on_circles(self) -> list[int]:
        """Coordinates on the circles of periods."""
        on_circles: list[int] = np.flatnonzero(self.circle != "").tolist()
        return on_circles

    @cached_property
    def unknown_levels(self) -> list[tuple[int, Indices]]:
        """Coordinates of unknown levels, and those of the known levels of the same column."""
        numbers = set(self.column[~self.is_indicator].tolist())
        found = []
        for coordinate in np.flatnonzero(self.is_indicator & (self.category == NO_CATEGORY)):
            column = self.column[coordinate]
            # -1 may also be one of the few values of a column of numbers.
            if column not in numbers:
                levels = np.flatnonzero(self.column == column)
                found.append((int(coordinate), levels[levels != coordinate]))
        return found

    @cached_property
    def _scored(self) -> list[tuple[int, NormalScores]]:
        """Coordinates whose numbers are replaced by their normal scores."""
        numbers = np.flatnonzero(~self.is_indicator & (self.circle == "")).tolist()
        return [
            (coordinate, self.normal_scores[self.column[coordinate]])
            for coordinate in numbers
            if self.column[coordinate] in self.normal_scores
        ]

    def standardized(self, rows: Array) -> Array:
        """Coordinates of rows of shape (n, c), centered and scaled, of shape (n, d)."""
        return (self.one_hot(rows) - self.center) / self.scale

    def is_unknown(self, rows: Array) -> NDArray[np.bool_]:
        """Whether rows of shape (m, c) have each of the u `unknown_levels`, of shape (m, u)."""
        unknown = np.empty((len(rows), len(self.unknown_levels)), np.bool_)
        for index, (coordinate, levels) in enumerate(self.unknown_levels):
            codes = rows[:, self.column[coordinate]]
            unknown[:, index] = ~np.isin(codes, self.category[levels])
        return unknown

    def with_unknown_level(self, standardized: Array, index: int) -> Array:
        """Standardized rows of shape (n, d) were the level of one of `unknown_levels` unknown."""
        coordinate, levels = self.unknown_levels[index]
        changed = standardized.copy()
        own = np.append(levels, coordinate)
        changed[:, own] = ((own == coordinate) - self.center[own]) / self.scale[own]
        return changed

    def level_of(self, standardized: Array, index: int) -> Indices:
        """Position of every row's level of one of `unknown_levels`, the unknown one the last."""
        coordinate, levels = self.unknown_levels[index]
        position: Indices = standardized[:, np.append(levels, coordinate)].argmax(axis=1)
        return position

    def points(self, rows: Array, locate_row: Callable[[int], str] = locate_request_row) -> Array:
        """Points that kernels compare, of shape (n, d + 1), of rows of shape (n, c).

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
            points = append_bias(standardized * self.relevance, self.bias)
            invalid = _not_unit(project_to_sphere(points)[0])
            if self.projection == "unit":
                invalid |= _not_unit(standardized)
        if invalid.any():
            row = int(invalid.argmax())
            raise self._invalid_row_error(rows[row], standardized[row], locate_row(row))
        return points

    def _invalid_row_error(self, row: Array, standardized: Array, location: str) -> UserError:
        """Explain why a row has no point with a direction."""
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.linalg.norm(standardized)
        column = first_true(np.isinf(row))
        if column is not None:
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
    not_unit: NDArray[np.bool_] = ~(np.abs(norms - 1) <= NORM_TOLERANCE)
    return not_unit


def fit(
    rows: Array,
    y: Array,
    category_counts: Sequence[int],
    options: PreprocessingOptions,
    date_columns: Collection[int] = (),
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
    date_columns : collection of int
        Columns whose numbers are days since 1970.

    Raises
    ------
    UserError
        If there is one row to standardise, or numbers are too large or too small to be squared.
    """
    target_center, target_scale = _fit_targets(y, options.normalize_y)
    column, is_indicator, category, circle = _coordinates(
        rows, category_counts, options, date_columns
    )
    zeros, ones = np.zeros(len(column)), np.ones(len(column))
    unscaled = Preprocessor(
        projection=options.projection,
        column=column,
        is_indicator=is_indicator,
        category=category,
        circle=circle,
        imputation_values=_imputation_values(rows, category_counts),
        center=zeros,
        scale=ones,
        relevance=ones,
        bias=options.bias,
        target_center=target_center,
        target_scale=target_scale,
        normal_scores=_fit_normal_scores(rows, category_counts) if options.normal_scores else {},
    )
    if options.projection != "sphere":
        return unscaled
    return _fit_scaling(unscaled, unscaled.one_hot(rows), options.scaling)


def discount_far_rows(rows: Array, sample_weight: Array, category_counts: Sequence[int]) -> Array:
    """Weights of shape (n,) of training rows, less where a cell is far from all of its column.

    A wrong value in an input is noise of the output, of the variance that the function has over
    that input (A. McHutchon and C. E. Rasmussen, "Gaussian Process Training with Input Noise", NIPS
    2011). Rows with such cells would otherwise make the noise of all.
    """
    far = np.zeros(len(rows), np.bool_)
    for column in np.flatnonzero(np.array(category_counts) == 0):
        far |= _far_cells_of(rows[:, column])
    return np.where(far, FAR_WEIGHT * sample_weight, sample_weight)


def limit_far_cells(rows: Array, category_counts: Sequence[int]) -> Array:
    """Training rows of shape (n, c) whose far cells are `FAR_LIMIT` deviations away at most."""
    limited = rows.copy()
    for column in np.flatnonzero(np.array(category_counts) == 0):
        cells = rows[:, column]
        far = _far_cells_of(cells)
        if far.any():
            near = cells[~far & ~np.isnan(cells)]
            center, distance = near.mean(), FAR_LIMIT * near.std()
            limited[far, column] = np.clip(cells[far], center - distance, center + distance)
    return limited


def _fit_targets(y: Array, normalize_y: bool) -> tuple[Array, Array]:
    """Return center and scale of every target; the scale of a constant one is its magnitude.

    Of the deviation of a constant target its rows say only that it is small against the number, or
    against 1 where that is 0; `regression.fit` has the variance.
    """
    if len(y) == 1 and normalize_y:
        raise UserError(
            "there is one row to learn from, and nothing to learn from less than two: give more"
            " rows (k_fold learns from those outside a fold)"
        )
    center, scale = np.zeros(y.shape[1]), np.ones(y.shape[1])
    if normalize_y:
        center, scale = _standardization(y)
        magnitude = np.abs(y[0])
        scale = np.where((y == y[0]).all(axis=0) & (magnitude > 0), magnitude, scale)
    return center, scale


def few_valued_columns(rows: Array, category_counts: Sequence[int]) -> list[int]:
    """Return the columns of numbers that have so few values that they can be categories too."""
    return [
        column
        for column, count in enumerate(category_counts)
        if not count and len(_distinct(rows[:, column])) in FEW_VALUES
    ]


def _distinct(column: Array) -> Array:
    """Distinct values, increasing, without those that are missing."""
    return np.unique(column[~np.isnan(column)])


def _coordinates(
    rows: Array,
    category_counts: Sequence[int],
    options: PreprocessingOptions,
    date_columns: Collection[int],
) -> tuple[Indices, NDArray[np.bool_], Array, NDArray[np.str_]]:
    """Column of every coordinate, whether it is an indicator, of which value, and its circle."""
    few = few_valued_columns(rows, category_counts) if options.few_values_as_categories else []
    columns: list[int] = []
    indicated: list[float | None] = []
    for column, count in enumerate(category_counts):
        own: list[float | None] = [None] if not count else [*map(float, range(count))]
        # A category of one level is an indicator already.
        if count > 1:
            own.append(float(NO_CATEGORY))
        if column in few:
            own += _distinct(rows[:, column]).tolist()
        columns += [column] * len(own)
        indicated += own
    on_circles = []
    if options.periods and options.projection == "sphere":
        on_circles = _circle_coordinates(rows, date_columns)
    circles = [""] * len(columns) + [coordinate for _, coordinate in on_circles]
    columns += [column for column, _ in on_circles]
    indicated += [None] * len(on_circles)
    is_indicator = np.array([value is not None for value in indicated], np.bool_)
    category = np.array([0.0 if value is None else value for value in indicated])
    return np.array(columns, np.intp), is_indicator, category, np.array(circles, np.str_)


def _circle_coordinates(rows: Array, date_columns: Collection[int]) -> list[tuple[int, str]]:
    """Columns and coordinates of the circles of the periods that dates span."""
    return [
        (column, coordinate)
        for column in date_columns
        for period in dates.periods(rows[:, column])
        for coordinate in dates.CIRCLE_COORDINATES
        if coordinate.startswith(period)
    ]


def _fit_normal_scores(rows: Array, category_counts: Sequence[int]) -> dict[int, NormalScores]:
    """Fit normal scores of every column of numbers that is not constant."""
    return {
        column: NormalScores.fit(rows[:, column])
        for column, count in enumerate(category_counts)
        if not count and len(_distinct(rows[:, column])) > 1
    }


def _imputation_values(rows: Array, category_counts: Sequence[int]) -> Array:
    """Mean of every column's values, neither missing nor far; for a category, no category."""
    present = ~np.isnan(rows)
    for column in np.flatnonzero(np.array(category_counts) == 0):
        present[:, column] &= ~_far_cells_of(rows[:, column])
    # A sum that overflows is refused where the numbers are squared.
    with np.errstate(over="ignore"):
        mean = np.where(present, rows, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    return np.where(np.array(category_counts) > 0, float(NO_CATEGORY), mean)


def _fit_scaling(unscaled: Preprocessor, coordinates: Array, scaling: str) -> Preprocessor:
    """Fit center and scale of the coordinates that are not constant, and drop the others.

    The coordinate of unknown levels stays as long as a level does.
    """
    on_circles = unscaled.circle != ""
    numbers = np.flatnonzero(~unscaled.is_indicator & ~on_circles)
    center, scale = _robust_standardization(coordinates, numbers)
    varies = (coordinates != coordinates[0]).any(axis=0)
    overall_scale = np.sqrt(np.square(scale[varies]).mean()) if varies.any() else 1.0
    for coordinate, levels in unscaled.unknown_levels:
        varies[coordinate] = varies[levels].any()
    # That of a phase which is as often at any place; one scale for both keeps the circle round.
    center[on_circles], scale[on_circles] = 0.0, np.sqrt(0.5)
    kept = np.flatnonzero(varies)
    is_indicator = unscaled.is_indicator[kept]
    center, scale = center[kept], scale[kept]
    if scaling == "overall":
        scale = np.full(len(kept), overall_scale)
    elif scaling == "none":
        center, scale = np.zeros(len(kept)), np.ones(len(kept))
    else:
        scale[is_indicator] = 1.0
    return replace(
        unscaled,
        column=unscaled.column[kept],
        is_indicator=is_indicator,
        category=unscaled.category[kept],
        circle=unscaled.circle[kept],
        center=center,
        scale=scale,
        relevance=np.ones(len(kept)),
    )


def _robust_standardization(coordinates: Array, numbers: Indices) -> tuple[Array, Array]:
    """Mean and standard deviation of every coordinate, those of numbers without far cells."""
    near = np.ones(coordinates.shape, np.bool_)
    for column in numbers:
        near[:, column] = ~_far_cells(coordinates[:, column])
    center, scale = np.zeros(len(near.T)), np.ones(len(near.T))
    whole = near.all(axis=0)
    center[whole], scale[whole] = _standardization(coordinates[:, whole])
    for column in np.flatnonzero(~whole):
        own = coordinates[near[:, column]][:, [column]]
        center[[column]], scale[[column]] = _standardization(own)
    return center, scale


def _standardization(columns: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of every column; 1 in place of a constant column's deviation."""
    center = columns.mean(axis=0)
    # The mean of a constant column may differ from it in the last digit, which must not become its
    # scale.
    constant = (columns == columns[0]).all(axis=0)
    center[constant] = columns[0, constant]
    with np.errstate(over="ignore"):
        scale = np.sqrt(np.square(columns - center).mean(axis=0))
    column = first_true(~np.isfinite(scale) | (scale == 0) & ~constant)
    if column is not None:
        largest = np.abs(columns[:, column]).max()
        raise UserError(
            f"the square of {largest:.3g} is out of floating point's range; give such numbers in"
            " other units"
        )
    scale[constant] = 1.0
    return center, scale


def _far_cells_of(column: Array) -> NDArray[np.bool_]:
    """Whether each cell of a column is far, of shape (n,); those that are missing are not."""
    far = np.zeros(len(column), np.bool_)
    present = ~np.isnan(column)
    far[present] = _far_cells(column[present])
    return far


def _far_cells(column: Array) -> NDArray[np.bool_]:
    """Whether each cell is one of a few that drive the standard deviation of a column.

    The deviation of the cells nearest to the median, all but a twentieth, is one of bounded
    influence: no cell that is far takes it along (P. J. Huber and E. M. Ronchetti, "Robust
    Statistics", 2009, section 1.2). Cells farther than `FAR_DEVIATIONS` of it are far, if without
    them the standard deviation is less by `DRIVEN_RATIO`; a column without such cells keeps its
    own, which is the more efficient.

    Parameters
    ----------
    column : ndarray of shape (n,)
        Without missing values.
    """
    none = np.zeros(len(column), np.bool_)
    trimmed_count = int(FAR_SHARE * len(column))
    if not trimmed_count:
        return none
    # Numbers of which too many are out of range are refused where the column is standardised.
    with np.errstate(over="ignore", invalid="ignore"):
        distances = np.abs(column - np.median(column))
        near_deviation = np.sqrt(np.square(np.sort(distances)[:-trimmed_count]).mean())
        far: NDArray[np.bool_] = distances > FAR_DEVIATIONS * near_deviation
        # Where most cells are equal, the others are what the column has to say.
        if not near_deviation or not far.any():
            return none
        driven = column.std() >= DRIVEN_RATIO * column[~far].std() or not np.isfinite(column.std())
    return far if driven else none
