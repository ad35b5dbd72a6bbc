"""Membership of a host in the cluster of its job's hosts.

The host whose name comes first in sorted order leads: it runs Dask's scheduler, which learns of the
death of every host. Every host runs a worker, in an event loop in a thread of its own, since the
main thread has the signals; the program itself is no task of Dask's.
"""

import asyncio
import logging
import math
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from typing import TypeVar

from distributed import Scheduler, Security, Worker

from gaussian_processes.cluster import nodes
from gaussian_processes.cluster.dask_exchange import DaskExchange
from gaussian_processes.cluster.ending import FAREWELL_SECONDS, Ending, Outcome
from gaussian_processes.errors import UserError

LOGGER = logging.getLogger(__name__)
T = TypeVar("T")

# How long hosts that come late are waited for, and how often the log says so.
PATIENCE_SECONDS, REMINDER_SECONDS = 900.0, 60.0
RETRY_SECONDS = 0.5


class Membership:
    """Context of a host in the cluster; from its beginning to its end all hosts are there.

    Parameters
    ----------
    hosts : sequence of str
        Names of all hosts of the job, in any order.
    current_host : str
        The one that this is.
    on_failure : callable
        See `Ending`. Called in the event loop.
    patience_seconds : float
        How long the other hosts are waited for.
    security : Security, optional
        TLS, if the hosts have a secret.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        current_host: str,
        on_failure: Callable[[str, int], None],
        patience_seconds: float = PATIENCE_SECONDS,
        security: Security | None = None,
    ) -> None:
        self.hosts = sorted(hosts)
        self._name, self._patience = current_host, patience_seconds
        self._security = security
        rank = self.hosts.index(current_host)
        self.exchange = DaskExchange(self.hosts, rank)
        self.ending = Ending(self.hosts, rank, on_failure)
        self._joined: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)

    def __enter__(self) -> "Membership":
        """Join the cluster: return when all hosts have come.

        Raises
        ------
        UserError
            If one has not come in time, or has another list of hosts.
        """
        self._thread.start()
        self._joined.result()
        return self

    def __exit__(self, error_type: object, *_: object) -> None:
        """Leave the cluster; not after an error, which the others have still to be told of."""
        if error_type:
            return
        self._loop.call_soon_threadsafe(self._leaving.set)
        self._thread.join(FAREWELL_SECONDS)

    def conclude(self, outcome: Outcome) -> Outcome:
        """Agree with the other hosts on the end; see `Ending.conclude`."""
        return self.ending.conclude(outcome)

    def _run(self) -> None:
        with nodes.settings():
            try:
                asyncio.run(self._live())
            except Exception as error:
                if self._joined.done():
                    raise
                self._joined.set_exception(error)

    async def _live(self) -> None:
        """Come together with the other hosts, and stay until this one leaves."""
        self._loop, self._leaving = asyncio.get_running_loop(), asyncio.Event()
        self._deadline = time.monotonic() + self._patience
        own = await self._wait(_resolve(self._name), lambda: [self._name])
        async with AsyncExitStack() as stack:
            if self.exchange.rank == 0:
                addresses = await self._lead(stack, own)
            else:
                addresses = await self._follow(stack, own)
            self.exchange.addresses = addresses
            self._joined.set_result(None)
            await self._leaving.wait()

    async def _lead(self, stack: AsyncExitStack, own: str) -> Sequence[str]:
        """Wait for all hosts, and tell them when they are there; return their addresses."""
        scheduler = await stack.enter_async_context(nodes.make_scheduler(own, self._security))
        await stack.enter_async_context(self._worker(own, own))
        scheduler.add_plugin(nodes.LossReport(self._lose))
        try:
            await self._wait(self._count(scheduler), lambda: self._missing(scheduler))
            self.ending.addresses = self._ranks(scheduler)
            self.ending.watch_answers()
            await self._begin()
        except UserError as error:
            self.ending.addresses = self._ranks(scheduler)
            await self.ending.refuse(str(error))
            raise
        return list(self.ending.addresses.values())

    async def _follow(self, stack: AsyncExitStack, own: str) -> Sequence[str]:
        """Register with the leader, and wait until it says that all hosts are there."""
        name = self.hosts[0]
        leader = await self._wait(_resolve(name), lambda: [name])
        worker = self._worker(own, leader)
        await self._wait(stack.enter_async_context(worker), lambda: [name])
        self.ending.addresses[0] = nodes.worker_address(leader, self._security)
        self.ending.watch_scheduler()
        # From here on it is the leader that loses patience.
        self._deadline = math.inf
        addresses = await self._wait(self.exchange.started(), lambda: ["others"])
        self.ending.watch_answers()
        return addresses

    async def _wait(self, event: Awaitable[T], missing: Callable[[], list[str]]) -> T:
        """Wait for something that hosts are missing for, and log a line a minute."""
        began, task = time.monotonic(), asyncio.ensure_future(event)
        while True:
            left = self._deadline - time.monotonic()
            await asyncio.wait([task], timeout=max(0.0, min(left, REMINDER_SECONDS)))
            if task.done():
                return task.result()
            if left <= 0:
                task.cancel()
                raise UserError(
                    f"host {', '.join(missing())} did not come within {self._patience:g} s: look"
                    " into its log, and start the job again"
                )
            waited = time.monotonic() - began
            LOGGER.info("waiting for host %s, %.0f s so far", ", ".join(missing()), waited)

    def _worker(self, own: str, leader: str) -> Worker:
        plugins = (self.exchange, self.ending)
        return nodes.make_worker(self._name, own, leader, plugins, self._security)

    def _ranks(self, scheduler: Scheduler) -> dict[int, str]:
        """Addresses of the hosts that have come, by rank."""
        found = _addresses(scheduler)
        return {rank: found[name] for rank, name in enumerate(self.hosts) if name in found}

    def _missing(self, scheduler: Scheduler) -> list[str]:
        return [name for name in self.hosts if name not in _addresses(scheduler)]

    async def _count(self, scheduler: Scheduler) -> None:
        """Wait until all hosts have registered."""
        while self._missing(scheduler):
            foreign = _addresses(scheduler).keys() - set(self.hosts)
            if foreign:
                raise UserError(
                    f"host {', '.join(sorted(foreign))} came, but the job's hosts are"
                    f" {', '.join(self.hosts)}: give all hosts the same list"
                )
            await asyncio.sleep(RETRY_SECONDS)

    async def _begin(self) -> None:
        """Tell all hosts that all are there, and hear whether they think so."""
        addresses = list(self.ending.addresses.values())
        answers = await self.ending.call_others("start", hosts=self.hosts, addresses=addresses)
        # Who is lost meanwhile has given an error, and ends the job by itself.
        if set(answers) - {"OK"} and all(isinstance(answer, str) for answer in answers):
            raise UserError(
                f"the hosts have other lists of hosts than {', '.join(self.hosts)}: give all hosts"
                " the same list"
            )

    def _lose(self, address: str) -> None:
        addresses = {worker: rank for rank, worker in self.ending.addresses.items()}
        if address in addresses and not self._leaving.is_set():
            self.ending.lose(addresses[address])


def _addresses(scheduler: Scheduler) -> dict[str, str]:
    """Addresses of the hosts that have come."""
    return {str(worker.name): address for address, worker in scheduler.workers.items()}


async def _resolve(name: str) -> str:
    """Return the address of a host, whose name may take minutes to appear."""
    while True:
        with suppress(socket.gaierror):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(name, None, family=socket.AF_INET)
            return str(found[0][4][0])
        await asyncio.sleep(RETRY_SECONDS)
