"""Prometheus metrics of the server: requests, errors, seconds, rows and the queue."""

import os
from contextlib import AbstractContextManager
from functools import cache

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from gaussian_processes.model.model import NOVELTY_BOUNDS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Upper bounds in seconds: from a quarter of what a single row takes to the hour that a request of
# batch transform may.
BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 600, 3600),
)
# Rows of one prediction whose novelty is counted, at most: each takes a microsecond or two.
NOVELTY_ROWS = 100


class Metrics:
    """Metrics of one process; of all processes where ``PROMETHEUS_MULTIPROC_DIR`` is set."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._multiprocess = "PROMETHEUS_MULTIPROC_DIR" in os.environ
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
        # They are a dozen, and prometheus_client's own look-up takes as long as counting.
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
        self._novelty = Histogram(
            "gaussian_processes_novelty",
            "posterior over prior variance of the function, where a variance is predicted",
            buckets=NOVELTY_BOUNDS,
            registry=self._registry,
        )
        self._queue = Gauge(
            "gaussian_processes_queue",
            "predictions that are under way or wait for a thread",
            registry=self._registry,
            multiprocess_mode="livesum" if self._multiprocess else "all",
        )

    def observe_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request and the seconds that it took."""
        self._requests(path, status).inc()
        self._seconds(path).observe(seconds)
        if status >= 400:
            self._errors.labels(path).inc()

    def track_prediction(self) -> AbstractContextManager[None]:
        """Count a prediction in the queue while the context lasts."""
        return self._queue.track_inprogress()

    def count_rows(self, rows: int) -> None:
        """Count predicted rows."""
        self._rows.inc(rows)

    def observe_novelty(self, novelty: NDArray[np.float64] | None) -> None:
        """Count the novelty of rows, the mean of several targets, or of an even part of many."""
        if novelty is not None:
            step = -(-len(novelty) // NOVELTY_ROWS)
            for value in novelty[::step].mean(axis=1).tolist():
                self._novelty.observe(value)

    def render(self) -> bytes:
        """Render the metrics in Prometheus's text format."""
        if not self._multiprocess:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def remove_live_gauges(process: int) -> None:
    """Remove the gauges of a process that has ended; its counters stay in the totals."""
    multiprocess.mark_process_dead(process)  # type: ignore[no-untyped-call]
