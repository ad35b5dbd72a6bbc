"""Search space: numeric and categorical ranges.

A range is seen in four ways: by its values, as a coordinate between 0 and 1 on the declared scale,
as what Optuna stores, and as the string that a training job is given.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Value = int | float | str
Values = Mapping[str, Value]

LINEAR, LOGARITHMIC, REVERSE = "Linear", "Logarithmic", "ReverseLogarithmic"


@dataclass(frozen=True)
class NumericRange:
    """Numbers from `min_value` to `max_value`, ends included.

    Parameters
    ----------
    scaling : str
        `Linear`; `Logarithmic`, for values above 0; or `ReverseLogarithmic`, for values from 0 to
        below 1, which is the logarithm of their distance from 1.
    """

    name: str
    min_value: float
    max_value: float
    integer: bool = False
    scaling: str = LINEAR

    @property
    def size(self) -> float:
        """How many values there are."""
        return self.max_value - self.min_value + 1 if self.integer else math.inf

    @property
    def width(self) -> int:
        """How many coordinates a value has."""
        return 2

    def unit(self, value: Value) -> float:
        """Coordinate of a value; an integer is the middle of the reals that are rounded to it."""
        low, high = self._ends
        return (self._scaled(float(value)) - low) / (high - low)

    def value(self, unit: float) -> int | float:
        """Value at a coordinate from 0 to 1."""
        low, high = self._ends
        real = self._unscaled(low + unit * (high - low))
        # Rounding may carry the end of a range past it.
        inside = min(max(round(real) if self.integer else real, self.min_value), self.max_value)
        return int(inside) if self.integer else inside

    def contains(self, value: Value) -> bool:
        """Whether a value lies within the range."""
        return self.min_value <= float(value) <= self.max_value

    def coordinates(self, value: Value) -> list[float]:
        """Point of a quarter circle: all have one length, and only the difference counts."""
        angle = math.pi / 2 * self.unit(value)
        return [math.sqrt(0.5) * math.cos(angle), math.sqrt(0.5) * math.sin(angle)]

    @property
    def distribution(self) -> BaseDistribution:
        """Distribution of Optuna's; it has no reverse logarithm, so it gets the distance from 1."""
        if self.scaling == REVERSE:
            return FloatDistribution(1 - self.max_value, 1 - self.min_value, log=True)
        if self.integer:
            return IntDistribution(
                int(self.min_value), int(self.max_value), log=self.scaling == LOGARITHMIC
            )
        return FloatDistribution(self.min_value, self.max_value, log=self.scaling == LOGARITHMIC)

    def to_optuna(self, value: Value) -> Value:
        """Return a value as Optuna stores it."""
        return 1 - float(value) if self.scaling == REVERSE else value

    def from_optuna(self, stored: Any) -> Value:
        """Return the value that Optuna stores."""
        if self.scaling == REVERSE:
            return min(max(1 - float(stored), self.min_value), self.max_value)
        return int(stored) if self.integer else float(stored)

    def parse(self, string: str) -> Value:
        """Return the value that a training job was given as a string."""
        return int(float(string)) if self.integer else float(string)

    @property
    def _ends(self) -> tuple[float, float]:
        half = 0.5 if self.integer else 0.0
        return self._scaled(self.min_value - half), self._scaled(self.max_value + half)

    def _scaled(self, value: float) -> float:
        if self.scaling == LOGARITHMIC:
            return math.log(value)
        return -math.log1p(-value) if self.scaling == REVERSE else value

    def _unscaled(self, scaled: float) -> float:
        if self.scaling == LOGARITHMIC:
            return math.exp(scaled)
        return -math.expm1(-scaled) if self.scaling == REVERSE else scaled


@dataclass(frozen=True)
class CategoricalRange:
    """Categories, all at the same distance from one another."""

    name: str
    categories: tuple[str, ...]
    scaling: str = LINEAR

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.categories)

    @property
    def width(self) -> int:
        """How many coordinates a value has."""
        return len(self.categories)

    def unit(self, value: Value) -> float:
        """Return the middle of the interval within [0, 1] that is a category's."""
        return (self.categories.index(str(value)) + 0.5) / len(self.categories)

    def value(self, unit: float) -> str:
        """Return the category at a number from 0 to 1."""
        return self.categories[min(int(unit * len(self.categories)), len(self.categories) - 1)]

    def contains(self, value: Value) -> bool:
        """Whether a value is one of the categories."""
        return value in self.categories

    def coordinates(self, value: Value) -> list[float]:
        """One-hot point: two categories are 1 apart, as the ends of a numeric range are."""
        return [math.sqrt(0.5) * (word == value) for word in self.categories]

    @property
    def distribution(self) -> BaseDistribution:
        """Distribution of Optuna's."""
        return CategoricalDistribution(self.categories)

    def to_optuna(self, value: Value) -> Value:
        """Return a category as Optuna stores it."""
        return value

    def from_optuna(self, stored: Any) -> Value:
        """Return the category that Optuna stores."""
        return str(stored)

    def parse(self, string: str) -> Value:
        """Parse what a training job was given; SageMaker's tuner puts quotes around it."""
        bare = string.strip('"')
        return bare if bare in self.categories else string


Range = NumericRange | CategoricalRange


@dataclass(frozen=True)
class Space:
    """All ranges of a search, in the order of their names."""

    ranges: tuple[Range, ...]

    def __iter__(self) -> Iterator[Range]:
        """Iterate over the ranges."""
        return iter(self.ranges)

    def __len__(self) -> int:
        """Return how many hyperparameters are searched over."""
        return len(self.ranges)

    @property
    def size(self) -> float:
        """How many combinations there are; infinite with a continuous range."""
        return math.prod(entry.size for entry in self)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Distributions of Optuna's, by name."""
        return {entry.name: entry.distribution for entry in self}

    def at(self, units: list[float]) -> dict[str, Value]:
        """Values at one number from 0 to 1 for every range."""
        return {entry.name: entry.value(unit) for entry, unit in zip(self, units, strict=True)}

    def units(self, values: Values) -> list[float]:
        """One number from 0 to 1 for every range."""
        return [entry.unit(values[entry.name]) for entry in self]

    def coordinates(self, values: Values) -> list[float]:
        """Return the point that values are for a kernel: the coordinates of all ranges."""
        return [number for entry in self for number in entry.coordinates(values[entry.name])]

    def to_optuna(self, values: Values) -> dict[str, Value]:
        """Return values as Optuna stores them."""
        return {entry.name: entry.to_optuna(values[entry.name]) for entry in self}

    def from_optuna(self, parameters: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values that Optuna stores."""
        return {entry.name: entry.from_optuna(parameters[entry.name]) for entry in self}


def text(value: Value) -> str:
    """Write a value for a training job, to the last digit.

    Examples
    --------
    >>> text(0.1), text(3), text("true")
    ('0.1', '3', 'true')
    """
    return value if isinstance(value, str) else repr(value)
