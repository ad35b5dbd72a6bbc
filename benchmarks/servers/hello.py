"""Constant answer from Flask behind the same nginx and gunicorn: the cost of the stack alone."""

from flask import Flask


def application(cores: int) -> Flask:  # noqa: ARG001  called as `worker.application` is
    """Make an application that answers every request with a word."""
    app = Flask(__name__, static_folder=None)

    @app.get("/ping")
    @app.post("/invocations")
    def hello() -> str:
        return "hello\n"

    return app
