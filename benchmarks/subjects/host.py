"""One host of several, which are processes on loopback addresses; and the rates of one core."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from benchmarks.subjects import problem
from gaussian_processes.cluster.exchange import MESSAGE_BYTES, Exchange
from gaussian_processes.cluster.hosts import Hosts, join
from gaussian_processes.gp import regression
from gaussian_processes.linalg import blas, cholesky
from gaussian_processes.linalg.cholesky import TILE_ROWS, InMemoryPanels
from gaussian_processes.linalg.parallel import single_threaded_blas

Findings = Callable[[], dict[str, Any]]
Work = Callable[[], Findings]

# Whose means and deviations are compared with those of one host.
NEW_ROWS = 200
# Messages that are under way, as in a factorisation.
MESSAGES_AHEAD = 2
# Depth of the product whose rate is measured: that of a few panels.
PRODUCT_DEPTH = 1536


class CountedExchange:
    """Exchange that counts the requests of this host, and the bytes that answer them."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange, self.rank, self.size = exchange, exchange.rank, exchange.size
        self.next_operation, self.offer = exchange.next_operation, exchange.offer
        self.forget_before = exchange.forget_before
        self.requests = self.received = 0

    def request(self, rank: int, key: Any, *arguments: int) -> Future[Any]:
        """Send a request, and count it."""
        future = self.exchange.request(rank, key, *arguments)
        future.add_done_callback(self._count)
        return future

    def _count(self, future: Future[Any]) -> None:
        self.requests += 1
        if not future.exception():
            self.received += _bytes(future.result())


class Clock:
    """Processor seconds of this process: of the arithmetic, and of the thread that exchanges."""

    def __init__(self) -> None:
        self._began = self._now()

    def findings(self) -> dict[str, float]:
        """Return the seconds since the beginning."""
        names = ("arithmetic_seconds", "exchange_seconds")
        pairs = zip(names, self._now(), self._began, strict=True)
        return {name: now - began for name, now, began in pairs}

    def _now(self) -> tuple[float, float]:
        loops = [thread.ident for thread in threading.enumerate() if thread.name == "cluster"]
        exchange = sum(time.clock_gettime(time.pthread_getcpuclockid(ident)) for ident in loops)
        return time.process_time() - exchange, exchange


def fit(names: list[str], current_host: str, rows: int, dtype: str, secret: str = "") -> Work:
    """Compute what `ours:fit` does on all hosts: on one alone, as a job of one host does."""
    stack, hosts = _joined(names, current_host, secret)
    task = problem.make(rows, NEW_ROWS)
    shared = len(hosts) > 1
    matrix = hosts.share(task.matrix) if shared else task.matrix
    factorise = hosts.factorise if shared else cholesky.factorise
    hosts.gather(None)

    def work() -> Findings:
        clock = Clock()
        process = regression.fit(
            matrix, task.targets, lambda _: InMemoryPanels(np.dtype(dtype)), None, factorise
        )
        evidence = process.log_marginal_likelihood()
        found: dict[str, Any] = {**clock.findings(), "iterations": process.iterations}
        if shared:
            found |= {"received": hosts.exchange.received, "requests": hosts.exchange.requests}

        def findings() -> dict[str, Any]:
            means, variances = process.mean_and_variance(task.new)
            left_out = process.leave_one_out(task.targets)
            stack.close()
            return found | {
                "weights": process.alpha.ravel().tolist(),
                "evidence": [evidence],
                "leave-one-out": np.concatenate(left_out).ravel().tolist(),
                "deviations": np.sqrt(variances).ravel().tolist(),
                "means": means.ravel().tolist(),
            }

        return findings

    return work


def transfer(names: list[str], current_host: str, messages: int, secret: str = "") -> Work:
    """Fetch messages from the first host, on the second."""
    stack, hosts = _joined(names, current_host, secret)
    exchange = hosts.exchange
    exchange.offer((1 << 30, "message"), lambda: message)
    message = np.random.default_rng(1).normal(size=MESSAGE_BYTES // 8)
    hosts.gather(None)

    def work() -> Findings:
        clock, flight = Clock(), deque[Future[Any]]()
        for _ in range(0 if hosts.leads else messages):
            flight.append(exchange.request(0, (1 << 30, "message")))
            if len(flight) > MESSAGES_AHEAD:
                flight.popleft().result()
        for future in flight:
            future.result()
        hosts.gather(None)
        found = clock.findings() | {"received": exchange.received}

        def findings() -> dict[str, Any]:
            stack.close()
            return found

        return findings

    return work


def rates(rows: int, repetitions: int) -> Work:
    """Measure a core's rates: of products in either precision, and of kernel values."""
    matrix = problem.make(rows).matrix

    def work() -> Findings:
        with single_threaded_blas():
            found = {dtype: _product_rate(dtype, repetitions) for dtype in ("float64", "float32")}
            began = time.process_time()
            for _ in range(repetitions):
                matrix.block(slice(0, TILE_ROWS), slice(0, rows))
            found["kernel"] = repetitions * TILE_ROWS * rows / (time.process_time() - began)
        return lambda: found

    return work


def _product_rate(dtype: str, repetitions: int) -> float:
    """Operations a second of the update that a factorisation consists of."""
    rng = np.random.default_rng(1)
    below = rng.normal(size=(TILE_ROWS, PRODUCT_DEPTH)).astype(dtype)
    top = rng.normal(size=(384, PRODUCT_DEPTH)).astype(dtype).T
    rest = np.zeros((TILE_ROWS, 384), dtype)
    blas.gemm_update(rest, below, top)
    began = time.process_time()
    for _ in range(repetitions):
        blas.gemm_update(rest, below, top)
    operations = 2 * rest.size * PRODUCT_DEPTH
    return repetitions * operations / (time.process_time() - began)


def _joined(names: list[str], current_host: str, secret: str) -> tuple[ExitStack, Hosts]:
    """Join the other hosts, until the stack is closed."""
    stack = ExitStack()
    return stack, stack.enter_context(_counted(names, current_host, secret))


@contextmanager
def _counted(names: list[str], current_host: str, secret: str) -> Iterator[Hosts]:
    def end(_: str, status: int) -> None:
        os._exit(status)

    with join(names, current_host, end, lambda _: None, secret or None) as hosts:
        yield Hosts(CountedExchange(hosts.exchange)) if len(names) > 1 else hosts


def _bytes(answer: Any) -> int:
    """Bytes of arrays, alone or in lists; of numbers and words none are counted."""
    if isinstance(answer, list | tuple):
        return sum(map(_bytes, answer))
    return answer.nbytes if isinstance(answer, np.ndarray) else 0
