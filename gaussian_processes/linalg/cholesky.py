"""How is a large symmetric matrix factorised and solved, with half the memory of a square?

Left-looking, by column panels: a panel of the matrix is computed when its turn comes, the panels before it are subtracted,
and its own columns are finished. Only the lower triangle ever exists, in panels whose rows are contiguous.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes.linalg import blas, skinny
from gaussian_processes.linalg.parallel import ParallelMap, WorkerPool

Array = NDArray[Any]
Progress = Callable[[float, float], None]

# Columns of a panel. Fewer, and BLAS slows down (512: by 5 per cent); more, and what is stored of the upper halves of the
# diagonal blocks, 384 n numbers, and the part that one core does alone grow.
PANEL_WIDTH = 768
# Rows of a tile, the unit of work of one core: small enough to share the last panels fairly and to stay near the core's
# cache, large enough for BLAS. From 256 to 512 it makes no difference that could be measured.
TILE_ROWS = 256
# Multiply-adds of one task of a solution, at least: a millisecond or two of work, since the threads
# of a pool take a third of one to start; those of a single column count twice, since they wait for
# memory. And rows of the factor at least, since BLAS copies the other matrix each time. Neither
# depends on the number of cores.
MIN_TASK_FLOPS, MIN_TASK_ROWS = 1 << 24, 512


# What may be added to the diagonal of a matrix that rounding has made indefinite, the smallest
# first. Rounding moves the eigenvalues by about 1e-16 n, so a few of these are tried in vain at
# most; each trial costs up to a factorisation.
JITTERS = tuple(10.0**exponent for exponent in range(-15, 0))


class NotPositiveDefiniteError(ValueError):
    """Up to rounding, the matrix has an eigenvalue that is not positive."""


class Matrix(Protocol):
    """A symmetric matrix that is computed block by block."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def block(self, rows: slice, columns: slice) -> Array:
        """Return a block of it."""


class PanelStorage(Protocol):
    """Where the panels of a factor live, and of which type their numbers are."""

    @property
    def dtype(self) -> DTypeLike:
        """float64, or float32 for half the memory and twice the speed."""

    def finished(self) -> Sequence[Array]:
        """Return the panels that are there already, in order."""

    def panel(self, index: int, shape: tuple[int, int]) -> AbstractContextManager[Array]:
        """Return a context that gives a panel of zeros, and keeps what it has become if no error ends the context."""

    def remove(self) -> None:
        """Forget the panels of a factorisation that has failed."""


@dataclass(frozen=True)
class InMemoryPanels:
    """Panels in memory."""

    dtype: DTypeLike = np.float64

    def finished(self) -> Sequence[Array]:
        """Return nothing: memory starts empty."""
        return ()

    @contextmanager
    def panel(self, index: int, shape: tuple[int, int]) -> Iterator[Array]:  # noqa: ARG002  where it is does not matter
        """Give a panel of zeros."""
        yield np.zeros(shape, self.dtype)

    def remove(self) -> None:
        """Do nothing: memory is free as soon as nobody holds it."""


def slices(size: int, length: int = PANEL_WIDTH) -> list[slice]:
    """Slices of `length` that cover `size` rows; the last may be shorter.

    Examples
    --------
    >>> slices(1000)
    [slice(0, 768, None), slice(768, 1000, None)]
    """
    return [slice(start, min(start + length, size)) for start in range(0, size, length)]


def packed_bytes(size: int, dtype: DTypeLike = np.float64) -> int:
    """Memory of the factor of `size` rows, in bytes: little more than half of a square."""
    numbers: int = sum(
        (size - columns.start) * (columns.stop - columns.start) for columns in slices(size)
    )
    return int(numbers * np.dtype(dtype).itemsize)


def factorise(
    matrix: Matrix, store: PanelStorage | None = None, progress: Progress | None = None
) -> "Factor":
    """Cholesky factor L of a symmetric positive definite matrix M = L Lᵀ.

    Parameters
    ----------
    matrix : Matrix
        Of n rows. Its lower triangle is asked for once, block by block, from several threads.
    store : PanelStorage, optional
        Takes the panels, and gives those that are finished already; float64 in memory unless it is given.
    progress : callable, optional
        Told, after every tile, the floating-point operations done and the operations in all.

    Returns
    -------
    Factor
        In `packed_bytes(n)` bytes.

    Raises
    ------
    NotPositiveDefiniteError
        With the row (from 1) at which the factorisation broke down.

    Notes
    -----
    Golub & Van Loan, Matrix Computations, alg. 4.2.1 (gaxpy Cholesky), by blocks.
    """
    store = store or InMemoryPanels()
    size, panels = len(matrix), list(store.finished())
    work = [_operations(size - columns.start, columns) for columns in slices(size)]
    total, done = sum(work), sum(work[: len(panels)])
    with WorkerPool() as parallel_map:
        for columns in slices(size)[len(panels) :]:
            with store.panel(
                len(panels), (size - columns.start, columns.stop - columns.start)
            ) as panel:
                for rows in _update_panel(panel, columns, matrix, panels, parallel_map):
                    done += _operations(rows, columns)
                    if progress:
                        progress(done, total)
                _factor_panel(panel, columns, parallel_map)
            panels.append(panel)
    return Factor(tuple(panels))


