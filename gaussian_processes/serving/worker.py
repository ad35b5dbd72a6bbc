"""What runs inside gunicorn?

Each worker answers all its requests in one thread, as greenlets: where one waits for its socket another goes on. What computes
for longer than a millisecond is given to threads of the operating system.
"""

import gc
import json
import os
import secrets
import select
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

import gevent  # type: ignore[import-untyped]
import numpy as np
from gevent import socket
from gevent.event import Event  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.linalg.parallel import ONE_THREAD
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.serving import outputs
from gaussian_processes.serving.app import INLINE_SECONDS, ROWS, Options, Result, create_app, here
from gaussian_processes.serving.config import ServerConfig
from gaussian_processes.serving.formats import negotiation
from gaussian_processes.serving.registry import ModelRegistry

Array = NDArray[np.float64]

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from gunicorn.http.message import Request  # type: ignore[import-untyped]
    from gunicorn.http.wsgi import Response as GunicornResponse  # type: ignore[import-untyped]

# Predictions at once in one worker, so that short requests need not wait for the end of long ones. The operating system
# divides the worker's cores between them. Eight requests of 25 MB take 700 MB of memory.
PREDICTIONS = 8
# How much a thread that predicts gives way, from 0 to 19. With the cores full, `/ping` is answered twice as fast for it,
# and the slowest of some hundred pings three times; it costs predictions nothing unless other programs want the cores.
NICENESS = 10
# How long a thread may keep the interpreter to itself while another waits, for which Python's own default is 5 ms. A
# request takes the interpreter back some ten times; so `/ping` stays under 50 ms beside busy threads.
SWITCH_SECONDS = 0.0005
# How long requests that are predicted together may keep the next ones waiting, unless two rows of the model take longer.
MAX_BATCH_SECONDS = 0.1
# How long a request may wait while others come without a pause. A dozen of them come in that time, and a model of 1,000 rows
# takes a sixth of the time for them that it would take one by one. Nobody waits for requests that are not there yet.
GATHERING_SECONDS = 0.003
# Bytes of a body that are read at once without being felt.
PIECE = 1 << 16
# How a request may say who it is: as the platform does, and as proxies do.
REQUEST_IDS = ("HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID", "HTTP_X_AMZN_REQUESTID", "HTTP_X_REQUEST_ID")


class LoadMonitor:
    """Whose requests this process has taken in, and whether more wait to be."""

    def __init__(self) -> None:
        self.inside = 0
        self.queue = select.poll()

    def nobody_waits(self) -> bool:
        """Whether no connection is to be taken in."""
        return not self.queue.poll(0)

    def one_inside(self) -> bool:
        """Whether the request at hand is the only one there is."""
        return self.inside == 1 and self.nobody_waits()


# gunicorn makes the worker and the application apart from each other; this is what both know.
DOOR = LoadMonitor()


class Worker(GeventWorker):  # type: ignore[misc]
    """A worker whose greenlets share their process with real threads."""

    def patch(self) -> None:
        """Make the listening sockets gevent's, and leave the rest of Python as it is.

        The method that this overrides turns threads, locks and queues into greenlets; then what a `ThreadPoolExecutor` runs
        for the mathematics would run on one core. Nothing but gunicorn's sockets needs gevent here.
        """
        self.sockets: list[socket.socket] = [
            socket.socket(one.FAMILY, socket.SOCK_STREAM, fileno=one.sock.detach())
            for one in self.sockets
        ]
        sys.setswitchinterval(SWITCH_SECONDS)
        gevent.get_hub().threadpool_size = PREDICTIONS
        for one in self.sockets:
            DOOR.queue.register(one, select.POLLIN)

    def handle_request(
        self, listener_name: object, req: "Request", sock: socket.socket, addr: object
    ) -> None:
        """Answer a request, and keep its connection for the next one if there is nothing else to do, and nobody waits.

        One client after the other then meets the same worker, whose caches are warm, and wakes no other. Where several come
        at once, each stands in the one queue before all workers: a connection that is kept would pass it by.
        """
        if DOOR.inside or not DOOR.nobody_waits():
            req.force_close()
        DOOR.inside += 1
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            DOOR.inside -= 1


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log: one line of JSON a request, and none every few seconds for the platform's looking."""

    def access(
        self,
        resp: "GunicornResponse",
        req: object,  # noqa: ARG002
        environ: "WSGIEnvironment",
        request_time: timedelta,
    ) -> None:
        """Write the line of one request."""
        path = environ.get("PATH_INFO")
        if self.cfg.accesslog and path not in {"/ping", "/metrics"}:
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "method": environ.get("REQUEST_METHOD"),
                "path": path,
                "status": int(str(resp.status).split()[0]),
                "rows": environ.get(ROWS),
                "milliseconds": round(request_time.total_seconds() * 1000, 3),
                "request_id": next(
                    (environ[name] for name in REQUEST_IDS if environ.get(name)), None
                )
                or secrets.token_hex(16),
            }
            # In one piece: the worker beside this one writes to the same place.
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


class CooperativeInput:
    """A request's body that lets other greenlets have a turn before each piece of it is read.

    gevent gives them one only where a read has to wait, and nginx hands over 25 MB faster than they are read.
    """

    def __init__(self, body: IO[bytes]) -> None:
        self.body = body

    def read(self, *size: int) -> bytes:
        """Read at most so many bytes."""
        gevent.sleep(0)
        return self.body.read(*size)


