"""Cholesky factorisation of a large symmetric matrix, in half the memory of a square.

Left-looking, by column panels: a panel of the matrix is computed when its turn comes, the products
of the panels before it are subtracted, and its own columns are factorised. Only the lower triangle
ever exists, in panels whose rows are contiguous.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes.linalg import blas, skinny
from gaussian_processes.linalg.parallel import ParallelMap, WorkerPool, run_all

Array = NDArray[Any]
Progress = Callable[[float, float], None]
Result = TypeVar("Result")

# Columns of a panel. Fewer, and BLAS slows down (512: by 5 per cent); more, and what is stored of
# the upper halves of the diagonal blocks, 384 n numbers, and the part that one core does alone
# grow.
PANEL_WIDTH = 768
# Rows of a tile, the unit of work of one core: small enough to share the last panels fairly and to
# stay near the core's cache, large enough for BLAS. From 256 to 512 it makes no difference that
# could be measured.
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
    """A matrix with an eigenvalue that, up to rounding, is not positive."""


class Matrix(Protocol):
    """Symmetric matrix that is computed block by block."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def block(self, rows: slice, columns: slice) -> Array:
        """Return a block of it."""


class PanelStorage(Protocol):
    """Storage of the panels of a factor: memory, or files."""

    @property
    def dtype(self) -> DTypeLike:
        """Return float64, or float32 for half the memory and twice the speed."""

    def finished(self) -> Sequence[Array]:
        """Return the panels that are there already, in order."""

    def panel(self, index: int, shape: tuple[int, int]) -> AbstractContextManager[Array]:
        """Return a context of a panel of zeros, which is kept unless an error ends the context."""

    def remove(self) -> None:
        """Forget the panels of a factorisation that has failed."""


class CholeskyFactor(Protocol):
    """Cholesky factor L of M = L Lᵀ: on one host, or this host's part of one that hosts share."""

    @property
    def panels(self) -> tuple[Array, ...]:
        """Return the panels that this host has."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of its numbers."""

    @property
    def block_columns(self) -> int:
        """Return the columns that `quadratic_form` takes the least time for, where many are."""

    @property
    def concurrent(self) -> bool:
        """Return whether several threads may solve with it at once."""

    @property
    def log_determinant(self) -> float:
        """Return log |M|."""

    def solve(self, y: Array) -> Array:
        """Return M⁻¹ y, for y of shape (n, m)."""

    def quadratic_form(self, y: Array, parallel_map: ParallelMap = map) -> Array:
        """Return yᵀ M⁻¹ y of every column of y, for y of shape (n, m)."""

    def inverse_diagonal(self) -> Array:
        """Return the diagonal of M⁻¹, of shape (n,)."""

    def inverse(self) -> Array:
        """Return M⁻¹, of shape (n, n)."""


# A factorisation of a matrix: `factorise`, or one that is shared among hosts.
Factorise = Callable[[Matrix, PanelStorage, Progress | None], CholeskyFactor]


@dataclass(frozen=True)
class InMemoryPanels:
    """Storage of panels in memory."""

    dtype: DTypeLike = np.float64

    def finished(self) -> Sequence[Array]:
        """Return nothing: memory starts empty."""
        return ()

    @contextmanager
    def panel(
        self,
        index: int,  # noqa: ARG002  one panel in memory is like another
        shape: tuple[int, int],
    ) -> Iterator[Array]:
        """Yield a panel of zeros."""
        yield np.zeros(shape, self.dtype)

    def remove(self) -> None:
        """Do nothing: memory is free as soon as nobody holds it."""


def slices(size: int, length: int = PANEL_WIDTH) -> list[slice]:
    """Return slices of `length` that cover `size` rows; the last may be shorter.

    Examples
    --------
    >>> slices(1000)
    [slice(0, 768, None), slice(768, 1000, None)]
    """
    return [slice(start, min(start + length, size)) for start in range(0, size, length)]


def packed_bytes(size: int, dtype: DTypeLike = np.float64) -> int:
    """Return the bytes of the factor of `size` rows: little more than half of a square's."""
    numbers: int = sum(
        (size - columns.start) * (columns.stop - columns.start) for columns in slices(size)
    )
    return int(numbers * np.dtype(dtype).itemsize)


