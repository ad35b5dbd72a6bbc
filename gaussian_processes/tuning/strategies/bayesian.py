"""Where is the greatest improvement to be expected?

This project's own Gaussian process of the objective over the ranges, and expected improvement: Jones, Schonlau & Welch,
"Efficient Global Optimization of Expensive Black-Box Functions", 1998.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri
from scipy.stats import qmc, rankdata

from gaussian_processes.gp import marginal_likelihood
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.marginal_likelihood import KernelParameters, TrainingData
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.tuning.space import CategoricalRange, Space, Value
from gaussian_processes.tuning.strategies.base import History, Strategy

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# Rough and smooth; the one that explains the losses better is taken. Objectives of training jobs have ridges and steps, which
# tens of jobs hardly resolve: smoother kernels alone were twice as sure of their predictions as they were right.
KERNELS = (ArcCosine(0, 0), ArcCosine(1, 0))
# What is believed of noise, bias and relevance before any trial: the middle, and the spread of the logarithm. Tens of losses
# can't tell so many numbers; without beliefs, columns that matter are thrown away.
HYPERPRIORS = {"noise": (1e-4, 2.0), "bias": (1.0, 0.7), "relevance": (1.0, 0.5)}
# How many spreads from the middle a search for the likeliest goes, and how many steps it takes at most.
FARTHEST, STEPS = 3.0, 40
# Trials spread evenly before a process is asked, and how many more, each in turn with one of its own: with the first alone,
# what a search saw first decided where it ended. They cost half of a search of 30 jobs.
START, LATER = 8, 8
# Candidates around each of the best, and how far from them (in units of a range): first around those of the least loss, then
# ever closer to those of the greatest improvement.
CENTERS, CANDIDATES, DISTANCES = 5, 300, (0.1, 0.1, 0.03, 0.01)
# Candidates anywhere. Improved upon they would nearly all end in the corners, where a process is least sure and the best
# seldom is; so they are few, and stay where they fell.
ANYWHERE = 100
# Losses this part of the median loss apart, counted from the best, are alike: only their order still tells something.
ALIKE = 0.05
# And not even that where they differ by rounding, or next to nothing.
RANKED_DECIMALS = 4
# How often a coordinate of a candidate is moved, besides the one that always is.
MOVED = 0.5


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process of how bad trials are, and what it is conditioned on.

    Parameters
    ----------
    prior : KernelParameters
        The likeliest kernel, noise, bias and relevance.
    z : ndarray of shape (n, d)
        Coordinates.
    y : ndarray of shape (n, 1)
        How bad the losses are, standardised.
    """

    prior: KernelParameters
    z: Array
    y: Array

    @cached_property
    def process(self) -> GaussianProcess:
        """Condition on the losses."""
        return fit(
            GramMatrix(self.prior.kernel, self.prior.points(self.z), self.prior.noise_ratio), self.y
        )

    def predict(self, z: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function itself, each of shape (m,)."""
        points, process = self.prior.points(z), self.process
        observed = process.variance(points)[:, 0]
        noise = (process.noise_ratio + process.jitter) * process.signal_variance[0]
        return process.mean(points)[:, 0], np.sqrt(np.maximum(observed - noise, 1e-18))

    def fantasize(self, z: Array) -> "Surrogate":
        """Take for granted what is expected at points whose losses are not known yet, so that they max_expected_improvement no more."""
        if not len(z):
            return self
        return replace(
            self,
            z=np.vstack([self.z, z]),
            y=np.vstack([self.y, self.process.mean(self.prior.points(z))]),
        )

    def improvement(self, z: Array, best: float) -> Array:
        """Expected improvement on `best`, of shape (m,). Eq. (15) of Jones et al."""
        mean, deviation = self.predict(z)
        u = (best - mean) / deviation
        density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
        expected: Array = deviation * (u * ndtr(u) + density)
        return expected


class Bayesian(Strategy):
    """Expected improvement over mixed ranges, with trials that are still running taken for what is expected of them."""

    def propose(self, number: int, past: History) -> tuple[dict[str, Value], Mapping[str, Any]]:
        """Return the values of the greatest expected improvement that no trial has had."""
        generator = self.generator(number)
        trials = [one.values for one in (*past.seen, *past.failed, *past.running)]
        later = len(trials) < START + 2 * LATER and len(trials) % 2
        if later or self._starting(past):
            return self._spread(trials), {}
        values, improvement = self._best(generator, past)
        return values, {"expected_improvement": improvement}

    def max_expected_improvement(self, number: int, past: History) -> float:
        """Greatest improvement still expected, in standard deviations of how bad trials were; infinite for too few of them."""
        return np.inf if self._starting(past) else self._best(self.generator(number), past)[1]

    def _starting(self, past: History) -> bool:
        return len(past.seen) + len(past.running) < START or len(past.seen) < 2 or not _varied(past)

    def _spread(self, trials: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
        """Return a point of a Latin hypercube that no trial has had; of another one, should many trials fail."""
        units = np.vstack(
            [
                _hypercube(len(self.space), self.seed, turn)
                for turn in range(len(trials) // START + 1)
            ]
        )
        return (self._new(units, trials) or [self.space.at(units[-1].tolist())])[0]

    def _best(
        self, generator: np.random.Generator, past: History
    ) -> tuple[dict[str, Value], float]:
        trials = [one.values for one in (*past.seen, *past.failed, *past.running)]
        surrogate = fit_surrogate(self.space, past)
        best = float(surrogate.y[: len(past.seen)].min())
        surrogate = surrogate.fantasize(_z(self.space, [one.values for one in past.running]))
        centers = [one.values for one in sorted(past.seen, key=lambda one: one.losses)[:CENTERS]]

        def judged(units: Array) -> list[tuple[float, dict[str, Value]]]:
            candidates = self._new(units, trials)
            if not candidates:
                return []
            improvement = surrogate.improvement(_z(self.space, candidates), best) * self._novelty(
                candidates, trials
            )
            return list(zip(improvement.tolist(), candidates, strict=True))

        anywhere = judged(generator.random((ANYWHERE, len(self.space))))
        near: list[tuple[float, dict[str, Value]]] = []
        for distance in DISTANCES:
            near += judged(self._around(generator, centers, distance))
            near = sorted(near, key=lambda one: -one[0])[:CENTERS]
            centers = [values for _, values in near] or centers
        if (
            not near + anywhere
        ):  # every combination has been tried, so any will be answered from what is known
            return self.space.at(generator.random(len(self.space)).tolist()), 0.0
        improvement, values = max(near + anywhere, key=lambda one: one[0])
        return values, improvement

    def _around(
        self,
        generator: np.random.Generator,
        centers: Sequence[Mapping[str, Value]],
        distance: float,
    ) -> Array:
        """Points between 0 and 1 around some values, of shape (CANDIDATES, d); a whole number moves by 1 at least."""
        shape = rows, width = CANDIDATES, len(self.space)
        around = np.array([self.space.units(values) for values in centers])[
            generator.integers(len(centers), size=rows)
        ]
        moved = generator.random(shape) < MOVED
        moved[np.arange(rows), generator.integers(width, size=rows)] = True
        step = distance * generator.normal(size=shape)
        step = np.copysign(np.maximum(np.abs(step), [1 / entry.size for entry in self.space]), step)
        # A word is nearer to none than to the rest.
        words = np.array([isinstance(entry, CategoricalRange) for entry in self.space])
        units = np.where(moved, np.where(words, generator.random(shape), around + step), around)
        # Thrown back at the ends of a range, lest they gather there.
        reflected: Array = np.clip(1 - np.abs(1 - np.abs(units)), 0, 1)
        return reflected

    def _new(self, units: Array, trials: Sequence[Mapping[str, Value]]) -> list[dict[str, Value]]:
        """Values at some points that no trial has had, each once."""
        distinct = {tuple(values.values()): values for values in map(self.space.at, units.tolist())}
        had = {tuple(values.values()) for values in trials}
        return [values for key, values in distinct.items() if key not in had]

    def _novelty(
        self, candidates: Sequence[Mapping[str, Value]], trials: Sequence[Mapping[str, Value]]
    ) -> Array:
        """Distance of candidates from the nearest of n trials, of shape (m,), in 1/n of a range; 1 for those that are farther.

        Of a rough function something is always to be gained next to the best, and a search would spend its jobs on the digits.
        """
        new, known = (
            np.array([self.space.units(values) for values in some]) for some in (candidates, trials)
        )
        distance = np.abs(new[:, np.newaxis] - known).max(axis=2).min(axis=1)
        novelty: Array = np.minimum(1, len(trials) * distance)
        return novelty


@cache
def _hypercube(width: int, seed: int, turn: int) -> Array:
    """Points of a Latin hypercube that fill it evenly: without that, now and then they leave half of it empty."""
    generator = np.random.default_rng([seed, turn, 1])
    points: Array = qmc.LatinHypercube(width, rng=generator, optimization="random-cd").random(
        START + LATER
    )
    return points


def fit_surrogate(space: Space, past: History) -> Surrogate:
    """Learn a Gaussian process of how bad trials are; a failed trial counts as the worst of those that were seen."""
    seen = np.array([one.losses[0] for one in past.seen])
    losses = np.concatenate([seen, np.full(len(past.failed), seen.max())])
    y = transform_losses(losses)[:, np.newaxis]
    z = _z(space, [one.values for one in (*past.seen, *past.failed)])
    owners = np.repeat(np.arange(len(space)), [entry.width for entry in space])
    best = max((_prior(kernel, z, y, owners) for kernel in KERNELS), key=lambda found: found[0])
    return Surrogate(best[1], z, y)


def _prior(
    kernel: ArcCosine, z: Array, y: Array, owners: Indices
) -> tuple[float, KernelParameters]:
    """Likeliest noise, bias and relevance, given the losses and what was believed before; and how likely they are.

    Coordinates of one hyperparameter, which have the same of `owners`, share their relevance.
    """
    names = ["noise", "bias", *["relevance"] * (owners.max() + 1)]
    middle = np.log([HYPERPRIORS[name][0] for name in names])
    spread = np.array([HYPERPRIORS[name][1] for name in names])

    def prior(logs: Array) -> KernelParameters:
        noise, bias, *relevance = np.exp(logs)
        return KernelParameters(kernel, float(noise), float(bias), np.array(relevance)[owners])

    known = TrainingData(z, y, np.ones(len(z)))

    def loss(logs: Array) -> tuple[float, Array]:
        value, gradient = marginal_likelihood.log_marginal_likelihood_and_gradient(
            prior(logs), known
        )
        away = (logs - middle) / spread
        slope = np.concatenate(
            [gradient["noise_ratio"], gradient["bias"], np.bincount(owners, gradient["relevance"])]
        )
        return away @ away / 2 - value, away / spread - slope

    bounds = np.column_stack([middle - FARTHEST * spread, middle + FARTHEST * spread])
    found = minimize(
        loss, middle, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}
    )
    return -found.fun, prior(found.x)


def transform_losses(losses: Array) -> Array:
    """How bad losses are, standardised: half by the logarithm of the distance from the best, half by rank.

    To the distances that of the best quarter is added, which is what counts as near, and no less than `ALIKE`: how bad a bad
    one is hardly matters, and detail among the good ones does. The rank's normal score goes on telling those apart that are
    alike, which long searches need, and lessens the weight of one that is far ahead. There must be two losses that differ.
    """
    above = losses - losses.min()
    near = max(float(np.quantile(above, 0.25)), ALIKE * float(np.median(above))) or float(
        above.max()
    )
    logs = _standardised(np.log(above + near))
    ranks = rankdata(np.round(logs, RANKED_DECIMALS))
    return _standardised(logs + _standardised(ndtri((ranks - 0.5) / len(ranks))))


def _standardised(values: Array) -> Array:
    """Values, not all the same, with mean 0 and variance 1."""
    standardised: Array = (values - values.mean()) / values.std()
    return standardised


def _varied(past: History) -> bool:
    return len({one.losses[0] for one in past.seen}) > 1


def _z(space: Space, trials: Sequence[Mapping[str, Value]]) -> Array:
    width = sum(entry.width for entry in space)
    return np.array([space.coordinates(values) for values in trials]).reshape(len(trials), width)