def cooperative_reads(inner: "WSGIApplication") -> "WSGIApplication":
    """Make an application read its requests' bodies piece by piece."""

    def outer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # What comes in one piece is read at once, and needs no turn.
        if not 0 < int(environ.get("CONTENT_LENGTH") or 0) <= PIECE:
            environ["wsgi.input"] = CooperativeInput(
                environ["wsgi.input"]
            )  # in place: the log reads what the application leaves there
        return inner(environ, start_response)

    return outer


def elsewhere(call: Callable[[], Result]) -> Result:
    """Call in a thread of its own, while the worker's other greenlets go on."""
    # What the call raises is carried over in `future`: gevent would print its traceback, and a refusal is no bug.
    future: Future[Result] = Future()
    gevent.get_hub().threadpool.apply(_fill, (future, call))
    return future.result()


class Batch:
    """Rows of several requests, and what is predicted of them; more may join until that begins."""

    def __init__(self) -> None:
        self.rows: list[Array] = []
        self.size = 0
        self.begun = False
        self.done = Event()
        self.prediction: Prediction | None = None

    def join(self, rows: Array) -> slice:
        """Add a request's rows; return where they are."""
        self.rows.append(rows)
        self.size += len(rows)
        return slice(self.size - len(rows), self.size)


class DynamicBatcher:
    """Predicts together the requests of few rows that come at once, or while others are computed.

    A pass over the factor of 10,000 rows takes a quarter longer for eight rows than for one, and most of NumPy's calls take as
    long. A request that is alone is answered at once.

    Parameters
    ----------
    alone : callable
        Whether there is no other request to wait for.
    """

    def __init__(self, alone: Callable[[], bool] = lambda: False) -> None:
        self._alone = alone
        self._latest: dict[tuple[int, bool], Batch] = {}

    def predict(self, model: Model, rows: Array, variance: bool) -> Prediction:
        """Return what `Model.predict` does, to the last digit or two: sums are taken in another order for several rows."""
        seconds = model.estimated_seconds(len(rows), variance)
        # While what is brief is computed, nobody comes in.
        if seconds < INLINE_SECONDS and self._alone():
            return model.predict(rows, variance)
        most = max(MAX_BATCH_SECONDS, 2 * model.estimated_seconds(1, variance))
        if seconds > most:
            return _run(model, rows, variance)
        key = id(model), variance
        batch = before = self._latest.get(key)
        if (
            batch is None
            or batch.begun
            or model.estimated_seconds(batch.size + len(rows), variance) > most
        ):
            batch = self._latest[key] = Batch()
            mine = batch.join(rows)
            self._compute(key, batch, before, model)
        else:
            mine = batch.join(rows)
            batch.done.wait()
        # Of several requests one can't be computed: each hears of its own rows.
        return batch.prediction.of(mine) if batch.prediction else _run(model, rows, variance)

    def _compute(
        self, key: tuple[int, bool], batch: Batch, before: Batch | None, model: Model
    ) -> None:
        try:
            if before:
                before.done.wait()
            if not self._alone():  # whoever is at the door comes in first
                with gevent.Timeout(GATHERING_SECONDS, False):
                    gevent.idle()
            batch.begun = True
            batch.prediction = _run(model, np.concatenate(batch.rows), key[1])
        except UserError:
            if len(batch.rows) == 1:
                raise
        finally:
            batch.done.set()
            if self._latest.get(key) is batch:
                del self._latest[key]


def _run(model: Model, rows: Array, variance: bool) -> Prediction:
    """Predict in this thread what is brief, and the rest elsewhere."""
    run = here if model.estimated_seconds(len(rows), variance) < INLINE_SECONDS else elsewhere
    return run(lambda: model.predict(rows, variance))


def _fill(future: Future[Result], call: Callable[[], Result]) -> None:
    # Linux keeps this for each thread by itself, and the threads that this one starts inherit it.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)


def application(cores: int) -> "WSGIApplication":
    """Make the WSGI application that gunicorn serves.

    gunicorn calls this once, before it forks its workers, so that they share one copy of the model.

    Parameters
    ----------
    cores : int
        Cores that all workers may keep busy; those of this process alone are fewer.

    Raises
    ------
    SystemExit
        With a sentence, which Python prints on stderr, if the model or the default outputs can't
        be served.
    """
    config = ServerConfig.from_environment(os.environ, cores)
    options = Options(
        config.default_outputs,
        config.default_accept,
        config.max_body_bytes,
        config.execution_parameters,
        elsewhere,
        DynamicBatcher(DOOR.one_inside).predict,
    )
    ONE_THREAD.__enter__()  # for good, and not anew with every prediction
    try:
        served = ModelRegistry.of_free_memory() if config.multi_model else _load_model(config)
    except UserError as error:
        raise SystemExit(str(error)) from error
    # What the collector of garbage need not look at, it does not write to: workers go on sharing it.
    gc.collect()
    gc.freeze()
    return cooperative_reads(create_app(served, options))


def _load_model(config: ServerConfig) -> Model:
    """Load the model, and check that it has the default outputs."""
    try:
        negotiation.encoder(config.default_accept)
    except UserError as error:
        raise UserError(f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: {error}") from error
    model = artifact.load(config.base / "model")
    try:
        outputs.usual(config.default_outputs, model)
    except UserError as error:
        raise UserError(f"SAGEMAKER_INFERENCE_OUTPUT={config.default_outputs}: {error}") from error
    for member in model.members:
        # The first prediction caches what later ones use: made before the fork, workers share it.
        member.process.mean(member.process.points[:1])
    return model
