"""What has happened since the start, as Prometheus counts it?"""

import os
import time
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

# From a quarter of what a single row takes to the hour that a request of batch transform may.
BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    600,
    3600,
)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one application; of all its processes, where ``PROMETHEUS_MULTIPROC_DIR`` names a folder that they share."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        many = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        requests = Counter(
            "gaussian_processes_requests",
            "requests that were answered",
            ["path", "status"],
            registry=self._registry,
        )
        seconds = Histogram(
            "gaussian_processes_request_seconds",
            "time to the answer",
            ["path"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        # They are a dozen, and looking them up in there takes as long as counting.
        self._requests, self._seconds = cache(requests.labels), cache(seconds.labels)
        self._errors = Counter(
            "gaussian_processes_errors",
            "answers of 400 and above",
            ["path"],
            registry=self._registry,
        )
        self._rows = Counter(
            "gaussian_processes_rows", "rows that were predicted", registry=self._registry
        )
        self._queue = Gauge(
            "gaussian_processes_queue",
            "predictions that are under way or wait for a thread",
            registry=self._registry,
            multiprocess_mode="livesum" if many else "all",
        )
        self._shared = many

    def answered(self, path: str, status: int, began: float) -> None:
        """Count a request that began at a time of the monotonic clock."""
        self._requests(path, status).inc()
        self._seconds(path).observe(time.monotonic() - began)
        if status >= 400:
            self._errors.labels(path).inc()

    def predicting(self) -> AbstractContextManager[None]:
        """Count what is inside as one more prediction in the queue."""
        return self._queue.track_inprogress()

    def predicted(self, rows: int) -> None:
        """Count rows."""
        self._rows.inc(rows)

    def text(self) -> bytes:
        """Write them in Prometheus's text format."""
        if not self._shared:
            return generate_latest(self._registry)
        for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*_*.db"):
            if not Path("/proc", process := path.stem.rpartition("_")[2]).exists():
                multiprocess.mark_process_dead(int(process))  # type: ignore[no-untyped-call]
        whole = CollectorRegistry()
        multiprocess.MultiProcessCollector(whole)  # type: ignore[no-untyped-call]
        return generate_latest(whole)
