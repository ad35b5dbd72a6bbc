"""How are matrices of a few columns multiplied, and a triangular system solved for them?

The functions of narrow.c, which do what those of `blas` do. What a column becomes does not depend, to the last bit, on the
columns beside it, if there are any: one alone is summed up in another order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes._native.compiled import LIBRARY, Pointers, pointers, read, written

Array = NDArray[np.float64]

# Columns come in groups that fill a register, unless there is one.
SIMD_WIDTH: int = LIBRARY.register_numbers()
# For more columns BLAS takes less time: with registers of eight it was two thirds for 256, with those of four nine tenths.
MAX_COLUMNS = 128 if SIMD_WIDTH == 8 else 32
# Columns to do at once, where there are many: for BLAS to run at speed; and what these routines, in registers of eight, did in
# three quarters of BLAS's time, or half of it where BLAS knew AVX2 alone. With more a panel's part of the solution leaves the
# core's cache.
BLOCK_COLUMNS, MANY_HERE = 256, 56


@dataclass(frozen=True)
class Addresses:
    """Where the panels are of a lower triangle of so many rows: all but the last have `width` columns."""

    rows: int
    width: int
    pointers: Pointers


def width(columns: int, kind: DTypeLike) -> int:
    """Columns to allocate for so many numbers of a kind: one or whole groups, where these routines will be used."""
    return (
        -(-columns // SIMD_WIDTH) * SIMD_WIDTH
        if columns > 1 and _are_few(columns, kind)
        else columns
    )


def at_once(kind: DTypeLike) -> int:
    """Columns of a kind that are solved for the soonest."""
    return MANY_HERE if _are_few(MANY_HERE, kind) else BLOCK_COLUMNS


def takes(c: NDArray[np.generic]) -> bool:
    """Whether these routines are for a right-hand side."""
    columns = c.shape[1]
    return _are_few(columns, c.dtype) and (columns == 1 or columns % SIMD_WIDTH == 0)


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
    (rows, columns), (inner, _) = c.shape, b.shape
    if a.shape != (rows, inner) or b.shape != (inner, columns):
        raise ValueError(
            f"c, a and b have shapes {c.shape}, {a.shape} and {b.shape}; give (n, m), (n, k) and (k, m)"
        )
    if not b.flags.c_contiguous:
        raise ValueError(
            f"the rows of b are not one after the other, its strides are {b.strides}; copy it"
        )
    _check_columns(columns)
    LIBRARY.gemm_update(written(c), read(a), read(b), rows, inner, _stride(a), columns, SIMD_WIDTH)


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
    rows, columns = c.shape
    if triangle.shape != (rows, rows):
        raise ValueError(
            f"triangle and c have shapes {triangle.shape} and {c.shape}; give (n, n) and (n, m)"
        )
    _check_columns(columns)
    LIBRARY.solve_triangular(
        written(c), read(triangle), rows, _stride(triangle), columns, SIMD_WIDTH
    )


def addresses(panels: Sequence[Array], width: int) -> Addresses:
    """Where panels are, for `solve_lower` to go through.

    Parameters
    ----------
    panels : sequence of ndarray of shape (n - j * width, width), contiguous
        Panel j has columns from ``j * width`` on of a lower triangle, and of them the rows from the diagonal down; the last has
        as many columns as rows.
    width : int

    Raises
    ------
    ValueError
        If they are anything else.
    """
    rows = len(panels[0])
    shapes = [(rows - start, min(width, rows - start)) for start in range(0, rows, width)]
    if [panel.shape for panel in panels] != shapes or not all(
        panel.flags.c_contiguous for panel in panels
    ):
        raise ValueError(
            f"there are panels of shapes {[panel.shape for panel in panels]}; give {shapes}, contiguous"
        )
    return Addresses(rows, width, pointers([read(panel) for panel in panels]))


def solve_lower(triangle: Addresses, c: Array) -> None:
    """Make `c` into ``inv(triangle) @ c``, in place, as `solve_triangular` and `gemm_update` do panel by panel.

    Parameters
    ----------
    triangle : Addresses
        The panels have to exist still.
    c : ndarray of shape (n, m), contiguous
        m is 1 or a multiple of `SIMD_WIDTH`.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    rows, columns = c.shape
    if rows != triangle.rows:
        raise ValueError(
            f"triangle and c have {triangle.rows} and {rows} rows; give (n, n) and (n, m)"
        )
    _check_columns(columns)
    LIBRARY.solve_lower(written(c), triangle.pointers, rows, triangle.width, columns, SIMD_WIDTH)


def _are_few(columns: int, kind: DTypeLike) -> bool:
    """Whether these routines are faster than BLAS, and know the kind."""
    return kind == np.float64 and columns <= MAX_COLUMNS


def _check_columns(columns: int) -> None:
    if columns != 1 and columns % SIMD_WIDTH:
        raise ValueError(f"there are {columns} columns; give 1, or a multiple of {SIMD_WIDTH}")


def _stride(matrix: Array) -> int:
    """Numbers from one row to the next."""
    return matrix.strides[0] // matrix.itemsize
