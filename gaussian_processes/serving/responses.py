"""HTTP responses, and the one place that renders an error as one of them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import get_path_info

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker.failures import platform_reason
from gaussian_processes.serving.formats.negotiation import (
    NotAcceptableError,
    UnsupportedMediaTypeError,
)
from gaussian_processes.serving.memory import BusyError, TooLargeError
from gaussian_processes.serving.registry import (
    AlreadyLoadedError,
    InsufficientMemoryError,
    LostModelError,
    NotLoadedError,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Statuses of what the sender of a request can mend; 400 for every other one.
STATUSES: Mapping[type[UserError], HTTPStatus] = {
    NotLoadedError: HTTPStatus.NOT_FOUND,
    NotAcceptableError: HTTPStatus.NOT_ACCEPTABLE,
    AlreadyLoadedError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    InsufficientMemoryError: HTTPStatus.INSUFFICIENT_STORAGE,
    LostModelError: HTTPStatus.SERVICE_UNAVAILABLE,
}
# Seconds after which a client may send again what found no memory: most requests take less.
RETRY_AFTER = ("Retry-After", "1")
# Characters of an error's body: SageMaker's client shows 2,048 of them.
MAX_ERROR_CHARACTERS = 2_000
# Beginning of the paths at which SageMaker looks for containers that stream.
STREAM_PATHS = "/invocations-"
# Characters of a path and a method that an error's sentence quotes.
QUOTED_CHARACTERS = 60


@dataclass(frozen=True)
class Response:
    """Response of HTTP: status, body and headers."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain"
    extra_headers: tuple[tuple[str, str], ...] = ()

    @property
    def status_line(self) -> str:
        """Status as WSGI writes it."""
        return f"{self.status} {self.status.phrase}"

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Headers; a response without content has no length (RFC 9110, section 8.6)."""
        headers = [("Content-Type", self.content_type), *self.extra_headers]
        if self.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Length", str(len(self.body))))
        return headers


@dataclass(frozen=True)
class ErrorRenderer:
    """Renders an exception as a response of one sentence, and logs what is a bug.

    Parameters
    ----------
    logger : logging.Logger
        Gets the traceback of what is neither a refusal nor an error of HTTP.
    max_body_bytes : int or None
        Largest body that is read, for the sentence that refuses a larger one.
    """

    logger: logging.Logger
    max_body_bytes: int | None

    def render(self, error: Exception, environ: "WSGIEnvironment") -> Response:
        """Render the error that a request has met."""
        if isinstance(error, UserError):
            headers = (RETRY_AFTER,) if isinstance(error, BusyError) else ()
            status = STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
            return _sentence(str(error), status, headers)
        path, method = request_path(environ), environ["REQUEST_METHOD"]
        if not isinstance(error, HTTPException):
            reason = platform_reason(error)
            if reason:
                self.logger.error("%s [%s]: %s", path, method, reason)
            else:
                self.logger.error("Exception on %s [%s]", path, method, exc_info=error)
            return _sentence(self._reason(500, path, method), HTTPStatus.INTERNAL_SERVER_ERROR)
        status = HTTPStatus(error.code or 500)
        reason = self._reason(status, path, method) or f"{error.name}: {error.description}"
        allow = tuple((name, value) for name, value in error.get_headers() if name == "Allow")
        return _sentence(reason, status, allow)

    def _reason(self, status: int, path: str, method: str) -> str:
        """Sentence on a status of HTTP; "" where the error has its own."""
        path, method = path[:QUOTED_CHARACTERS], method[:QUOTED_CHARACTERS]
        limit = f"{self.max_body_bytes / 2**20:g} MB" if self.max_body_bytes else "memory allows"
        return {
            404: _not_found(path),
            405: f"{path} does not take {method}; GET /openapi.json lists what it takes",
            413: f"the body is larger than {limit}; send fewer rows at a time",
            500: "the prediction failed for a reason that is not in the request;"
            " the log of `serve` has it",
        }.get(status, "")


def _not_found(path: str) -> str:
    """Sentence on a path that there is not, such as those of SageMaker's streams."""
    if path.startswith(STREAM_PATHS):
        return (
            f"answers are not streamed, so there is no {path}; POST /invocations gives them whole"
        )
    return f"there is no {path}; GET /openapi.json lists what there is"


def request_path(environ: "WSGIEnvironment") -> str:
    """Path of a request, with one slash at its beginning."""
    return "/" + get_path_info(environ).lstrip("/")


def _sentence(text: str, status: HTTPStatus, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    # JSON can hold half a surrogate pair, which UTF-8 can't.
    body = f"{text[:MAX_ERROR_CHARACTERS]}\n".encode(errors="backslashreplace")
    return Response(status, body, "text/plain; charset=utf-8", headers)
