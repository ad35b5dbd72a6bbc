"""Random search and grid search: proposals that learn nothing from the history."""

from gaussian_processes.tuning.space import CategoricalRange, Value
from gaussian_processes.tuning.strategies.base import History, Proposal, Strategy


class Random(Strategy):
    """Random search, uniform on the scale of each range (Bergstra & Bengio 2012)."""

    def propose(self, number: int, history: History) -> Proposal:  # noqa: ARG002
        """Draw values, whatever the history."""
        return self.space.at(self.generator(number).random(len(self.space)).tolist()), {}


class Grid(Strategy):
    """Every combination of categories once; the last hyperparameter changes fastest."""

    def propose(self, number: int, history: History) -> Proposal:
        """Return the first combination that no trial has had."""
        tried = {tuple(values.values()) for values in history.values}
        size = int(self.space.size)
        positions = (position % size for position in range(number, number + size))
        found = (self._combination(position) for position in positions)
        values = next(
            (values for values in found if tuple(values.values()) not in tried),
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
