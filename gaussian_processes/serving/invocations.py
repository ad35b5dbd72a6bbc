"""Invocations: the WSGI middleware and the handler that answer requests for predictions."""

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from logging import Logger
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from werkzeug.wsgi import ClosingIterator, get_input_stream

from gaussian_processes.data.preprocessing import locate_request_row
from gaussian_processes.data.schema import UNKNOWN_CATEGORY, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.serving import outputs
from gaussian_processes.serving.execution import INLINE_SECONDS, Runner, run_inline
from gaussian_processes.serving.formats import decoders, negotiation
from gaussian_processes.serving.formats.encoders import Encoder, Output
from gaussian_processes.serving.memory import MemoryBudget, Reservation
from gaussian_processes.serving.outputs import OutputRequest
from gaussian_processes.serving.prometheus import Metrics
from gaussian_processes.serving.registry import ModelRegistry
from gaussian_processes.serving.responses import ErrorRenderer, Response, request_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Array = NDArray[np.float64]

CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
CUSTOM_ATTRIBUTES_VARIABLE = f"HTTP_{CUSTOM_ATTRIBUTES.upper().replace('-', '_')}"  # in WSGI
# Keys of a request's environment: the number of predicted rows, for the access log, and the rule of
# Flask's that the path matches, for the metrics.
ROWS, RULE = "gaussian_processes.rows", "gaussian_processes.rule"
# Paths that the platform polls: neither counted nor logged.
POLLED_PATHS = frozenset({"/ping", "/metrics"})
# Rows of a response that is encoded inline; in JSON that takes a millisecond. And numbers of a row
# that fewer rows may have for it.
MAX_INLINE_ROWS, MAX_INLINE_NUMBERS = 256, 4 * 256
# Rows that are predicted and encoded at once, so that what a request takes is what it was decoded
# to and its answer. The first block is smaller: from it the size of the answer is estimated. An
# answer of 60,000 rows takes a tenth to a third more processor time in blocks of 512, and none
# less in one of all, whose arrays take 2 to 5 MB more.
FIRST_ANSWER_ROWS, ANSWER_BLOCK_ROWS = 512, 8192
# Copies of the body while it is read, and of the answer while its blocks are joined.
BODY_COPIES = 2
# Bytes of a body of unknown length, or of one that is discarded, that are read at a time.
PIECE_BYTES = 1 << 16


class Predict(Protocol):
    """Predicts the rows of a request."""

    def __call__(
        self, model: Model, rows: Array, variance: bool, sample_weight: Array | None, /
    ) -> Prediction:
        """Return what `Model.predict` does, but for rounding."""


def predict_alone(
    model: Model, rows: Array, variance: bool, sample_weight: Array | None
) -> Prediction:
    """Predict the rows of one request in its thread."""
    return model.predict(rows, variance, sample_weight=sample_weight)


@dataclass(frozen=True)
class AppConfig:
    """Configuration of the application.

    Parameters
    ----------
    default_outputs : str
        Outputs of a response to a request that names none, such as ``mean,std``; "" is the model's
        first.
    default_accept : str, optional
        `Accept` of a request without one.
    max_body_bytes : int, optional
        Largest body that is read.
    execution_parameters : mapping
        Response of ``/execution-parameters``.
    run : Runner
        Runs what would keep other requests waiting.
    predict : callable
        Predicts the rows of a request of few rows.
    memory : MemoryBudget, optional
        What all requests may take together; without it they take what they need.
    """

    default_outputs: str = ""
    default_accept: str | None = None
    max_body_bytes: int | None = None
    execution_parameters: Mapping[str, object] = field(default_factory=dict)
    run: Runner = run_inline
    predict: Predict = predict_alone
    memory: MemoryBudget = field(default_factory=lambda: MemoryBudget(sys.maxsize))


class InvocationRoute(Protocol):
    """Route of invocations, and the model that each of its paths names."""

    rule: str

    def name(self, path: str) -> str | None:
        """Name of the model that a path invokes; None if the path is no invocation."""

    def model(self, name: str) -> Model:
        """Return the model of a name, or raise `NotLoadedError`."""


@dataclass(frozen=True)
class SingleModelRoute:
    """Route of an endpoint of one model, which has no name."""

    served: Model
    rule = "/invocations"

    def name(self, path: str) -> str | None:
        """Return "" for the one path there is."""
        return "" if path == self.rule else None

    def model(self, name: str) -> Model:  # noqa: ARG002  of the protocol
        """Return the model."""
        return self.served


@dataclass(frozen=True)
class MultiModelRoute:
    """Route of a multi-model endpoint."""

    registry: ModelRegistry
    run: Runner
    rule = "/models/<path:name>/invoke"

    def name(self, path: str) -> str | None:
        """Return the part of the path between ``/models/`` and ``/invoke``."""
        if not (path.startswith("/models/") and path.endswith("/invoke")):
            return None
        return path[len("/models/") : -len("/invoke")] or None

    def model(self, name: str) -> Model:
        """Return the loaded model of a name."""
        run = self.run if self.registry.needs_restoring(name) else run_inline
        return run(lambda: self.registry.get(name)).model


