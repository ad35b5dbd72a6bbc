"""Left-looking Cholesky factorisation, distributed over hosts by rows inside every panel.

All hosts finish a panel at once: each fills its own rows of it, and subtracts from them what the
panels before explain. For this it needs the panel's block of rows of L, which is streamed from all
hosts in chunks. Then the diagonal block is gathered, factorised by everybody, and every host solves
its own rows with it. Finished rows never change.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.cluster.distributed_factor import DistributedFactor, gemm_update
from gaussian_processes.cluster.exchange import (
    MESSAGE_BYTES,
    Exchange,
    all_gather,
    gather_parts,
    operation,
    others,
)
from gaussian_processes.cluster.partition import RowPartition
from gaussian_processes.linalg.cholesky import (
    PANEL_WIDTH,
    InMemoryPanels,
    Matrix,
    NotPositiveDefiniteError,
    PanelStorage,
    Progress,
    factorise_diagonal,
    operations,
    solve_below,
)
from gaussian_processes.linalg.parallel import ParallelMap, WorkerPool, run_all

Array = NDArray[Any]

# Columns of a panel. What lies above the diagonal in the diagonal blocks is computed and kept, and
# the buffers grow with the square: with 768 a host of four takes 1.5 times its share of 12,000
# rows, with 384 1.3 times. BLAS loses some 5 per cent by the narrower panels.
DISTRIBUTED_WIDTH = PANEL_WIDTH // 2
# Panels of a chunk, at least, and the part of a host's share of the factor that buffers may take.
MIN_CHUNK, BUFFER_SHARE = 3, 0.05
# Chunks that are under way while one is computed with: several connections, of which the network of
# EC2 gives each 5 Gb/s at most.
CHUNKS_AHEAD = 2


@dataclass(frozen=True)
class Chunk:
    """Rows of a block in the panels from `first` to before `last`."""

    block: int
    first: int
    last: int


def factorise(
    matrix: Matrix,
    exchange: Exchange,
    storage: PanelStorage | None = None,
    progress: Progress | None = None,
    width: int = DISTRIBUTED_WIDTH,
) -> DistributedFactor:
    """Return this host's rows of the Cholesky factor L of a matrix M = L Lᵀ; a collective call.

    Parameters
    ----------
    matrix : Matrix
        Of n rows, the same on every host, which asks for the blocks of its own rows.
    exchange : Exchange
    storage : PanelStorage, optional
        Takes this host's rows of each panel, and gives those that are finished; float64 in memory
        unless it is given.
    progress : callable, optional
        Called after every panel with this host's floating-point operations done, and in all.
    width : int
        Columns of a panel.

    Raises
    ------
    NotPositiveDefiniteError
        On every host, with the row (from 1) at which the factorisation broke down.

    Notes
    -----
    Golub & Van Loan, Matrix Computations, alg. 4.2.1 (gaxpy Cholesky), by blocks. Each host takes
    n²/2P numbers, the buffers, and 3 n `width` / 2P numbers of the diagonal blocks.
    """
    storage = storage or InMemoryPanels()
    partition = RowPartition(len(matrix), width, exchange.size, exchange.rank)
    finished = list(storage.finished())
    # Where a host was stopped earlier than others, their panels after its last are computed anew.
    finished = finished[: min(all_gather(exchange, len(finished)))]
    with operation(exchange) as number:
        run = _Factorization(matrix, exchange, storage, partition, number)
        run.resume(finished)
        run.run(progress)
    return DistributedFactor(tuple(run.panels), run.diagonals, partition, exchange)


class _Factorization:
    """State of one factorisation on one host."""

    def __init__(
        self,
        matrix: Matrix,
        exchange: Exchange,
        storage: PanelStorage,
        partition: RowPartition,
        number: int,
    ) -> None:
        self.matrix, self.exchange, self.storage = matrix, exchange, storage
        self.partition, self.number = partition, number
        self.panels: list[Array] = []
        self.diagonals: dict[int, Array] = {}

    def resume(self, finished: Sequence[Array]) -> None:
        """Take over finished panels, and gather the diagonal blocks anew."""
        for block, panel in enumerate(finished):
            diagonal = self._gather_diagonal(panel[: self._top(block)], block)
            self._keep_panel(panel, diagonal, block)

    def run(self, progress: Progress | None) -> None:
        """Compute the panels that are missing."""
        partition = self.partition
        work = [_operations(partition, block) for block in range(len(partition.blocks))]
        stream = _stream(self._plan(len(self.panels)), self.exchange, self.number)
        with WorkerPool() as parallel_map:
            for block in range(len(self.panels), len(partition.blocks)):
                columns = partition.blocks[block]
                rows = partition.offsets[-1] - partition.offsets[block]
                with self.storage.panel(block, (rows, columns.stop - columns.start)) as panel:
                    self._fill_panel(panel, block, parallel_map)
                    self._update_panel(panel, block, stream, parallel_map)
                    diagonal = self._factor_panel(panel, block, parallel_map)
                self._keep_panel(panel, diagonal, block)
                if progress:
                    progress(sum(work[: block + 1]), sum(work))

    def _top(self, block: int) -> int:
        """Rows of the diagonal block that are this host's own."""
        return self.partition.offsets[block + 1] - self.partition.offsets[block]

    def _plan(self, start: int) -> Iterator[Chunk]:
        """List the chunks in the order of their use: the newest panel, waited for, by itself."""
        length = _chunk_length(self.partition, np.dtype(self.storage.dtype).itemsize)
        for block in range(start, len(self.partition.blocks)):
            for first in range(0, block - 1, length):
                yield Chunk(block, first, min(first + length, block - 1))
            if block:
                yield Chunk(block, block - 1, block)

    def _fill_panel(self, panel: Array, block: int, parallel_map: ParallelMap) -> None:
        """Fill this host's rows of a panel with the matrix."""
        columns, base = self.partition.blocks[block], self.partition.offsets[block]

        def fill(at: int) -> None:
            own = self.partition.own(at)
            rows = self.partition.part(at)
            if rows.start < rows.stop:
                panel[own.start - base : own.stop - base] = self.matrix.block(rows, columns)

        run_all(parallel_map, fill, range(block, len(self.partition.blocks)))

    def _update_panel(
        self,
        panel: Array,
        block: int,
        stream: Iterator[tuple[Chunk, dict[int, Any]]],
        parallel_map: ParallelMap,
    ) -> None:
        """Subtract what the panels before explain."""
        following = 0
        while following < block:
            chunk, received = next(stream)
            for index, before in enumerate(range(chunk.first, chunk.last)):
                parts = [
                    self._rows(block, before)
                    if rank == self.exchange.rank
                    else received[rank][index]
                    for rank in range(self.exchange.size)
                ]
                top = np.concatenate(parts)
                below = self.panels[before][self._distance(before, block) :]
                gemm_update(panel, below, top.T, parallel_map)
            following = chunk.last

    def _factor_panel(self, panel: Array, block: int, parallel_map: ParallelMap) -> Array:
        """Factorise the diagonal block, which everybody gathers, and solve for the own rows."""
        top = self._top(block)
        # A copy: what others receive is a view, and these rows are written in a moment.
        diagonal = self._gather_diagonal(panel[:top].copy(), block)
        try:
            factorise_diagonal(diagonal, self.partition.blocks[block].start)
        except NotPositiveDefiniteError as error:
            self._refuse(block, error)
        panel[:top] = diagonal[self.partition.inside(block)]
        solve_below(diagonal, panel[top:], parallel_map)
        return diagonal

    def _refuse(self, block: int, error: NotPositiveDefiniteError) -> NoReturn:
        """Raise an error, here and on hosts of other roundings that wait for the panel's rows."""

        def answer(*_: int) -> NoReturn:
            raise error

        self.exchange.offer((self.number, "panel", block), answer)
        raise error

    def _gather_diagonal(self, rows: Array, block: int) -> Array:
        parts = gather_parts(self.exchange, (self.number, "diagonal", block), rows)
        return np.concatenate(parts)

    def _keep_panel(self, panel: Array, diagonal: Array, block: int) -> None:
        """Keep a finished panel, and answer requests for its rows."""
        self.panels.append(panel)
        if self.partition.keeper(block) == self.exchange.rank:
            self.diagonals[block] = diagonal

        def answer(wanted: int, first: int) -> list[Array]:
            return [self._rows(wanted, index) for index in range(first, block + 1)]

        self.exchange.offer((self.number, "panel", block), answer)

    def _rows(self, block: int, panel: int) -> Array:
        """Own rows of a block in a panel."""
        start = self._distance(panel, block)
        return self.panels[panel][start : start + self._top(block)]

    def _distance(self, panel: int, block: int) -> int:
        """Own rows between the first of a panel and the first of a block."""
        return self.partition.offsets[block] - self.partition.offsets[panel]