def packed_panels(packed: Array, size: int) -> Iterator[Array]:
    """Split one array of all numbers into the panels of the factor of `size` rows, as views.

    Raises
    ------
    ValueError
        If it has more numbers or fewer.
    """
    end = 0
    for columns in slices(size):
        shape = (size - columns.start, columns.stop - columns.start)
        start, end = end, end + shape[0] * shape[1]
        yield packed[start:end].reshape(shape)
    if end != packed.size:
        raise ValueError(f"its factor has {packed.size} numbers, and {size} rows have {end}")


def factorise(
    matrix: Matrix, storage: PanelStorage | None = None, progress: Progress | None = None
) -> "Factor":
    """Return the Cholesky factor L of a symmetric positive definite matrix M = L Lᵀ.

    Parameters
    ----------
    matrix : Matrix
        Of n rows. Its lower triangle is asked for once, block by block, from several threads.
    storage : PanelStorage, optional
        Takes the panels, and gives those that are finished already; float64 in memory unless it is
        given.
    progress : callable, optional
        Called after every tile with the floating-point operations done and the operations in all.

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
    storage = storage or InMemoryPanels()
    size, panels = len(matrix), list(storage.finished())
    work = [operations(size - columns.start, columns) for columns in slices(size)]
    total, done = sum(work), sum(work[: len(panels)])
    with WorkerPool() as parallel_map:
        for columns in slices(size)[len(panels) :]:
            shape = (size - columns.start, columns.stop - columns.start)
            with storage.panel(len(panels), shape) as panel:
                for rows in _update_panel(panel, columns, matrix, panels, parallel_map):
                    done += operations(rows, columns)
                    if progress:
                        progress(done, total)
                _factor_panel(panel, columns, parallel_map)
            panels.append(panel)
    return Factor(tuple(panels))


def factorise_with_jitter(
    jittered: Callable[[float], Matrix],
    storage: Callable[[float], PanelStorage] = lambda _: InMemoryPanels(),
    progress: Progress | None = None,
    factorise: Factorise = factorise,
) -> tuple[CholeskyFactor, float]:
    """Return the Cholesky factor of M + εI for the smallest ε that makes it positive definite.

    ε is 0 or one of `JITTERS`.

    Parameters
    ----------
    jittered : callable
        Returns M + εI for ε.
    storage : callable
        Returns, for ε, the storage of the panels. In float32 there is no second attempt: rounding
        then takes so much that float64 is the remedy.
    progress : callable, optional
        See `factorise`.
    factorise : callable
        The factorisation, of a matrix, a storage and a progress.

    Returns
    -------
    factor : CholeskyFactor
    jitter : float
        ε, usually 0.

    Raises
    ------
    NotPositiveDefiniteError
        If M is not positive definite in float32.
    ValueError
        If it stays indefinite with the largest jitter.
    """

    def attempt(jitter: float) -> CholeskyFactor:
        panels = storage(jitter)
        try:
            return factorise(jittered(jitter), panels, progress)
        except NotPositiveDefiniteError:
            panels.remove()
            raise

    if storage(0.0).dtype == np.float32:
        return attempt(0.0), 0.0
    return with_least_jitter(attempt)


def with_least_jitter(attempt: Callable[[float], Result]) -> tuple[Result, float]:
    """Attempt something with ever more jitter; return what succeeds first, and its jitter.

    Parameters
    ----------
    attempt : callable
        Raises `NotPositiveDefiniteError` if 0, or one of `JITTERS`, is too little.

    Raises
    ------
    ValueError
        If the largest is.
    """
    for jitter in (0.0, *JITTERS):
        with suppress(NotPositiveDefiniteError):
            return attempt(jitter), jitter
    raise ValueError(
        f"the Gram matrix stays indefinite with {JITTERS[-1]} on its diagonal;"
        " are there NaN among the points?"
    )


def operations(rows: int, columns: slice) -> float:
    """Floating-point operations of a panel's rows: with all columns before, and half its own."""
    width: int = columns.stop - columns.start
    before: int = columns.start
    return 2.0 * rows * width * (before + width / 2)


