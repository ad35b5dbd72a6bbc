"""Settings of gunicorn that it takes from a module alone; the others are flags."""

from typing import TYPE_CHECKING

from gaussian_processes.serving import prometheus

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
    from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

# No header says which scheme a client used, so that none can contradict another: nothing asks.
secure_scheme_headers: dict[str, str] = {}


def child_exit(server: "Arbiter", worker: "Worker") -> None:  # noqa: ARG001  gunicorn's signature
    """Clean up after a worker that has ended, whatever ended it."""
    prometheus.remove_live_gauges(worker.pid)
