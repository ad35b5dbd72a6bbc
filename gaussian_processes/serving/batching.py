"""Dynamic batching: requests of few rows that arrive together are predicted in one call."""

import select
from collections.abc import Callable
from socket import socket

import gevent  # type: ignore[import-untyped]
import numpy as np
from gevent.event import Event  # type: ignore[import-untyped]
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.serving.execution import INLINE_SECONDS, run_in_threadpool, run_inline

Array = NDArray[np.float64]

# How long a batch may take, and with it keep the next one waiting, unless two rows of the model
# take longer.
MAX_BATCH_SECONDS = 0.1
# How long a batch stays open while requests keep arriving. A dozen arrive in that time, and a model
# of 1,000 rows predicts them in a sixth of the time that they take one by one. Without arrivals
# nothing waits.
MAX_BATCH_WAIT_SECONDS = 0.003


class LoadMonitor:
    """Number of requests that this worker is answering, and whether more connections wait."""

    def __init__(self) -> None:
        self.active_requests = 0
        self._listeners = select.poll()

    def watch(self, listener: socket) -> None:
        """Watch a listening socket for connections that wait."""
        self._listeners.register(listener, select.POLLIN)

    def is_idle(self) -> bool:
        """Whether there is neither a request nor a connection that waits."""
        return not self.active_requests and not self._connection_waits()

    def is_only_request(self) -> bool:
        """Whether the request that asks is the only one, and no connection waits."""
        return self.active_requests == 1 and not self._connection_waits()

    def _connection_waits(self) -> bool:
        return bool(self._listeners.poll(0))


class Batch:
    """Rows of several requests, which may join until their prediction starts."""

    def __init__(self) -> None:
        self.parts: list[Array] = []
        self.weights: list[Array | None] = []
        self.size = 0
        self.started = False
        self.done = Event()
        self.prediction: Prediction | None = None

    @property
    def sample_weight(self) -> Array | None:
        """Weights of all rows, where any request has them."""
        if all(own is None for own in self.weights):
            return None
        pairs = zip(self.parts, self.weights, strict=True)
        return np.concatenate([np.ones(len(x)) if own is None else own for x, own in pairs])

    def join(self, rows: Array, sample_weight: Array | None) -> slice:
        """Add the rows of a request; return their slice of the batch."""
        self.parts.append(rows)
        self.weights.append(sample_weight)
        self.size += len(rows)
        return slice(self.size - len(rows), self.size)


class DynamicBatcher:
    """Predicts requests that arrive together, or while others are computed, in one call.

    A solve with the factor of 10,000 rows takes a quarter longer for eight rows than for one, and
    most of NumPy's calls take as long. A request that is alone is predicted at once.

    Parameters
    ----------
    is_only_request : callable
        Whether there is no other request to batch with.
    """

    def __init__(self, is_only_request: Callable[[], bool] = lambda: False) -> None:
        self._is_only_request = is_only_request
        self._latest: dict[tuple[int, bool], Batch] = {}

    def predict(
        self, model: Model, rows: Array, variance: bool, sample_weight: Array | None = None
    ) -> Prediction:
        """Predict as `Model.predict` does, but for rounding: a batch sums in another order."""
        seconds = model.estimated_seconds(len(rows), variance)
        # No request arrives while a prediction runs inline.
        if seconds < INLINE_SECONDS and self._is_only_request():
            return model.predict(rows, variance, sample_weight=sample_weight)
        max_seconds = max(MAX_BATCH_SECONDS, 2 * model.estimated_seconds(1, variance))
        if seconds > max_seconds:
            return _predict(model, rows, variance, sample_weight)
        key = id(model), variance
        batch = previous = self._latest.get(key)
        if (
            batch is None
            or batch.started
            or model.estimated_seconds(batch.size + len(rows), variance) > max_seconds
        ):
            batch = self._latest[key] = Batch()
            own = batch.join(rows, sample_weight)
            self._compute(key, batch, previous, model)
        else:
            own = batch.join(rows, sample_weight)
            batch.done.wait()
        # Where a batch is refused for one of its requests, each is predicted alone.
        if batch.prediction:
            return batch.prediction.subset(own)
        return _predict(model, rows, variance, sample_weight)

    def _compute(
        self, key: tuple[int, bool], batch: Batch, previous: Batch | None, model: Model
    ) -> None:
        """Predict a batch after the previous one; other requests may join it until then."""
        try:
            if previous:
                previous.done.wait()
            if not self._is_only_request():
                with gevent.Timeout(MAX_BATCH_WAIT_SECONDS, False):
                    gevent.idle()
            batch.started = True
            rows = np.concatenate(batch.parts)
            batch.prediction = _predict(model, rows, key[1], batch.sample_weight)
        except UserError:
            if len(batch.parts) == 1:
                raise
        finally:
            batch.done.set()
            if self._latest.get(key) is batch:
                del self._latest[key]


def _predict(model: Model, rows: Array, variance: bool, sample_weight: Array | None) -> Prediction:
    """Predict inline what is brief, and the rest in the pool of threads."""
    brief = model.estimated_seconds(len(rows), variance) < INLINE_SECONDS
    run = run_inline if brief else run_in_threadpool
    return run(lambda: model.predict(rows, variance, sample_weight=sample_weight))
