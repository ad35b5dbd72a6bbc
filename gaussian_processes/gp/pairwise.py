"""How is something computed of many pairs of points?

The functions of pairs.c.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes._native.compiled import LIBRARY, read, written

Array = NDArray[np.float64]

# Where less than this part of two squared lengths is left of them in the squared distance, the subtraction has cost more than
# four of sixteen digits, and the distance is taken from the difference of the offsets instead. It costs one pass over the
# pair's columns, for those pairs alone: of points on a line one in a hundred, in a plane one in ten thousand.
CANCELLATION_THRESHOLD = 1e-4
# Points of one direction, rounded each by itself, are up to some 4 roundings apart: closer ones are one point. A chain of
# q = 0 takes square roots of the distance, and would make 1e-2 of what is only rounding.
DUPLICATE_TOLERANCE = 8 * np.finfo(float).eps ** 2


@dataclass(frozen=True)
class View:
    """How points of the unit sphere are seen from some place.

    Parameters
    ----------
    offsets : ndarray of shape (n, d)
        The points less that place.
    halves : ndarray of shape (n,)
        Half of the squared length of each offset.
    """

    offsets: Array
    halves: Array

    @classmethod
    def of(cls, points: Array, place: Array) -> "View":
        """See points, of shape (n, d), from a place of shape (d,)."""
        offsets = points - place
        return cls(offsets, np.vecdot(offsets, offsets) / 2)


def kernels(cosine_distance: Array, q: int, l: int) -> None:  # noqa: E741  as in `kernels.ArcCosine`
    """Make gaps into kernels: see `kernels.ArcCosine.from_cosine_distance`."""
    LIBRARY.kernels(written(cosine_distance), cosine_distance.size, q, l)


def slopes(cosine_distance: Array, q: int, l: int) -> None:  # noqa: E741  as in `kernels.ArcCosine`
    """Make gaps into derivatives of the kernel in the cosine: see `kernels.ArcCosine.derivative`."""
    LIBRARY.slopes(written(cosine_distance), cosine_distance.size, q, l)


def cosine_distances(a: View, b: View) -> Array:
    """Half the squared distance of every one of n points and every one of m, seen from the same place.

    Returns
    -------
    ndarray of shape (n, m)
        In [0, 2]; 0 exactly where two points are equal.
    """
    cosine_distance: Array = a.offsets @ b.offsets.T
    sides = read(a.halves), read(b.halves), read(a.offsets), read(b.offsets)
    LIBRARY.complete(
        written(cosine_distance),
        *sides,
        *cosine_distance.shape,
        a.offsets.shape[1],
        CANCELLATION_THRESHOLD,
        DUPLICATE_TOLERANCE,
    )
    return cosine_distance