def _update_panel(
    panel: Array, columns: slice, matrix: Matrix, panels: Sequence[Array], parallel_map: ParallelMap
) -> Iterator[int]:
    """Compute columns of the matrix less the panels' products; yield the rows of each tile."""

    def update(rows: slice) -> int:
        # What would lie above the diagonal block's own tiles is left out.
        wide = slice(columns.start, min(columns.stop, columns.start + rows.stop))
        tile = panel[rows, : wide.stop - wide.start]
        tile[...] = matrix.block(slice(columns.start + rows.start, columns.start + rows.stop), wide)
        for before, earlier in zip(slices(columns.start), panels, strict=True):
            below = earlier[columns.start - before.start :]
            blas.gemm_update(tile, below[rows], below[: tile.shape[1]].T)
        return len(tile)

    return parallel_map(update, slices(len(panel), TILE_ROWS))


def _factor_panel(panel: Array, columns: slice, parallel_map: ParallelMap) -> None:
    """Factorise the diagonal block, and solve for the rows below with it."""
    diagonal, below = _split(panel)
    factorise_diagonal(diagonal, columns.start)
    solve_below(diagonal, below, parallel_map)


def factorise_diagonal(block: Array, first_row: int) -> None:
    """Make the lower half of a diagonal block, from row `first_row` on, into its Cholesky factor.

    Raises
    ------
    NotPositiveDefiniteError
        With the row of the matrix (from 1) at which the factorisation broke down.
    """
    failed_minor = blas.potrf(block)
    if failed_minor:
        raise NotPositiveDefiniteError(
            f"row {first_row + failed_minor} is, up to rounding, a combination of the rows before"
            " it"
        )


def solve_below(diagonal: Array, below: Array, parallel_map: ParallelMap) -> None:
    """Make `below` into ``below @ inv(diagonal).T``, in place, tile by tile."""
    run_all(
        parallel_map,
        lambda rows: blas.solve_triangular(diagonal, below[rows].T),
        slices(len(below), TILE_ROWS),
    )


def _subtract(
    routine: Callable[[Array, Array, Array], None],
    rest: Array,
    below: Array,
    top: Array,
    parallel_map: ParallelMap,
) -> None:
    """Subtract the product of the panel below and the solved top from the rest."""
    rows = max(MIN_TASK_ROWS, int(MIN_TASK_FLOPS / _multiply_adds(1, top)))
    run_all(
        parallel_map,
        lambda part: routine(rest[part], below[part], top),
        slices(len(rest), rows),
    )


def _multiply_adds(rows: float, x: Array) -> float:
    """Multiply-adds of so many rows times `x`, where those of a single column count twice."""
    return rows * max(x.size, 2 * len(x))


def _split(panel: Array) -> tuple[Array, Array]:
    """Diagonal block of a panel, and what is below."""
    width = panel.shape[1]
    return panel[:width], panel[width:]


def squared_norms(x: Array) -> Array:
    """Return the squared norm of every column, in float64 and without a copy of `x`."""
    norms: Array = np.einsum("ij,ij->j", x, x, dtype=np.float64)
    return norms


