"""Schema of a table: what each column holds, and which number a cell is encoded as.

A row is kept as numbers: those of a numeric column as they are, categories as their codes.
"""

import math
import reprlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.cells import (
    Label,
    is_missing,
    missing_markers,
    normalize_category,
    parse_number,
)
from gaussian_processes.data.table import label_column
from gaussian_processes.errors import UserError

Array = NDArray[np.float64]

# Code of a category that training did not have.
UNKNOWN_CATEGORY = -1.0
# Name of the level of missing cells, in messages.
MISSING_CATEGORY = "(missing)"


@dataclass(frozen=True)
class Column:
    """One column of the training data.

    Parameters
    ----------
    name : str
        From the header; without one, its position.
    position : int
        Its position in the training files, from 0.
    categories : tuple of str, or None
        Names of the categories, sorted; None for numbers.
    missing_indicator : bool
        Whether training had missing cells and learned what they mean: a category has a level of its
        own for them, a number an indicator column beside it.
    is_date : bool
        Whether its cells are dates, whose number is that of the days since 1970.
    """

    name: str
    position: int
    categories: tuple[str, ...] | None = None
    missing_indicator: bool = False
    is_date: bool = False

    def encode(self, cell: Label) -> float:
        """Code of a cell's category: `UNKNOWN_CATEGORY` if training had it not."""
        category = normalize_category(cell)
        code = self._codes.get(category)
        if code is not None:
            return code
        return self.missing_code if is_missing(category) else UNKNOWN_CATEGORY

    @property
    def category_count(self) -> int:
        """Number of levels of a category, that of missing cells included; 0 for numbers."""
        if self.categories is None:
            return 0
        return len(self.categories) + self.missing_indicator

    @property
    def missing_code(self) -> float:
        """Code of a missing cell: that of its level, or NaN."""
        if self.categories is None or not self.missing_indicator:
            return math.nan
        return float(len(self.categories))

    def category_name(self, code: int) -> str:
        """Name of the level of a code."""
        categories = self.categories or ()
        return categories[code] if code < len(categories) else MISSING_CATEGORY

    @cached_property
    def _codes(self) -> dict[str, float]:
        return {category: float(code) for code, category in enumerate(self.categories or ())}


