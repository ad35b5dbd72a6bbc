"""How are matrices of a few columns multiplied, and a triangular system solved for them?

The functions of narrow.c, which do what those of `blas` do. For eight columns of 10,000 rows they take a quarter of the time.
"""

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.compiled import LIBRARY, read, written

Array = NDArray[np.float64]

# Columns come in groups, which a register holds.
GROUP = 4
# For more columns BLAS is as fast, on processors of AVX2.
MOST = 64


def width(columns: int) -> int:
    """Columns of a matrix that has room for so many: more, where that is what this room takes."""
    return columns if columns > MOST else -(-columns // GROUP) * GROUP


def takes(c: NDArray[np.generic]) -> bool:
    """Whether a matrix is one of a few columns, in float64."""
    return c.dtype == np.float64 and c.shape[1] <= MOST and c.shape[1] % GROUP == 0


def subtract_product(c: Array, a: Array, b: Array) -> None:
    """Make `c` into ``c - a @ b``, in place.

    Parameters
    ----------
    c : ndarray of shape (n, m), contiguous
        m is a multiple of `GROUP`.
    a : ndarray of shape (n, k), rows contiguous
    b : ndarray of shape (k, m), contiguous
    """
    LIBRARY.subtract_product(written(c), read(a), read(b), *a.shape, _stride(a), c.shape[1])


def solve_triangular(triangle: Array, c: Array) -> None:
    """Make `c` into ``inv(triangle) @ c``, in place.

    Parameters
    ----------
    triangle : ndarray of shape (n, n), rows contiguous
        Lower triangular. The other half is not read.
    c : ndarray of shape (n, m), contiguous
        m is a multiple of `GROUP`.
    """
    LIBRARY.solve_triangular(written(c), read(triangle), len(triangle), _stride(triangle), c.shape[1])


def _stride(matrix: Array) -> int:
    """Numbers from one row to the next."""
    return matrix.strides[0] // matrix.itemsize