def factorise_with_jitter(
    jittered: Callable[[float], Matrix],
    storage: Callable[[float], PanelStorage] = lambda _: InMemoryPanels(),
    progress: Progress | None = None,
) -> tuple["Factor", float]:
    """Cholesky factor of M + εI for the smallest ε of 0 and `JITTERS` that makes it positive definite.

    Parameters
    ----------
    jittered : callable
        Returns M + εI for ε.
    storage : callable
        Returns, for ε, the storage of the panels. In float32 there is no second attempt: rounding
        then takes so much that float64 is the remedy.
    progress : callable, optional
        See `factorise`.

    Returns
    -------
    factor : Factor
    jitter : float
        ε, usually 0.

    Raises
    ------
    NotPositiveDefiniteError
        If M is not positive definite in float32.
    ValueError
        If it stays indefinite with the largest jitter.
    """
    for jitter in (0.0, *JITTERS):
        panels = storage(jitter)
        try:
            return factorise(jittered(jitter), panels, progress), jitter
        except NotPositiveDefiniteError:
            panels.remove()
            if panels.dtype == np.float32:
                raise
    raise ValueError(
        f"the Gram matrix stays indefinite with {JITTERS[-1]} on its diagonal;"
        " are there NaN among the points?"
    )


def _operations(rows: int, columns: slice) -> float:
    """Floating-point operations that some rows of a panel take: a product with all columns before, and half of its own."""
    width: int = columns.stop - columns.start
    before: int = columns.start
    return 2.0 * rows * width * (before + width / 2)


def _update_panel(
    panel: Array, columns: slice, matrix: Matrix, panels: Sequence[Array], parallel_map: ParallelMap
) -> Iterator[int]:
    """Columns of the matrix less what the panels before have explained of them; yields the rows that each tile has."""

    def fill(rows: slice) -> int:
        # What would lie above the diagonal block's own tiles is left out.
        wide = slice(columns.start, min(columns.stop, columns.start + rows.stop))
        tile = panel[rows, : wide.stop - wide.start]
        tile[...] = matrix.block(slice(columns.start + rows.start, columns.start + rows.stop), wide)
        for before, earlier in zip(slices(columns.start), panels, strict=True):
            below = earlier[columns.start - before.start :]
            blas.gemm_update(tile, below[rows], below[: tile.shape[1]].T)
        return len(tile)

    return parallel_map(fill, slices(len(panel), TILE_ROWS))


def _factor_panel(panel: Array, columns: slice, parallel_map: ParallelMap) -> None:
    """Factorise the diagonal block, and solve the rows below with it."""
    diagonal, below = _split(panel)
    failed_minor = blas.potrf(diagonal)
    if failed_minor:
        row = columns.start + failed_minor
        raise NotPositiveDefiniteError(
            f"row {row} is, up to rounding, a combination of the rows before it"
        )
    for _ in parallel_map(
        lambda rows: blas.solve_triangular(diagonal, below[rows].T), slices(len(below), TILE_ROWS)
    ):
        pass


def _subtract(
    routine: Callable[[Array, Array, Array], None],
    rest: Array,
    below: Array,
    top: Array,
    parallel_map: ParallelMap,
) -> None:
    """Take from the rest of a right-hand side what its top explains of it."""
    rows = max(MIN_TASK_ROWS, int(MIN_TASK_FLOPS / _multiply_adds(1, top)))
    for _ in parallel_map(
        lambda part: routine(rest[part], below[part], top), slices(len(rest), rows)
    ):
        pass


def _multiply_adds(rows: float, x: Array) -> float:
    """Products, each with a sum, of some rows of as many numbers as `x` has, and `x`; one column's count as two."""
    return rows * max(x.size, 2 * len(x))


def _split(panel: Array) -> tuple[Array, Array]:
    """Diagonal block of a panel, and what is below."""
    width = panel.shape[1]
    return panel[:width], panel[width:]


def squared_norms(x: Array) -> Array:
    """Squared length of every column, in float64 and without a copy of `x`."""
    norms: Array = np.einsum("ij,ij->j", x, x, dtype=np.float64)
    return norms


