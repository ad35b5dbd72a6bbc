"""Worker of gunicorn: its event loop, its access log, and the application that it serves.

A worker answers all its requests in one thread, as greenlets: where one waits for its socket,
another goes on. What computes for longer than a millisecond runs in threads of the operating
system.
"""

import gc
import json
import os
import secrets
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import IO, TYPE_CHECKING

import gevent  # type: ignore[import-untyped]
from gevent import socket
from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

from gaussian_processes.errors import UserError
from gaussian_processes.linalg.parallel import single_threaded_blas
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model
from gaussian_processes.resources import available_memory
from gaussian_processes.sagemaker.failures import failure_reason, platform_reason
from gaussian_processes.serving import outputs
from gaussian_processes.serving.app import create_app
from gaussian_processes.serving.batching import DynamicBatcher, LoadMonitor
from gaussian_processes.serving.config import THREADPOOL_SIZE, ServerConfig
from gaussian_processes.serving.execution import run_in_threadpool
from gaussian_processes.serving.formats import negotiation
from gaussian_processes.serving.invocations import POLLED_PATHS, ROWS, AppConfig
from gaussian_processes.serving.memory import BUDGET_SHARE, MemoryBudget
from gaussian_processes.serving.misplaced import misplaced_model
from gaussian_processes.serving.registry import ModelRegistry
from gaussian_processes.serving.responses import MAX_ERROR_CHARACTERS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from gunicorn.http.message import Request  # type: ignore[import-untyped]
    from gunicorn.http.wsgi import Response as GunicornResponse  # type: ignore[import-untyped]

# How long a thread may keep the interpreter's lock while another waits; Python's default is 5 ms. A
# request takes the lock back some ten times, so that `/ping` stays under 50 ms beside busy threads.
SWITCH_INTERVAL_SECONDS = 0.0005
# Bytes of a body that are read in one turn of the event loop.
INLINE_BODY_BYTES = 1 << 16
# Headers that may hold a request's identity: of the platform, and of proxies.
REQUEST_IDS = ("HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID", "HTTP_X_AMZN_REQUESTID", "HTTP_X_REQUEST_ID")

# One a process, because gunicorn makes the worker and the application apart from each other.
LOAD_MONITOR = LoadMonitor()


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's worker of greenlets, in a process that has real threads beside them."""

    def patch(self) -> None:
        """Make the listening sockets gevent's, and leave the rest of Python as it is.

        The overridden method turns threads, locks and queues into greenlets; what a
        `ThreadPoolExecutor` runs for the mathematics would then run on one core. Nothing but
        gunicorn's sockets needs gevent.
        """
        self.sockets: list[socket.socket] = [
            socket.socket(listener.FAMILY, socket.SOCK_STREAM, fileno=listener.sock.detach())
            for listener in self.sockets
        ]
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        gevent.get_hub().threadpool_size = THREADPOOL_SIZE
        for listener in self.sockets:
            LOAD_MONITOR.watch(listener)
        util.write_error = write_error

    def handle_request(
        self, listener_name: object, req: "Request", sock: socket.socket, addr: object
    ) -> None:
        """Answer a request, and keep its connection open only while nothing else waits.

        Successive requests of one client then meet the same worker, whose caches are warm, and wake
        no other. Concurrent ones each stand in the one queue before all workers, which a connection
        that is kept open would bypass.
        """
        if not LOAD_MONITOR.is_idle():
            req.force_close()
        LOAD_MONITOR.active_requests += 1
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            LOAD_MONITOR.active_requests -= 1