@dataclass(frozen=True)
class Schema:
    """Columns of the training table, by which other tables and requests are read.

    Parameters
    ----------
    has_header : bool
        Whether the columns have names, by which other tables and requests may order them.
    width : int
        Number of columns of the training files.
    features, targets : tuple of Column
    classes : tuple of float or str
        Sorted; none in regression.
    ignored : tuple of str
        Names of the columns that a request may have besides.
    sample_weight : Column or None
    missing, handle_unknown : str
        The hyperparameters.
    missing_values : tuple of str, or None
        Words, and numbers, that mean missing; None: the usual.
    remarks : tuple of str
        One sentence for every column that may have been meant otherwise.
    """

    has_header: bool
    width: int
    features: tuple[Column, ...]
    targets: tuple[Column, ...]
    classes: tuple[Label, ...] = ()
    ignored: tuple[str, ...] = ()
    sample_weight: Column | None = None
    missing: str = "error"
    handle_unknown: str = "ignore"
    missing_values: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def output_count(self) -> int:
        """Number of columns of a prediction: one for each target or class."""
        return len(self.classes) or len(self.targets)

    @property
    def weight_name(self) -> str | None:
        """Name by which a request may have a column of weights."""
        return self.sample_weight.name if self.sample_weight and self.has_header else None

    @cached_property
    def category_counts(self) -> tuple[int, ...]:
        """Number of levels of each column of X; 0 for numbers.

        The columns are the features and, behind them, the indicators of missing numbers: each a
        category whose one level, 0, is a missing cell.
        """
        levels = [column.category_count for column in self.features]
        return (*levels, *[1] * len(self.indicated_features))

    @cached_property
    def indicated_features(self) -> list[int]:
        """Features that have an indicator column: numbers with missing cells in training."""
        return [
            index
            for index, column in enumerate(self.features)
            if column.missing_indicator and column.categories is None
        ]

    @cached_property
    def dates(self) -> list[int]:
        """Features that are dates."""
        return [index for index, column in enumerate(self.features) if column.is_date]

    @cached_property
    def has_text(self) -> bool:
        """Whether any feature is written in words: a category or a date."""
        return any(column.categories is not None or column.is_date for column in self.features)

    @cached_property
    def accepts_missing(self) -> NDArray[np.bool_]:
        """Whether a request may leave out each feature, of shape (c,)."""
        learned = [column.missing_indicator for column in self.features]
        return np.array(learned, bool) | (self.missing == "mean")

    @cached_property
    def finite_numbers_only(self) -> bool:
        """Whether every cell must be a finite number."""
        return not self.has_text and not self.accepts_missing.any()

    @cached_property
    def missing_markers(self) -> Collection[str]:
        """Text of cells that are missing."""
        return missing_markers(self.missing_values)

    @cached_property
    def missing_numbers(self) -> list[float]:
        """Return the numbers that mean missing."""
        numbers = (parse_number(word, ()) for word in self.missing_values or ())
        return [number for number in numbers if number is not None]

    def mark_missing(self, rows: Array) -> Array:
        """Take the numbers that mean missing for NaN, in rows of shape (n, c)."""
        if not self.missing_numbers:
            return rows
        is_number = np.array(
            [column.categories is None and not column.is_date for column in self.features]
        )
        return np.where(np.isin(rows, self.missing_numbers) & is_number, np.nan, rows)

    def with_indicators(self, rows: Array) -> Array:
        """Append the indicator columns of missing numbers to rows of shape (n, c)."""
        if not self.indicated_features:
            return rows
        present = ~np.isnan(rows[:, self.indicated_features])
        return np.hstack([rows, present.astype(np.float64)])

    def column_label(self, index: int) -> str:
        """Label of a column of X in messages, ``column 2 (age)``, counted as in a request."""
        if index >= len(self.features):
            indicated = self.indicated_features[index - len(self.features)]
            return f"{self.column_label(indicated)}, whether missing"
        name = f" ({self.features[index].name})" if self.has_header else ""
        return f"column {index + 1}{name}"

    def file_column_label(self, column: Column) -> str:
        """Label of a column in messages about training files, counted as in these."""
        return label_column(column.position, column.name if self.has_header else None)

    def target_label(self, column: Column) -> str:
        """Label of a target: its name or, without one, where it stands in the files."""
        return column.name if self.has_header else self.file_column_label(column)

    def short_label(self, column: Column) -> str:
        """Label of a column where there is room for few words: its name, or its position."""
        return column.name if self.has_header else f"position {column.position}"

    @property
    def ignored_labels(self) -> str:
        """Labels of the columns that are left out, in one text."""
        before = "" if self.has_header else "position "
        return ", ".join(before + name for name in self.ignored)

    def column_order(self, names: Sequence[str]) -> list[int]:
        """Position of each feature among the named columns of a request.

        Raises
        ------
        UserError
            If a feature is missing, a column is neither a feature nor ignored, or a name occurs
            twice.
        """
        positions = {name: position for position, name in enumerate(names)}
        if len(positions) < len(names):
            raise UserError(
                f"the request has a column name twice ({', '.join(names)[:200]}); give every column"
                " a name of its own"
            )
        features = [column.name for column in self.features]
        for name in features:
            if name not in positions:
                raise UserError(
                    f"column {reprlib.repr(name)} is missing; send {', '.join(features)[:400]}"
                )
        expected = {*features, *self.ignored}
        for name in names:
            if name not in expected:
                raise self._superfluous_error(name)
        return [positions[name] for name in features]

    def _superfluous_error(self, name: str) -> UserError:
        """Explain why a request may not have a column."""
        if name in {column.name for column in self.targets}:
            return UserError(
                f"column {reprlib.repr(name)} is what the model predicts; leave it out of the"
                " request"
            )
        features = ", ".join(column.name for column in self.features)
        return UserError(
            f"column {reprlib.repr(name)} is not one the model was trained on; send"
            f" {features[:400]}, or train with the others in ignore"
        )
