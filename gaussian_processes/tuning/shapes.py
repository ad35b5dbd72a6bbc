"""Check of a request against the shape that botocore's model of an AWS service declares.

botocore checks names, types and least values; the service alone would refuse a word that is not of
its list, a name that is too long or a number that is too large, after the request was sent.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session

# Python's type of each of a model's types; a whole number will do for a float, and true is no
# number.
TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "boolean": bool,
    "list": list,
    "map": dict,
}
CALLED = {
    str: "a text",
    int: "a whole number",
    (int, float): "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
# How many of the words of a long list are worth reading.
SHOWN_WORDS = 8


@cache
def request_shape(service: str, operation: str) -> Any:
    """Return the shape of an operation's request, in botocore's model of the service."""
    return (
        botocore.session.Session().get_service_model(service).operation_model(operation).input_shape
    )


def violations(shape: Any, value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and complaint for all that a shape forbids.

    Parameters
    ----------
    shape : botocore.model.Shape
    value : object
        As JSON gives it.

    Examples
    --------
    >>> shape = request_shape("sagemaker", "StopHyperParameterTuningJob")
    >>> list(violations(shape, {"HyperParameterTuningJobName": "gp_tune"}))[0][1]
    "is 'gp_tune', but it must match [a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}"
    """
    kind = "map" if shape.type_name == "structure" else shape.type_name
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield (
            path,
            f"is {_short(value)}, but it must be {CALLED[TYPES[kind]]}{_as_text(value, kind)}",
        )
    elif shape.type_name == "structure":
        yield from _of_structure(shape, value, path)
    else:
        yield from _of_limits(shape.metadata, value, path)
        if kind == "list":
            for position, member in enumerate(value):
                yield from violations(shape.member, member, f"{path}[{position}]")
        elif kind == "map":
            for key, member in value.items():
                yield from violations(shape.value, member, f"{path}.{key}")


def _of_structure(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    before = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            yield f"{before}{name}", "is missing, but it is required"
    for name, member in value.items():
        if name in shape.members:
            yield from violations(shape.members[name], member, f"{before}{name}")
        else:
            yield f"{before}{name}", f"is unknown, but it must be one of {_words(shape.members)}"


def _of_limits(limits: Mapping[str, Any], value: Any, path: str) -> Iterator[tuple[str, str]]:
    size, unit = (
        (value, "")
        if isinstance(value, int | float)
        else (len(value), " long" if isinstance(value, str) else " entries")
    )
    if "min" in limits and size < limits["min"]:
        yield path, f"is {_short(value)}, but it must be at least {limits['min']}{unit}"
    if "max" in limits and size > limits["max"]:
        yield path, f"is {_short(value)}, but it must be at most {limits['max']}{unit}"
    if "enum" in limits and value not in limits["enum"]:
        yield path, f"is {_short(value)}, but it must be one of {_words(limits['enum'])}"
    if "pattern" in limits and not _matches(limits["pattern"], value):
        yield path, f"is {_short(value)}, but it must match {limits['pattern']}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:  # the models are written for Java, whose \p{L} Python does not know
        return True


def _as_text(value: Any, kind: str) -> str:
    # The commonest slip: AWS wants the numbers of ranges and of hyperparameters quoted.
    return f', so write "{value}"' if kind == "string" and isinstance(value, int | float) else ""


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _words(words: Any) -> str:
    shown = list(words)
    return ", ".join(shown[:SHOWN_WORDS]) + (
        f" … ({len(shown)} in all)" if len(shown) > SHOWN_WORDS else ""
    )
