"""Dask's scheduler and worker as a job's hosts run them: no dashboard, no nanny, no spilling."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import dask
from distributed import Scheduler, Security, Worker
from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin

SCHEDULER_PORT, WORKER_PORT = 8786, 8788
SETTINGS = {
    # A long step of the main thread that holds Python's lock is no reason for a warning.
    "distributed.admin.tick.limit": "1h",
    "distributed.comm.compression": None,
    "distributed.comm.timeouts.connect": "30s",
    # A lost link is found after so long, by keep-alive.
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": None,
    # A worker fills memory on purpose: it must not spill, pause or be ended for it.
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
}


class QuietScheduler(Scheduler):
    """Scheduler without an HTTP server, whose ports would be further ones to guard."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Listen on no port."""


class QuietWorker(Worker):
    """Worker without an HTTP server."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Listen on no port."""


class LossReport(SchedulerPlugin):
    """Report of every worker that the scheduler has lost, by its address."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def remove_worker(
        self,
        scheduler: Scheduler,  # noqa: ARG002  the names are Dask's
        worker: str,
        **_: Any,
    ) -> None:
        """Report a worker."""
        self._report(worker)


@contextmanager
def settings() -> Iterator[None]:
    """Set Dask's settings, and leave the log to the program."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        TemporaryDirectory(prefix="cluster-") as folder,
        dask.config.set({**SETTINGS, "temporary-directory": folder}),
    ):
        yield


def make_scheduler(address: str, security: Security | None) -> Scheduler:
    """Make a scheduler that listens on one address."""
    return QuietScheduler(host=address, port=SCHEDULER_PORT, dashboard=False, security=security)


def make_worker(
    name: str,
    address: str,
    leader: str,
    plugins: tuple[WorkerPlugin, ...],
    security: Security | None,
) -> Worker:
    """Make a worker that listens on one address, and reports to the leader's scheduler."""
    return QuietWorker(
        _url(leader, SCHEDULER_PORT, security),
        name=name,
        host=address,
        port=WORKER_PORT,
        nthreads=1,
        memory_limit=0,
        dashboard=False,
        plugins=plugins,
        security=security,
    )


def worker_address(address: str, security: Security | None) -> str:
    """Return the address of a host's worker, as Dask writes it."""
    return _url(address, WORKER_PORT, security)


def _url(address: str, port: int, security: Security | None) -> str:
    return f"{'tls' if security else 'tcp'}://{address}:{port}"
