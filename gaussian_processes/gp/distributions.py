"""Predictive distributions: mixtures of Student-t and normal distributions.

A Gaussian process whose signal variance is integrated out under its reference prior predicts a
Student-t distribution (GPML section 9.9; O'Hagan, Kendall's Advanced Theory of Statistics 2B,
section 9.10); members of an ensemble make a mixture of such distributions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = slice | NDArray[np.intp] | list[int]

# Bisection halves the bracket each time: from the spread of the members' own quantiles down to
# one rounding of it. A step costs one evaluation of the mixture's distribution function.
BISECTIONS = 60


@dataclass(frozen=True)
class PredictiveDistribution:
    """Mixture of location-scale Student-t distributions, one for every row and target.

    Parameters
    ----------
    weights : ndarray of shape (k,), or of one that broadcasts to (k, m, t)
        Of the k members, of every row and target by itself if they differ; their sum is 1.
    locations, scales : ndarray of shape (k, m, t)
        Of every member, for m rows and t targets. Scales are positive.
    degrees_of_freedom : ndarray of shape (k,)
        Positive; infinity means a normal distribution.

    Examples
    --------
    >>> normal = PredictiveDistribution.single(np.zeros((1, 1)), np.ones((1, 1)))
    >>> print(normal.quantile(0.975).round(2))
    [[1.96]]
    """

    weights: Array
    locations: Array
    scales: Array
    degrees_of_freedom: Array

    @classmethod
    def single(
        cls, location: Array, scale: Array, degrees_of_freedom: float = np.inf
    ) -> "PredictiveDistribution":
        """Distribution of one member, of shape (m, t)."""
        return cls(
            np.ones(1), location[np.newaxis], scale[np.newaxis], np.array([degrees_of_freedom])
        )

    @classmethod
    def by_row(
        cls, location: Array, scale: Array, degrees_of_freedom: Array
    ) -> "PredictiveDistribution":
        """Distribution of one member, of shape (m, t), whose degrees of freedom are of shape (m,).

        It is a mixture with one member for each of these, of weight 1 or 0.
        """
        degrees, own = np.unique(degrees_of_freedom, return_inverse=True)
        is_own = own == np.arange(len(degrees))[:, np.newaxis]
        shape = (len(degrees), *location.shape)
        weights = np.broadcast_to(is_own[:, :, np.newaxis].astype(float), shape)
        return cls(
            weights, np.broadcast_to(location, shape), np.broadcast_to(scale, shape), degrees
        )

    @classmethod
    def blend(
        cls, weights: Sequence[float | Array], members: Sequence["PredictiveDistribution"]
    ) -> "PredictiveDistribution":
        """Mixture of distributions over the same rows and targets.

        Weights sum to 1; they are numbers, or of shape (t,) where those of the targets differ.
        """
        return cls(
            np.concatenate(
                [
                    np.broadcast_to(weight * member._cell_weights, member.locations.shape)
                    for weight, member in zip(weights, members, strict=True)
                ]
            ),
            np.concatenate([member.locations for member in members]),
            np.concatenate([member.scales for member in members]),
            np.concatenate([member.degrees_of_freedom for member in members]),
        )

    @classmethod
    def concatenate(cls, parts: Sequence["PredictiveDistribution"]) -> "PredictiveDistribution":
        """Distribution of the rows of several, one after the other; each has its own members."""
        sizes = [part.locations.shape[1] for part in parts]
        counts = [len(part.locations) for part in parts]
        shape = (sum(counts), sum(sizes), parts[0].locations.shape[2])
        # Members of the other parts have weight 0.
        weights = np.zeros(shape)
        locations, scales = np.zeros(shape), np.ones(shape)
        member = row = 0
        for part, count, size in zip(parts, counts, sizes, strict=True):
            at = slice(member, member + count), slice(row, row + size)
            weights[at] = part._cell_weights
            locations[at], scales[at] = part.locations, part.scales
            member, row = member + count, row + size
        degrees = np.concatenate([part.degrees_of_freedom for part in parts])
        return cls(weights, locations, scales, degrees)

    def subset(self, rows: Rows, targets: Rows = slice(None)) -> "PredictiveDistribution":
        """Distribution of some of the rows and targets, chosen by a slice or by indices."""
        weights = self.weights
        if weights.ndim > 1:
            weights = np.broadcast_to(weights, self.locations.shape)[:, rows][:, :, targets]
        return PredictiveDistribution(
            weights,
            self.locations[:, rows][:, :, targets],
            self.scales[:, rows][:, :, targets],
            self.degrees_of_freedom,
        )

    @cached_property
    def mean(self) -> Array:
        """Mean, of shape (m, t): the location of a member of one degree of freedom or less."""
        return self._average(self.locations)

    @cached_property
    def variance(self) -> Array:
        """Variance, of shape (m, t); infinite where a member has two degrees of freedom or less."""
        degrees = self.degrees_of_freedom
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(np.isinf(degrees), 1.0, degrees / (degrees - 2))
        ratio[degrees <= 2] = np.inf
        within = self.scales**2 * ratio[:, np.newaxis, np.newaxis]
        between = np.square(self.locations - self.mean)
        # What has no weight in a row may have no variance.
        return self._average(np.where(self._cell_weights > 0, within + between, 0.0))

    def log_density(self, y: Array) -> Array:
        """Log density at `y` of shape (m, t), of every row and target by itself."""
        logs = np.stack(
            [log_density(y, location, scale, degrees) for location, scale, degrees in self._members]
        )
        with np.errstate(divide="ignore"):  # a weight of 0
            logs = logs + np.log(self._cell_weights)
        largest: Array = logs.max(axis=0)
        total: Array = largest + np.log(np.exp(logs - largest).sum(axis=0))
        return total

    def cdf(self, y: Array) -> Array:
        """Distribution function at `y` of shape (m, t): the probability of at most `y`."""
        parts = [cdf((y - location) / scale, degrees) for location, scale, degrees in self._members]
        return self._average(np.stack(parts))

    def quantile(self, probability: float) -> Array:
        """Quantile of a probability in (0, 1), of shape (m, t): the inverse of `cdf`.

        Notes
        -----
        The quantile of a mixture lies between the least and the greatest of its members';
        bisection finds it there.
        """
        own = np.stack(
            [
                location + scale * quantile(probability, degrees)
                for location, scale, degrees in self._members
            ]
        )
        has_weight = self._cell_weights > 0
        low: Array = np.where(has_weight, own, np.inf).min(axis=0)
        high: Array = np.where(has_weight, own, -np.inf).max(axis=0)
        # One member needs no step: its bracket is empty.
        for _ in range(BISECTIONS if len(own) > 1 else 0):
            middle: Array = (low + high) / 2
            below = self.cdf(middle) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def _average(self, values: Array) -> Array:
        """Weighted mean over the members of values of shape (k, m, t)."""
        mean: Array = (self._cell_weights * values).sum(axis=0)
        return mean

    @property
    def _cell_weights(self) -> Array:
        """Weights in a shape that broadcasts to (k, m, t)."""
        return self.weights if self.weights.ndim > 1 else self.weights[:, np.newaxis, np.newaxis]

    @property
    def _members(self) -> list[tuple[Array, Array, float]]:
        return list(zip(self.locations, self.scales, self.degrees_of_freedom.tolist(), strict=True))


def log_density(y: Array, location: Array, scale: Array, degrees_of_freedom: float) -> Array:
    """Log density of a location-scale Student-t distribution, or of a normal one, at `y`."""
    standardized = (y - location) / scale
    if np.isinf(degrees_of_freedom):
        normal: Array = -0.5 * standardized**2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
        return normal
    from scipy.special import gammaln  # noqa: PLC0415  starting a server does not wait for it

    half = degrees_of_freedom / 2
    constant = gammaln(half + 0.5) - gammaln(half) - 0.5 * np.log(np.pi * degrees_of_freedom)
    tail = (half + 0.5) * np.log1p(standardized**2 / degrees_of_freedom)
    density: Array = constant - np.log(scale) - tail
    return density


def cdf(standardized: Array, degrees_of_freedom: float) -> Array:
    """Distribution function of the standard Student-t distribution, or of the normal one."""
    from scipy.special import ndtr, stdtr  # noqa: PLC0415  as above

    probability: Array = (
        ndtr(standardized)
        if np.isinf(degrees_of_freedom)
        else stdtr(degrees_of_freedom, standardized)
    )
    return probability


@lru_cache  # successive requests mostly ask for the same
def quantile(probability: float, degrees_of_freedom: float) -> float:
    """Quantile of the standard Student-t distribution, or of the normal one."""
    from scipy.special import ndtri, stdtrit  # noqa: PLC0415  as above

    if np.isinf(degrees_of_freedom):
        return float(ndtri(probability))
    return float(stdtrit(degrees_of_freedom, probability))
