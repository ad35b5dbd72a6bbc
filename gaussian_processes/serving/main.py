"""Entry point of `serve`: starts nginx and gunicorn, ends with either, and stops both on SIGTERM.

nginx accepts requests and passes them to gunicorn over a unix socket; gunicorn's workers hold the
model. Where there is no nginx, gunicorn listens on the port itself.
"""

import argparse
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from string import Template
from typing import NamedTuple

from gaussian_processes import __version__
from gaussian_processes.errors import UserError
from gaussian_processes.resources import available_cpus
from gaussian_processes.sagemaker.failures import failure_reason
from gaussian_processes.serving.config import MODELS_RECORD, ServerConfig
from gaussian_processes.serving.health import answers_ping
from gaussian_processes.serving.limits import check_files, check_processes
from gaussian_processes.serving.refusals import RefusalLog

DESCRIPTION = """\
Serve the model in /opt/ml/model: GET /ping, POST /invocations.

Environment variables:
  SAGEMAKER_BIND_TO_PORT        port to listen on (8080)
  SERVING_BIND_ADDRESS          address to listen on (0.0.0.0, which is every one)
  SAGEMAKER_INFERENCE_OUTPUT    what an answer holds: mean, std, variance, interval=0.9,
                                quantiles=0.05,0.5,0.95 (mean); of classes predicted_label,
                                probability, probabilities, labels (predicted_label); of both
                                novelty, shap, neighbours
  SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT  type of an answer to a request without Accept (text/csv)
  SAGEMAKER_CONTAINER_LOG_LEVEL 10 to 50: with 20 or less a line a request (20)
  SAGEMAKER_MULTI_MODEL         true: a multi-model endpoint, with /models
  SERVING_MODEL_FOLDERS         folders whose models it may load, with colons between
                                (/opt/ml/models)
  SAGEMAKER_MAX_PAYLOAD_IN_MB   largest body of a request; 0 is no limit (25)
  MODEL_SERVER_WORKERS          processes that answer (the square root of the cores,
                                rounded up)
  MODEL_SERVER_TIMEOUT          seconds that a request may take (3600)
  OMP_NUM_THREADS               cores to use, where that is fewer than are allowed
  SAGEMAKER_BASE_DIR            what to use in place of /opt/ml

The toolkits of AWS name two of them SAGEMAKER_MODEL_SERVER_WORKERS and
SAGEMAKER_MODEL_SERVER_TIMEOUT, which count where both are set.

SIGTERM answers the requests in flight and ends with exit code 0. A request asks for
other outputs with the header X-Amzn-SageMaker-Custom-Attributes: output=mean,std
"""
# The application's factory, which gunicorn calls with the cores that may be used.
APPLICATION = "gaussian_processes.serving.worker:application"
# Folder that the package is imported from. gunicorn imports from its current folder first, where
# another copy of the package may lie.
IMPORT_FOLDER = Path(__file__).parents[2]
# SageMaker kills 30 s after SIGTERM. Requests in flight get most of that; a process without any
# ends in a second.
DRAIN_SECONDS = 20
TERMINATION_SECONDS = 2
# How long the event loop of a worker may stand still before gunicorn kills the worker. Predictions
# run in threads beside it, so one that stands still for a minute hangs.
WORKER_TIMEOUT_SECONDS = 60
# How long a worker keeps an idle connection of nginx: longer than nginx does.
KEEPALIVE_SECONDS = 75
# How long nginx may take until it answers: some milliseconds, more where the machine is busy.
NGINX_SECONDS = 60
# Interval at which the processes are polled: a tenth of a second costs nothing and goes unnoticed.
POLL_SECONDS = 0.1
# What the allocator of glibc is told, where the environment does not say something else. Every
# thread that predicts would keep freed memory in an arena of its own: a worker of eight threads
# takes 30 MB less with one arena for all. Blocks as large as a body would come from the heap once
# one was freed, and leave it full of holes: a worker kept 120 MB that the budget counts as free.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 20),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; print the reason of another end, and return the exit code."""
    parser = argparse.ArgumentParser(
        "serve", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.parse_args(arguments)
    try:
        config = ServerConfig.from_environment(os.environ, available_cpus())
        for warning in config.warnings:
            _print(warning)
        check_processes(config)
        return _serve(config)
    except Exception as error:
        _print(failure_reason(error))
        return 1


class Child(NamedTuple):
    """A child process, and the signal that lets it finish the requests that it has begun."""

    name: str
    process: subprocess.Popen[bytes]
    graceful_signal: signal.Signals


def _serve(config: ServerConfig) -> int:
    stop_signals = _record_stop_signals()
    with tempfile.TemporaryDirectory(prefix="serve-") as name:
        folder, nginx = Path(name), shutil.which("nginx")
        check_files(folder)
        children = [_start_gunicorn(config, folder, behind_nginx=nginx is not None)]
        address = str(folder / "gunicorn.sock") if nginx else (config.bind_address, config.port)
        try:
            # nginx listens only once a worker answers, so that no request is refused before.
            ended = _wait(children, stop_signals, lambda: answers_ping(address, 1))
            starting = ended is not None
            if not starting and not stop_signals:
                pause: Callable[[float], None] = time.sleep
                if nginx:
                    pause = _refusal_log(config, folder).wait
                    children.append(_start_nginx(nginx, config, folder))
                    ended = _wait(children, stop_signals, _until_nginx_answers(config), pause)
                if not ended and not stop_signals:
                    _announce(config, nginx)
                    ended = _wait(children, stop_signals, pause=pause)
        finally:
            _stop(children, DRAIN_SECONDS if stop_signals else 0)
    return _exit_code(ended, starting)


def _record_stop_signals() -> list[int]:
    """Return the list to which SIGTERM and SIGINT are appended from now on."""
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: received.append(number))
    return received