@dataclass(frozen=True)
class InvocationMiddleware:
    """WSGI middleware that answers invocations itself, and counts every request.

    Flask takes as long for a request as a small prediction does; so it gets all requests but these.
    """

    inner: "WSGIApplication"
    route: InvocationRoute
    handler: "InvocationHandler"
    errors: ErrorRenderer
    metrics: Metrics

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        started = time.monotonic()
        name = None
        if environ["REQUEST_METHOD"] == "POST":
            name = self.route.name(request_path(environ))
        if name is None:
            return self._pass_on(environ, start_response, started)
        reservation = self.handler.config.memory.reservation()
        try:
            response = self.handler.respond(self.route.model(name), environ, reservation)
        except Exception as error:
            response = self.errors.render(error, environ)
        self.metrics.observe_request(self.route.rule, response.status, time.monotonic() - started)
        start_response(response.status_line, response.headers)
        return ClosingIterator([response.body], reservation.release)

    def _pass_on(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", started: float
    ) -> Iterable[bytes]:
        """Let the inner application answer, and count that."""
        statuses = []

        def observe_status(status: str, *rest: Any) -> Callable[[bytes], object]:
            statuses.append(int(status[:3]))
            return start_response(status, *rest)

        body = self.inner(environ, observe_status)
        path = environ.get(RULE, "other")
        if path not in POLLED_PATHS:
            self.metrics.observe_request(path, statuses[-1], time.monotonic() - started)
        return body


@dataclass(frozen=True)
class Invocation:
    """A request for predictions: whose, of which outputs, and how the bodies are written."""

    model: Model
    output_requests: tuple[OutputRequest, ...]
    body: bytes
    content_type: str | None
    encoder: Encoder
    memory: Reservation
    metrics: Metrics

    @property
    def needs_variance(self) -> bool:
        """Whether any output needs the variance."""
        return outputs.needs_variance(self.output_requests, self.model)

    def encode(self, rows: Array, prediction: Prediction) -> bytes:
        """Encode the outputs of a prediction."""
        self.metrics.observe_novelty(prediction.novelty)
        computed = outputs.compute_outputs(self.output_requests, self.model, rows, prediction)
        return self.encoder.encode(computed)

    def is_brief(self, rows: int) -> bool:
        """Whether the answer to so many rows is encoded within a millisecond."""
        levels = sum(len(requested.levels) for requested in self.output_requests)
        if outputs.explains(self.output_requests):
            return False
        return rows <= MAX_INLINE_ROWS and rows * levels <= MAX_INLINE_NUMBERS

    def predict_and_encode(self, rows: Array, sample_weight: Array | None) -> bytes:
        """Predict rows and encode their outputs, block by block.

        Raises
        ------
        TooLargeError, BusyError
            If there is no memory for the answer.
        """
        outputs.reserve_explanations(self.output_requests, self.model, len(rows), self.memory)
        first = self._block(rows, sample_weight, slice(0, FIRST_ANSWER_ROWS))
        if len(rows) <= FIRST_ANSWER_ROWS:
            return self.encoder.encode(first)
        self._reserve_answer(len(self.encoder.encode(first)), len(rows))
        starts = range(FIRST_ANSWER_ROWS, len(rows), ANSWER_BLOCK_ROWS)
        blocks = (slice(start, start + ANSWER_BLOCK_ROWS) for start in starts)
        rest = (self._block(rows, sample_weight, block) for block in blocks)
        return self.encoder.encode_blocks(itertools.chain([first], rest))

    def _block(
        self, rows: Array, sample_weight: Array | None, block: slice
    ) -> Mapping[str, Output]:
        """Compute the outputs of some of the rows."""
        own, start = rows[block], block.start
        weight = None if sample_weight is None else sample_weight[block]
        prediction = self.model.predict(
            own, self.needs_variance, lambda row: locate_request_row(start + row), weight
        )
        self.metrics.observe_novelty(prediction.novelty)
        return outputs.compute_outputs(self.output_requests, self.model, own, prediction, start + 1)

    def _reserve_answer(self, first_bytes: int, rows: int) -> None:
        """Reserve the memory of an answer whose first block has so many bytes."""
        row_bytes = BODY_COPIES * first_bytes / FIRST_ANSWER_ROWS
        taken, total = self.memory.size, self.memory.budget.request_bytes
        possible = max(int((total - taken) / row_bytes), 1)
        self.memory.grow(
            int(taken + rows * row_bytes),
            f"the answer to {rows:,} rows",
            f"send {possible:,} rows at a time, or ask for fewer numbers a row",
        )


