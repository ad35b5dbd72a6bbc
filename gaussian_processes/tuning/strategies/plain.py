"""Which values come next if nothing is learned from the past?"""

from collections.abc import Mapping
from typing import Any

from gaussian_processes.tuning.space import CategoricalRange, Value
from gaussian_processes.tuning.strategies.base import History, Strategy


class Random(Strategy):
    """Every value alike, on the scale of its range (Bergstra & Bengio 2012)."""

    def propose(self, number: int, past: History) -> tuple[dict[str, Value], Mapping[str, Any]]:  # noqa: ARG002
        """Draw."""
        return self.space.at(self.generator(number).random(len(self.space)).tolist()), {}


class Grid(Strategy):
    """Every combination of words once; the last hyperparameter changes fastest."""

    def propose(self, number: int, past: History) -> tuple[dict[str, Value], Mapping[str, Any]]:
        """Return the first combination that no trial has had."""
        had = {tuple(one.values.values()) for one in (*past.seen, *past.failed, *past.running)}
        size = int(self.space.size)
        positions = (position % size for position in range(number, number + size))
        found = (self._combination(position) for position in positions)
        values = next(
            (one for one in found if tuple(one.values()) not in had),
            self._combination(number % size),
        )
        return values, {}

    def _combination(self, position: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for entry in reversed(self.space.ranges):
            assert isinstance(entry, CategoricalRange)  # noqa: S101  the job file is checked
            position, digit = divmod(position, len(entry.categories))
            values[entry.name] = entry.categories[digit]
        return {entry.name: values[entry.name] for entry in self.space}
