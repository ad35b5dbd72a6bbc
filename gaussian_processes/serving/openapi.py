"""OpenAPI description of the endpoint."""

from collections.abc import Mapping
from typing import Any

from gaussian_processes.serving.formats.decoders import DECODERS
from gaussian_processes.serving.formats.encoders import ENCODERS

# OpenAPI's own version: 3.0 is what every tool reads.
VERSION = "3.0.3"
TEXT = {"text/plain": {"schema": {"type": "string"}}}
NUMBER = {"type": "number"}
JSON = "application/json"
# Responses to an invocation without predictions.
ERROR_RESPONSES = {
    "204": "the body was empty",
    "400": "a row can't be decoded or predicted; the sentence names row and column",
    "406": "no accepted media type can be encoded",
    "413": "the body is too large",
    "415": "the content type can't be decoded",
    "503": "other requests hold the memory; send it again",
    "500": "a bug of the program",
}


def description(multi_model: bool) -> dict[str, Any]:
    """Return the OpenAPI document, as JSON can hold it."""
    invocation = "/models/{model_name}/invoke" if multi_model else "/invocations"
    paths: dict[str, Any] = {
        "/ping": {"get": _operation("whether predictions are answered", {"200": "they are"}, {})},
        "/metrics": {
            "get": _operation("counters for Prometheus", {"200": "in its text format"}, TEXT)
        },
        "/execution-parameters": {
            "get": _operation(
                "how batch transform should send its requests", {"200": "parameters"}, _object({})
            )
        },
        "/openapi.json": {"get": _operation("this document", {"200": "in JSON"}, _object({}))},
        invocation: {"post": _invocation()},
    }
    if multi_model:
        paths |= _models()
        for path in paths:
            if "{model_name}" in path:
                paths[path]["parameters"] = [
                    {
                        "name": "model_name",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "minLength": 1},
                    }
                ]
    return {
        "openapi": VERSION,
        "info": {"title": "Gaussian processes", "version": "1"},
        "paths": paths,
    }


def _invocation() -> dict[str, Any]:
    row = {"oneOf": [{"type": "array", "items": {}}, {"type": "object"}]}
    rows = {
        "oneOf": [
            {"type": "object", "properties": {"instances": {"type": "array", "items": row}}},
            {"type": "array", "items": row},
        ]
    }
    text = {"schema": {"type": "string"}}
    body = {media_type: {"schema": rows} if media_type == JSON else text for media_type in DECODERS}
    answer = {
        media_type: {"schema": {"type": "object"}} if media_type == JSON else text
        for media_type in ENCODERS
    }
    return {
        "summary": "predict the rows of the body",
        "parameters": [
            {
                "name": "X-Amzn-SageMaker-Custom-Attributes",
                "in": "header",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": {"description": "a line, or an object, for every row", "content": answer},
            **{
                code: {"description": description, "content": TEXT if code != "204" else {}}
                for code, description in ERROR_RESPONSES.items()
            },
            "404": {"description": "there is no such model", "content": TEXT},
        },
    }


def _models() -> dict[str, Any]:
    model = {
        "type": "object",
        "properties": {"modelName": {"type": "string"}, "modelUrl": {"type": "string"}},
    }
    page = {"models": {"type": "array", "items": model}, "nextPageToken": {"type": "string"}}
    names = ["model_name", "url"]
    request = {"type": "object", "required": names, "properties": {name: {} for name in names}}
    errors = {
        "400": "the folder holds no model that can be loaded",
        "409": "it is loaded already",
        "413": "the request is longer than a name and a url",
        "507": "memory does not suffice",
    }
    return {
        "/models": {
            "get": {
                **_operation(
                    "the models that are loaded", {"200": "a page of them"}, _object(page)
                ),
                "parameters": [
                    {"name": "next_page_token", "in": "query", "schema": {"type": "string"}}
                ],
            },
            "post": {
                **_operation("load a model", {"200": "it is loaded", **errors}, {}),
                "requestBody": {"required": True, "content": {JSON: {"schema": request}}},
            },
        },
        "/models/{model_name}": {
            "get": _operation(
                "where a model came from", {"200": "its folder", "404": "it is not loaded"}, {}
            ),
            "delete": _operation(
                "unload a model", {"200": "it is gone", "404": "it was not loaded"}, {}
            ),
        },
    }


def _operation(
    summary: str, responses: Mapping[str, str], content: Mapping[str, Any]
) -> dict[str, Any]:
    described = {
        code: {"description": description, **({"content": content} if content else {})}
        for code, description in responses.items()
    }
    return {"summary": summary, "responses": described}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": {"type": "object", "properties": dict(properties)}}}
