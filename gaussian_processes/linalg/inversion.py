"""Cholesky factor and inverse of a dense symmetric matrix, by tiles that the cores share.

For a few thousand rows, whose square and its triangular inverse fit in memory. The tiles do not
depend on the number of cores, and so neither do the results, to the last bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.linalg import blas
from gaussian_processes.linalg.cholesky import TILE_ROWS, factorise_diagonal, slices
from gaussian_processes.linalg.parallel import ParallelMap, run_all

Array = NDArray[Any]

# Rows up to which one core does all by LAPACK: a factor and its inverse take it 25 ms, and to hand
# tiles to the threads of a pool would cost more than a second core gains.
ONE_CORE_ROWS = 1_024


def factorise_in_place(square: Array, parallel_map: ParallelMap = map) -> None:
    """Make the lower half of `square` into its Cholesky factor L.

    Parameters
    ----------
    square : ndarray of shape (n, n), rows contiguous
        Whose upper half is neither read nor, outside the tiles of the diagonal, written.
    parallel_map : ParallelMap

    Raises
    ------
    NotPositiveDefiniteError
        With the row (from 1) at which the factorisation broke down.

    Notes
    -----
    Golub & Van Loan, Matrix Computations, section 4.2.9: outer product Cholesky, by blocks.
    """
    blocks = slices(len(square), TILE_ROWS if len(square) > ONE_CORE_ROWS else ONE_CORE_ROWS)
    for index, columns in enumerate(blocks):
        diagonal, below = square[columns, columns], blocks[index + 1 :]
        factorise_diagonal(diagonal, columns.start)

        def solve(rows: slice, diagonal: Array = diagonal, columns: slice = columns) -> None:
            blas.solve_triangular(diagonal, square[rows, columns].T)

        def update(rows: slice, columns: slice = columns) -> None:
            rest = slice(columns.stop, rows.stop)
            blas.gemm_update(square[rows, rest], square[rows, columns], square[rest, columns].T)

        run_all(parallel_map, solve, below)
        run_all(parallel_map, update, below[::-1])  # the longest first


def invert_in_place(factor: Array, parallel_map: ParallelMap = map) -> None:
    """Make the lower half of `factor` from L into that of M⁻¹ = L⁻ᵀ L⁻¹.

    Parameters
    ----------
    factor : ndarray of shape (n, n), rows contiguous
        As `factorise_in_place` leaves it.
    parallel_map : ParallelMap
    """
    if len(factor) <= ONE_CORE_ROWS:
        blas.potri(factor)
        return
    blocks, inverse = slices(len(factor), TILE_ROWS), np.empty_like(factor)

    def invert(columns: slice) -> None:
        """Compute some columns of L⁻¹, from the diagonal down, by forward substitution."""
        inverse[columns, columns] = np.eye(columns.stop - columns.start)
        blas.solve_triangular(factor[columns, columns], inverse[columns, columns])
        for rows in blocks[columns.start // TILE_ROWS + 1 :]:
            before, tile = slice(columns.start, rows.start), inverse[rows, columns]
            np.matmul(factor[rows, before], inverse[before, columns], out=tile)
            np.negative(tile, out=tile)
            blas.solve_triangular(factor[rows, rows], tile)

    def multiply(rows: slice) -> None:
        """Compute some rows of M⁻¹, up to the diagonal."""
        below = slice(rows.start, None)
        np.matmul(
            inverse[below, rows].T, inverse[below, : rows.stop], out=factor[rows, : rows.stop]
        )

    run_all(parallel_map, invert, blocks)
    run_all(parallel_map, multiply, blocks)
