"""Where is the greatest improvement to be expected?

This project's own Gaussian process of the objective over the ranges, and expected improvement: Jones, Schonlau & Welch,
"Efficient Global Optimization of Expensive Black-Box Functions", 1998.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

from gaussian_processes import selection
from gaussian_processes.kernels import ArcCosine
from gaussian_processes.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.selection import Prior
from gaussian_processes.tuning.space import Space, Value
from gaussian_processes.tuning.strategies.proposing import Past, Strategy

Array = NDArray[np.float64]

# From rough to smooth; the log evidence chooses. More would each cost another search for noise, bias and relevance.
KERNELS = (ArcCosine(1, 1), ArcCosine(2, 1))
# Trials spread evenly before a process has anything to learn from.
LEAST_START = 4
# A coordinate runs from 0 to 1; this makes its spread about 1, on which the bounds of the bias are laid out.
STRETCH = 3.5
# Points at which the improvement is computed: spread over all ranges, and around the best. A thousand take some 20 ms.
SPREAD_POINTS, NEAR_POINTS = 1_000, 500
CENTERS = 3
# How far around the best, in units of a range.
DISTANCES = (0.2, 0.05, 0.01)


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process of the losses, standardised, and what it is conditioned on.

    Parameters
    ----------
    prior : Prior
        Kernel, noise, bias and relevance of the highest log evidence.
    z : ndarray of shape (n, d)
        Coordinates, standardised.
    y : ndarray of shape (n, 1)
        Losses, standardised.
    """

    prior: Prior
    z: Array
    y: Array

    @cached_property
    def process(self) -> GaussianProcess:
        """Condition on the losses."""
        return fit(GramMatrix(self.prior.kernel, self.prior.points(self.z), self.prior.noise), self.y)

    def predict(self, z: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function itself, each of shape (m,)."""
        points, process = self.prior.points(z), self.process
        observed = process.variance(points)[:, 0]
        noise = (process.noise + process.jitter) * process.signal_variance[0]
        return process.mean(points)[:, 0], np.sqrt(np.maximum(observed - noise, 1e-18))

    def believing(self, z: Array) -> "Surrogate":
        """Take for granted what is expected at points whose losses are not known yet, so that they promise no more."""
        if not len(z):
            return self
        return replace(self, z=np.vstack([self.z, z]), y=np.vstack([self.y, self.process.mean(self.prior.points(z))]))

    def improvement(self, z: Array, best: float) -> Array:
        """Expected improvement on the loss `best`, of shape (m,). Eq. (15) of Jones et al."""
        mean, deviation = self.predict(z)
        u = (best - mean) / deviation
        density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
        expected: Array = deviation * (u * ndtr(u) + density)
        return expected


class Bayesian(Strategy):
    """Expected improvement over mixed ranges, with trials that are still running taken for what is expected of them."""

    def propose(self, number: int, past: Past) -> tuple[dict[str, Value], Mapping[str, Any]]:
        """Return the values of the greatest expected improvement that no trial has had."""
        generator = self.generator(number)
        if self._starting(past):
            return self._spread(len(past.seen) + len(past.failed) + len(past.running)), {}
        values, improvement = self._best(generator, past)
        return values, {"expected_improvement": improvement}

    def promise(self, number: int, past: Past) -> float:
        """Greatest improvement still expected, in standard deviations of the losses so far; infinite for too few of them."""
        return np.inf if self._starting(past) else self._best(self.generator(number), past)[1]

    def _starting(self, past: Past) -> bool:
        return len(past.seen) + len(past.running) < self._start or len(past.seen) < 2 or not _varied(past)

    @property
    def _start(self) -> int:
        return max(LEAST_START, len(self.space) + 1)

    def _spread(self, position: int) -> dict[str, Value]:
        """Return a point of a Latin hypercube; of a second one, should many trials fail."""
        turn, position = divmod(position, self._start)
        cube = qmc.LatinHypercube(len(self.space), rng=np.random.default_rng([self.seed, turn, 1]), optimization=None)
        return self.space.at(cube.random(self._start)[position].tolist())

    def _best(self, generator: np.random.Generator, past: Past) -> tuple[dict[str, Value], float]:
        surrogate = surrogate_of(self.space, past)
        best = float(surrogate.y[: len(past.seen)].min())
        surrogate = surrogate.believing(_z(self.space, [one.values for one in past.running]))
        had = {tuple(one.values.values()) for one in (*past.seen, *past.failed, *past.running)}
        centers = [self.space.units(one.values) for one in sorted(past.seen, key=lambda one: one.losses)[:CENTERS]]
        found: dict[tuple[Value, ...], float] = {}
        # The second time around what the first has found.
        for _ in range(2):
            candidates = self._candidates(generator, centers, had | found.keys())
            if candidates:
                improvement = surrogate.improvement(_z(self.space, candidates), best)
                found |= {tuple(one.values()): float(value) for one, value in zip(candidates, improvement, strict=True)}
                leading = sorted(found, key=lambda key: -found[key])[:CENTERS]
                centers = [self.space.units(self._named(key)) for key in leading]
        if not found:  # every combination has been tried, so any will be answered from what is known
            return self.space.at(generator.random(len(self.space)).tolist()), 0.0
        winner = max(found, key=lambda key: found[key])
        return self._named(winner), found[winner]

    def _candidates(
        self, generator: np.random.Generator, centers: Sequence[Sequence[float]], had: set[tuple[Value, ...]]
    ) -> list[dict[str, Value]]:
        units = [generator.random((SPREAD_POINTS, len(self.space)))]
        for distance in DISTANCES:
            near = np.array(centers)[generator.integers(len(centers), size=NEAR_POINTS // len(DISTANCES))]
            step = distance * generator.normal(size=near.shape)
            # Moving along a few ranges at a time keeps words, which have no neighbours, as they are.
            units.append(np.clip(near + step * (generator.random(near.shape) < 0.5), 0, 1))
        distinct = {tuple(values.values()): values for values in map(self.space.at, np.vstack(units).tolist())}
        return [values for key, values in distinct.items() if key not in had]

    def _named(self, key: tuple[Value, ...]) -> dict[str, Value]:
        return {entry.name: value for entry, value in zip(self.space, key, strict=True)}


def surrogate_of(space: Space, past: Past) -> Surrogate:
    """Learn a Gaussian process of the losses; a failed trial counts as the worst of those that were seen."""
    seen = np.array([one.losses[0] for one in past.seen])
    losses = np.concatenate([seen, np.full(len(past.failed), seen.max())])
    y = _normal(losses)[:, np.newaxis]
    z = _z(space, [one.values for one in (*past.seen, *past.failed)])
    best = max((_prior(kernel, z, y) for kernel in KERNELS), key=lambda found: found[0])
    return Surrogate(best[1], z, y)


def _prior(kernel: ArcCosine, z: Array, y: Array) -> tuple[float, Prior]:
    prior = selection.learn(Prior(kernel, 0.0, 1.0, np.ones(z.shape[1])), ["noise", "bias", "relevance"], z, y)
    return selection.evidence(prior, z, y)[0], prior


def _normal(losses: Array) -> Array:
    """Losses in units of their spread, in which one that is far off the others does not hide how those differ."""
    center = np.median(losses)
    spread = np.median(np.abs(losses - center)) * 1.4826 or losses.std()
    away = (losses - center) / spread
    # Beyond two spreads above the middle it does not matter how bad a loss is; below, every digit does.
    flattened: Array = np.where(away > 2, 2 + np.log1p(np.maximum(away - 2, 0)), away)
    return flattened


def _varied(past: Past) -> bool:
    return len({one.losses[0] for one in past.seen}) > 1


def _z(space: Space, trials: Sequence[Mapping[str, Value]]) -> Array:
    width = sum(entry.width for entry in space)
    stretched: Array = STRETCH * (np.array([space.coordinates(values) for values in trials]).reshape(len(trials), width) - 0.5)
    return stretched