@dataclass(frozen=True)
class Factor:
    """The lower triangular L of M = L Lᵀ.

    Parameters
    ----------
    panels : tuple of ndarray
        Panel j holds the j-th `PANEL_WIDTH` columns, and of them the rows from the diagonal down. What stands above the
        diagonal in its first rows means nothing.
    """

    panels: tuple[Array, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.panels[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its numbers, in which its solutions are computed and come back."""
        return self.panels[0].dtype

    @property
    def block_columns(self) -> int:
        """Columns of a right-hand side that `solve_lower` does the soonest, where there are many."""
        return skinny.block_columns(self.dtype)

    @cached_property
    def _panel_pointers(self) -> Any:
        return skinny.panel_pointers(self.panels, PANEL_WIDTH)

    def __reduce__(self) -> tuple[type["Factor"], tuple[tuple[Array, ...]]]:
        """Copy the panels alone: those of a copy are at other addresses."""
        return Factor, (self.panels,)

    @property
    def log_determinant(self) -> float:
        """log |M| = 2 Σ log L_ii."""
        return 2 * sum(
            float(np.log(panel.diagonal(), dtype=np.float64).sum()) for panel in self.panels
        )

    def solve_lower(self, y: Array, parallel_map: ParallelMap = map) -> Array:
        """L⁻¹ y, of shape (n, m) for y of that shape, whose rows may stand apart; `parallel_map` shares the work among cores."""
        columns = y.shape[1]
        x = np.zeros((len(self), skinny.padded_columns(columns, self.dtype)), self.dtype)
        x[:, :columns] = y
        if skinny.supports(x) and _multiply_adds(len(x) / 2, x) <= MIN_TASK_FLOPS:
            skinny.solve_lower(self._panel_pointers, x)
        else:
            self._substitute_forward(x, 0, parallel_map)
        return x[:, :columns]

    def solve(self, y: Array) -> Array:
        """M⁻¹ y, for y of shape (n, m)."""
        with WorkerPool():
            x = self.solve_lower(y)
            for columns, panel in reversed(list(zip(slices(len(self)), self.panels, strict=True))):
                diagonal, below = _split(panel)
                blas.gemm_update(x[columns], below.T, x[columns.stop :])
                blas.solve_triangular(diagonal.T, x[columns])
        return np.ascontiguousarray(x)

    def inverse_diagonal(self) -> Array:
        """Diagonal of M⁻¹, of shape (n,): (M⁻¹)_ii = Σ_k (L⁻¹)_ki²; it takes as many operations as the factor did."""
        with WorkerPool() as parallel_map:
            norms = parallel_map(
                lambda columns: squared_norms(self._inverse(columns)), slices(len(self), TILE_ROWS)
            )
            return np.concatenate(list(norms))

    def inverse(self) -> Array:
        """M⁻¹ = L⁻ᵀ L⁻¹ as a square of shape (n, n), for matrices of which several fit in memory."""
        inverse = np.empty((len(self), len(self)), self.dtype)
        blocks = slices(len(self), TILE_ROWS)
        with WorkerPool() as parallel_map:
            lower = dict(
                zip(
                    [columns.start for columns in blocks],
                    parallel_map(self._inverse, blocks),
                    strict=True,
                )
            )

            def product(pair: tuple[slice, slice]) -> None:
                rows, columns = pair
                block = lower[rows.start].T @ lower[columns.start][rows.start - columns.start :]
                inverse[rows, columns], inverse[columns, rows] = block, block.T

            pairs = [(rows, columns) for rows in blocks for columns in slices(rows.stop, TILE_ROWS)]
            list(parallel_map(product, pairs))
        return inverse

    def _inverse(self, columns: slice) -> Array:
        """Some columns of L⁻¹, from the diagonal down."""
        x = np.eye(len(self) - columns.start, columns.stop - columns.start, dtype=self.dtype)
        self._substitute_forward(x, columns.start)
        return x

    def _substitute_forward(self, x: Array, start: int, parallel_map: ParallelMap = map) -> None:
        """Make `x`, the right-hand side from row `start` of the matrix on, into the solution with L."""
        routines = skinny if skinny.supports(x) else blas
        for columns, panel in zip(slices(len(self)), self.panels, strict=True):
            if columns.stop > start:
                begun = max(start - columns.start, 0)
                diagonal, below = _split(panel[begun:, begun:])
                top, rest = (
                    x[columns.start + begun - start : columns.stop - start],
                    x[columns.stop - start :],
                )
                routines.solve_triangular(diagonal, top)
                _subtract(routines.gemm_update, rest, below, top, parallel_map)
