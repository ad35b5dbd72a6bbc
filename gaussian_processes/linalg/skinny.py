"""Products and triangular solves with skinny right-hand sides: matrices of a few columns.

The routines of skinny.c, which do what those of `blas` do. What a column becomes does not depend,
to the last bit, on the columns beside it, if there are any: a single one is summed up in another
order.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes._native import routines

Array = NDArray[np.float64]

# Columns come in groups that fill a register, unless there is one.
SIMD_WIDTH: int = routines.simd_width()
# For more columns BLAS takes less time: with registers of eight it was two thirds for 256, with
# those of four nine tenths.
MAX_COLUMNS = 128 if SIMD_WIDTH == 8 else 32
# Columns to solve for at once, where there are many: those of these routines, which in registers of
# eight took three quarters of BLAS's time, or half of it where BLAS knew AVX2 alone, and with more
# columns of which a panel's part of the solution leaves the core's cache; and those of BLAS, which
# needs as many to run at speed.
BLOCK_COLUMNS, BLAS_BLOCK_COLUMNS = 56, 256


def padded_columns(columns: int, dtype: DTypeLike) -> int:
    """Return the columns to allocate: one or whole groups, where these routines will be used."""
    if columns <= 1 or not _few(columns, dtype):
        return columns
    return -(-columns // SIMD_WIDTH) * SIMD_WIDTH


def block_columns(dtype: DTypeLike) -> int:
    """Return the columns of a dtype that are solved for the soonest, where there are many."""
    return BLOCK_COLUMNS if _few(BLOCK_COLUMNS, dtype) else BLAS_BLOCK_COLUMNS


def supports(c: NDArray[np.generic]) -> bool:
    """Return whether these routines are for a right-hand side."""
    columns = c.shape[1]
    return _few(columns, c.dtype) and (columns == 1 or columns % SIMD_WIDTH == 0)


def _few(columns: int, dtype: DTypeLike) -> bool:
    """Whether these routines are faster than BLAS, and know the dtype."""
    return dtype == np.float64 and columns <= MAX_COLUMNS


def gemm_update(c: Array, a: Array, b: Array) -> None:
    """Make `c` into ``c - a @ b``, in place.

    Parameters
    ----------
    c : ndarray of shape (n, m), contiguous
        m is 1 or a multiple of `SIMD_WIDTH`.
    a : ndarray of shape (n, k), rows contiguous
    b : ndarray of shape (k, m), contiguous

    Raises
    ------
    ValueError
        If they are anything else.
    """
    routines.skinny_gemm_update(c, a, b, SIMD_WIDTH)


def solve_triangular(triangle: Array, c: Array) -> None:
    """Make `c` into ``inv(triangle) @ c``, in place.

    Parameters
    ----------
    triangle : ndarray of shape (n, n), rows contiguous
        Lower triangular. The other half is not read.
    c : ndarray of shape (n, m), contiguous
        m is 1 or a multiple of `SIMD_WIDTH`.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    routines.skinny_solve_triangular(triangle, c, SIMD_WIDTH)


def panel_pointers(panels: Sequence[Array], width: int) -> Any:
    """Return where panels are, for `solve_lower` to go through.

    Parameters
    ----------
    panels : sequence of ndarray of shape (n - j * width, width), contiguous
        Panel j has columns from ``j * width`` on of a lower triangle, and of them the rows from the
        diagonal down; the last has as many columns as rows.
    width : int

    Raises
    ------
    ValueError
        If they are anything else.
    """
    return routines.PanelPointers(panels, width)


def solve_lower(triangle: Any, c: Array) -> None:
    """Make `c` into ``inv(triangle) @ c``, in place, panel by panel.

    Parameters
    ----------
    triangle : PanelPointers
    c : ndarray of shape (n, m), contiguous
        m is 1 or a multiple of `SIMD_WIDTH`.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    routines.skinny_solve_lower(triangle, c, SIMD_WIDTH)
