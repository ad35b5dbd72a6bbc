"""Rate and latency of an endpoint, beside AWS's sample and a bare Flask.

python -m benchmarks.serving [--rows 1000 10000] [--seconds 4] [--connections 1 8 64]
    [--request-rows 1 100]

Everything runs on this machine, without Docker: it needs nginx, and `wrk` (in Debian, packages of
these names).
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import reporting
from benchmarks.measuring import ROOT
from benchmarks.servers import sample
from benchmarks.subjects import problem
from gaussian_processes.linalg.parallel import WorkerPool
from gaussian_processes.resources import available_cpus

OURS, SAMPLE, HELLO = "ours", "sample", "hello"
# The latency of 64 connections to two synchronous workers that take a second each.
WRK_TIMEOUT_SECONDS = 60
# How often a ping is sent while the load runs: two hundred of them in the 4 s of a point are
# enough for a 99th percentile.
PING_INTERVAL_SECONDS = 0.02
# Operations a second that AWS's sample does for variances on two cores of 2024, about. A point of
# 64 connections with a hundred rows each and 10,000 in the model then takes half a minute.
OPERATIONS = 4e10
# What a process that does nothing takes of a core, its timers included.
IDLE = 0.05
START_SECONDS = 120
# Of the matrices whose product tells how fast a core computes at its best, and how often that and
# its reading are tried.
SQUARE, FLOOR_REPETITIONS = 2_000, 7

# Every request is the same; `done` prints what wrk would write for people.
SCRIPT = """
wrk.method = "POST"
wrk.path = "/invocations"
wrk.headers["Content-Type"] = "text/csv"
wrk.headers["X-Amzn-SageMaker-Custom-Attributes"] = "output=%s"
wrk.body = %s
done = function(summary, latency)
    local bad = summary.errors.status + summary.errors.connect
    bad = bad + summary.errors.read + summary.errors.timeout
    io.write(string.format(
        '{"requests": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "bad": %%d}\\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad))
end
"""


@dataclass(frozen=True)
class Point:
    """A load: training rows of the model, concurrent connections, and rows a request."""

    rows: int
    request_rows: int
    outputs: str
    connections: int


@dataclass(frozen=True)
class Result:
    """Findings of wrk: requests a second, and the median and 99th percentile in milliseconds.

    `work` is the processor's milliseconds for a request, nginx's included: other programs on the
    machine hardly change it.
    """

    rate: float
    p50: float
    p99: float
    work: float
    bad: int


@dataclass(frozen=True)
class Server:
    """A subject that is running."""

    subject: str
    port: int
    process: subprocess.Popen[bytes]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.serving", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=[1000, 10000],
        help="of the models (default 1000 10000)",
    )
    parser.add_argument(
        "--request-rows", type=int, nargs="+", default=[1, 100], help="of a request (default 1 100)"
    )
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[1, 8, 64], help="at once (default 1 8 64)"
    )
    parser.add_argument(
        "--outputs", nargs="+", default=["mean", "mean,std"], help="default mean mean,std"
    )
    parser.add_argument(
        "--subjects", nargs="+", default=[OURS, SAMPLE, HELLO], help="default ours sample hello"
    )
    parser.add_argument(
        "--seconds", type=int, default=4, help="of every point and repetition, at least (default 4)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=2, help="of every point, interleaved (default 2)"
    )
    arguments = parser.parse_args()
    for program in ("wrk", "nginx"):
        if not shutil.which(program):
            sys.exit(
                f"{program} is missing; install it, on Debian with `apt-get install {program}`"
            )
    print(reporting.machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        for rows in arguments.rows:
            _prepare(Path(folder) / str(rows), rows)
            print("\n" + _measure(Path(folder) / str(rows), rows, arguments), flush=True)


def _prepare(base: Path, rows: int) -> None:
    """Train ours and the sample's model on the same rows."""
    print(f"training on {rows:,} rows …", file=sys.stderr, flush=True)
    rng = np.random.default_rng(7)
    x = rng.normal(size=(rows, problem.COLUMNS))
    y = np.sin(x).sum(axis=1) + rng.normal(size=rows) / 2
    data, config = base / "input/data/train", base / "input/config"
    data.mkdir(parents=True)
    config.mkdir(parents=True)
    np.savetxt(data / "data.csv", np.column_stack([y, x]), delimiter=",")
    (config / "hyperparameters.json").write_text(json.dumps(problem.HYPERPARAMETERS))
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base)}
    subprocess.run(
        [f"{sysconfig.get_path('scripts')}/train"],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    sample.train(base, x, y)


def _measure(base: Path, rows: int, arguments: argparse.Namespace) -> str:
    """Tables of one size of model."""
    points = [
        Point(rows, request_rows, outputs, connections)
        for request_rows, outputs, connections in itertools.product(
            arguments.request_rows, arguments.outputs, arguments.connections
        )
    ]
    results: dict[tuple[Point, str], list[Result]] = {}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(_serving(subject, base)) for subject in arguments.subjects]
        for point, server in [
            (point, server)
            for _ in range(arguments.repetitions)
            for point in points
            for server in servers
        ]:
            # A word takes as long whatever was asked for.
            asked = (
                replace(point, outputs=arguments.outputs[0]) if server.subject == HELLO else point
            )
            if server.subject != HELLO or asked == point:
                results.setdefault((point, server.subject), []).append(
                    _load(server, point, _seconds(point, arguments.seconds), base)
                )
        full = Point(
            rows, max(arguments.request_rows), arguments.outputs[-1], max(arguments.connections)
        )
        small = replace(
            full, request_rows=min(arguments.request_rows), outputs=arguments.outputs[0]
        )
        pings = {
            (point, server.subject): _pings(server, point, 2 * arguments.seconds, base)
            for point in (small, full)
            for server in servers
        }
    memory = [(workers, _memory(base, full, workers)) for workers in (1, 4)]
    tables = [_rates(results, arguments.subjects), _floor_table(rows, arguments.request_rows)]
    return "\n\n".join([*tables, _ping_table(pings), _memory_table(rows, memory)])


