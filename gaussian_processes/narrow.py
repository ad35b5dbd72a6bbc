"""How are matrices of a few columns multiplied, and a triangular system solved for them?

The functions of narrow.c, which do what those of `blas` do. For eight columns of 10,000 rows they take a third of the time.
What a column becomes does not depend, to the last bit, on the columns beside it, if there are any: one alone is summed up in
another order.
"""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes.compiled import LIBRARY, read, written

Array = NDArray[np.float64]

# Columns come in groups that fill a register, unless there is one.
GROUP: int = LIBRARY.register_numbers()
# For more columns BLAS is as fast, or faster.
MOST = 128 if GROUP == 8 else 32
RULE = f"give 1 column, or a multiple of {GROUP}"


def width(columns: int, kind: DTypeLike) -> int:
    """Columns to allocate for so many numbers of a kind: one or whole groups, where these routines will be used."""
    return -(-columns // GROUP) * GROUP if columns > 1 and _few(columns, kind) else columns


def takes(c: NDArray[np.generic]) -> bool:
    """Whether these routines are for a right-hand side."""
    columns = c.shape[1]
    return _few(columns, c.dtype) and _fits(columns)


def subtract_product(c: Array, a: Array, b: Array) -> None:
    """Make `c` into ``c - a @ b``, in place.

    Parameters
    ----------
    c : ndarray of shape (n, m), contiguous
        m is 1 or a multiple of `GROUP`.
    a : ndarray of shape (n, k), rows contiguous
    b : ndarray of shape (k, m), contiguous

    Raises
    ------
    ValueError
        If they are anything else.
    """
    (rows, columns), (inner, _) = c.shape, b.shape
    if a.shape != (rows, inner) or b.shape != (inner, columns) or not _fits(columns) or not b.flags.c_contiguous:
        raise ValueError(f"a product of shapes {a.shape} and {b.shape} can't be taken from {c.shape}; {RULE}")
    LIBRARY.subtract_product(written(c), read(a), read(b), rows, inner, _stride(a), columns)


def solve_triangular(triangle: Array, c: Array) -> None:
    """Make `c` into ``inv(triangle) @ c``, in place.

    Parameters
    ----------
    triangle : ndarray of shape (n, n), rows contiguous
        Lower triangular. The other half is not read.
    c : ndarray of shape (n, m), contiguous
        m is 1 or a multiple of `GROUP`.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    rows, columns = c.shape
    if triangle.shape != (rows, rows) or not _fits(columns):
        raise ValueError(f"a triangle of shape {triangle.shape} can't be undone for {c.shape}; {RULE}")
    LIBRARY.solve_triangular(written(c), read(triangle), rows, _stride(triangle), columns)


def _few(columns: int, kind: DTypeLike) -> bool:
    return kind == np.float64 and columns <= MOST


def _fits(columns: int) -> bool:
    return columns == 1 or columns % GROUP == 0


def _stride(matrix: Array) -> int:
    """Numbers from one row to the next."""
    return matrix.strides[0] // matrix.itemsize
