"""How is something computed of many pairs of points, in place and without Python's lock?

The functions of pairs.c, which is compiled when the package is installed.
"""

import ctypes
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _load() -> ctypes.CDLL:
    found = find_spec("gaussian_processes._pairs")
    if found is None or found.origin is None:
        raise ImportError("gaussian_processes is not compiled; install it with pip, which needs a C compiler")
    library = ctypes.CDLL(found.origin)
    library.complete.restype = ctypes.c_size_t
    return library


_LIBRARY = _load()


def kernels(gap: Array, q: int, l: int) -> None:  # noqa: E741  as in `kernels.ArcCosine`
    """Make gaps into kernels: see `kernels.ArcCosine.of_gap`."""
    _LIBRARY.kernels(_start(gap), ctypes.c_size_t(gap.size), q, l)


def slopes(gap: Array, q: int, l: int) -> None:  # noqa: E741  as in `kernels.ArcCosine`
    """Make gaps into derivatives of the kernel in the cosine: see `kernels.ArcCosine.slope_of_gap`."""
    _LIBRARY.slopes(_start(gap), ctypes.c_size_t(gap.size), q, l)


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
    rows, columns = map(ctypes.c_size_t, gap.shape)
    found: int = _LIBRARY.complete(_start(gap), _start(half_a), _start(half_b), rows, columns, ctypes.c_double(near))
    return found


def _start(array: Array) -> ctypes.c_void_p:
    """Where an array's numbers stand, one after the other."""
    if array.dtype != np.float64 or not array.flags.carray:
        raise ValueError(f"an array of {array.dtype} and strides {array.strides} is no row of float64 to write to; copy it")
    return ctypes.c_void_p(array.ctypes.data)
