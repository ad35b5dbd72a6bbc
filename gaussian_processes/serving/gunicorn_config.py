"""Settings of gunicorn that it takes from a module alone; the others are flags."""

import time
from collections import deque
from typing import TYPE_CHECKING

from gunicorn.errors import HaltServer  # type: ignore[import-untyped]

from gaussian_processes.serving import prometheus

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
    from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

# No header says which scheme a client used, so that none can contradict another: nothing asks.
secure_scheme_headers: dict[str, str] = {}
# Bytes of a request line: as many as nginx hands on, whose refusal of longer ones is a sentence.
limit_request_line = 8190
# Headers of a request: more than fit into nginx's buffers of 32 kB, for the same reason.
limit_request_fields = 32_768


# Deaths within a minute, of every worker and of all, after which there is no sense in starting
# further ones: who asks would be answered 502 for good. One that is killed now and then, such as by
# the kernel in want of memory, is replaced.
DEATHS_PER_WORKER, MIN_DEATHS, DEATH_SECONDS = 3, 6, 60.0
_deaths: deque[float] = deque()


def child_exit(server: "Arbiter", worker: "Worker") -> None:
    """Clean up after a worker that has ended; end the server whose workers keep dying.

    Raises
    ------
    HaltServer
        In which gunicorn ends with exit code 1.
    """
    prometheus.remove_live_gauges(worker.pid)
    if not server.LISTENERS:  # the server is about to end, and so do its workers
        return
    now = time.monotonic()
    _deaths.append(now)
    while _deaths[0] < now - DEATH_SECONDS:
        _deaths.popleft()
    if len(_deaths) >= max(MIN_DEATHS, DEATHS_PER_WORKER * server.num_workers):
        reason = (
            f"{len(_deaths)} workers have died within {DEATH_SECONDS:g} seconds, for the reasons"
            " above; the server ends"
        )
        raise HaltServer(reason, 1)
