"""Cosine distances 1 - cos θ of many pairs of points on the unit sphere."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes._native import routines

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
class CenteredPoints:
    """Points of the unit sphere, as offsets from a center.

    A large bias crowds all points together; from their mean they are as far apart as they can be,
    and the subtraction of ‖a - b‖² = ‖a‖² + ‖b‖² - 2 a·b loses the fewest digits.

    Parameters
    ----------
    center : ndarray of shape (d,)
    offsets : ndarray of shape (m, d)
        The points less the center.
    half_sqnorms : ndarray of shape (m,)
        Half of the squared norm of each offset.
    """

    center: Array
    offsets: Array
    half_sqnorms: Array

    @classmethod
    def of(cls, points: Array, center: Array | None = None) -> "CenteredPoints":
        """Return points, of shape (m, d), about a center: their mean unless it is given."""
        if center is None:
            center = points.mean(axis=0)
        offsets = points - center
        return cls(center, offsets, np.vecdot(offsets, offsets) / 2)

    def cosine_distances(self, others: Array) -> Array:
        """Return the cosine distance of every one of some other points and every one of these.

        Parameters
        ----------
        others : ndarray of shape (n, d)
            Points of norm 1, one per row.

        Returns
        -------
        ndarray of shape (n, m)
            In [0, 2]; 0 exactly where two points are equal.
        """
        # On the unit sphere 1 - cos θ = ‖a - b‖²/2.
        others = others - self.center
        return _half_sqdist(others, np.vecdot(others, others) / 2, self.offsets, self.half_sqnorms)

    def up_to(self, rows: slice) -> Array:
        """Return the cosine distances of some of the points and all points up to their last.

        Parameters
        ----------
        rows : slice

        Returns
        -------
        ndarray of shape (rows.stop - rows.start, rows.stop)
        """
        offsets, half_sqnorms = self.offsets[: rows.stop], self.half_sqnorms[: rows.stop]
        return _half_sqdist(offsets[rows], half_sqnorms[rows], offsets, half_sqnorms)


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
    return CenteredPoints.of(b).cosine_distances(a)
