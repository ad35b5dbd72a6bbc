"""Cholesky factor whose rows are distributed over hosts, and the solutions with it.

Every method is a collective call: all hosts make the same ones in the same order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.cluster.exchange import (
    MESSAGE_BYTES,
    Exchange,
    all_gather,
    operation,
    others,
)
from gaussian_processes.cluster.partition import RowPartition
from gaussian_processes.linalg import blas
from gaussian_processes.linalg.cholesky import PANEL_WIDTH, TILE_ROWS, slices, squared_norms
from gaussian_processes.linalg.parallel import ParallelMap, WorkerPool, run_all

Array = NDArray[Any]

# Columns that are solved for at once: enough for messages of a megabyte, few enough for memory.
SOLVE_COLUMNS = 512


def gemm_update(rest: Array, below: Array, top: Array, parallel_map: ParallelMap) -> None:
    """Make `rest` into ``rest - below @ top``, in place, tile by tile."""
    run_all(
        parallel_map,
        lambda rows: blas.gemm_update(rest[rows], below[rows], top),
        slices(len(rest), TILE_ROWS),
    )


@dataclass(frozen=True)
class DistributedFactor:
    """One host's rows of the lower triangular L of M = L Lᵀ.

    Parameters
    ----------
    panels : tuple of ndarray
        Of panel j the host's own rows, from block j on.
    diagonals : mapping of int to ndarray
        Diagonal blocks that this host is the keeper of.
    partition : RowPartition
    exchange : Exchange
    """

    panels: tuple[Array, ...]
    diagonals: Mapping[int, Array]
    partition: RowPartition
    exchange: Exchange

    def __len__(self) -> int:
        """Return the number of rows of all hosts."""
        return self.partition.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of its numbers, in which its solutions are computed and come back."""
        return self.panels[0].dtype

    @property
    def block_columns(self) -> int:
        """Return the columns that `quadratic_form` takes at once."""
        return SOLVE_COLUMNS

    @property
    def concurrent(self) -> bool:
        """Return False: calls have an order, which must be that of all hosts."""
        return False

    @property
    def log_determinant(self) -> float:
        """Return log |M| = 2 Σ log L_ii."""
        own = sum(
            float(np.log(diagonal.diagonal(), dtype=np.float64).sum())
            for diagonal in self.diagonals.values()
        )
        total: float = sum(all_gather(self.exchange, own))
        return 2 * total

    def solve(self, y: Array) -> Array:
        """Return M⁻¹ y on every host, for y of shape (n, m)."""
        x = self._own_rows(y)
        with WorkerPool() as parallel_map:
            self._substitute_forward(x, 0, parallel_map)
            self._substitute_backward(x)
        return self._gather_rows(x)

    def solve_lower(self, y: Array, parallel_map: ParallelMap = map) -> Array:
        """Return L⁻¹ y on every host, for y of shape (n, m)."""
        x = self._own_rows(y)
        self._substitute_forward(x, 0, parallel_map)
        return self._gather_rows(x)

    def quadratic_form(self, y: Array, parallel_map: ParallelMap = map) -> Array:
        """Return yᵀ M⁻¹ y = ‖L⁻¹ y‖² of every column of y, for y of shape (n, m)."""
        x = self._own_rows(y)
        self._substitute_forward(x, 0, parallel_map)
        return self._sum(squared_norms(x))

    def inverse_diagonal(self) -> Array:
        """Return the diagonal of M⁻¹, of shape (n,): (M⁻¹)_ii = Σ_k (L⁻¹)_ki².

        It takes as many operations and bytes as the factor did.
        """
        norms = []
        with WorkerPool() as parallel_map:
            for columns in slices(len(self), SOLVE_COLUMNS):
                first = columns.start // self.partition.width
                rows = self.partition.rows[self.partition.offsets[first] :]
                x = (rows[:, np.newaxis] == np.arange(columns.start, columns.stop)).astype(
                    self.dtype
                )
                self._substitute_forward(x, first, parallel_map)
                norms.append(squared_norms(x))
        return self._sum(np.concatenate(norms))

    def inverse(self) -> Array:
        """Refuse: no host has memory for all of M⁻¹.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(f"the inverse of {len(self):,} distributed rows fits on no host")

    def gather(self, panels: Sequence[Array] = (), width: int = PANEL_WIDTH) -> None:
        """Copy the rows of all hosts into the panels of one factor, on the hosts that give them.

        Parameters
        ----------
        panels : sequence of ndarray
            Those of a `cholesky.Factor`, of zeros. They may be files: beside them it takes one
            message of every host.
        width : int
            Columns of one of `panels`, a multiple of those of a distributed panel.
        """
        with operation(self.exchange) as number:
            self.exchange.offer((number, "rows"), self._rows)
            for block, columns in enumerate(self.partition.blocks if panels else ()):
                whole, start = panels[columns.start // width], columns.start // width * width
                inside = slice(columns.start - start, columns.stop - start)
                self._gather_panel(whole[:, inside], start, block, number)

    def _gather_panel(self, whole: Array, start: int, block: int, number: int) -> None:
        """Copy a panel of all hosts into columns of an array whose first row is `start`."""
        step = max(1, MESSAGE_BYTES // (whole.shape[1] * whole.itemsize))
        partitions = [self.partition.of(rank) for rank in range(self.exchange.size)]
        wanted = [partition.rows[partition.offsets[block] :] - start for partition in partitions]
        for first in range(0, max(map(len, wanted)), step):
            last = first + step
            futures = {
                rank: self.exchange.request(rank, (number, "rows"), block, first, last)
                for rank in others(self.exchange)
                if first < len(wanted[rank])
            }
            own = wanted[self.exchange.rank][first:last]
            whole[own] = self._rows(block, first, last)
            for rank, future in futures.items():
                whole[wanted[rank][first:last]] = future.result()

    def _rows(self, block: int, first: int, last: int) -> Array:
        """Own rows of a panel, from a position to before another."""
        return self.panels[block][first:last]

    def _own_rows(self, y: Array) -> Array:
        return np.ascontiguousarray(y[self.partition.rows], self.dtype)

    def _gather_rows(self, x: Array) -> Array:
        """Put the rows of all hosts together."""
        gathered = np.empty((len(self), x.shape[1]), self.dtype)
        for rank, rows in enumerate(all_gather(self.exchange, x)):
            gathered[self.partition.of(rank).rows] = rows
        return gathered

    def _sum(self, values: Array) -> Array:
        # In the order of the ranks, so that the sum is the same on all hosts.
        total: Array = np.sum(all_gather(self.exchange, values), axis=0)
        return total

    def _substitute_forward(self, x: Array, first: int, parallel_map: ParallelMap) -> None:
        """Make `x`, own rows from a block on, into those of the solution with L, in place."""
        offsets = self.partition.offsets
        base = offsets[first]
        with operation(self.exchange) as number:
            for block in range(first, len(self.panels)):
                own = slice(offsets[block] - base, offsets[block + 1] - base)
                top = self._solve_block(x[own], block, number)
                x[own] = top[self.partition.inside(block)]
                rest, below = x[own.stop :], self.panels[block][own.stop - own.start :]
                gemm_update(rest, below, top, parallel_map)

    def _solve_block(self, rows: Array, block: int, number: int) -> Array:
        """Return the block of the solution with L, which the keeper solves for and all receive."""
        exchange, keeper = self.exchange, self.partition.keeper(block)
        mine = rows.copy()
        if keeper != exchange.rank:
            exchange.offer((number, "residual", block), lambda: mine)
            return np.array(exchange.request(keeper, (number, "solution", block)).result())
        futures = {
            rank: exchange.request(rank, (number, "residual", block)) for rank in others(exchange)
        }
        parts = [
            mine if rank == exchange.rank else futures[rank].result()
            for rank in range(exchange.size)
        ]
        top = np.concatenate(parts)
        blas.solve_triangular(self.diagonals[block], top)
        exchange.offer((number, "solution", block), lambda: top)
        return top

    def _substitute_backward(self, x: Array) -> None:
        """Make `x`, own rows, into those of the solution with Lᵀ, in place."""
        with operation(self.exchange) as number:
            for block in reversed(range(len(self.panels))):
                own = self.partition.own(block)
                below = self.panels[block][own.stop - own.start :]
                partial = -(below.T @ x[own.stop :])
                partial[self.partition.inside(block)] += x[own]
                x[own] = self._solve_transposed(partial, block, number)[
                    self.partition.inside(block)
                ]

    def _solve_transposed(self, partial: Array, block: int, number: int) -> Array:
        """Return the block of the solution with Lᵀ, of the sum of all hosts' partial residuals."""
        exchange, keeper = self.exchange, self.partition.keeper(block)
        if keeper != exchange.rank:
            exchange.offer((number, "partial", block), lambda: partial)
            solution: Array = exchange.request(keeper, (number, "solution", block)).result()
            return solution
        futures = [exchange.request(rank, (number, "partial", block)) for rank in others(exchange)]
        total = np.ascontiguousarray(partial)
        for future in futures:
            total += future.result()
        blas.solve_triangular(self.diagonals[block].T, total)
        exchange.offer((number, "solution", block), lambda: total)
        return total