@dataclass
class InvocationHandler:
    """Handler of invocations: negotiates, decodes, predicts and encodes.

    Parameters
    ----------
    config : AppConfig
    metrics : Metrics
    logger : logging.Logger
        Gets a warning the first time that a column holds a category that training did not have.
    """

    config: AppConfig
    metrics: Metrics
    logger: Logger
    _warned: set[tuple[int, int]] = field(default_factory=set)

    def respond(
        self, model: Model, environ: "WSGIEnvironment", memory: Reservation | None = None
    ) -> Response:
        """Predict the rows of a request, whose memory the caller releases once it is answered.

        Raises
        ------
        UserError
            If the request can't be answered.
        werkzeug.exceptions.HTTPException
            If its body can't be read.
        """
        memory = memory or self.config.memory.reservation()
        encoder = negotiation.encoder(environ.get("HTTP_ACCEPT") or self.config.default_accept)
        output_requests = self._output_requests(environ, model)
        body = self._read_body(environ, memory)
        if not body or body.isspace():
            return Response(HTTPStatus.NO_CONTENT)
        content_type = environ.get("CONTENT_TYPE")
        invocation = Invocation(
            model, output_requests, body, content_type, encoder, memory, self.metrics
        )
        with self.metrics.track_prediction():
            content, rows = self._predict(invocation)
        self.metrics.count_rows(rows)
        environ[ROWS] = rows
        return Response(HTTPStatus.OK, content, encoder.media_type)

    def _output_requests(
        self, environ: "WSGIEnvironment", model: Model
    ) -> tuple[OutputRequest, ...]:
        attributes = environ.get(CUSTOM_ATTRIBUTES_VARIABLE, "")
        requested = outputs.parse_custom_attributes(attributes, model)
        return requested or outputs.default_outputs(self.config.default_outputs, model)

    def _read_body(self, environ: "WSGIEnvironment", memory: Reservation) -> bytes:
        """Read a body to its end; a compressed one is refused, since it could fill the memory."""
        coding = environ.get("HTTP_CONTENT_ENCODING", "")
        if coding.strip().lower() not in {"", "identity"}:
            raise negotiation.UnsupportedMediaTypeError(
                f"Content-Encoding is {coding[:60]}; send the body as it is, uncompressed"
            )
        length = environ.get("CONTENT_LENGTH")
        max_bytes = self.config.max_body_bytes
        stream = get_input_stream(environ, max_content_length=max_bytes)
        try:
            if length:
                _reserve_body(memory, int(length), BODY_COPIES)
                return stream.read()
            return _read_reserving(stream, memory)
        except UserError:
            # Closing a connection with a body on its way would cut the answer off.
            while (length or max_bytes) and stream.read(PIECE_BYTES):
                pass
            raise

    def _predict(self, invocation: Invocation) -> tuple[bytes, int]:
        """Body of the response, and its number of rows."""
        seconds = decoders.estimated_decode_seconds(
            invocation.body, invocation.content_type, invocation.model.schema
        )
        if seconds > INLINE_SECONDS:
            return self.config.run(lambda: self._decode_and_predict(invocation))
        rows, weight = self._decode(invocation)
        if not invocation.is_brief(len(rows)):
            return self.config.run(lambda: (invocation.predict_and_encode(rows, weight), len(rows)))
        model, variance = invocation.model, invocation.needs_variance
        prediction = self.config.predict(model, rows, variance, weight)
        return invocation.encode(rows, prediction), len(rows)

    def _decode_and_predict(self, invocation: Invocation) -> tuple[bytes, int]:
        rows, sample_weight = self._decode(invocation)
        return invocation.predict_and_encode(rows, sample_weight), len(rows)

    def _decode(self, invocation: Invocation) -> tuple[Array, Array | None]:
        schema = invocation.model.schema
        body, content_type = invocation.body, invocation.content_type
        size = decoders.estimated_bytes(body, content_type, schema)
        _reserve_body(invocation.memory, len(body), size / len(body))
        rows, sample_weight = decoders.decode_weighted(body, content_type, schema)
        if any(schema.category_counts):
            self._warn_of_unknown_categories(schema, rows)
        return rows, sample_weight

    def _warn_of_unknown_categories(self, schema: Schema, rows: Array) -> None:
        """Log, once a column, that it holds a category that training did not have."""
        for index, categories in enumerate(schema.category_counts):
            key = id(schema), index
            if (
                categories
                and key not in self._warned
                and (rows[:, index] == UNKNOWN_CATEGORY).any()
            ):
                self._warned.add(key)
                self.logger.warning(
                    "%s holds a category that training did not have; such cells are encoded as none"
                    " of the categories",
                    schema.column_label(index),
                )


def _read_reserving(stream: IO[bytes], memory: Reservation) -> bytes:
    """Read a body of unknown length, whose memory is reserved as it grows."""
    body = bytearray()
    while piece := stream.read(PIECE_BYTES):
        body += piece
        # It grows by an eighth at a time, and is copied in the end.
        _reserve_body(memory, len(body), BODY_COPIES + 1)
    return bytes(body)


def _reserve_body(memory: Reservation, body_bytes: int, byte_cost: float) -> None:
    """Reserve the memory of a body, each byte of which takes `byte_cost` bytes."""
    memory.grow(
        int(body_bytes * byte_cost),
        f"a body of {format_bytes(body_bytes)}",
        f"send {format_bytes(memory.budget.request_bytes / byte_cost)} at a time",
    )
