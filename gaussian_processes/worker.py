"""What runs inside gunicorn?

Each worker answers all its requests in one thread, as greenlets: where one waits for its socket another goes on. Predictions
compute and never wait, so they are given to threads of the operating system.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import IO, TYPE_CHECKING

import gevent  # type: ignore[import-untyped]
from gevent import socket
from gevent.lock import BoundedSemaphore  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

from gaussian_processes import artifact, contract
from gaussian_processes.app import Call, create_app, named
from gaussian_processes.errors import UserError
from gaussian_processes.model import Model

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Predictions at once in one worker, so that short requests need not wait for the end of long ones. The operating system
# divides the worker's cores between them. Eight requests of 25 MB take 700 MB of memory.
PREDICTIONS = 8
# How much a thread that predicts gives way, from 0 to 19. With the cores full, `/ping` is answered twice as fast for it,
# and the slowest of some hundred pings three times; it costs predictions nothing unless other programs want the cores.
NICENESS = 10
# Bytes of a body that are read at once without being felt.
PIECE = 1 << 16
# How long a thread may keep the interpreter to itself while another waits, for which Python's own default is 5 ms. A
# request takes the interpreter back some ten times; so `/ping` stays under 50 ms beside busy threads.
SWITCH_SECONDS = 0.0005


class Worker(GeventWorker):  # type: ignore[misc]
    """A worker whose greenlets share their process with real threads."""

    def patch(self) -> None:
        """Make the listening sockets gevent's, and leave the rest of Python as it is.

        The method that this overrides turns threads, locks and queues into greenlets; then what a `ThreadPoolExecutor` runs
        for the mathematics would run on one core. Nothing but gunicorn's sockets needs gevent here.
        """
        self.sockets: list[socket.socket] = [
            socket.socket(one.FAMILY, socket.SOCK_STREAM, fileno=one.sock.detach()) for one in self.sockets
        ]
        sys.setswitchinterval(SWITCH_SECONDS)
        gevent.get_hub().threadpool_size = PREDICTIONS


class Log(Logger):  # type: ignore[misc]
    """gunicorn's log, without a line every few seconds for the platform's ping."""

    def access(self, resp: object, req: object, environ: "WSGIEnvironment", request_time: object) -> None:
        """Write the line of one request."""
        if environ.get("PATH_INFO") != "/ping":
            super().access(resp, req, environ, request_time)


class Body:
    """A request's body that lets other greenlets have a turn before each piece of it is read.

    gevent gives them one only where a read has to wait, and nginx hands over 25 MB faster than they are read.
    """

    def __init__(self, body: IO[bytes]) -> None:
        self.body = body

    def read(self, *size: int) -> bytes:
        """Read at most so many bytes."""
        gevent.sleep(0)
        return self.body.read(*size)


def taking_turns(inner: "WSGIApplication") -> "WSGIApplication":
    """Make an application read its requests' bodies piece by piece."""

    def outer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # What comes in one piece is read at once, and needs no turn.
        if 0 < int(environ.get("CONTENT_LENGTH") or 0) <= PIECE:
            return inner(environ, start_response)
        return inner({**environ, "wsgi.input": Body(environ["wsgi.input"])}, start_response)

    return outer


def elsewhere(call: Call) -> bytes:
    """Call in a thread of its own, while the worker's other greenlets go on."""
    # What the call raises is carried over in `future`: gevent would print its traceback, and a refusal is no bug.
    future: Future[bytes] = Future()
    gevent.get_hub().threadpool.apply(_fill, (future, call))
    return future.result()


def one_by_one() -> Callable[[Call], bytes]:
    """Make what calls in the thread of the requests, and looks for new ones before each call.

    Without that, a ping would wait for all the calls that are ready when it comes: with 64 connections a tenth of a second.
    """
    turn = BoundedSemaphore()

    def in_turn(call: Call) -> bytes:
        with turn:
            gevent.sleep(0)
            return call()

    return in_turn


def _fill(future: Future[bytes], call: Call) -> None:
    # Linux keeps this for each thread by itself, and the threads that this one starts inherit it.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)


def application(body_bytes: int) -> "WSGIApplication":
    """Make what gunicorn serves: the model under the base folder, behind `app`.

    gunicorn calls this once, before it forks its workers, so that they share one copy of the model.

    Parameters
    ----------
    body_bytes : int
        The largest body that is read; 0 is no limit.

    Raises
    ------
    SystemExit
        With a sentence, which Python prints on stderr, if the model or the outputs asked for can't be served.
    """
    try:
        model = artifact.load(contract.base_folder(os.environ) / "model")
        outputs = _outputs(os.environ.get("SAGEMAKER_INFERENCE_OUTPUT", ""), model)
    except UserError as error:
        raise SystemExit(str(error)) from error
    return taking_turns(create_app(model, outputs, body_bytes or None, elsewhere, one_by_one()))


def _outputs(text: str, model: Model) -> tuple[str, ...]:
    try:
        return named(text, model) if text else ()
    except UserError as error:
        raise UserError(f"SAGEMAKER_INFERENCE_OUTPUT={text}: {error}") from error
