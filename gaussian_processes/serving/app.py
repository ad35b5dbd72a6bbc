"""What is answered over HTTP?"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from flask import Flask, Response, request
from numpy.typing import NDArray
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import get_input_stream

from gaussian_processes.data.schema import UNKNOWN_CATEGORY, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.serving import openapi, outputs, prometheus
from gaussian_processes.serving.formats import decoders, negotiation
from gaussian_processes.serving.formats.encoders import Encoder
from gaussian_processes.serving.outputs import OutputRequest
from gaussian_processes.serving.registry import (
    AlreadyLoadedError,
    InsufficientMemoryError,
    ModelRegistry,
    NotLoadedError,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Array = NDArray[np.float64]
Result = TypeVar("Result")

INVOCATIONS = "/invocations"
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
ATTRIBUTES_VARIABLE = f"HTTP_{ATTRIBUTES.upper().replace('-', '_')}"  # as WSGI has it
# What a request's environment is given for the log, the counters and Flask: how many rows, since when, and why it has failed.
ROWS, BEGAN, FAILURE = (
    "gaussian_processes.rows",
    "gaussian_processes.began",
    "gaussian_processes.failure",
)
# What is done in the thread that takes requests in, because handing it to another costs half a millisecond and more when all
# are busy: what takes a few times as long at most.
INLINE_SECONDS = 1e-3
# Rows of a request whose answer is as quickly written there; in JSON that takes a millisecond.
FEW_ROWS = 256
# Characters of an error's body: SageMaker's client shows 2,048 of them.
LONGEST = 2_000
# Models on a page of the list of them; the platform asks for the next page.
PAGE = 100
STATUSES: Mapping[type[UserError], int] = {
    negotiation.NotAcceptableError: 406,
    negotiation.UnsupportedMediaTypeError: 415,
    AlreadyLoadedError: 409,
    InsufficientMemoryError: 507,
    NotLoadedError: 404,
}


class Elsewhere(Protocol):
    """Calls what it is given, which may take seconds and knows nothing of Flask, and returns what that returns."""

    def __call__(self, call: Callable[[], Result], /) -> Result:
        """Return what the call returns, or raise what it raises."""


def here(call: Callable[[], Result]) -> Result:
    """Call in the thread of the request."""
    return call()


def by_itself(model: Model, rows: Array, variance: bool) -> Prediction:
    """Predict the rows of one request in its thread."""
    return model.predict(rows, variance)


@dataclass(frozen=True)
class Options:
    """What an application is told beside its models.

    Parameters
    ----------
    outputs : str
        What an answer holds unless the request asks for something else, such as ``mean,std``; the model's first unless given.
    accept : str, optional
        What a request without `Accept` accepts.
    body_bytes : int, optional
        The largest body that is read.
    transforms : mapping
        What ``/execution-parameters`` answers.
    elsewhere : Elsewhere
        Does what would keep other requests waiting.
    predict : callable
        Calls a model's `predict` for a request of few rows.
    """

    outputs: str = ""
    accept: str | None = None
    body_bytes: int | None = None
    transforms: Mapping[str, object] = field(default_factory=dict)
    elsewhere: Elsewhere = here
    predict: Callable[[Model, Array, bool], Prediction] = by_itself


def create_app(served: Model | ModelRegistry, options: Options | None = None) -> Flask:
    """Make the WSGI application that answers ``/ping``, ``/invocations`` and what else the platform may ask.

    Parameters
    ----------
    served : Model or ModelRegistry
        With `ModelRegistry` it is a multi-model endpoint, which loads, asks and unloads them under ``/models``.
    options : Options, optional
    """
    options = options or Options()
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = options.body_bytes
    app.register_error_handler(UserError, _refused)
    app.register_error_handler(HTTPException, _failed)
    counters = prometheus.Metrics()
    _count(app, counters)

    @app.get("/ping")
    def ping() -> Response:
        return Response(content_type="text/plain")

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(counters.render(), content_type=prometheus.CONTENT_TYPE)

    @app.get("/openapi.json")
    def description() -> Response:
        return _json(openapi.description(many=isinstance(served, ModelRegistry)))

    @app.get("/execution-parameters")
    def execution_parameters() -> Response:
        return _json(options.transforms)

    endpoint = InvocationHandler(app, options, counters)
    if isinstance(served, ModelRegistry):
        _serve_many(app, served, endpoint)
    else:
        _serve_one(app, served, endpoint)
    return app


@dataclass(frozen=True)
class Answer:
    """What a request for predictions is answered; where no rows were sent it is without content."""

    body: bytes = b""
    content_type: str = "text/plain"

    @property
    def status(self) -> HTTPStatus:
        """Status of HTTP."""
        return HTTPStatus.OK if self.body else HTTPStatus.NO_CONTENT

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Headers of HTTP; what is without content has no length (RFC 9110, section 8.6)."""
        length = [("Content-Length", str(len(self.body)))] if self.body else []
        return [("Content-Type", self.content_type), *length]


