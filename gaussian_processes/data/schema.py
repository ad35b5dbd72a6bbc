"""Which column is what, and which number stands for a cell?

A row is kept as numbers: those of a numeric column as they are, those of a category as the positions of their levels.
"""

import math
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gaussian_processes.errors import UserError

Label = float | str

# What stands for a level that training did not have: it is the position of none.
UNKNOWN_CATEGORY = -1.0
# Words for a cell that nobody has filled in.
MISSING_MARKERS = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})
# Python's own float() would also take "1_000" and the digits of other scripts.
NUMBER_PATTERN = re.compile(
    r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)\s*", re.ASCII | re.IGNORECASE
)


def parse_number(cell: str) -> float | None:
    """Number that a cell holds, NaN if it is missing; None if it is a word."""
    if NUMBER_PATTERN.fullmatch(cell):
        return float(cell)
    return math.nan if cell.strip() in MISSING_MARKERS else None


def normalize_category(cell: Label) -> str:
    """Level that a cell names: numbers that are equal are one level, however they are written, and so are true and True."""
    value = parse_number(cell) if isinstance(cell, str) else float(cell)
    if value is None or not math.isfinite(value):
        text = str(cell).strip()
        return text.title() if text.lower() in {"true", "false"} else text
    return str(int(value)) if value.is_integer() else repr(value)


@dataclass(frozen=True)
class Column:
    """One column of the training data.

    Parameters
    ----------
    name : str
        From the header; without one, its number among the columns.
    position : int
        Where it stands in the training files, from 0.
    categories : tuple of str, or None
        Words of a category, sorted; None for numbers.
    """

    name: str
    position: int
    categories: tuple[str, ...] | None = None

    def encode(self, cell: Label) -> float:
        """Position of a cell's level: NaN where it is missing, `UNKNOWN_CATEGORY` where training did not have it."""
        level = normalize_category(cell)
        if level in MISSING_MARKERS:
            return math.nan
        return float(self._positions.get(level, UNKNOWN_CATEGORY))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {level: position for position, level in enumerate(self.categories or ())}


@dataclass(frozen=True)
class Schema:
    """What training has learned about the columns of its table.

    Parameters
    ----------
    has_header : bool
        Whether the columns have names of their own, by which other tables and requests may order them.
    width : int
        How many columns the training files have.
    features, targets : tuple of Column
    classes : tuple of float or str
        Classes, sorted; none in regression.
    ignored : tuple of str
        What else a request may carry, by name.
    sample_weight : Column or None
    missing, handle_unknown : str
        As the hyperparameters say.
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
        """How many columns the predictions have: targets, or classes."""
        return len(self.classes) or len(self.targets)

    @cached_property
    def category_counts(self) -> tuple[int, ...]:
        """How many levels each feature has; 0 for numbers."""
        return tuple(len(column.categories or ()) for column in self.features)

    @cached_property
    def finite_numbers_only(self) -> bool:
        """Whether every cell must be a finite number."""
        return self.missing == "error" and not any(self.category_counts)

    def column_label(self, index: int) -> str:
        """Name a feature column to a person: ``column 2 (age)``, counted as in a request."""
        name = f" ({self.features[index].name})" if self.has_header else ""
        return f"column {index + 1}{name}"

    def column_order(self, names: Sequence[str]) -> list[int]:
        """Where each feature stands among the named columns of a request.

        Raises
        ------
        UserError
            If one is missing, there are others that training has not ignored, or a name stands there twice.
        """
        positions = {name: position for position, name in enumerate(names)}
        known = [column.name for column in self.features]
        if len(positions) < len(names):
            raise UserError(
                f"a column name stands there twice ({', '.join(names)[:200]}); give every column a name of its own"
            )
        for name in known:
            if name not in positions:
                raise UserError(
                    f"column {reprlib.repr(name)} is missing; send {', '.join(known)[:400]}"
                )
        for name in (name for name in names if name not in {*known, *self.ignored}):
            if name in {column.name for column in self.targets}:
                raise UserError(
                    f"column {reprlib.repr(name)} is what the model predicts; leave it out of the request"
                )
            raise UserError(
                f"column {reprlib.repr(name)} is not one the model was trained on; send {', '.join(known)[:400]},"
                " or train with the others in ignore"
            )
        return [positions[name] for name in known]
