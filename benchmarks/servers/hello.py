"""What would Flask answer in the same stack, if there were nothing to compute?"""

from flask import Flask


def application(cores: int) -> Flask:  # noqa: ARG001  called as `worker.application` is
    """Make an application that answers every request with a word."""
    app = Flask(__name__, static_folder=None)

    @app.get("/ping")
    @app.post("/invocations")
    def hello() -> str:
        return "hello\n"

    return app
