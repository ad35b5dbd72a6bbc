"""What does a model answer over HTTP?"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
from flask import Flask, Response, request
from numpy.typing import NDArray
from werkzeug.exceptions import HTTPException

from gaussian_processes import bodies
from gaussian_processes.bodies import Output
from gaussian_processes.errors import UserError
from gaussian_processes.model import Model, Prediction
from gaussian_processes.schema import UNKNOWN, Schema

Array = NDArray[np.float64]
Call = Callable[[], bytes]

# What a request can ask for, and how it comes out of a prediction: of numbers, of which the first is what is answered unless
# something else is asked for, and of classes, in the words of SageMaker's XGBoost.
NUMBERS: Mapping[str, Callable[[Model, Prediction], Output]] = {
    "mean": lambda _, prediction: _by_row(prediction.mean),
    "std": lambda _, prediction: _by_row(np.sqrt(cast("Array", prediction.variance))),
    "variance": lambda _, prediction: _by_row(cast("Array", prediction.variance)),
}
CLASSES: Mapping[str, Callable[[Model, Prediction], Output]] = {
    "predicted_label": lambda model, prediction: [
        model.schema.labels[code] for code in _probabilities(prediction).argmax(axis=1).tolist()
    ],
    "probability": lambda _, prediction: _probabilities(prediction).max(axis=1),
    "probabilities": lambda _, prediction: list(map(tuple, _probabilities(prediction).tolist())),
    "labels": lambda model, prediction: [model.schema.labels] * len(prediction.mean),
}
NEED_VARIANCE = {"std", "variance"}
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
# What is predicted in the thread that takes requests in, because handing it to another costs half a millisecond and more when
# all are busy: what takes about as long.
BRIEF_SECONDS = 1e-3
# What a prediction takes on a core of 2020: for a row of a request and a training row, and for an entry of the factor. A cell
# takes 8 characters or more, unless the numbers are short; then the estimate is out by 4 at most.
PAIR_SECONDS, ENTRY_SECONDS, CELL_BYTES = 1e-7, 4e-10, 8
# Characters of an error's body: SageMaker's client shows 2,048 of them.
LONGEST = 2_000


def _by_row(values: Array) -> Array:
    """One number a row where there is one target."""
    return values[:, 0] if values.shape[1] == 1 else values


def _probabilities(prediction: Prediction) -> Array:
    return cast("Array", prediction.probabilities)


def outputs_of(model: Model) -> Mapping[str, Callable[[Model, Prediction], Output]]:
    """Outputs that a model has."""
    return CLASSES if model.schema.labels else NUMBERS


def here(call: Call) -> bytes:
    """Call in the thread of the request."""
    return call()


def create_app(
    model: Model,
    outputs: Sequence[str] = (),
    body_bytes: int | None = None,
    elsewhere: Callable[[Call], bytes] = here,
    in_turn: Callable[[Call], bytes] = here,
) -> Flask:
    """Make the WSGI application that answers ``GET /ping`` and ``POST /invocations`` with a model.

    Parameters
    ----------
    model : Model
    outputs : sequence of str
        Of `outputs_of` the model, what an answer holds unless the request asks for something else; the first unless given.
    body_bytes : int, optional
        The largest body that is read.
    elsewhere : callable
        Calls what it is given, which may take seconds and knows nothing of Flask, and returns what that returns.
    in_turn : callable
        The same, for what takes a millisecond.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = body_bytes
    app.register_error_handler(UserError, _refused)
    app.register_error_handler(HTTPException, _failed)
    usual = tuple(outputs) or tuple(outputs_of(model))[:1]
    mentioned: set[int] = set()

    @app.get("/ping")
    def ping() -> Response:
        return Response(content_type="text/plain")

    @app.post("/invocations")
    def invocations() -> Response:
        encoder = bodies.encoder(request.headers.get("Accept"))
        _refuse_compressed(request.headers.get("Content-Encoding", ""))
        wanted = asked_for(request.headers.get(ATTRIBUTES, ""), model) or usual
        body, content_type = request.get_data(), request.content_type
        if not body or body.isspace():
            return Response(status=204, content_type="text/plain")

        def answered() -> bytes:
            rows = bodies.decode(body, content_type, model.schema)
            for sentence in _unknown(model.schema, rows, mentioned):
                app.logger.warning(sentence)
            return encoder.encode(_predict(model, rows, wanted))

        answer = (in_turn if _is_brief(model, len(body), wanted) else elsewhere)(answered)
        return Response(answer, content_type=encoder.media_type)

    return app


def _refuse_compressed(encoding: str) -> None:
    # What a small body would unfold to has no limit, and the platform passes bodies on as they are.
    if encoding.strip().lower() not in {"", "identity"}:
        raise bodies.UnsupportedMediaTypeError(f"Content-Encoding is {encoding[:60]}; send the body as it is")


def asked_for(attributes: str, model: Model) -> tuple[str, ...]:
    """Outputs that custom attributes ask for, such as ``trace=17; output=mean,std``; none if they do not say.

    Raises
    ------
    UserError
        If an output is not one of `outputs_of` the model, or needs a variance that the model does not have.
    """
    # Commas stand between outputs, and between attributes if a name and an equals sign follow.
    for attribute in re.split(r"[;&]|[,\s]+(?=[^,;&\s=]+=)", attributes):
        name, _, value = attribute.partition("=")
        if name.strip() == "output":
            return named(value, model)
    return ()


def named(text: str, model: Model) -> tuple[str, ...]:
    """Outputs that a list such as ``mean,std`` names, each once.

    Raises
    ------
    UserError
        As `asked_for` does.
    """
    names, known = tuple(dict.fromkeys(name.strip() for name in text.split(","))), outputs_of(model)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f', did you mean "{near[0]}"' if near else ""
            raise UserError(f'"{name[:60]}" is not an output{guess}; the outputs are {", ".join(known)}')
        if name in NEED_VARIANCE and not model.has_variance:
            raise UserError(f"{name} needs the variance, and this model was trained without; train again with variance=true")
    return names


def _is_brief(model: Model, body_bytes: int, outputs: Sequence[str]) -> bool:
    """Whether a request is answered sooner than another thread would be asked to."""
    rows = 1 + body_bytes // (CELL_BYTES * len(model.schema.features))
    trained = [len(member.process.points) for member in model.members]
    entries = sum(size**2 / 2 for size in trained) if NEED_VARIANCE.intersection(outputs) else 0
    return rows * (sum(trained) * PAIR_SECONDS + entries * ENTRY_SECONDS) < BRIEF_SECONDS


def _unknown(schema: Schema, rows: Array, mentioned: set[int]) -> Iterator[str]:
    """Sentences on the columns in which a level that training did not have comes for the first time."""
    for index, levels in enumerate(schema.levels):
        if levels and index not in mentioned and (rows[:, index] == UNKNOWN).any():
            mentioned.add(index)
            yield f"{schema.describe(index)} holds a level that training did not have; such cells count as none of the levels"


def _predict(model: Model, rows: Array, outputs: Sequence[str]) -> dict[str, Output]:
    prediction = model.predict(rows, variance=bool(NEED_VARIANCE.intersection(outputs)))
    for what, values in (("mean", prediction.mean), ("variance", prediction.variance)):
        if values is not None and not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise UserError(f"the {what} of row {row + 1} is {values[row, column]}; its numbers are too large to compute with")
    return {name: outputs_of(model)[name](model, prediction) for name in outputs}


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
