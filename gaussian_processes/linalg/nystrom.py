"""Nyström approximation of a kernel matrix as a preconditioner, applied by Woodbury's identity.

Of n points r are landmarks. K ≈ C A⁻¹ Cᵀ, where A is the kernel of the landmarks and C that of all
points with them: Rasmussen & Williams, *Gaussian Processes for Machine Learning*, section 8.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.linalg import blas
from gaussian_processes.linalg.cholesky import slices
from gaussian_processes.linalg.inversion import factorise_in_place
from gaussian_processes.linalg.parallel import ParallelMap, WorkerPool, run_all

Array = NDArray[Any]

# Part of the noise, as the landmarks see it, that is added to the diagonal of A, for its Cholesky
# factor: directions that it hides have a share of M that the noise hides as well. And what rounding
# needs at least, for each landmark.
JITTER_SHARE, ROUNDING = 0.1, 10 * float(np.finfo(float).eps)
# Rows of a task: the kernel of them and the landmarks, and a triangular system of as many columns.
TASK_ROWS = 768
# Columns of a tile of the inner matrix, a task of which takes n times as many rows.
TILE_COLUMNS = 256


class RowShare(Protocol):
    """Rows of the preconditioner that this host keeps, and what brings those of all together."""

    @property
    def rows(self) -> slice:
        """Return the rows of this host."""

    def sum(self, part: Array) -> Array:
        """Return the sum of the parts of all hosts, each of which has the same."""

    def concatenate(self, part: Array) -> Array:
        """Return the rows of all hosts, each of which has the same."""


class AllRows:
    """Share of a host that keeps all rows."""

    rows = slice(None)

    def sum(self, part: Array) -> Array:
        """Return the part, which is all of the sum."""
        return part

    def concatenate(self, part: Array) -> Array:
        """Return the part, which is all rows."""
        return part


@dataclass(frozen=True)
class NystromPreconditioner:
    """Inverse of P = C A⁻¹ Cᵀ + D, D diagonal, which approximates that of M = K + D.

    Where hosts share the rows, every method is a collective call.

    Parameters
    ----------
    scaled : ndarray of shape (m, r)
        Own rows of G = D^-½ C L⁻ᵀ with L Lᵀ = A, so that P = D^½ (G Gᵀ + I) D^½.
    inner : ndarray of shape (r, r)
        Cholesky factor of I + Gᵀ G, in the lower half.
    deviations : ndarray of shape (m,)
        Own rows of D^½.
    share : RowShare
    """

    scaled: Array
    inner: Array
    deviations: Array
    share: RowShare

    @classmethod
    def build(
        cls,
        cross: Callable[[slice], Array],
        landmarks: Array,
        diagonal: Array,
        share: RowShare | None = None,
    ) -> "NystromPreconditioner":
        """Build the preconditioner in n r² multiplications and as many additions, twice.

        Parameters
        ----------
        cross : callable
            Returns the rows of C in a slice, as a new array; called from several threads.
        landmarks : ndarray of shape (r, r)
            A, in the lower half; it is overwritten.
        diagonal : ndarray of shape (n,)
            D, positive.
        share : RowShare, optional
            All rows, unless it is given.
        """
        share = share or AllRows()
        size, rank = len(diagonal), len(landmarks)
        jitter = max(JITTER_SHARE * float(diagonal.min()) * rank / size, ROUNDING * rank)
        landmarks.flat[:: rank + 1] += jitter
        deviations = np.sqrt(diagonal[share.rows])
        scaled, first = np.empty((len(deviations), rank)), share.rows.start or 0

        def solve(rows: slice) -> None:
            block = cross(slice(first + rows.start, first + rows.stop))
            blas.solve_triangular(landmarks, block.T)
            np.divide(block, deviations[rows, np.newaxis], out=scaled[rows])

        with WorkerPool() as pool:
            factorise_in_place(landmarks, pool)
            run_all(pool, solve, slices(len(scaled), TASK_ROWS))
            return cls(scaled, _inner(scaled, share, pool), deviations, share)

    def solve(self, y: Array) -> Array:
        """Return P⁻¹ y = D^-½ (I - G (I + Gᵀ G)⁻¹ Gᵀ) D^-½ y, for y of shape (n, t)."""
        deviations = self.deviations[:, np.newaxis]
        whitened = y[self.share.rows] / deviations
        inside = np.ascontiguousarray(self.share.sum(self.scaled.T @ whitened))
        blas.solve_triangular(self.inner, inside)
        blas.solve_triangular(self.inner.T, inside)
        return self.share.concatenate((whitened - self.scaled @ inside) / deviations)


def _inner(scaled: Array, share: RowShare, parallel_map: ParallelMap) -> Array:
    """Cholesky factor of I + Gᵀ G, in the lower half."""
    rank = scaled.shape[1]
    tiles, inner = slices(rank, TILE_COLUMNS), np.zeros((rank, rank))

    def multiply(tile: slice) -> Array:
        product: Array = scaled[:, tile].T @ scaled[:, : tile.stop]
        return product

    # Summed in the order of the tiles, which is that of all hosts.
    for tile, part in zip(tiles, parallel_map(multiply, tiles), strict=True):
        inner[tile, : tile.stop] = share.sum(part)
    inner.flat[:: rank + 1] += 1
    factorise_in_place(inner, parallel_map)
    return inner


def random_landmarks(size: int, rank: int) -> NDArray[np.intp]:
    """Draw the indices of `rank` of `size` points, in order.

    Notes
    -----
    Uniformly, and the same ones always. With landmarks by pivoted Cholesky, greedy or
    random, conjugate gradients took as many iterations within one or two (6,000 points, 8 columns,
    250 to 1,000 landmarks, noise of 1e-4 to 0.1), and to choose them is r steps of n r each
    that wait for memory.
    """
    return np.sort(np.random.default_rng(0).choice(size, min(size, rank), replace=False))
