"""How are matrices of a few columns multiplied, and a triangular system solved for them?

The functions of narrow.c, which do what those of `blas` do. For eight columns of 10,000 rows they take a third of the time.
What a column becomes does not depend, to the last bit, on the columns beside it.
"""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes.compiled import LIBRARY, read, written

Array = NDArray[np.float64]

# Columns come in groups, which a register or two hold.
GROUP = 4
# For more columns BLAS is as fast, where it knows AVX-512.
MOST = 32


def width(columns: int, kind: DTypeLike) -> int:
    """Columns to allocate for so many numbers of a kind: whole groups, where these routines will be used."""
    return -(-columns // GROUP) * GROUP if _few(columns, kind) else columns


def takes(c: NDArray[np.generic]) -> bool:
    """Whether these routines are for a right-hand side."""
    return _few(c.shape[1], c.dtype) and c.shape[1] % GROUP == 0


def subtract_product(c: Array, a: Array, b: Array) -> None:
    """Make `c` into ``c - a @ b``, in place.

    Parameters
    ----------
    c : ndarray of shape (n, m), contiguous
        m is a multiple of `GROUP`.
    a : ndarray of shape (n, k), rows contiguous
    b : ndarray of shape (k, m), contiguous

    Raises
    ------
    ValueError
        If they are anything else.
    """
    (rows, columns), (inner, _) = c.shape, b.shape
    if a.shape != (rows, inner) or b.shape != (inner, columns) or columns % GROUP or not b.flags.c_contiguous:
        raise ValueError(f"a product of shapes {a.shape} and {b.shape} can't be taken from {c.shape} in groups of {GROUP}")
    LIBRARY.subtract_product(written(c), read(a), read(b), rows, inner, _stride(a), columns)


def solve_triangular(triangle: Array, c: Array) -> None:
    """Make `c` into ``inv(triangle) @ c``, in place.

    Parameters
    ----------
    triangle : ndarray of shape (n, n), rows contiguous
        Lower triangular. The other half is not read.
    c : ndarray of shape (n, m), contiguous
        m is a multiple of `GROUP`.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    rows, columns = c.shape
    if triangle.shape != (rows, rows) or columns % GROUP:
        raise ValueError(f"a triangle of shape {triangle.shape} can't be undone for {c.shape} in groups of {GROUP}")
    LIBRARY.solve_triangular(written(c), read(triangle), rows, _stride(triangle), columns)


def _few(columns: int, kind: DTypeLike) -> bool:
    return kind == np.float64 and columns <= MOST and bool(LIBRARY.wide_registers())


def _stride(matrix: Array) -> int:
    """Numbers from one row to the next."""
    return matrix.strides[0] // matrix.itemsize
