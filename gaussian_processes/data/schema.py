"""Schema of a table: what each column holds, and which number a cell is encoded as.

A row is kept as numbers: those of a numeric column as they are, categories as their codes.
"""

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gaussian_processes.data.cells import Label, is_missing, normalize_category
from gaussian_processes.errors import UserError

# Code of a category that training did not have.
UNKNOWN_CATEGORY = -1.0


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
    """

    name: str
    position: int
    categories: tuple[str, ...] | None = None

    def encode(self, cell: Label) -> float:
        """Code of a cell's category: NaN if missing, `UNKNOWN_CATEGORY` if training had it not."""
        category = normalize_category(cell)
        code = self._codes.get(category)
        if code is not None:
            return code
        return math.nan if is_missing(category) else UNKNOWN_CATEGORY

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

    @property
    def output_count(self) -> int:
        """Number of columns of a prediction: one for each target or class."""
        return len(self.classes) or len(self.targets)

    @cached_property
    def category_counts(self) -> tuple[int, ...]:
        """Number of categories of each feature; 0 for numbers."""
        return tuple(len(column.categories or ()) for column in self.features)

    @cached_property
    def finite_numbers_only(self) -> bool:
        """Whether every cell must be a finite number."""
        return self.missing == "error" and not any(self.category_counts)

    def column_label(self, index: int) -> str:
        """Label of a feature in messages, ``column 2 (age)``, counted as in a request."""
        name = f" ({self.features[index].name})" if self.has_header else ""
        return f"column {index + 1}{name}"

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