def _seconds(point: Point, least: int) -> int:
    """How long to load a subject: until the slowest has answered every connection about twice."""
    operations = (
        0 if point.outputs == "mean" else point.connections * point.request_rows * point.rows**2
    )
    return max(least, round(2 * operations / OPERATIONS))


@contextlib.contextmanager
def _serving(subject: str, base: Path, workers: int = 0) -> Iterator[Server]:
    """Run a subject, from when it answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "benchmarks.servers",
        subject,
        str(port),
        str(base),
        "--workers",
        str(workers),
    ]
    with (base / f"{subject}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    server = Server(subject, port, process)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{subject} does not answer: {(base / f'{subject}.log').read_text()[-1000:]}"
                )
            time.sleep(0.1)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(port: int) -> bool:
    try:
        return _ping(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) == 200
    except (OSError, http.client.HTTPException):
        return False


def _ping(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/ping")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _load(server: Server, point: Point, seconds: float, base: Path) -> Result:
    """Send requests for some seconds, to a subject that has nothing else left to do."""
    print(f"{server.subject}: {point} …", file=sys.stderr, flush=True)
    _await_idle(server)
    script = base / f"{server.subject}.lua"
    rng = np.random.default_rng(8)
    body = "".join(
        ",".join(map(repr, row)) + "\n"
        for row in rng.normal(size=(point.request_rows, problem.COLUMNS)).tolist()
    )
    script.write_text(SCRIPT % (point.outputs, json.dumps(body)))
    command = ["wrk", "--threads=1", f"--connections={point.connections}", f"--duration={seconds}s"]
    command += [
        f"--timeout={WRK_TIMEOUT_SECONDS}s",
        f"--script={script}",
        f"http://127.0.0.1:{server.port}",
    ]
    begin = _processor_seconds(server)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    work = 1e3 * (_processor_seconds(server) - begin)
    found = json.loads(done.stdout.splitlines()[-1])
    return Result(
        found["requests"] / found["seconds"],
        found["p50"],
        found["p99"],
        work / max(found["requests"], 1),
        found["bad"],
    )


def _await_idle(server: Server) -> None:
    """Wait until a subject has answered what wrk has left behind."""
    while True:
        begin = _processor_seconds(server)
        time.sleep(0.2)
        if _processor_seconds(server) - begin < IDLE * 0.2:
            return


def _pings(server: Server, point: Point, seconds: float, base: Path) -> list[float]:
    """Measure pings beside a load, in milliseconds, each on a connection of its own."""
    load = threading.Thread(target=_load, args=(server, point, seconds, base))
    load.start()
    time.sleep(1)
    taken = []
    while load.is_alive():
        begin = time.perf_counter()
        connection = http.client.HTTPConnection(
            "127.0.0.1", server.port, timeout=WRK_TIMEOUT_SECONDS
        )
        _ping(connection)
        connection.close()
        taken.append(1e3 * (time.perf_counter() - begin))
        time.sleep(PING_INTERVAL_SECONDS)
    return taken


def _memory(base: Path, point: Point, workers: int) -> float:
    """Measure the memory of all workers, once each has answered, as PSS in bytes."""
    with _serving(OURS, base, workers) as server:
        _load(server, replace(point, connections=4 * workers), 3, base)
        _await_idle(server)
        return sum(_proportional_bytes(process) for process in _tree(server.process.pid))


def _tree(process: int) -> list[int]:
    """Return a process and all its descendants."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(below for child in children for below in _tree(int(child)))]


