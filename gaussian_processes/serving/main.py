"""How is a model served: by which processes, and within which limits?

nginx takes requests in and hands them to gunicorn over a unix socket; gunicorn's workers hold the model. This process
starts both, ends with either, and stops both when it is told to.
"""

import argparse
import contextlib
import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import NamedTuple

from gaussian_processes import __version__
from gaussian_processes.errors import UserError
from gaussian_processes.resources import available_cpus

DESCRIPTION = """\
Serve the model in /opt/ml/model: GET /ping, POST /invocations.

Environment variables:
  SAGEMAKER_BIND_TO_PORT        port to listen on (8080)
  SAGEMAKER_INFERENCE_OUTPUT    what an answer holds: mean, std, variance, interval=0.9,
                                quantiles=0.05,0.5,0.95 (mean); of classes predicted_label,
                                probability, probabilities, labels (predicted_label)
  SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT  type of an answer to a request without Accept (text/csv)
  SAGEMAKER_CONTAINER_LOG_LEVEL 10 to 50: with 20 or less a line a request (20)
  SAGEMAKER_MULTI_MODEL         true: a multi-model endpoint, with /models
  SAGEMAKER_MAX_PAYLOAD_IN_MB   largest body of a request; 0 is no limit (25)
  MODEL_SERVER_WORKERS          processes that answer (the square root of the cores,
                                rounded up)
  MODEL_SERVER_TIMEOUT          seconds that a request may take (3600)
  OMP_NUM_THREADS               cores to use, where that is fewer than are allowed
  SAGEMAKER_BASE_DIR            what to use in place of /opt/ml

SIGTERM answers the requests in flight and ends with exit code 0. A request asks for
other outputs with the header X-Amzn-SageMaker-Custom-Attributes: output=mean,std
"""
# What gunicorn serves: a function of a module, called with the largest body in bytes and the cores.
APPLICATION = "gaussian_processes.serving.worker:application"
# SageMaker kills 30 s after SIGTERM. Requests in flight get most of that; a process without any ends in a second.
DRAIN_SECONDS = 20
END_SECONDS = 2
# How long gunicorn lets a worker be silent. A worker that computes isn't: its event loop goes on, so one of a minute hangs.
SILENT_SECONDS = 60
# How long a worker keeps a connection of nginx's that nothing comes on: longer than nginx does.
KEEP_SECONDS = 75
# How often the processes are looked at: nobody notices a tenth of a second, and it costs nothing.
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Limits:
    """What nginx and gunicorn both keep to.

    Parameters
    ----------
    port : int
    cores, workers, threads : int
        Cores that all of it may keep busy, processes, and threads of each that compute one request.
    request_seconds : int
        How long a request may take. Batch transform allows up to an hour, and hosting itself hangs up after a minute.
    body_megabytes : int
        How large the body of a request may be; 0 is no limit.
    log_level : int
        As Python's logging has them: 20 is info, 30 warning.
    """

    port: int
    cores: int
    workers: int
    threads: int
    request_seconds: int
    body_megabytes: int
    log_level: int


