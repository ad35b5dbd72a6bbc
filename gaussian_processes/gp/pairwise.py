"""Pairs of points: cosine distances 1 - cos θ of their directions, and their norms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes._native import routines
from gaussian_processes.gp.sphere import project_to_sphere

Array = NDArray[np.float64]

# Where less than this part of two squared lengths is left of them in the squared distance, the
# subtraction has cost more than four of sixteen digits, and the distance is taken from the
# difference of the offsets instead. It costs one pass over the pair's columns, for those pairs
# alone: of points on a line one in a hundred, in a plane one in ten thousand.
CANCELLATION_THRESHOLD = 1e-4
# Points of one direction, rounded each by itself, are up to some 4 roundings apart: closer ones are
# one point. A chain of q = 0 takes square roots of the distance, and would make 1e-2 of what is
# only rounding.
DUPLICATE_TOLERANCE = float(8 * np.finfo(float).eps ** 2)


@dataclass(frozen=True)
class Pairs:
    """Every one of n points with every one of m others, as kernels compare them.

    Parameters
    ----------
    cosine_distances : ndarray of shape (n, m), contiguous
        In [0, 2]; 0 exactly where two points have one direction.
    norms : ndarray of shape (n,)
    other_norms : ndarray of shape (m,)
    """

    cosine_distances: Array
    norms: Array
    other_norms: Array

    def squared_distances(self) -> Array:
        """Squared distances, of shape (n, m): ‖a - b‖² = (‖a‖ - ‖b‖)² + 2 ‖a‖ ‖b‖ (1 - cos θ).

        No digit is lost next to 0, and a bias cancels, which is a part of both norms.
        """
        squares = np.subtract.outer(self.norms, self.other_norms)
        squares *= squares
        products = np.multiply.outer(2 * self.norms, self.other_norms)
        products *= self.cosine_distances
        squares += products
        return squares


@dataclass(frozen=True)
class CenteredPoints:
    """Directions of points, as offsets from a center, and their norms.

    A large bias crowds all directions together; from their mean they are as far apart as they can
    be, and the subtraction of ‖a - b‖² = ‖a‖² + ‖b‖² - 2 a·b loses the fewest digits.

    Parameters
    ----------
    center : ndarray of shape (d,)
    offsets : ndarray of shape (m, d)
        The directions less the center.
    half_sqnorms : ndarray of shape (m,)
        Half of the squared norm of each offset.
    norms : ndarray of shape (m,)
        Of the points.
    """

    center: Array
    offsets: Array
    half_sqnorms: Array
    norms: Array

    @classmethod
    def of(cls, points: Array) -> "CenteredPoints":
        """Return points, of shape (m, d), about the mean of their directions."""
        directions, norms = project_to_sphere(points)
        center = directions.mean(axis=0)
        offsets = directions - center
        return cls(center, offsets, np.vecdot(offsets, offsets) / 2, norms)

    def pairs(self, others: Array) -> Pairs:
        """Pair every one of some other points, of shape (n, d), with every one of these."""
        # On the unit sphere 1 - cos θ = ‖a - b‖²/2.
        directions, norms = project_to_sphere(others)
        directions -= self.center
        half_sqnorms = np.vecdot(directions, directions) / 2
        distances = _half_sqdist(directions, half_sqnorms, self.offsets, self.half_sqnorms)
        return Pairs(distances, norms, self.norms)

    def pairs_up_to(self, rows: slice) -> Pairs:
        """Pair some of the points with all points up to the last of them."""
        offsets, half_sqnorms = self.offsets[: rows.stop], self.half_sqnorms[: rows.stop]
        distances = _half_sqdist(offsets[rows], half_sqnorms[rows], offsets, half_sqnorms)
        return Pairs(distances, self.norms[rows], self.norms[: rows.stop])


def _half_sqdist(a: Array, half_sqnorms_a: Array, b: Array, half_sqnorms_b: Array) -> Array:
    """Half the squared distance of every row of `a` and every row of `b`."""
    products: Array = a @ b.T
    routines.half_sqdist(
        products,
        half_sqnorms_a,
        half_sqnorms_b,
        a,
        b,
        CANCELLATION_THRESHOLD,
        DUPLICATE_TOLERANCE,
    )
    return products


def cosine_distances(a: Array, b: Array) -> Array:
    """Return 1 - cos θ of every row of `a` and every row of `b`: see `CenteredPoints`."""
    return CenteredPoints.of(b).pairs(a).cosine_distances
