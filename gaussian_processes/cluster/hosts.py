"""Hosts of a job, as the training program sees them: one, or several that run the same program."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar

import numpy as np

from gaussian_processes.cluster import cholesky
from gaussian_processes.cluster.distributed_factor import DistributedFactor
from gaussian_processes.cluster.exchange import Exchange, SingleHost, all_gather
from gaussian_processes.cluster.product import SharedGramMatrix, SharedRows
from gaussian_processes.files import create_memmap
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.linalg.cholesky import (
    CholeskyFactor,
    Factor,
    Matrix,
    PanelStorage,
    Progress,
    packed_bytes,
    packed_panels,
)
from gaussian_processes.linalg.parallel import WorkerPool, run_all
from gaussian_processes.resources import available_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")
Agreement = Callable[[str, int], tuple[str, int]]


@dataclass(frozen=True)
class Hosts:
    """Hosts of a job; unless it is given another exchange, there is one.

    Parameters
    ----------
    exchange : Exchange
    """

    exchange: Exchange = field(default_factory=SingleHost)

    @property
    def leads(self) -> bool:
        """Return whether this host prints the metrics and writes the model."""
        return self.exchange.rank == 0

    def __len__(self) -> int:
        """Return the number of hosts."""
        return self.exchange.size

    def factorise(
        self, matrix: Matrix, storage: PanelStorage, progress: Progress | None
    ) -> CholeskyFactor:
        """Factorise a matrix over all hosts; a collective call."""
        return cholesky.factorise(matrix, self.exchange, storage, progress)

    def share(self, matrix: GramMatrix) -> GramMatrix:
        """Return a matrix that all hosts have as one whose products they compute together."""
        return SharedGramMatrix.of(matrix, self.exchange)

    def share_rows(self, size: int) -> SharedRows:
        """Return this host's part of the rows of a preconditioner."""
        return SharedRows(size, self.exchange)

    def gather_factor(self, factor: CholeskyFactor, path: Path) -> Factor | None:
        """Return a factor that hosts share as one in a file, on the leader; a collective call.

        It is never whole in memory. The other hosts have None.

        Raises
        ------
        TypeError
            If hosts do not share it.
        UserError
            If the disk has no room for the file.
        """
        if not isinstance(factor, DistributedFactor):
            raise TypeError(f"{type(factor).__name__} is not shared among hosts")
        if not self.leads:
            factor.gather()
            return None
        numbers = packed_bytes(len(factor), factor.dtype) // factor.dtype.itemsize
        file = create_memmap(path, factor.dtype, (numbers,))
        panels = tuple(packed_panels(np.asarray(file), len(factor)))
        factor.gather(panels)
        return Factor(panels)

    def gather(self, value: Item) -> list[Item]:
        """Gather a value of every host on all of them; a collective call."""
        return all_gather(self.exchange, value)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Call a function on every item, each on one host, and return all results on every host.

        A collective call. A host that has finished an item takes the next that nobody has begun.
        The function makes no collective call.
        """
        return self._map(function, list(items), cores=1)

    def map_on_cores(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Call a function on every item, each on one core of one host: see `map`.

        A single item has all cores of its host.
        """
        return self._map(function, list(items), available_cpus())

    def _map(
        self, function: Callable[[Item], Result], tasks: Sequence[Item], cores: int
    ) -> Iterator[Result]:
        number, indices, lock, ended = self.exchange.next_operation(), count(), Lock(), Event()
        key = (number, "next item")
        if self.leads:
            self.exchange.offer(key, lambda: next(indices))

        def take() -> int:
            with lock:
                if self.leads:
                    return next(indices)
                index: int = self.exchange.request(0, key).result()
                return index

        results: dict[int, Result] = {}

        def run(_: int) -> None:
            while not ended.is_set() and (index := take()) < len(tasks):
                results[index] = function(tasks[index])

        with ExitStack() as stack:
            workers = min(cores, len(tasks))
            parallel_map = stack.enter_context(WorkerPool()) if workers > 1 else map
            # Who is interrupted waits for what has been begun, and for nothing else.
            stack.callback(ended.set)
            run_all(parallel_map, run, range(max(1, workers)))
        # Another host may be fetching `results` yet, so it stays as it is.
        merged: dict[int, Result] = {}
        for own in all_gather(self.exchange, results):
            merged |= own
        return iter([merged[index] for index in range(len(tasks))])


@contextmanager
def join(
    hosts: Sequence[str],
    current_host: str,
    on_failure: Callable[[str, int], None],
    set_agreement: Callable[[Agreement], None],
    secret: str | None = None,
) -> Iterator[Hosts]:
    """Join the hosts of a job, which may be one; stay until all have succeeded.

    Parameters
    ----------
    hosts : sequence of str
    current_host : str
    on_failure : callable
        Ends the process with a reason and an exit status, when another host has failed.
    set_agreement : callable
        Takes what tells the other hosts of a failure of this one, and returns that of all.
    secret : str, optional
        Known to the hosts alone, who then encrypt what they send and let in nobody else.

    Raises
    ------
    UserError
        If not all hosts come, or the secret is too short.
    """
    if len(hosts) == 1:
        yield Hosts()
        return
    # Dask takes half a second to import, which a job of one host is spared.
    from gaussian_processes.cluster import tls  # noqa: PLC0415
    from gaussian_processes.cluster.ending import Outcome  # noqa: PLC0415
    from gaussian_processes.cluster.membership import Membership  # noqa: PLC0415

    security = tls.security(secret) if secret else None
    with Membership(hosts, current_host, on_failure, security=security) as membership:

        def agree(reason: str, status: int) -> tuple[str, int]:
            outcome = membership.conclude(Outcome(reason, status))
            return outcome.reason, outcome.status

        set_agreement(agree)
        yield Hosts(membership.exchange)
        membership.conclude(Outcome())