def read_limits(environment: Mapping[str, str], cores: int) -> Limits:
    """Read the limits from the environment.

    Raises
    ------
    UserError
        If a variable is not a whole number, or too small.

    Examples
    --------
    >>> read_limits({"MODEL_SERVER_WORKERS": "2"}, cores=8).threads
    4
    """
    # Models that are loaded are known to the process that has loaded them, so with many models there is one.
    workers = (
        1 if is_true(environment.get("SAGEMAKER_MULTI_MODEL", "")) else _workers(environment, cores)
    )
    # Each its share of the cores; but two where there are two, or a large request that comes alone would leave one idle.
    threads = max(cores // workers, min(cores, 2))
    return Limits(
        port=_whole(environment, "SAGEMAKER_BIND_TO_PORT", 8080, least=1, most=65_535),
        cores=cores,
        workers=workers,
        threads=threads,
        request_seconds=_whole(environment, "MODEL_SERVER_TIMEOUT", 3600, least=1),
        body_megabytes=_whole(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 25, least=0),
        log_level=_whole(
            environment,
            "SAGEMAKER_CONTAINER_LOG_LEVEL",
            logging.INFO,
            least=0,
            most=logging.CRITICAL,
        ),
    )


def _workers(environment: Mapping[str, str], cores: int) -> int:
    # About as many workers as each has threads, and rather more: small requests want workers, a large one wants threads.
    asked = _whole(environment, "MODEL_SERVER_WORKERS", math.isqrt(cores - 1) + 1, least=1)
    if asked > cores:
        _say(
            f"MODEL_SERVER_WORKERS is {asked}, more than the cores allowed here; {cores} are started"
        )
    return min(asked, cores)


def is_true(text: str) -> bool:
    """Whether a variable says yes."""
    return text.strip().lower() in {"true", "1"}


def _whole(
    environment: Mapping[str, str], name: str, default: int, least: int, most: float = math.inf
) -> int:
    text = environment.get(name, "").strip() or str(default)
    if not (text.isdecimal() and least <= int(text) <= most):
        rule = f"{least} or more" if most == math.inf else f"from {least} to {most}"
        raise UserError(f'{name} is "{text}"; it must be a whole number, {rule}')
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(
        "serve", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.parse_args(arguments)
    try:
        return _serve(read_limits(os.environ, available_cpus()))
    except UserError as error:
        _say(str(error))
        return 1


class Child(NamedTuple):
    """A process that was started, and the signal that makes it answer what it has begun and then end."""

    name: str
    process: subprocess.Popen[bytes]
    gentle: signal.Signals


def _serve(limits: Limits) -> int:
    told = _stop_signals()
    with tempfile.TemporaryDirectory(prefix="serve-") as folder:
        nginx = shutil.which("nginx")
        behind_nginx = [
            f"--bind=unix:{folder}/gunicorn.sock",
            f"--bind=unix:{folder}/pings.sock",
            f"--keep-alive={KEEP_SECONDS}",
        ]
        children = [
            _gunicorn(
                limits, Path(folder), behind_nginx if nginx else [f"--bind=0.0.0.0:{limits.port}"]
            )
        ]
        try:
            # nginx listens only once a worker answers, so that no request finds it with nobody behind.
            ended = _watch(
                children,
                told,
                lambda: _answers(f"{folder}/gunicorn.sock" if nginx else limits.port),
            )
            starting = ended is not None
            if ended is None and not told:
                _announce(limits, nginx)
                children += [_nginx(nginx, limits, Path(folder))] if nginx else []
                ended = _watch(children, told)
        finally:
            _stop(children, DRAIN_SECONDS if told else 0)
    return _exit_code(ended, starting)


def _stop_signals() -> list[int]:
    """Collect the signals that ask this process to stop, from now on."""
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: told.append(number))
    return told


def _gunicorn(limits: Limits, folder: Path, listening: Sequence[str]) -> Child:
    options = {
        "workers": limits.workers,
        "worker-class": "gaussian_processes.serving.worker.Worker",
        "logger-class": "gaussian_processes.serving.worker.Log",
        "access-logfile": "-",
        # gunicorn's own news, of workers that come and go, are nobody's at info.
        "log-level": "debug"
        if limits.log_level <= logging.DEBUG
        else "warning"
        if limits.log_level <= logging.WARNING
        else "error",
        "timeout": min(SILENT_SECONDS, limits.request_seconds),
        "graceful-timeout": DRAIN_SECONDS,
    }
    if limits.log_level > logging.INFO:
        del options["access-logfile"]
    flags = [*listening, *(f"--{name}={value}" for name, value in options.items())]
    application = f"{APPLICATION}({limits.body_megabytes * 2**20}, {limits.cores})"
    # The threads are the mathematics' own, which divides the work into tiles; BLAS inside a tile has one.
    threads = {"OMP_NUM_THREADS": str(limits.threads), "OPENBLAS_NUM_THREADS": "1"}
    # Where the workers' counters meet.
    (folder / "metrics").mkdir()
    threads["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "metrics")
    # Every thread that predicts would keep freed memory of its own: a worker of 8 has 30 MB less with one store for all.
    threads["MALLOC_ARENA_MAX"] = os.environ.get("MALLOC_ARENA_MAX", "1")
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--preload",
        "--no-control-socket",
        *flags,
        application,
    ]
    return Child("gunicorn", _start(command, os.environ | threads), signal.SIGTERM)


def _nginx(program: str, limits: Limits, folder: Path) -> Child:
    # As root nginx would change to another user, which fails where that right was taken from the container.
    user = "user root;" if os.geteuid() == 0 else ""
    template = Template(
        resources.files("gaussian_processes.serving").joinpath("nginx.conf").read_text()
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(template.substitute(asdict(limits), folder=folder, user=user))
    return Child(
        "nginx",
        _start([program, "-e", "stderr", "-c", str(configuration)], os.environ),
        signal.SIGQUIT,
    )


def _start(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own, so that Ctrl-C reaches this process alone, and what is left of the child can be killed as one.
    return subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603  # nothing of it is a request's


def _watch(
    children: Sequence[Child], told: Sequence[int], ready: Callable[[], bool] = lambda: False
) -> Child | None:
    """Wait for a child to end, and return it; None as soon as this process is told to stop, or what is waited for is so."""
    while not told:
        for child in children:
            if child.process.poll() is not None:
                return child
        if ready():
            return None
        time.sleep(LOOK_SECONDS)
    return None


def _answers(address: str | int) -> bool:
    """Whether ``GET /ping`` is answered on a unix socket, or on a port of this machine."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    try:
        with socket.socket(family) as connection:
            connection.settimeout(1)
            connection.connect(address if isinstance(address, str) else ("127.0.0.1", address))
            connection.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)  # the status is in the first 15 bytes
    except OSError:
        return False


def _stop(children: Sequence[Child], seconds: float) -> None:
    """Stop nginx, which takes no more requests and waits for the answers of those it has, and then gunicorn."""
    deadline = time.monotonic() + seconds
    for child in reversed(children):
        child.process.send_signal(child.gentle)
        try:
            child.process.wait(max(deadline - time.monotonic(), END_SECONDS))
        except subprocess.TimeoutExpired:
            _say(f"{child.name} did not end in time and is killed, with the requests that it had")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()


def _announce(limits: Limits, nginx: str | None) -> None:
    where = (
        "behind nginx"
        if nginx
        else "without nginx, which this machine does not have: gunicorn listens itself"
    )
    _say(
        f"serving on port {limits.port}, {where}; workers: {limits.workers}, threads of each: {limits.threads}"
    )


def _exit_code(ended: Child | None, starting: bool) -> int:
    """Exit code of this process, which says why unless that has been said or it was told to."""
    if ended is None:
        return 0
    code = ended.process.returncode
    # With 1 ends a program that could not begin, such as gunicorn without a model; it has said why.
    if not (starting and code == 1):
        _say(
            f"{ended.name} ended with {f'exit code {code}' if code >= 0 else f'signal {-code}'}, and serving ends with it"
        )
    return 1


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
