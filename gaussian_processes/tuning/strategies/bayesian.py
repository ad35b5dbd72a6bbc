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
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri
from scipy.stats import qmc, rankdata

from gaussian_processes import selection
from gaussian_processes.kernels import ArcCosine
from gaussian_processes.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.selection import Observations, Prior
from gaussian_processes.tuning.space import Space, Value, Words
from gaussian_processes.tuning.strategies.proposing import Past, Strategy

Array = NDArray[np.float64]

# From rough to smooth; the one that explains the losses better is taken. Objectives of training jobs have ridges and
# steps: with kernels of q = 2, predictions of objectives like those of benchmarks.tuning_regret were three times as sure of
# themselves as they were right.
KERNELS = (ArcCosine(0, 0), ArcCosine(1, 1), ArcCosine(1, 3))
# What is believed of noise, bias and relevance before any trial: the middle, and the spread of the logarithm. Tens of losses
# can't tell so many numbers; without beliefs, columns that matter are thrown away.
BELIEFS = {"noise": (1e-4, 2.0), "bias": (3.0, 0.7), "relevance": (0.7, 1.0)}
# How many spreads from the middle a search for the likeliest goes, and how many steps it takes at most.
FARTHEST, STEPS = 3.5, 40
# Trials spread evenly before a process has anything to learn from.
LEAST_START = 8
# A coordinate runs from 0 to 1; this makes its spread about 1.
STRETCH = 3.5
# Candidates around each of the best, at each of the distances (in units of a range). Candidates spread over everything would
# nearly all lie at the edges, where a process is least sure: there, searches of tens of trials were lost.
CENTERS, CANDIDATES, DISTANCES = 5, 400, (0.15, 0.05)
# How near two losses are that count as one, in median absolute deviations.
ALIKE = 0.05
# How often a coordinate of a candidate is moved by such a distance, and how often drawn anew; a word has no distance.
MOVED, DRAWN, WORD_DRAWN = 0.5, 0.15, 0.5


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process of the losses' normal scores, and what it is conditioned on.

    Parameters
    ----------
    prior : Prior
        The likeliest kernel, noise, bias and relevance.
    z : ndarray of shape (n, d)
        Coordinates, standardised.
    y : ndarray of shape (n, 1)
        Normal scores of the losses.
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
        """Values around the best, that no trial has had."""
        shape = (CANDIDATES * len(DISTANCES), len(self.space))
        near = np.array(centers)[generator.integers(len(centers), size=shape[0])]
        step = np.repeat(DISTANCES, CANDIDATES)[:, np.newaxis] * generator.normal(size=shape)
        units = near + step * (generator.random(shape) < MOVED)
        drawn = [WORD_DRAWN if isinstance(entry, Words) else DRAWN for entry in self.space]
        units = np.where(generator.random(shape) < drawn, generator.random(shape), units)
        # Thrown back at the ends of a range, lest they gather there.
        units = np.clip(1 - np.abs(1 - np.abs(units)), 0, 1)
        distinct = {tuple(values.values()): values for values in map(self.space.at, units.tolist())}
        return [values for key, values in distinct.items() if key not in had] or self._left(generator, had)

    def _left(self, generator: np.random.Generator, had: set[tuple[Value, ...]]) -> list[dict[str, Value]]:
        """Any values that no trial has had."""
        found = map(self.space.at, generator.random((CANDIDATES, len(self.space))).tolist())
        return [values for values in found if tuple(values.values()) not in had]

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
    """Likeliest noise, bias and relevance, given the losses and what was believed before; and how likely they are."""
    names = ["noise", "bias", *["relevance"] * z.shape[1]]
    middle = np.log([BELIEFS[name][0] for name in names])
    spread = np.array([BELIEFS[name][1] for name in names])

    def prior(logs: Array) -> Prior:
        noise, bias, *relevance = np.exp(logs)
        return Prior(kernel, float(noise), float(bias), np.array(relevance))

    known = Observations(z, y, np.ones(len(z)))

    def loss(logs: Array) -> tuple[float, Array]:
        value, gradient = selection.evidence(prior(logs), known)
        away = (logs - middle) / spread
        slope = np.concatenate([gradient[name] for name in BELIEFS])
        return away @ away / 2 - value, away / spread - slope

    bounds = np.column_stack([middle - FARTHEST * spread, middle + FARTHEST * spread])
    found = minimize(loss, middle, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
    return -found.fun, prior(found.x)


def _normal(losses: Array) -> Array:
    """Losses as their ranks' normal scores: how bad a bad one is does not matter, and which of two good ones is better does.

    Those of a plateau share a rank, or digits that mean nothing would draw the search to it.
    """
    spread = np.median(np.abs(losses - np.median(losses))) or losses.std()
    ranks = rankdata(np.round((losses - losses.min()) / (ALIKE * spread)))
    scores: Array = ndtri((ranks - 0.5) / len(losses))
    return scores


def _varied(past: Past) -> bool:
    return len({one.losses[0] for one in past.seen}) > 1


def _z(space: Space, trials: Sequence[Mapping[str, Value]]) -> Array:
    width = sum(entry.width for entry in space)
    stretched: Array = STRETCH * (np.array([space.coordinates(values) for values in trials]).reshape(len(trials), width) - 0.5)
    return stretched