@dataclass(frozen=True)
class Factor:
    """Cholesky factor: the lower triangular L of M = L Lᵀ.

    Parameters
    ----------
    panels : tuple of ndarray
        Panel j holds the j-th `PANEL_WIDTH` columns, and of them the rows from the diagonal down.
        What stands above the diagonal in its first rows means nothing.
    """

    panels: tuple[Array, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.panels[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of its numbers, in which its solutions are computed and come back."""
        return self.panels[0].dtype

    @property
    def block_columns(self) -> int:
        """Return the columns that `solve_lower` takes the least time for, where there are many."""
        return skinny.block_columns(self.dtype)

    @property
    def concurrent(self) -> bool:
        """Return True: solutions do not depend on each other."""
        return True

    @cached_property
    def _panel_pointers(self) -> Any:
        return skinny.panel_pointers(self.panels, PANEL_WIDTH)

    def __reduce__(self) -> tuple[type["Factor"], tuple[tuple[Array, ...]]]:
        """Copy the panels alone: a copy's are at other addresses."""
        return Factor, (self.panels,)

    @property
    def log_determinant(self) -> float:
        """Return log |M| = 2 Σ log L_ii."""
        return 2 * sum(
            float(np.log(panel.diagonal(), dtype=np.float64).sum()) for panel in self.panels
        )

    def solve_lower(self, y: Array, parallel_map: ParallelMap = map) -> Array:
        """Return L⁻¹ y by forward substitution.

        Parameters
        ----------
        y : ndarray of shape (n, m)
        parallel_map : ParallelMap
            Shares the work among the cores.

        Returns
        -------
        ndarray of shape (n, m)
            Its rows are contiguous, but may stand apart.
        """
        columns = y.shape[1]
        x = np.zeros((len(self), skinny.padded_columns(columns, self.dtype)), self.dtype)
        x[:, :columns] = y
        if skinny.supports(x) and _multiply_adds(len(x) / 2, x) <= MIN_TASK_FLOPS:
            skinny.solve_lower(self._panel_pointers, x)
        else:
            self._substitute_forward(x, 0, parallel_map)
        return x[:, :columns]

    def quadratic_form(self, y: Array, parallel_map: ParallelMap = map) -> Array:
        """Return yᵀ M⁻¹ y = ‖L⁻¹ y‖² of every column of y, for y of shape (n, m)."""
        return squared_norms(self.solve_lower(y, parallel_map))

    def solve(self, y: Array) -> Array:
        """Return M⁻¹ y, for y of shape (n, m)."""
        with WorkerPool():
            x = self.solve_lower(y)
            for columns, panel in reversed(list(zip(slices(len(self)), self.panels, strict=True))):
                diagonal, below = _split(panel)
                blas.gemm_update(x[columns], below.T, x[columns.stop :])
                blas.solve_triangular(diagonal.T, x[columns])
        return np.ascontiguousarray(x)

    def inverse_diagonal(self) -> Array:
        """Return the diagonal of M⁻¹, of shape (n,): (M⁻¹)_ii = Σ_k (L⁻¹)_ki².

        It takes as many operations as the factor did.
        """
        with WorkerPool() as parallel_map:
            norms = parallel_map(
                lambda columns: squared_norms(self._inverse(columns)), slices(len(self), TILE_ROWS)
            )
            return np.concatenate(list(norms))

    def inverse(self) -> Array:
        """Return M⁻¹ = L⁻ᵀ L⁻¹, of shape (n, n), where several such squares fit in memory."""
        inverse = np.empty((len(self), len(self)), self.dtype)
        blocks = slices(len(self), TILE_ROWS)
        with WorkerPool() as parallel_map:
            starts = [columns.start for columns in blocks]
            lower = dict(zip(starts, parallel_map(self._inverse, blocks), strict=True))

            def product(pair: tuple[slice, slice]) -> None:
                rows, columns = pair
                block = lower[rows.start].T @ lower[columns.start][rows.start - columns.start :]
                inverse[rows, columns], inverse[columns, rows] = block, block.T

            pairs = [(rows, columns) for rows in blocks for columns in slices(rows.stop, TILE_ROWS)]
            run_all(parallel_map, product, pairs)
        return inverse

    def _inverse(self, columns: slice) -> Array:
        """Return some columns of L⁻¹, from the diagonal down."""
        x = np.eye(len(self) - columns.start, columns.stop - columns.start, dtype=self.dtype)
        self._substitute_forward(x, columns.start)
        return x

    def _substitute_forward(self, x: Array, start: int, parallel_map: ParallelMap = map) -> None:
        """Make `x`, a right-hand side from row `start` on, into the solution with L."""
        routines = skinny if skinny.supports(x) else blas
        for columns, panel in zip(slices(len(self)), self.panels, strict=True):
            if columns.stop <= start:
                continue
            first = max(start, columns.start)
            inside = first - columns.start
            diagonal, below = _split(panel[inside:, inside:])
            top, rest = x[first - start : columns.stop - start], x[columns.stop - start :]
            routines.solve_triangular(diagonal, top)
            _subtract(routines.gemm_update, rest, below, top, parallel_map)
