"""Flask application of the server: its routes, behind the middleware that answers invocations."""

import json

from flask import Flask, request
from flask import Response as FlaskResponse

from gaussian_processes.data.cells import unique_names
from gaussian_processes.errors import UserError
from gaussian_processes.model.model import Model
from gaussian_processes.serving import openapi
from gaussian_processes.serving.execution import Runner
from gaussian_processes.serving.invocations import (
    RULE,
    AppConfig,
    InvocationHandler,
    InvocationMiddleware,
    InvocationRoute,
    MultiModelRoute,
    SingleModelRoute,
)
from gaussian_processes.serving.memory import TooLargeError
from gaussian_processes.serving.prometheus import CONTENT_TYPE, Metrics
from gaussian_processes.serving.registry import ModelRegistry
from gaussian_processes.serving.responses import ErrorRenderer

# Models on a page of their list; the platform asks for the next page.
PAGE_SIZE = 100
# Digits of a page's token: it is a number of models, and what is longer is none of this server's.
MAX_TOKEN_DIGITS = 10
# Bytes of a request to load a model, whose url is a path of 4,096 bytes at most: thirty times that
# are parsed in a millisecond, to say what is wrong with them. And bytes that are read at a time.
MAX_LOAD_BYTES, PIECE_BYTES = 1 << 17, 1 << 16


def create_app(served: Model | ModelRegistry, config: AppConfig | None = None) -> Flask:
    """Make the WSGI application of an endpoint.

    Parameters
    ----------
    served : Model or ModelRegistry
        A registry makes a multi-model endpoint, which loads, lists and unloads under ``/models``.
    config : AppConfig, optional
    """
    config = config or AppConfig()
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.max_body_bytes
    metrics, errors = Metrics(), ErrorRenderer(app.logger, config.max_body_bytes)

    @app.before_request
    def note_rule() -> None:
        if request.url_rule:
            request.environ[RULE] = request.url_rule.rule

    @app.errorhandler(Exception)
    def render_error(error: Exception) -> FlaskResponse:
        response = errors.render(error, request.environ)
        return FlaskResponse(response.body, response.status, response.headers)

    route: InvocationRoute
    if isinstance(served, ModelRegistry):
        route = MultiModelRoute(served, config.run)
        _add_model_routes(app, served, config.run)
    else:
        route = SingleModelRoute(served)
    _add_platform_routes(app, config, metrics, multi_model=isinstance(served, ModelRegistry))
    # The middleware answers POST; Flask answers OPTIONS, and refuses other methods.
    app.add_url_rule(route.rule, "invocations", methods=["POST"])
    handler = InvocationHandler(config, metrics, app.logger)
    middleware = InvocationMiddleware(app.wsgi_app, route, handler, errors, metrics)
    app.wsgi_app = middleware  # type: ignore[method-assign]  # as Flask's documentation has it
    return app


def _add_platform_routes(
    app: Flask, config: AppConfig, metrics: Metrics, *, multi_model: bool
) -> None:
    """Add the routes that the platform and operators ask."""

    @app.get("/ping")
    def ping() -> FlaskResponse:
        return FlaskResponse(content_type="text/plain")

    @app.get("/metrics")
    def render_metrics() -> FlaskResponse:
        return FlaskResponse(metrics.render(), content_type=CONTENT_TYPE)

    @app.get("/openapi.json")
    def description() -> FlaskResponse:
        return _json(openapi.description(multi_model))

    @app.get("/execution-parameters")
    def execution_parameters() -> FlaskResponse:
        return _json(config.execution_parameters)


def _add_model_routes(app: Flask, registry: ModelRegistry, run: Runner) -> None:
    """Add the routes that load, list and unload models."""

    @app.post("/models")
    def load() -> FlaskResponse:
        name, url = _parse_load_request(_read_load_request())
        run(lambda: registry.load(name, url))
        return _model_entry(name, url)

    @app.get("/models")
    def list_models() -> FlaskResponse:
        token = request.args.get("next_page_token", "0")
        start = int(token) if token.isdecimal() and len(token) <= MAX_TOKEN_DIGITS else 0
        models = [{"modelName": name, "modelUrl": url} for name, url in registry.urls().items()]
        end = start + PAGE_SIZE
        page: dict[str, object] = {"models": models[start:end]}
        if end < len(models):
            page["nextPageToken"] = str(end)
        return _json(page)

    @app.get("/models/<path:name>")
    def show(name: str) -> FlaskResponse:
        return _model_entry(name, registry.url(name))

    @app.delete("/models/<path:name>")
    def unload(name: str) -> FlaskResponse:
        registry.unload(name)
        return FlaskResponse(content_type="text/plain")


def _read_load_request() -> bytes:
    """Read the body of ``POST /models`` to its end; refuse one that no name and url need."""
    body = b""
    while piece := request.stream.read(PIECE_BYTES):
        body += piece if len(body) <= MAX_LOAD_BYTES else b""
    if len(body) > MAX_LOAD_BYTES:
        raise TooLargeError(
            f"a request to load a model has {MAX_LOAD_BYTES:,} bytes at most; send a name and a url"
        )
    return body


def _parse_load_request(body: bytes) -> tuple[str, str]:
    """Name and url in the body of ``POST /models``."""
    try:
        document = json.loads(body, object_pairs_hook=unique_names)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        name, url = document.get("model_name"), document.get("url")
        if isinstance(name, str) and name and isinstance(url, str) and url:
            return name, url
    raise UserError(
        'the request does not read as {"model_name": "…", "url": "/opt/ml/models/…/model"}'
    )


def _model_entry(name: str, url: str) -> FlaskResponse:
    return _json({"modelName": name, "modelUrl": url})


def _json(content: object) -> FlaskResponse:
    return FlaskResponse(json.dumps(content) + "\n", content_type="application/json")
