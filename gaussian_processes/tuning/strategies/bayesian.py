"""Bayesian optimisation: expected improvement under a Gaussian-process surrogate."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from gaussian_processes.tuning.space import CategoricalRange, Value
from gaussian_processes.tuning.strategies.base import History, Proposal, Strategy
from gaussian_processes.tuning.strategies.surrogate import coordinates, fit_surrogate

Array = NDArray[np.float64]
Values = dict[str, Value]
# A candidate's expected improvement, and its values.
Candidate = tuple[float, Values]

# Trials of a Latin hypercube before a surrogate is asked, and how many more, each in turn with one
# of its own: with the first alone, what a search saw first decided where it ended. They cost half
# of a search of 30 jobs.
INITIAL_TRIALS, INTERLEAVED_TRIALS = 8, 8
# Candidates around each of the best, and their distance (in units of a range): first around those
# of the least loss, then ever closer to those of the greatest improvement.
CENTERS, CANDIDATES, DISTANCES = 5, 300, (0.1, 0.1, 0.03, 0.01)
# Candidates anywhere. Improved upon they would nearly all end in the corners, where a surrogate is
# least sure and the best seldom is; so they are few, and stay where they fell.
UNIFORM_CANDIDATES = 100
# How often a coordinate of a candidate is moved, besides the one that always is.
MOVE_PROBABILITY = 0.5


class Bayesian(Strategy):
    """Expected improvement over mixed ranges; running trials are fantasized."""

    def propose(self, number: int, history: History) -> Proposal:
        """Return the values of the greatest expected improvement that no trial has had."""
        trials = history.values
        few = len(trials) < INITIAL_TRIALS + 2 * INTERLEAVED_TRIALS
        if (few and len(trials) % 2) or self._is_initial(history):
            return self._space_filling(trials), {}
        improvement, values = self._maximize(self.generator(number), history)
        return values, {"expected_improvement": improvement}

    def max_expected_improvement(self, number: int, history: History) -> float:
        """Return the greatest expected improvement, in standard deviations of the losses.

        Infinite for too few trials.
        """
        if self._is_initial(history):
            return np.inf
        return self._maximize(self.generator(number), history)[0]

    @staticmethod
    def _is_initial(history: History) -> bool:
        """Whether there are too few losses, or too few that differ, for a surrogate."""
        distinct = len({trial.losses[0] for trial in history.seen})
        return len(history.seen) + len(history.running) < INITIAL_TRIALS or distinct < 2

    def _space_filling(self, trials: Sequence[Mapping[str, Value]]) -> Values:
        """Return a point of a Latin hypercube that no trial has had; of the next, if all had."""
        cubes = [
            _latin_hypercube(len(self.space), self.seed, turn)
            for turn in range(len(trials) // INITIAL_TRIALS + 1)
        ]
        units = np.vstack(cubes)
        return (self._untried(units, trials) or [self.space.at(units[-1].tolist())])[0]

    def _maximize(self, generator: np.random.Generator, history: History) -> Candidate:
        """Maximize expected improvement over random candidates, ever closer to the best."""
        evaluate = self._evaluator(history)
        uniform = evaluate(generator.random((UNIFORM_CANDIDATES, len(self.space))))
        best = sorted(history.seen, key=lambda trial: trial.losses)[:CENTERS]
        centers = [trial.values for trial in best]
        near: list[Candidate] = []
        for distance in DISTANCES:
            near += evaluate(self._perturb(generator, centers, distance))
            near = sorted(near, key=lambda candidate: -candidate[0])[:CENTERS]
            centers = [values for _, values in near] or centers
        if not near + uniform:
            # Every combination has been tried: any is a duplicate, which is not run.
            return 0.0, self.space.at(generator.random(len(self.space)).tolist())
        return max(near + uniform, key=lambda candidate: candidate[0])

    def _evaluator(self, history: History) -> Callable[[Array], list[Candidate]]:
        """Return a function from points between 0 and 1 to their untried values, evaluated."""
        trials = history.values
        surrogate = fit_surrogate(self.space, history)
        best = float(surrogate.y[: len(history.seen)].min())
        running = [trial.values for trial in history.running]
        surrogate = surrogate.fantasize(coordinates(self.space, running))

        def evaluate(units: Array) -> list[Candidate]:
            untried = self._untried(units, trials)
            if not untried:
                return []
            improvement = surrogate.expected_improvement(coordinates(self.space, untried), best)
            weighted = improvement * self._novelty(untried, trials)
            return list(zip(weighted.tolist(), untried, strict=True))

        return evaluate

    def _perturb(
        self,
        generator: np.random.Generator,
        centers: Sequence[Mapping[str, Value]],
        distance: float,
    ) -> Array:
        """Draw points between 0 and 1 around some values, of shape (CANDIDATES, d).

        An integer moves by 1 at least.
        """
        shape = rows, width = CANDIDATES, len(self.space)
        units = np.array([self.space.units(values) for values in centers])
        around = units[generator.integers(len(centers), size=rows)]
        moved = generator.random(shape) < MOVE_PROBABILITY
        moved[np.arange(rows), generator.integers(width, size=rows)] = True
        step = distance * generator.normal(size=shape)
        step = np.copysign(np.maximum(np.abs(step), [1 / entry.size for entry in self.space]), step)
        # A category is as near to one as to another.
        categorical = np.array([isinstance(entry, CategoricalRange) for entry in self.space])
        drawn = np.where(categorical, generator.random(shape), around + step)
        perturbed = np.where(moved, drawn, around)
        # Reflected at the ends of a range, lest they gather there.
        reflected: Array = np.clip(1 - np.abs(1 - np.abs(perturbed)), 0, 1)
        return reflected

    def _untried(self, units: Array, trials: Sequence[Mapping[str, Value]]) -> list[Values]:
        """Values at some points that no trial has had, each once."""
        distinct = {tuple(values.values()): values for values in map(self.space.at, units.tolist())}
        tried = {tuple(values.values()) for values in trials}
        return [values for key, values in distinct.items() if key not in tried]

    def _novelty(
        self, candidates: Sequence[Mapping[str, Value]], trials: Sequence[Mapping[str, Value]]
    ) -> Array:
        """Return the distance of candidates from the nearest of n trials, of shape (m,).

        In 1/n of a range, and at most 1. Of a rough function some improvement is always expected
        next to the best, and a search would spend its jobs on the last digits.
        """
        new = np.array([self.space.units(values) for values in candidates])
        tried = np.array([self.space.units(values) for values in trials])
        distance = np.abs(new[:, np.newaxis] - tried).max(axis=2).min(axis=1)
        novelty: Array = np.minimum(1, len(trials) * distance)
        return novelty


@cache
def _latin_hypercube(width: int, seed: int, turn: int) -> Array:
    """Return a Latin hypercube of low discrepancy: others now and then leave half of it empty."""
    generator = np.random.default_rng([seed, turn, 1])
    sampler = qmc.LatinHypercube(width, rng=generator, optimization="random-cd")
    points: Array = sampler.random(INITIAL_TRIALS + INTERLEAVED_TRIALS)
    return points
