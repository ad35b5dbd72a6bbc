"""BLAS and LAPACK on tiles in place, without Python's global lock: gemm, trsm, potrf, potri.

A row-major matrix is handed over as the transpose of a column-major one, so nothing is copied.
"""

from typing import Any

from numpy.typing import NDArray

from gaussian_processes._native import routines

Array = NDArray[Any]


def gemm_update(c: Array, a: Array, b: Array) -> None:
    """Make `c` into ``c - a @ b``, in place.

    Parameters
    ----------
    c : ndarray of shape (n, m), rows contiguous
    a : ndarray of shape (n, k)
    b : ndarray of shape (k, m)
        Rows or columns contiguous, of one type with `c`: float64 or float32.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    routines.gemm_update(c, a, b)


def solve_triangular(triangle: Array, c: Array) -> None:
    """Make `c` into ``inv(triangle) @ c``, in place.

    Parameters
    ----------
    triangle : ndarray of shape (n, n)
        Lower triangular with contiguous rows, or the transpose of such a matrix. The other half is
        not read.
    c : ndarray of shape (n, m)
        Rows or columns contiguous.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    routines.solve_triangular(triangle, c)


def potrf(block: Array) -> int:
    """Make the lower half of `block` into its Cholesky factor, in place; leave the upper half.

    Parameters
    ----------
    block : ndarray of shape (n, n), rows contiguous

    Returns
    -------
    int
        0, or the order (from 1) of the first leading minor that is not positive definite.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    failed_minor: int = routines.potrf(block)
    return failed_minor


def potri(factor: Array) -> None:
    """Make the lower half of `factor` from L into the inverse of L Lᵀ; leave the upper half.

    Parameters
    ----------
    factor : ndarray of shape (n, n), rows contiguous
        Whose lower half is a Cholesky factor, as `potrf` leaves it.

    Raises
    ------
    ValueError
        If it is anything else, or there is a zero on its diagonal.
    """
    zero_pivot = routines.potri(factor)
    if zero_pivot:
        raise ValueError(f"number {zero_pivot} of the factor's diagonal is 0; give that of potrf")
