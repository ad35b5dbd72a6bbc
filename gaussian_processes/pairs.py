"""How is something computed of many pairs of points, in place?

The functions of pairs.c.
"""

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.compiled import LIBRARY, read, written

Array = NDArray[np.float64]


def kernels(gap: Array, q: int, l: int) -> None:  # noqa: E741  as in `kernels.ArcCosine`
    """Make gaps into kernels: see `kernels.ArcCosine.of_gap`."""
    LIBRARY.kernels(written(gap), gap.size, q, l)


def slopes(gap: Array, q: int, l: int) -> None:  # noqa: E741  as in `kernels.ArcCosine`
    """Make gaps into derivatives of the kernel in the cosine: see `kernels.ArcCosine.slope_of_gap`."""
    LIBRARY.slopes(written(gap), gap.size, q, l)


def complete(gap: Array, half_a: Array, half_b: Array, near: float) -> int:
    """Make ``a @ b.T`` into the gaps ``half_a + half_b - a @ b.T``, cut to [0, 2].

    Parameters
    ----------
    gap : ndarray of shape (n, m)
    half_a : ndarray of shape (n,)
        Half of the squared length of every row of `a`.
    half_b : ndarray of shape (m,)
        The same of `b`.
    near : float

    Returns
    -------
    int
        How many gaps are below `near` times their row's `half_a`.
    """
    if (half_a.size, half_b.size) != gap.shape:
        raise ValueError(f"gaps of shape {gap.shape} come with {half_a.size} and {half_b.size} lengths; give as many")
    found: int = LIBRARY.complete(written(gap), read(half_a), read(half_b), *gap.shape, near)
    return found
