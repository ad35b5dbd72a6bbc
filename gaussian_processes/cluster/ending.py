"""End of a job of several hosts: all end alike, for the reason that the leader heard of first.

The leader hears how every host has ended, or that it is lost, and tells the others. A host that
loses the leader without a word has failed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from distributed import Worker
from distributed.diagnostics.plugin import WorkerPlugin

from gaussian_processes.errors import HostLostError

# A host that answers no call for so long is lost, so that a frozen one ends the job within a
# minute. A parse that holds Python's lock may take half of it.
PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS = 8.0, 45.0
# What the leader waits for the others to have heard of the end, which takes seconds where all
# cores are busy; and what a host that has failed waits for the leader to say how all end: who goes
# before it is heard is taken for lost. SageMaker kills 20 s after the last panel.
FAREWELL_SECONDS, REPORT_SECONDS = 15.0, 18.0
# What the answer to the leader takes to go out, before the process may end.
ANSWER_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """End of the job: the reason of a failure, and the exit status of every host."""

    reason: str = ""
    status: int = 0


class Ending(WorkerPlugin):
    """Agreement on the end, by handlers of a Dask worker.

    Parameters
    ----------
    hosts : sequence of str
        Names, sorted; the first leads.
    rank : int
    on_failure : callable
        Ends the process, whatever it is doing, with the reason and the status that hold for all
        hosts.
    """

    name = "ending"

    def __init__(
        self, hosts: Sequence[str], rank: int, on_failure: Callable[[str, int], None]
    ) -> None:
        self._hosts, self._rank, self._on_failure = hosts, rank, on_failure
        self.addresses: dict[int, str] = {}
        self.outcome: Future[Outcome] = Future()
        self._finished: set[int] = set()
        self._lost: set[int] = set()
        self._tasks: list[asyncio.Future[None]] = []
        self._decided = False

    def setup(self, worker: Worker) -> None:
        """Add the handlers, before the worker is known to anybody."""
        self._worker, self._loop = worker, asyncio.get_running_loop()
        worker.handlers["report"] = self._handle_report
        worker.handlers["end"] = self._handle_end
        worker.handlers["ping"] = self._handle_ping

    def watch_scheduler(self) -> None:
        """Watch the connection to the leader's scheduler, as another host."""
        self._start(self._watch_scheduler())

    def watch_answers(self) -> None:
        """Watch whether the leader answers; or, if this is the leader, all others."""
        for rank in self.addresses:
            if rank != self._rank and 0 in (rank, self._rank):
                self._start(self._watch_answers(rank))

    def conclude(self, outcome: Outcome) -> Outcome:
        """Agree on the end, from another thread: all have succeeded, or all fail.

        A failure is reported, and what the leader makes of it waited for, but not for ever.
        """
        if self._loop.is_closed():  # a signal after the end
            return outcome
        asyncio.run_coroutine_threadsafe(self._report(outcome), self._loop)
        try:
            return self.outcome.result(REPORT_SECONDS if outcome.status else None)
        except TimeoutError:
            return outcome

    def lose(self, rank: int) -> None:
        """End the job because a host is lost."""
        self._lost.add(rank)
        self._decide(Outcome(str(HostLostError(self._hosts[rank])), 1))

    async def call_others(self, operation: str, **arguments: Any) -> list[Any]:
        """Call all others that are not lost, and wait for their answers, or errors."""
        ranks = [rank for rank in self.addresses if rank and rank not in self._lost]
        calls = (self._call(rank, operation, **arguments) for rank in ranks)
        return await asyncio.gather(*calls, return_exceptions=True)

    async def refuse(self, reason: str) -> None:
        """End the job before it has begun, as the leader, whose error follows."""
        self._decided = True
        await self._tell_others(Outcome(reason, 1))

    async def _tell_others(self, outcome: Outcome) -> None:
        """Tell all others how the job ends, and wait a little until they have heard it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self.call_others("end", reason=outcome.reason, status=outcome.status)

    async def _report(self, outcome: Outcome) -> None:
        """Tell the leader how this host has ended."""
        if self._rank == 0:
            self._hear(0, outcome)
            return
        with suppress(OSError):  # the leader is lost, which its watch will find
            arguments = {"reason": outcome.reason, "status": outcome.status}
            await self._call(0, "report", sender=self._rank, **arguments)

    def _hear(self, rank: int, outcome: Outcome) -> None:
        """Take note, as the leader, of the end of a host."""
        self._finished.add(rank)
        if outcome.status or len(self._finished) == len(self._hosts):
            self._decide(outcome)

    def _decide(self, outcome: Outcome) -> None:
        """Settle the outcome, once."""
        if not self._decided:
            self._decided = True
            self._start(self._settle(outcome))

    async def _settle(self, outcome: Outcome) -> None:
        """Let the others know, if this is the leader, and end."""
        if self._rank == 0:
            await self._tell_others(outcome)
        if outcome.status:
            self._on_failure(outcome.reason, outcome.status)
        self.outcome.set_result(outcome)

    async def _settle_soon(self, outcome: Outcome) -> None:
        """Settle the outcome when the answer to the leader has gone out."""
        await asyncio.sleep(ANSWER_SECONDS)
        await self._settle(outcome)

    async def _watch_scheduler(self) -> None:
        await self._worker.finished()
        self.lose(0)

    async def _watch_answers(self, rank: int) -> None:
        """Call a host now and then: the kernel of a frozen one keeps its connections."""
        while not self._decided:
            try:
                await asyncio.wait_for(self._call(rank, "ping"), PING_TIMEOUT_SECONDS)
            except (OSError, TimeoutError):
                self.lose(rank)
            await asyncio.sleep(PING_INTERVAL_SECONDS)

    async def _handle_report(self, sender: int, reason: str, status: int) -> str:
        self._hear(sender, Outcome(reason, status))
        return "OK"

    async def _handle_end(self, reason: str, status: int) -> str:
        if not self._decided:
            self._decided = True  # from now on the loss of the leader is no news
            self._start(self._settle_soon(Outcome(reason, status)))
        return "OK"

    async def _handle_ping(self) -> str:
        return "OK"

    async def _call(self, rank: int, operation: str, **arguments: Any) -> Any:
        return await getattr(self._worker.rpc(self.addresses[rank]), operation)(**arguments)

    def _start(self, task: Awaitable[None]) -> None:
        self._tasks.append(asyncio.ensure_future(task))
