"""Message exchange between hosts that run the same program: requests for what others offer.

All hosts call the same collective operations in the same order, so that a running number names
each of them on every host.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

from gaussian_processes.linalg.cholesky import NotPositiveDefiniteError

Key = tuple[int | str, ...]
Answer = Callable[..., Any]

# Bytes of a message: one of 1 MB costs two to three times as much processor time a byte.
MESSAGE_BYTES = 8 << 20


class Exchange(Protocol):
    """Connection of one host with the others."""

    @property
    def rank(self) -> int:
        """Return the number of this host, from 0: the position of its name in sorted order."""

    @property
    def size(self) -> int:
        """Return the number of hosts."""

    def next_operation(self) -> int:
        """Return the number of a new operation, the same on all hosts."""

    def offer(self, key: Key, answer: Answer) -> None:
        """Answer requests for `key`, waiting ones and later ones, with what `answer` returns.

        It is called with the arguments of a request. What it returns never changes: another host
        may be receiving it long after this one has gone on.
        """

    def request(self, rank: int, key: Key, *arguments: int) -> Future[Any]:
        """Request from a host what it offers under `key`, now or later."""

    def forget_before(self, operation: int) -> None:
        """Withdraw what is offered under keys that begin with the number of an older operation."""


class SingleHost:
    """Exchange of a job of one host, which nobody sends a request to."""

    rank = 0
    size = 1

    def next_operation(self) -> int:
        """Return 0: nobody else has to know which operation it is."""
        return 0

    def offer(self, key: Key, answer: Answer) -> None:
        """Do nothing."""

    def request(self, rank: int, key: Key, *arguments: int) -> Future[Any]:
        """Refuse: there is no other host.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            f"host {rank} was sent a request for {key} {arguments}, but there is one host only"
        )

    def forget_before(self, operation: int) -> None:
        """Do nothing."""


def all_gather(exchange: Exchange, value: Any) -> list[Any]:
    """Gather a value of every host on all of them, in the order of their ranks."""
    number = exchange.next_operation()
    values = gather_parts(exchange, (number,), value)
    # Who has the values of all knows that all have finished what came before, and withdraws that;
    # of this operation's values others may still be in need.
    exchange.forget_before(number)
    return values


def gather_parts(exchange: Exchange, key: Key, value: Any) -> list[Any]:
    """Offer a value under `key`, and gather those that all hosts offer under it."""
    exchange.offer(key, lambda: value)
    futures = {rank: exchange.request(rank, key) for rank in others(exchange)}
    return [
        value if rank == exchange.rank else futures[rank].result() for rank in range(exchange.size)
    ]


def others(exchange: Exchange) -> list[int]:
    """Ranks of the other hosts, each host beginning with the one after it."""
    return [(exchange.rank + step) % exchange.size for step in range(1, exchange.size)]


@contextmanager
def operation(exchange: Exchange) -> Iterator[int]:
    """Begin a collective operation of a new number, and forget its offers at the end.

    They are withdrawn when all hosts have come there. A matrix that is not positive definite on one
    host, where unlike processors round, is not on any; any other error ends the job, and nobody is
    waited for. No other collective operation may begin within it.
    """
    number, refusal = exchange.next_operation(), ""
    try:
        yield number
    except NotPositiveDefiniteError as error:
        refusal = str(error)
    # The words of the first host that has any.
    if reason := next(filter(None, all_gather(exchange, refusal)), ""):
        raise NotPositiveDefiniteError(reason)
