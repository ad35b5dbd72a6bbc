"""Gram matrix whose products M x all hosts of a job compute together, without storing M.

For conjugate gradients, which refine the solution of a factor in float32, or need none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.cluster.exchange import Exchange, SingleHost, all_gather
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.linalg.cholesky import PANEL_WIDTH, slices

Array = NDArray[np.float64]

# Panels of a host, at least: enough for all its cores, and for equal shares, as the last ones are
# short; and columns of one, at least, below which a block's points take longer than its kernel.
MIN_PANELS, MIN_WIDTH = 64, 64


@dataclass(frozen=True)
class SharedGramMatrix(GramMatrix):
    """A Gram matrix that is the same on all hosts, each of which computes a share of its products.

    Parameters
    ----------
    exchange : Exchange
    """

    exchange: Exchange = field(default_factory=SingleHost)

    @classmethod
    def of(cls, matrix: GramMatrix, exchange: Exchange) -> "SharedGramMatrix":
        """Share a matrix that all hosts have."""
        values = {each.name: getattr(matrix, each.name) for each in fields(GramMatrix)}
        return cls(**values, exchange=exchange)

    def product(self, x: Array) -> Array:
        """Matrix product M x on every host, for x of shape (n, t); a collective call.

        Every host computes its share of the n²/2 kernel values, and receives n t numbers of each
        other one. The product is the same on all hosts to the last bit.
        """
        panels = share(len(self), self.exchange.size, self.exchange.rank)
        parts = all_gather(self.exchange, self.partial_product(x, panels))
        # In the order of the ranks.
        total: Array = np.sum(parts, axis=0)
        return total

    def agree(self, numbers: Array) -> Array:
        """Return the leader's numbers on every host; a collective call."""
        leaders: Array = all_gather(self.exchange, numbers)[0]
        return leaders


def share(size: int, hosts: int, rank: int) -> Sequence[slice]:
    """Return the panels of columns of one host: to and fro, since their length falls steadily.

    Examples
    --------
    >>> share(4 * 64, 2, 0), share(4 * 64, 2, 1)
    ([slice(0, 64, None), slice(192, 256, None)], [slice(64, 128, None), slice(128, 192, None)])
    """
    width = min(PANEL_WIDTH, max(MIN_WIDTH, size // (MIN_PANELS * hosts)))
    turn = [*range(hosts), *reversed(range(hosts))]
    panels = slices(size, width)
    return [panel for index, panel in enumerate(panels) if turn[index % len(turn)] == rank]


@dataclass(frozen=True)
class SharedRows:
    """Rows of a preconditioner that a host keeps: an equal part of all. Sums are collective calls.

    Parameters
    ----------
    size : int
        Rows in all.
    exchange : Exchange
    """

    size: int
    exchange: Exchange

    @property
    def rows(self) -> slice:
        """Return the rows of this host."""
        rank, hosts = self.exchange.rank, self.exchange.size
        return slice(self.size * rank // hosts, self.size * (rank + 1) // hosts)

    def sum(self, part: Array) -> Array:
        """Return the sum of the parts of all hosts, in the order of their ranks."""
        total: Array = np.sum(all_gather(self.exchange, part), axis=0)
        return total

    def concatenate(self, part: Array) -> Array:
        """Return the rows of all hosts."""
        return np.concatenate(all_gather(self.exchange, part))