def _processor_seconds(server: Server) -> float:
    ticks = 0
    for process in _tree(server.process.pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(
            fields[12]
        )  # utime and stime: fields 14 and 15 of proc(5), 3 to the bracket
    return ticks / os.sysconf("SC_CLK_TCK")


def _proportional_bytes(process: int) -> int:
    """PSS: what several processes share counts to each by its part."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _rates(results: dict[tuple[Point, str], list[Result]], subjects: Sequence[str]) -> str:
    """Return a line a point: rates and latencies of every subject, and their ratios."""
    head = [
        "model, request, connections",
        *(f"{subject}: requests/s (p50, p99 ms; work ms)" for subject in subjects),
    ]
    head += [f"ours / {subject}" for subject in subjects if subject != OURS]
    lines = []
    for point in dict.fromkeys(point for point, _ in results):
        found = {subject: _median(results[_of(point, subject, results)]) for subject in subjects}
        label = f"{point.rows:,} rows, {point.request_rows} of {point.outputs}, {point.connections}"
        ratios = [
            f"{found[OURS].rate / found[other].rate:.2f}"
            for other in subjects
            if other != OURS and OURS in found
        ]
        lines.append([label, *(_shown(result) for result in found.values()), *ratios])
    return reporting.markdown(head, lines)


def _of(
    point: Point, subject: str, results: dict[tuple[Point, str], list[Result]]
) -> tuple[Point, str]:
    """Where the result of a point is: that of a word does not depend on the outputs."""
    same = [
        (other, who)
        for other, who in results
        if who == subject and replace(other, outputs=point.outputs) == point
    ]
    return (point, subject) if (point, subject) in results else same[0]


def _median(results: Sequence[Result]) -> Result:
    median = {
        name: statistics.median(getattr(result, name) for result in results)
        for name in ("rate", "p50", "p99", "work")
    }
    return Result(**median, bad=sum(result.bad for result in results))


def _shown(result: Result) -> str:
    failed = f"; {result.bad} failed" if result.bad else ""
    return f"{result.rate:.3g} ({result.p50:.3g}, {result.p99:.3g}; {result.work:.2g}){failed}"


def _floor_table(rows: int, request_rows: Sequence[int]) -> str:
    """Return lower bounds of a request with an exact factor: reading it, and computing."""
    numbers, square, cores = (
        np.ones(rows * (rows + 1) // 2),
        np.ones((SQUARE, SQUARE)),
        available_cpus(),
    )
    reading = min(_best_seconds(np.sum, np.array_split(numbers, parts)) for parts in (1, cores))
    product = _best_seconds(lambda part: part @ part, [square] * cores) / (2.0 * SQUARE**3 * cores)
    head = [
        f"of a request with deviations, {rows:,} rows in the model, on {cores} cores",
        "at least, ms",
    ]
    lines = [[f"reading the factor's {numbers.nbytes / 1e6:.3g} MB", f"{1e3 * reading:.3g}"]]
    for size in request_rows:
        operations = float(size) * rows**2
        lines.append(
            [
                f"{operations:.0e} operations for {size} rows, as fast as a matrix product's",
                f"{1e3 * operations * product:.3g}",
            ]
        )
    return reporting.markdown(head, lines)


def _best_seconds(function: Callable[[np.ndarray], object], parts: Sequence[np.ndarray]) -> float:
    """Least time of some in which cores call a function, each on a part."""
    seconds = []
    with WorkerPool() as over:
        for _ in range(FLOOR_REPETITIONS):
            begin = time.perf_counter()
            list(over(function, parts))
            seconds.append(time.perf_counter() - begin)
    return min(seconds)


def _ping_table(pings: dict[tuple[Point, str], list[float]]) -> str:
    head = ["`/ping` beside", "subject", "pings", "p50, ms", "p99, ms"]
    return reporting.markdown(
        head,
        [
            [
                f"{point.connections} connections, {point.request_rows} rows of {point.outputs},"
                f" {point.rows:,} in the model",
                subject,
                str(len(taken)),
                f"{np.percentile(taken, 50):.1f}",
                f"{np.percentile(taken, 99):.1f}",
            ]
            for (point, subject), taken in pings.items()
        ],
    )


def _memory_table(rows: int, memory: Sequence[tuple[int, float]]) -> str:
    head = [f"workers, {rows:,} rows in the model", "PSS of all processes, MB", "of one"]
    return reporting.markdown(
        head,
        [
            [str(workers), f"{pss / 1e6:.0f}", f"{pss / memory[0][1]:.2f}"]
            for workers, pss in memory
        ],
    )


if __name__ == "__main__":
    main()