def write_error(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer a request that gunicorn refuses, with a sentence where gunicorn has a page of HTML.

    gunicorn has logged it. nginx takes the header away, and by it lets `serve` count the request.
    """
    sentence = f"{message or reason}".replace("\n", " ")[:MAX_ERROR_CHARACTERS]
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        sentence = f"the request is no valid HTTP ({sentence}); send every header once"
    body = f"{sentence}\n".encode(errors="backslashreplace")
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nX-Refused: logged\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


class AccessLog(Logger):  # type: ignore[misc]
    """gunicorn's log: a line of JSON for every request but polls, a sentence for what fails."""

    def error(self, msg: str, *args: object, **kwargs: object) -> None:
        """Log what went wrong: an error of the platform in one sentence, without its traceback."""
        reason = platform_reason(sys.exception()) if kwargs.get("exc_info") else None
        if reason:
            super().error("%s", reason)
        else:
            super().error(msg, *args, **kwargs)

    def exception(self, msg: str, *args: object, **kwargs: object) -> None:
        """Log the exception that is being handled."""
        self.error(msg, *args, **{"exc_info": True, **kwargs})

    def access(
        self,
        resp: "GunicornResponse",
        req: object,  # noqa: ARG002  gunicorn's signature
        environ: "WSGIEnvironment",
        request_time: timedelta,
    ) -> None:
        """Write the line of one request."""
        path = environ.get("PATH_INFO")
        if not self.cfg.accesslog or path in POLLED_PATHS:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "method": environ.get("REQUEST_METHOD"),
            "path": path,
            "status": int(str(resp.status).split()[0]),
            "rows": environ.get(ROWS),
            "milliseconds": round(request_time.total_seconds() * 1000, 3),
            "request_id": _request_id(environ),
        }
        # One write a line: other workers write to the same file.
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _request_id(environ: "WSGIEnvironment") -> str:
    """Identity that a request brings, or a random one."""
    for name in REQUEST_IDS:
        if environ.get(name):
            return str(environ[name])
    return secrets.token_hex(16)


class CooperativeInput:
    """Body of a request that lets other greenlets run before each piece of it is read.

    gevent switches only where a read has to wait, and nginx sends 25 MB faster than they are read.
    """

    def __init__(self, body: IO[bytes]) -> None:
        self._body = body

    def read(self, *size: int) -> bytes:
        """Read at most so many bytes."""
        gevent.sleep(0)
        return self._body.read(*size)


def cooperative_reads(inner: "WSGIApplication") -> "WSGIApplication":
    """Wrap an application so that it reads large bodies cooperatively."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not 0 < int(environ.get("CONTENT_LENGTH") or 0) <= INLINE_BODY_BYTES:
            # In place: the access log reads what the application leaves in the environment.
            environ["wsgi.input"] = CooperativeInput(environ["wsgi.input"])
        return inner(environ, start_response)

    return application


def application(cores: int) -> "WSGIApplication":
    """Make the WSGI application that gunicorn serves, or end with the reason why it can't be.

    Parameters
    ----------
    cores : int
        Cores that all workers may keep busy; those of this process alone are fewer.

    Raises
    ------
    SystemExit
        With a sentence, which Python prints on stderr.
    """
    try:
        return _application(cores)
    except Exception as error:
        raise SystemExit(failure_reason(error)) from error


def _application(cores: int) -> "WSGIApplication":
    """Make the WSGI application.

    gunicorn calls this once, before it forks its workers, so that they share one copy of the model.
    """
    config = ServerConfig.from_environment(os.environ, cores)
    single_threaded_blas().__enter__()  # for good: entering takes as long as a small prediction
    model = None if config.multi_model else _load_model(config)
    memory = MemoryBudget(int(available_memory() * BUDGET_SHARE))
    app_config = AppConfig(
        memory=memory,
        default_outputs=config.default_outputs,
        default_accept=config.default_accept,
        max_body_bytes=config.max_body_bytes,
        execution_parameters=config.execution_parameters,
        run=run_in_threadpool,
        predict=DynamicBatcher(LOAD_MONITOR.is_only_request).predict,
    )
    served = model or ModelRegistry(memory, config.model_folders, config.models_record)
    # The garbage collector does not write to what is frozen, so that workers go on sharing it.
    gc.collect()
    gc.freeze()
    return cooperative_reads(create_app(served, app_config))


def _load_model(config: ServerConfig) -> Model:
    """Load the model, and check that it has the default outputs."""
    try:
        negotiation.encoder(config.default_accept)
    except UserError as error:
        raise UserError(f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: {error}") from error
    folder = config.base / "model"
    if hint := misplaced_model(folder):
        raise UserError(hint)
    model = artifact.load(folder)
    try:
        outputs.default_outputs(config.default_outputs, model)
    except UserError as error:
        raise UserError(f"SAGEMAKER_INFERENCE_OUTPUT={config.default_outputs}: {error}") from error
    for member in model.processes:
        # The first prediction caches what later ones use: made before the fork, workers share it.
        member.process.mean(member.process.points[:1])
    return model
