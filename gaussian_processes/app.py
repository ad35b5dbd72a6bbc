"""What does a model answer over HTTP?"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
from flask import Flask, Response, request
from numpy.typing import NDArray
from werkzeug.exceptions import HTTPException

from gaussian_processes import bodies
from gaussian_processes.errors import UserError
from gaussian_processes.model import Model, Prediction

Array = NDArray[np.float64]
Call = Callable[[], bytes]

# What a request can ask for, and how it comes out of a prediction; both are called only where there is a variance.
OUTPUTS: Mapping[str, Callable[[Prediction], Array]] = {
    "mean": lambda prediction: prediction.mean,
    "std": lambda prediction: np.sqrt(cast("Array", prediction.variance)),
    "variance": lambda prediction: cast("Array", prediction.variance),
}
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
# Characters of an error's body: SageMaker's client shows 2,048 of them.
LONGEST = 2_000


def here(call: Call) -> bytes:
    """Call in the thread of the request."""
    return call()


def create_app(
    model: Model, outputs: Sequence[str] = ("mean",), body_bytes: int | None = None, elsewhere: Callable[[Call], bytes] = here
) -> Flask:
    """Make the WSGI application that answers ``GET /ping`` and ``POST /invocations`` with a model.

    Parameters
    ----------
    model : Model
    outputs : sequence of str
        Of `OUTPUTS`, what an answer holds unless the request asks for something else.
    body_bytes : int, optional
        The largest body that is read.
    elsewhere : callable
        Calls what it is given, which may take seconds and knows nothing of Flask, and returns what that returns.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = body_bytes
    app.register_error_handler(UserError, _refused)
    app.register_error_handler(HTTPException, _failed)

    @app.get("/ping")
    def ping() -> Response:
        return Response(content_type="text/plain")

    @app.post("/invocations")
    def invocations() -> Response:
        encoder = bodies.encoder(request.headers.get("Accept"))
        wanted = asked_for(request.headers.get(ATTRIBUTES, ""), model.has_variance) or outputs
        body, content_type = request.get_data(), request.content_type
        if not body or body.isspace():
            return Response(status=204, content_type="text/plain")
        answer = elsewhere(lambda: encoder.encode(_predict(model, bodies.decode(body, content_type, model.columns), wanted)))
        return Response(answer, content_type=encoder.media_type)

    return app


def asked_for(attributes: str, has_variance: bool) -> tuple[str, ...]:
    """Outputs that custom attributes ask for, such as ``trace=17; output=mean,std``; none if they do not say.

    Raises
    ------
    UserError
        If an output is not one of `OUTPUTS`, or needs a variance that the model does not have.

    Examples
    --------
    >>> asked_for("output=mean,std,trace=17", has_variance=True)
    ('mean', 'std')
    """
    # Commas stand between outputs, and between attributes if a name and an equals sign follow.
    for attribute in re.split(r"[;&]|[,\s]+(?=[^,;&\s=]+=)", attributes):
        name, _, value = attribute.partition("=")
        if name.strip() == "output":
            return named(value, has_variance)
    return ()


def named(text: str, has_variance: bool) -> tuple[str, ...]:
    """Outputs that a list such as ``mean,std`` names, each once.

    Raises
    ------
    UserError
        As `asked_for` does.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in OUTPUTS:
            near = difflib.get_close_matches(name, OUTPUTS, n=1)
            guess = f', did you mean "{near[0]}"' if near else ""
            raise UserError(f'"{name[:60]}" is not an output{guess}; the outputs are {", ".join(OUTPUTS)}')
        if name != "mean" and not has_variance:
            raise UserError(f"{name} needs the variance, and this model was trained without; train again with variance=true")
    return names


def _predict(model: Model, rows: Array, outputs: Sequence[str]) -> dict[str, Array]:
    prediction = model.predict(rows, variance=set(outputs) != {"mean"})
    answer = {name: OUTPUTS[name](prediction)[:, 0] for name in outputs}
    for name, values in answer.items():
        for row in np.flatnonzero(~np.isfinite(values))[:1]:
            raise UserError(f"the {name} of row {row + 1} is {values[row]}; its numbers are too large to compute with")
    return answer


def _refused(error: UserError) -> Response:
    """Tell whoever sent the request what to mend."""
    statuses = {bodies.NotAcceptableError: 406, bodies.UnsupportedMediaTypeError: 415}
    return _sentence(str(error), statuses.get(type(error), 400))


def _failed(error: HTTPException) -> Response:
    """Say in a sentence what Flask says in a page; it has logged the traceback of what was not foreseen."""
    response = _sentence(_reason(error), error.code or 500)
    response.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
    return response


def _reason(error: HTTPException) -> str:
    limit = (request.max_content_length or 0) / 2**20
    reasons = {
        404: f"there is no {request.path[:60]}; send GET /ping or POST /invocations",
        405: f"{request.path} does not take {request.method[:60]}; send GET /ping or POST /invocations",
        413: f"the body is larger than {limit:g} MB; send fewer rows at a time",
        500: "the prediction failed for a reason that is not in the request; the log of `serve` has it",
    }
    return reasons.get(error.code or 500, f"{error.name}: {error.description}")


def _sentence(text: str, status: int) -> Response:
    return Response(f"{text[:LONGEST]}\n", status, content_type="text/plain; charset=utf-8")
