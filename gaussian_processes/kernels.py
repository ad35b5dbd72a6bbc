"""How alike are two points of the unit sphere?

The arc-cosine kernels of Cho & Saul [1]_, normalised to 1 at equal points and composed `l` times beyond the first.

References
----------
.. [1] Y. Cho and L. K. Saul, "Kernel Methods for Deep Learning", NIPS 2009.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes import blas

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# Where less than this part of two squared lengths is left of them in the squared distance, the subtraction has cost more than
# four of sixteen digits, and the distance is taken from the difference of the points instead. It costs one pass over the
# pair's columns, for those pairs alone: of points on a line one in a hundred, in a plane one in ten thousand.
NEAR = 1e-4
# Points of one direction, rounded each by itself, are up to some 4 roundings apart: closer ones are one point. A chain of
# q = 0 takes square roots of the distance, and would make 1e-2 of what is only rounding.
SAME = 8 * np.finfo(float).eps ** 2
# Numbers to a chunk, of which each pass is one call of NumPy. Fewer, and the cores wait for their turn with Python's lock (at
# 16,384 two cores take twice as long); more, and what a chunk is worked on in, 5 arrays of 512 kB, leaves the shared cache.
CHUNK = 65_536


@dataclass(frozen=True)
class ArcCosine:
    """The kernel k_{q,l}: the arc-cosine kernel of degree q, composed l times with itself.

    Parameters
    ----------
    q : int
        Degree, at least 0: 0 gives rough functions, each further degree smoother ones.
    l : int
        Compositions beyond the first, at least 0.

    Examples
    --------
    >>> kernel = ArcCosine(q=0, l=0)
    >>> kernel(np.eye(2), np.eye(2))
    array([[1. , 0.5],
           [0.5, 1. ]])
    """

    q: int = 1
    l: int = 1  # noqa: E741  the literature's own letter, and the hyperparameter's

    def __post_init__(self) -> None:
        """Refuse what is no degree or no depth."""
        for name, value in (("q", self.q), ("l", self.l)):
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} is {value!r}, but it must be a whole number, 0 or more")

    def __call__(self, a: Array, b: Array) -> Array:
        """Kernel of every row of `a` and every row of `b`.

        Parameters
        ----------
        a : ndarray of shape (n, d)
        b : ndarray of shape (m, d)
            Points of norm 1, one per row.

        Returns
        -------
        ndarray of shape (n, m)
            Values in [0, 1]; exactly 1 where two rows are equal.
        """
        return self.of_gap(gaps(a, b))

    def of_gap(self, gap: Array) -> Array:
        """Make gaps into kernels, in place: of points whose cosine is ``t = 1 - gap``, in [0, 1], increasing with t.

        Every level maps a gap to a gap, so that values next to 1 lose no digits on the way down. A rounding of the gap grows
        by at most the slope at t = 1, q²/(2q-1), at every level: the absolute error is about 1e-15 for q ≤ 3 and l ≤ 5, 1e-13
        for q = 4 and l = 20, and 1e-10 for q = 10 and l = 20. To that rounding the values never decrease.

        Parameters
        ----------
        gap : ndarray, contiguous
            In [0, 2].

        Returns
        -------
        ndarray
            `gap`, which holds the kernels now.
        """
        for part, work in _chunks(gap):
            for _ in range(self.l + 1):
                _level(self.q, part, work)
            np.subtract(1, part, out=part)
        return gap

    def slope_of_gap(self, gap: Array) -> Array:
        """Make gaps into derivatives of the kernel in t, in place, with ``t = 1 - gap``.

        For q = 0 it is infinite at t = 1 and t = -1; there it is given as 0, since what multiplies it (the derivative of a
        distance that stays zero) is zero as well.

        Parameters
        ----------
        gap : ndarray, contiguous
            In [0, 2].

        Returns
        -------
        ndarray
            `gap`, which holds the derivatives now.

        Notes
        -----
        dk_q/dt = q²/(2q-1) k_{q-1}, from d J_q/dt = q² J_{q-1}; dk_0/dt = 1/(π √(1-t²)); the chain rule along the levels.
        """
        for part, work in _chunks(gap):
            slope = np.ones_like(part)
            for _ in range(self.l + 1):
                sine, before = _level(self.q, part, work)
                if self.q == 0:
                    slope *= np.divide(1 / np.pi, sine, out=np.zeros_like(sine), where=sine > 0)
                else:
                    slope *= self.q**2 / (2 * self.q - 1) * (1 - before)
            part[...] = slope
        return gap


def gaps(a: Array, b: Array) -> Array:
    """One minus the cosine, for every row of `a` and every row of `b`.

    Parameters
    ----------
    a : ndarray of shape (n, d)
    b : ndarray of shape (m, d)
        Points of norm 1, one per row.

    Returns
    -------
    ndarray of shape (n, m)
        In [0, 2]; 0 exactly where two rows are equal.
    """
    # On the unit sphere 1 - cos θ = ‖a - b‖²/2. A large bias crowds all points together; seen from their middle they are
    # as far apart as they can be, and the subtraction loses the fewest digits.
    middle = b.mean(axis=0)
    from_a, from_b = a - middle, b - middle
    half_a, half_b = np.square(from_a).sum(axis=1) / 2, np.square(from_b).sum(axis=1) / 2
    gap: Array = np.add.outer(half_a, half_b)
    blas.subtract_product(gap, from_a, from_b.T)
    near = gap < NEAR * half_a[:, np.newaxis]
    if near.any():
        first, second = np.nonzero(near)
        gap[first, second] = _exactly(a, b, first, second)
    np.clip(gap, 0.0, 2.0, out=gap)
    return gap


def _exactly(a: Array, b: Array, first: Indices, second: Indices) -> Array:
    """Half the squared distance of some rows of `a` from rows of `b`, from their difference, a chunk of numbers at a time."""
    exact = np.empty(len(first))
    step = max(1, CHUNK // a.shape[1])
    for start in range(0, len(first), step):
        pairs = slice(start, start + step)
        exact[pairs] = np.square(a[first[pairs]] - b[second[pairs]]).sum(axis=1) / 2
    exact[exact <= SAME] = 0.0
    return exact


def _chunks(gap: Array) -> Iterator[tuple[Array, Array]]:
    """Numbers of an array, a chunk at a time, with room for `_level` to work in."""
    flat = gap.reshape(-1, copy=False)
    work = np.empty((5, min(CHUNK, flat.size)))
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        yield part, work[:, : part.size]


def _level(q: int, gap: Array, work: Array) -> tuple[Array, Array]:
    """Make ``gap = 1 - t`` into ``1 - k_q(t)``, in place; returns sin θ, if q is 0, and ``1 - k_{q-1}(t)``, if it is not.

    Notes
    -----
    k_0 = 1 - θ/π;  k_1 = t k_0 + sin θ/π;  k_{p+1} = t k_p + p²/((2p-1)(2p+1)) (1-t²) k_{p-1}, which follow from the
    definition J_p(θ) = (-1)^p (sin θ)^{2p+1} (1/sin θ ∂/∂θ)^p ((π-θ)/sin θ), eq. (4) of [1]_, with k_p = J_p(θ)/J_p(0).
    """
    # Without a new array: they would push the others out of the core's cache, and each would have to be mapped.
    squared_sine, sine, cosine, before, current = work
    np.subtract(2, gap, out=squared_sine)
    squared_sine *= gap
    np.sqrt(squared_sine, out=sine)
    np.subtract(1, gap, out=cosine)
    np.arctan2(sine, cosine, out=before)
    before *= 1 / np.pi
    if q == 0:
        gap[...] = before
        return sine, before
    np.multiply(cosine, before, out=current)
    current += gap
    current -= np.multiply(sine, 1 / np.pi, out=sine)
    following = sine
    for p in range(1, q):
        older = np.subtract(1, before, out=before)
        older *= squared_sine
        older *= p**2 / ((2 * p - 1) * (2 * p + 1))
        np.multiply(cosine, current, out=following)
        following += gap
        following -= older
        before, current, following = current, following, before
    np.clip(current, 0.0, 1.0, out=gap)
    return sine, before