def _start_gunicorn(config: ServerConfig, folder: Path, *, behind_nginx: bool) -> Child:
    flags = ["--config=python:gaussian_processes.serving.gunicorn_config"]
    flags += ["--preload", "--no-control-socket"]
    flags += [f"--{name}={value}" for name, value in _gunicorn_settings(config).items()]
    if behind_nginx:
        sockets = [f"--bind=unix:{folder}/{name}.sock" for name in ("gunicorn", "pings")]
        flags += [*sockets, f"--keep-alive={KEEPALIVE_SECONDS}"]
    else:
        flags += [f"--bind={config.bind_address}:{config.port}"]
    command = [sys.executable, "-m", "gunicorn", *flags, f"{APPLICATION}({config.cores})"]
    process = _start(command, _gunicorn_environment(config, folder), IMPORT_FOLDER)
    return Child("gunicorn", process, signal.SIGTERM)


def _gunicorn_settings(config: ServerConfig) -> Mapping[str, object]:
    # At info gunicorn logs the start and the end of every worker, which tells an operator nothing.
    log_level = "error"
    if config.log_level <= logging.DEBUG:
        log_level = "debug"
    elif config.log_level <= logging.WARNING:
        log_level = "warning"
    settings = {
        "workers": config.workers,
        "worker-class": "gaussian_processes.serving.worker.Worker",
        "logger-class": "gaussian_processes.serving.worker.AccessLog",
        "log-level": log_level,
        "timeout": min(WORKER_TIMEOUT_SECONDS, config.request_seconds),
        "graceful-timeout": DRAIN_SECONDS,
    }
    return settings | ({"access-logfile": "-"} if config.log_level <= logging.INFO else {})