def _stream(
    plan: Iterator[Chunk], exchange: Exchange, number: int
) -> Iterator[tuple[Chunk, dict[int, Any]]]:
    """Receive chunks of all other hosts in order, with a few requests ahead."""
    flight: deque[tuple[Chunk, dict[int, Future[Any]]]] = deque()

    def send() -> None:
        while len(flight) < CHUNKS_AHEAD and (chunk := next(plan, None)):
            key = (number, "panel", chunk.last - 1)
            futures = {
                rank: exchange.request(rank, key, chunk.block, chunk.first)
                for rank in others(exchange)
            }
            flight.append((chunk, futures))

    send()
    while flight:
        chunk, futures = flight.popleft()
        received = {rank: future.result() for rank, future in futures.items()}
        futures.clear()
        send()
        yield chunk, received


def _chunk_length(partition: RowPartition, itemsize: int) -> int:
    """Panels of a chunk: a message's worth from every host, as far as memory is there for it."""
    block = partition.width**2 * itemsize
    wanted = MESSAGE_BYTES * partition.hosts // block
    share = partition.size**2 // 2 * itemsize // partition.hosts
    affordable = int(BUFFER_SHARE * share) // ((CHUNKS_AHEAD + 1) * block)
    return max(MIN_CHUNK, min(wanted, affordable))


def _operations(partition: RowPartition, block: int) -> float:
    """Floating-point operations of this host in a panel."""
    rows = partition.offsets[-1] - partition.offsets[block]
    return operations(rows, partition.blocks[block])
