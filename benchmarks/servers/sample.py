"""AWS's sample container ("scikit_bring_your_own") with scikit-learn's Gaussian process.

Rebuilt from its description: nginx with one process, before gunicorn on a unix socket with as
many synchronous workers as the machine has cores, and in each Flask, pandas and its own copy of a
pickled model, loaded at the first request. Nothing was made slower or faster, but for one thing
that it lacks: a header asks for deviations beside the means.
"""

import io
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import Any

import flask
import numpy as np
import pandas as pd
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

NGINX = Template("""
$user
worker_processes 1;
daemon off;
pid $folder/nginx.pid;
error_log $folder/error.log;
events {}
http {
    default_type application/octet-stream;
    access_log $folder/access.log combined;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    upstream gunicorn { server unix:$folder/gunicorn.sock; }
    server {
        listen $port deferred;
        client_max_body_size 5m;
        keepalive_timeout 5;
        proxy_read_timeout 1200s;
        location ~ ^/(ping|invocations) {
            proxy_set_header X-Forwarded-For $$proxy_add_x_forwarded_for;
            proxy_set_header Host $$http_host;
            proxy_redirect off;
            proxy_pass http://gunicorn;
        }
        location / { return 404 "{}"; }
    }
}
""")


def train(folder: Path, rows: np.ndarray, targets: np.ndarray) -> None:
    """Fit a process with scikit-learn's usual kernel and fixed parameters, and pickle it."""
    process = GaussianProcessRegressor(
        RBF(4.0), alpha=0.01, optimizer=None, copy_X_train=False
    ).fit(rows, targets)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "model.pkl").open("wb") as file:
        pickle.dump(process, file)


def serve(folder: Path, port: int) -> int:
    """Start gunicorn and nginx, and stop them with this process."""
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.substitute(folder=folder, port=port, user=user))
    workers = str(multiprocessing.cpu_count())
    flags = [
        "--timeout",
        "60",
        "-k",
        "sync",
        "-b",
        f"unix:{folder}/gunicorn.sock",
        "-w",
        workers,
        "--no-control-socket",
    ]
    environment = {**os.environ, "MODEL_PATH": str(folder / "model.pkl")}
    nginx = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")], start_new_session=True)
    # Sessions of their own, as ours have: Linux may share the processor out among sessions.
    command = [sys.executable, "-m", "gunicorn", *flags, "benchmarks.servers.sample:application()"]
    gunicorn = subprocess.Popen(command, env=environment, start_new_session=True)

    def stop(*_: object) -> None:
        nginx.send_signal(signal.SIGQUIT)
        gunicorn.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    gunicorn.wait()
    return nginx.wait()


class ScoringService:
    """The model, loaded once in every worker, when it is first asked for."""

    model: Any = None

    @classmethod
    def get_model(cls) -> Any:
        """Return the model."""
        if cls.model is None:
            with Path(os.environ["MODEL_PATH"]).open("rb") as file:
                cls.model = pickle.load(file)  # noqa: S301  what the sample does
        return cls.model


def application() -> flask.Flask:
    """Make the sample's application."""
    app = flask.Flask(__name__)

    @app.get("/ping")
    def ping() -> flask.Response:
        return flask.Response(
            response="\n",
            status=200 if ScoringService.get_model() else 404,
            mimetype="application/json",
        )

    @app.post("/invocations")
    def invocations() -> flask.Response:
        if flask.request.content_type != "text/csv":
            return flask.Response(
                response="This predictor only supports CSV data", status=415, mimetype="text/plain"
            )
        data = pd.read_csv(io.StringIO(flask.request.data.decode("utf-8")), header=None)
        print(f"Invoked with {data.shape[0]} records")
        both = "std" in flask.request.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")
        found = ScoringService.get_model().predict(data.to_numpy(), return_std=both)
        out = io.StringIO()
        pd.DataFrame(np.column_stack(found) if both else found).to_csv(
            out, header=False, index=False
        )
        return flask.Response(response=out.getvalue(), status=200, mimetype="text/csv")

    return app
