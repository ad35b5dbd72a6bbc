"""Partition of a matrix's rows among hosts: of every block of rows each host owns an equal part."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.linalg.cholesky import slices

Array = NDArray[Any]


@dataclass(frozen=True)
class RowPartition:
    """Rows of one host.

    Parameters
    ----------
    size : int
        Rows in all.
    width : int
        Rows of a block.
    hosts : int
    rank : int
        Number of this host.

    Examples
    --------
    >>> RowPartition(size=10, width=4, hosts=2, rank=1).rows
    array([2, 3, 6, 7, 9])
    """

    size: int
    width: int
    hosts: int
    rank: int

    def of(self, rank: int) -> "RowPartition":
        """Return the partition as another host has it."""
        return replace(self, rank=rank)

    @cached_property
    def blocks(self) -> list[slice]:
        """Blocks of rows, which are those of columns as well."""
        return slices(self.size, self.width)

    def part(self, block: int, rank: int | None = None) -> slice:
        """Return the rows of a block that a host owns: this one, unless another is given."""
        rank = self.rank if rank is None else rank
        rows = self.blocks[block]
        length = rows.stop - rows.start
        return slice(
            rows.start + length * rank // self.hosts, rows.start + length * (rank + 1) // self.hosts
        )

    @cached_property
    def offsets(self) -> list[int]:
        """Position of every block's first row among this host's own; then the number of these."""
        parts = [self.part(block) for block in range(len(self.blocks))]
        return list(accumulate((part.stop - part.start for part in parts), initial=0))

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """Rows that this host owns, in order."""
        parts = [self.part(block) for block in range(len(self.blocks))]
        return np.concatenate([np.arange(part.start, part.stop) for part in parts])

    def own(self, block: int) -> slice:
        """Return the positions of a block's rows among this host's own."""
        return slice(self.offsets[block], self.offsets[block + 1])

    def inside(self, block: int) -> slice:
        """Return the positions of this host's rows in a block."""
        part, start = self.part(block), self.blocks[block].start
        return slice(part.start - start, part.stop - start)

    def keeper(self, block: int) -> int:
        """Return the host that keeps the diagonal block."""
        return block % self.hosts