@dataclass
class InvocationHandler:
    """What answers a request for predictions."""

    app: Flask
    options: Options
    counters: prometheus.Metrics
    mentioned: set[tuple[int, int]] = field(default_factory=set)

    def answer(self, model: Model, environ: "WSGIEnvironment") -> Answer:
        """Answer a request with a model; what `environ` has is as WSGI (PEP 3333) says."""
        encoder = negotiation.encoder(environ.get("HTTP_ACCEPT") or self.options.accept)
        attributes = environ.get(ATTRIBUTES_VARIABLE, "")
        questions = outputs.parse_custom_attributes(attributes, model) or outputs.usual(
            self.options.outputs, model
        )
        _check_plain(environ.get("HTTP_CONTENT_ENCODING", ""))
        body = get_input_stream(environ, max_content_length=self.options.body_bytes).read()
        if not body or body.isspace():
            return Answer()
        with self.counters.track_prediction():
            answer, rows = self._predicted(
                model, body, environ.get("CONTENT_TYPE"), encoder, questions
            )
        self.counters.count_rows(rows)
        environ[ROWS] = rows
        return Answer(answer, encoder.media_type)

    def _predicted(
        self,
        model: Model,
        body: bytes,
        content_type: str | None,
        encoder: Encoder,
        questions: tuple[OutputRequest, ...],
    ) -> tuple[bytes, int]:
        """Body of the answer, and how many rows it is of."""
        variance = outputs.need_variance(questions, model)

        def read() -> Array:
            rows = decoders.decode(body, content_type, model.schema)
            for sentence in self._unknown(model.schema, rows):
                self.app.logger.warning(sentence)
            return rows

        def written(prediction: Prediction) -> bytes:
            return encoder.encode(outputs.answers(questions, model, prediction))

        def alone(rows: Array) -> tuple[bytes, int]:
            return written(model.predict(rows, variance)), len(rows)

        if decoders.estimated_decode_seconds(body, content_type, model.schema) > INLINE_SECONDS:
            return self.options.elsewhere(lambda: alone(read()))
        rows = read()
        if len(rows) > FEW_ROWS:
            return self.options.elsewhere(lambda: alone(rows))
        return written(self.options.predict(model, rows, variance)), len(rows)

    def _unknown(self, schema: Schema, rows: Array) -> Iterator[str]:
        """Sentences on the columns in which a level that training did not have comes for the first time."""
        for index, levels in enumerate(schema.category_counts):
            if (
                levels
                and (id(schema), index) not in self.mentioned
                and (rows[:, index] == UNKNOWN_CATEGORY).any()
            ):
                self.mentioned.add((id(schema), index))
                column = schema.column_label(index)
                yield f"{column} holds a level that training did not have; such cells count as none of the levels"


