"""Exchange between hosts through the handler that a plugin adds to a Dask worker."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any

from distributed import Worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol.serialize import to_serialize

from gaussian_processes.cluster.exchange import Answer, Key
from gaussian_processes.errors import HostLostError


class DaskExchange(WorkerPlugin):
    """Offers of this host, and requests to the others.

    Parameters
    ----------
    hosts : sequence of str
        Names, sorted.
    rank : int
        Number of this host.
    """

    name = "exchange"

    def __init__(self, hosts: Sequence[str], rank: int) -> None:
        self.rank, self.size = rank, len(hosts)
        self.addresses: Sequence[str] = ()
        self._hosts = hosts
        self._numbers = count(1)
        self._offers: dict[Key, Answer] = {}
        self._waiting: dict[Key, asyncio.Event] = {}

    def setup(self, worker: Worker) -> None:
        """Add the handler, before the worker is known to anybody."""
        self._worker, self._loop = worker, asyncio.get_running_loop()
        worker.handlers["exchange"] = self._handle
        worker.handlers["start"] = self._handle_start
        self._started: asyncio.Future[Sequence[str]] = self._loop.create_future()

    async def started(self) -> Sequence[str]:
        """Return the addresses of all hosts, as soon as the leader says that they are there."""
        return await self._started

    def next_operation(self) -> int:
        """Return the number of a new operation, the same on all hosts."""
        return next(self._numbers)

    def offer(self, key: Key, answer: Answer) -> None:
        """Answer requests for `key` from now on; see `Exchange.offer`."""
        self._call(self._offer, key, answer)

    def forget_before(self, operation: int) -> None:
        """Withdraw what older operations offer."""
        self._call(self._forget_before, operation)

    def request(self, rank: int, key: Key, *arguments: int) -> Future[Any]:
        """Request what a host offers.

        The future raises `HostLostError` if the host is lost, and what its answer has raised.
        """
        coroutine = self._request(rank, key, arguments)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _call(self, function: Any, *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)

    def _offer(self, key: Key, answer: Answer) -> None:
        self._offers[key] = answer
        event = self._waiting.pop(key, None)
        if event:
            event.set()

    def _forget_before(self, operation: int) -> None:
        for key in [key for key in self._offers if int(key[0]) < operation]:
            del self._offers[key]

    async def _handle_start(self, hosts: Sequence[str], addresses: Sequence[str]) -> str:
        if list(hosts) != list(self._hosts):
            return "another list of hosts"
        self.addresses = addresses
        self._started.set_result(addresses)
        return "OK"

    async def _handle(self, key: Sequence[int | str], arguments: Sequence[int]) -> dict[str, Any]:
        """Answer a request, which waits until there is an offer."""
        wanted = tuple(key)
        while wanted not in self._offers:
            await self._waiting.setdefault(wanted, asyncio.Event()).wait()
        try:
            return {"data": to_serialize(self._offers[wanted](*arguments))}
        except OSError as error:  # which the other host would take for the loss of this one
            return {"error": to_serialize(error)}

    async def _request(self, rank: int, key: Key, arguments: Sequence[int]) -> Any:
        try:
            reply = await self._worker.rpc(self.addresses[rank]).exchange(
                key=key, arguments=arguments
            )
        except OSError as error:
            raise HostLostError(self._hosts[rank]) from error
        if "error" in reply:
            raise reply["error"]
        return reply["data"]