def _gunicorn_environment(config: ServerConfig, folder: Path) -> Mapping[str, str]:
    metrics = folder / "metrics"
    metrics.mkdir()
    return (
        ALLOCATOR
        | os.environ
        | {
            # The current folder of gunicorn is another one.
            "SERVING_MODEL_FOLDERS": ":".join(
                str(path.absolute()) for path in config.model_folders
            ),
            "SAGEMAKER_BASE_DIR": str(config.base.absolute()),
            # The package's own threads divide the work into tiles; BLAS has one inside a tile.
            "OMP_NUM_THREADS": str(config.threads),
            "OPENBLAS_NUM_THREADS": "1",
            MODELS_RECORD: str(folder / "models.json"),
            # Where the workers share their metrics.
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }
    )


def _start_nginx(program: str, config: ServerConfig, folder: Path) -> Child:
    # As root nginx would change to another user, which fails in a container without that right.
    user = "user root;" if os.geteuid() == 0 else ""
    template = Template(
        resources.files("gaussian_processes.serving").joinpath("nginx.conf").read_text()
    )
    path = folder / "nginx.conf"
    path.write_text(template.substitute(asdict(config), folder=folder, user=user))
    process = _start([program, "-e", "stderr", "-c", str(path)], os.environ)
    return Child("nginx", process, signal.SIGQUIT)


def _refusal_log(config: ServerConfig, folder: Path) -> RefusalLog:
    printed = config.log_level <= logging.INFO
    return RefusalLog(folder / "refusals.sock", folder / "metrics", printed=printed)


def _until_nginx_answers(config: ServerConfig) -> Callable[[], bool]:
    """Condition that nginx answers, which it must within some time."""
    deadline = time.monotonic() + NGINX_SECONDS

    def is_ready() -> bool:
        if time.monotonic() > deadline:
            raise UserError(
                f"nginx does not answer on port {config.port} within {NGINX_SECONDS} s, as where"
                " it may start no process (ulimit -u): raise the limit"
            )
        return answers_ping((config.bind_address, config.port), 1)

    return is_ready


def _start(
    command: list[str], environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    # In a session of its own, Ctrl-C reaches this process alone, and the child can be killed with
    # all that it has started.
    # SIGXFSZ stays ignored, so that a body beyond a limit of file sizes ends no nginx.
    return subprocess.Popen(  # noqa: S603  nothing in the command comes from a request
        command, env=environment, cwd=folder, start_new_session=True, restore_signals=False
    )


def _wait(
    children: Sequence[Child],
    stop_signals: Sequence[int],
    is_ready: Callable[[], bool] = lambda: False,
    pause: Callable[[float], None] = time.sleep,
) -> Child | None:
    """Wait for a child to end, and return it; None on a stop signal, or once it is ready."""
    while not stop_signals:
        for child in children:
            if child.process.poll() is not None:
                return child
        if is_ready():
            return None
        pause(POLL_SECONDS)
    return None


def _stop(children: Sequence[Child], seconds: float) -> None:
    """Stop nginx, which first finishes the requests that it has, and then gunicorn."""
    deadline = time.monotonic() + seconds
    for child in reversed(children):
        child.process.send_signal(child.graceful_signal)
        try:
            child.process.wait(max(deadline - time.monotonic(), TERMINATION_SECONDS))
        except subprocess.TimeoutExpired:
            _print(f"{child.name} did not end in time and is killed, with the requests that it had")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()


def _announce(config: ServerConfig, nginx: str | None) -> None:
    front = "behind nginx" if nginx else "without nginx, which is not installed: gunicorn listens"
    _print(
        f"serving on port {config.port}, {front}; workers: {config.workers},"
        f" threads of each: {config.threads}"
    )


def _exit_code(ended: Child | None, starting: bool) -> int:
    """Exit code of this process; prints the reason of an end without a stop signal."""
    if ended is None:
        return 0
    code = ended.process.returncode
    # A program that could not start, such as gunicorn without a model, ends with 1 and a reason.
    if not (starting and code == 1):
        reason = f"exit code {code}" if code >= 0 else f"signal {-code}"
        if code == -signal.SIGKILL:
            reason += ", which the kernel sends where memory runs out"
        _print(f"{ended.name} ended with {reason}, and serving ends with it")
    return 1


def _print(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