def _serve_one(app: Flask, model: Model, endpoint: InvocationHandler) -> None:
    """Add the route of predictions, and a way past Flask, which takes as long for a request as a small prediction does."""
    flask = app.wsgi_app

    def answer_past_flask(
        environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != INVOCATIONS or environ["REQUEST_METHOD"] != "POST":
            return flask(environ, start_response)
        environ[BEGAN] = time.monotonic()
        try:
            answer = endpoint.answer(model, environ)
        except Exception as error:
            environ[FAILURE] = error
            return flask(environ, start_response)
        endpoint.counters.observe_request(
            INVOCATIONS, answer.status, time.monotonic() - environ[BEGAN]
        )
        start_response(f"{answer.status} {answer.status.phrase}", answer.headers)
        return [answer.body]

    @app.post(INVOCATIONS)
    def invocations() -> Response:
        if FAILURE in request.environ:
            # Out of there, for the error holds on to the environment in turn.
            raise request.environ.pop(FAILURE)
        return _response(endpoint.answer(model, request.environ))

    app.wsgi_app = answer_past_flask  # type: ignore[method-assign]  # as Flask's documentation has it


def _serve_many(app: Flask, models: ModelRegistry, endpoint: InvocationHandler) -> None:
    """Add the routes of a multi-model endpoint."""

    @app.post("/models")
    def load() -> Response:
        asked = request.get_json(force=True, silent=True)
        name, url = (
            asked.get(key) if isinstance(asked, dict) else None for key in ("model_name", "url")
        )
        if not (isinstance(name, str) and name and isinstance(url, str) and url):
            raise UserError(
                'the request does not read as {"model_name": "…", "url": "/opt/ml/models/…/model"}'
            )

        endpoint.options.elsewhere(lambda: models.load(name, url))
        return _json({"modelName": name, "modelUrl": url})

    @app.get("/models")
    def listed() -> Response:
        start = request.args.get("next_page_token", "0")
        first = int(start) if start.isdecimal() else 0
        every = [
            {"modelName": name, "modelUrl": loaded.url} for name, loaded in models.all().items()
        ]
        page = {"models": every[first : first + PAGE]}
        return _json(
            {**page, "nextPageToken": str(first + PAGE)} if first + PAGE < len(every) else page
        )

    @app.get("/models/<path:name>")
    def shown(name: str) -> Response:
        return _json({"modelName": name, "modelUrl": models.get(name).url})

    @app.delete("/models/<path:name>")
    def unload(name: str) -> Response:
        models.unload(name)
        return Response(content_type="text/plain")

    @app.post("/models/<path:name>/invoke")
    def invoke(name: str) -> Response:
        return _response(endpoint.answer(models.get(name).model, request.environ))


def _count(app: Flask, counters: prometheus.Metrics) -> None:
    """Count every request but the platform's own looking."""

    @app.before_request
    def begin() -> None:
        request.environ.setdefault(BEGAN, time.monotonic())

    @app.after_request
    def end(response: Response) -> Response:
        rule = request.url_rule
        path = rule.rule if rule else "other"
        if path not in {"/ping", "/metrics"}:
            counters.observe_request(
                path, response.status_code, time.monotonic() - request.environ[BEGAN]
            )
        return response


def _check_plain(encoding: str) -> None:
    """Refuse what is compressed: a few kilobytes could unfold to the whole of memory."""
    if encoding.strip().lower() not in {"", "identity"}:
        raise negotiation.UnsupportedMediaTypeError(
            f"Content-Encoding is {encoding[:60]}; send the body as it is, uncompressed"
        )


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _json(content: object) -> Response:
    return Response(json.dumps(content) + "\n", content_type="application/json")


def _refused(error: UserError) -> Response:
    """Tell whoever sent the request what to mend."""
    return _sentence(str(error), STATUSES.get(type(error), 400))


def _failed(error: HTTPException) -> Response:
    """Say in a sentence what Flask says in a page; it has logged the traceback of what was not foreseen."""
    response = _sentence(_reason(error), error.code or 500)
    response.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
    return response


def _reason(error: HTTPException) -> str:
    limit = (request.max_content_length or math.inf) / 2**20
    reasons = {
        404: f"there is no {request.path[:60]}; GET /openapi.json has what there is",
        405: f"{request.path[:60]} does not take {request.method[:60]}; GET /openapi.json has what it takes",
        413: f"the body is larger than {limit:g} MB; send fewer rows at a time",
        500: "the prediction failed for a reason that is not in the request; the log of `serve` has it",
    }
    return reasons.get(error.code or 500, f"{error.name}: {error.description}")


def _sentence(text: str, status: int) -> Response:
    body = f"{text[:LONGEST]}\n".encode(
        errors="backslashreplace"
    )  # half a surrogate pair, which JSON can hold
    return Response(body, status, content_type="text/plain; charset=utf-8")
