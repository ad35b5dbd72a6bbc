"""An endpoint under faults: overload, slow and idle clients, killed processes."""

import gzip
import json
import os
import resource
import select
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import requests
from container.engine import Container, docker, wait_for

CSV = {"Content-Type": "text/csv"}
ROW = "0.5,-1.5\n"
CLIENTS = 8
# What the processes' memory may grow by while some thousand requests are answered: allocators
# keep what they had once, and one kilobyte lost with each request would be more.
GROWTH_BYTES = 4_000_000
# What a client may meet in the place of an answer, and what it is called by who raises it. nginx
# that ends closes connections of which it has read no request: who writes first is reset, who
# reads first is told of an end.
NOT_LET_IN = ("refused", "reset by peer", "Broken pipe", "without response")
FAULTS = (*NOT_LET_IN, "IncompleteRead")
# Patterns that fill a body, its content type, and the answer to it.
LARGE_BODIES = [
    (ROW, "text/csv", {200}),
    (";", "text/csv", {400}),
    ("[", "application/json", {400}),
]

needs_two_cores = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="two workers need two cores"
)


class Load:
    """Clients that send one request after the other, each on its own connection, and the results.

    An outcome is a status, or the name of what a client met instead of one.
    """

    def __init__(self, url: str) -> None:
        self.url, self.outcomes, self.over = url, Counter[int | str](), threading.Event()
        self.threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]

    def _send(self) -> None:
        while not self.over.is_set():
            try:
                outcome: int | str = requests.post(
                    f"{self.url}/invocations", ROW, headers=CSV, timeout=60
                ).status_code
            except requests.RequestException as error:
                outcome = next((word for word in FAULTS if word in str(error)), str(error))
            self.outcomes[outcome] += 1
            if outcome == "refused":
                return

    def answered(self, more: int) -> bool:
        """Wait until so many more requests were answered."""
        enough = self.outcomes[200] + more
        wait_for(lambda: self.outcomes[200] >= enough, lambda: str(self.outcomes))
        return True


@contextmanager
def load(url: str) -> Iterator[Load]:
    """Load an endpoint until the block ends."""
    clients = Load(url)
    for thread in clients.threads:
        thread.start()
    try:
        clients.answered(20)
        yield clients
    finally:
        clients.over.set()
        for thread in clients.threads:
            thread.join()


def workers(container: Container) -> list[int]:
    processes = container.processes()
    (master,) = [
        process for process, parent, command in processes if parent == 1 and "gunicorn" in command
    ]
    return [process for process, parent, _ in processes if parent == master]


def inside(container: Container) -> str:
    """Return the container's own address: a proxy would accept what the endpoint refuses."""
    address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container.name)
    return f"http://{address}:8080"


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def ping_seconds(url: str) -> float:
    begin = time.monotonic()
    assert requests.get(f"{url}/ping", timeout=60).status_code == 200
    return time.monotonic() - begin


def post(url: str, body: bytes | str = ROW, **headers: str) -> requests.Response:
    return requests.post(f"{url}/invocations", body, headers={**CSV, **headers}, timeout=60)


@pytest.fixture(scope="module")
def endpoint(model, serve) -> str:
    """An endpoint that every test must leave as it was."""
    return serve(model).url()


@needs_two_cores
def test_a_killed_worker_takes_its_own_requests_with_it_and_no_others(model, serve):
    container = serve(model, "--env", "MODEL_SERVER_WORKERS=2")
    before = workers(container)

    with load(container.url()) as clients:
        docker("exec", container.name, "bash", "-c", f"kill -KILL {before[0]}")
        clients.answered(20)
        wait_for(lambda: len(set(workers(container)) - {before[0]}) == 2, container.log)
        clients.answered(200)

    # An answer that had been begun breaks off before its end, which no client takes for an answer.
    assert set(clients.outcomes) <= {200, 502, "IncompleteRead"}, clients.outcomes
    # Each client had one request under way when the worker died, half of them at the other one.
    assert clients.outcomes[502] + clients.outcomes["IncompleteRead"] <= CLIENTS
    assert before[1] in workers(container)


def test_sigterm_under_load_drops_no_request(model, serve):
    container = serve(model)

    with load(inside(container)) as clients:
        status, seconds = container.stop(seconds=30)

    assert status == 0, container.log()
    assert seconds < 10
    # From then on nobody is let in, and everybody who was has an answer.
    assert {200, "refused"} <= set(clients.outcomes) <= {200, *NOT_LET_IN}, clients.outcomes
    assert clients.outcomes[200] == container.log().count('"path": "/invocations", "status": 200')


def damaged(model: Path, folder: Path, name: str, damage: Callable[[bytes], bytes]) -> Path:
    """A copy of a model, one file of which is changed."""
    copy = Path(shutil.copytree(model, folder / "model"))
    (copy / name).write_bytes(damage((copy / name).read_bytes()))
    return copy


def with_another_format(model_json: bytes) -> bytes:
    return json.dumps({**json.loads(model_json), "format": 99}).encode()


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        pytest.param(
            "points-0.npy",
            lambda held: held[: len(held) // 2],
            "bytes, and its header says",
            id="truncated",
        ),
        pytest.param(
            "alpha-0.npy",
            lambda held: held[:-1] + bytes([held[-1] ^ 1]),
            "checksum differs",
            id="one bit wrong",
        ),
        pytest.param(
            "model.json",
            lambda held: held[: len(held) // 2],
            "can't be used",
            id="half a description",
        ),
        pytest.param("model.json", with_another_format, "is of format 99", id="of another version"),
    ],
)
def test_a_damaged_model_ends_the_container_with_a_sentence(
    model, start, tmp_path, name, damage, said
):
    copy = damaged(model, tmp_path, name, damage)

    container = start(
        "serve", options=["--mount", f"type=bind,source={copy},target=/opt/ml/model,readonly"]
    )

    assert container.status() == 1
    assert said in container.log()
    assert "train" in container.log() or "copy the model again" in container.log()
    assert "Traceback" not in container.log()


def test_a_body_without_an_end_is_cut_off_at_the_limit(model, serve):
    container = serve(model, "--env", "SAGEMAKER_MAX_PAYLOAD_IN_MB=1")
    chunk, head = (
        (ROW * 1_000).encode(),
        "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n",
    )
    sent, answer = 0, b""

    with connect(inside(container)) as client:
        client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        while not answer and sent < 100 * 2**20:
            client.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            sent += len(chunk)
            if select.select([client], [], [], 0)[0]:
                answer = client.recv(1_000)

    assert b"413" in answer.split(b"\r\n")[0]
    assert b"larger than 1 MB" in answer
    # What is beyond the limit was on its way, in the buffers of two sockets.
    assert sent < 20 * 2**20


def test_slow_clients_delay_no_other_request(endpoint):
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(endpoint)) for _ in range(100)]
        for client in slow:
            client.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
                b"Content-Length: 9\r\n\r\n0.5,"
            )
        pings = [ping_seconds(endpoint) for _ in range(20)]
        others = [post(endpoint).status_code for _ in range(20)]
        for client in slow:
            client.sendall(b"-1.5\n")
        late = [client.recv(12) for client in slow]

    assert max(pings) < 2
    assert set(others) == {200}
    assert set(late) == {b"HTTP/1.1 200"}


def ends(client: socket.socket) -> bytes:
    """Read what an endpoint sends until it closes a connection."""
    received = b""
    with suppress(ConnectionError):
        while piece := client.recv(65_536):
            received += piece
    return received


def test_trickled_headers_delay_no_other_request_and_are_cut_off(endpoint):
    with ExitStack() as stack:
        slow = {stack.enter_context(connect(endpoint)) for _ in range(300)}
        for client in slow:
            client.sendall(b"GET /ping HTTP/1.1\r\n")
        pings = [ping_seconds(endpoint) for _ in range(20)]
        others = [post(endpoint).status_code for _ in range(20)]
        deadline = time.monotonic() + 60
        # A byte now and then does not lengthen the time that all headers have.
        while slow and time.monotonic() < deadline:
            closed = set(select.select(slow, [], [], 0.5)[0])
            slow -= closed
            answers = {ends(client)[:12] for client in closed}
            for client in slow:
                with suppress(ConnectionError):
                    client.sendall(b"X")

    assert max(pings) < 2
    assert set(others) == {200}
    assert not slow
    assert answers <= {b"", b"HTTP/1.1 408"}


def test_half_closed_connections_delay_no_other_request_and_are_closed(endpoint):
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 9"
    parts = [b"", b"POST /invo", head, head + b"\r\n\r\n0.5,"]

    with ExitStack() as stack:
        halves = [stack.enter_context(connect(endpoint)) for _ in range(200)]
        for client, part in zip(halves, parts * 50, strict=True):
            client.sendall(part)
            client.shutdown(socket.SHUT_WR)
        pings = [ping_seconds(endpoint) for _ in range(20)]
        others = [post(endpoint).status_code for _ in range(20)]
        received = {ends(client)[:12] for client in halves}

    assert max(pings) < 2
    assert set(others) == {200}
    assert received <= {b"", b"HTTP/1.1 400"}


def test_a_thousand_idle_connections_delay_no_request(endpoint):
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(least, min(4_096, most)), most))

    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (least, most))
        for _ in range(1_000):
            stack.enter_context(connect(endpoint))
        pings = [ping_seconds(endpoint) for _ in range(20)]
        answer = post(endpoint)

    assert max(pings) < 2
    assert answer.status_code == 200


def test_a_body_over_the_limit_is_refused_in_a_sentence(endpoint):
    answer = post(endpoint, ROW * (26 * 2**20 // len(ROW)))

    assert (answer.status_code, answer.text) == (
        413,
        "the body is larger than 25 MB; send fewer rows at a time\n",
    )


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        pytest.param("nan,1\n", {}, 400, "row 1, column 1", id="NaN"),
        pytest.param("1,2\n1,inf\n", {}, 400, "row 2, column 2", id="inf"),
        pytest.param("1e308,1e308\n", {}, 400, "too large to compute with", id="1e308"),
        pytest.param("1e999,1\n", {}, 400, "row 1, column 1", id="1e999"),
        pytest.param(",".join(["1"] * 10_000), {}, 400, "has 10000 columns", id="10,000 columns"),
        pytest.param("1" * 10**6 + ",1", {}, 400, "row 1, column 1", id="a million digits"),
        pytest.param(
            '{"instances": ' + "[" * 10**5,
            {"Content-Type": "application/json"},
            400,
            "instances",
            id="deep JSON",
        ),
        pytest.param(
            '{"a":' * 10**5,
            {"Content-Type": "application/json"},
            400,
            "instances",
            id="deep objects",
        ),
        pytest.param(
            "[" * 10**5,
            {"Content-Type": "application/jsonlines"},
            400,
            "row 1",
            id="deep line of JSON",
        ),
        pytest.param(
            gzip.compress(ROW.encode() * 10**7),
            {"Content-Encoding": "gzip"},
            415,
            "Content-Encoding is",
            id="gzip bomb",
        ),
    ],
)
def test_a_hostile_body_is_refused_in_a_sentence(endpoint, body, headers, status, said):
    begin = time.monotonic()

    answer = post(endpoint, body, **headers)

    assert (answer.status_code, answer.text.count("\n")) == (status, 1), answer.text
    assert said in answer.text
    assert len(answer.text) <= 2_048
    assert time.monotonic() - begin < 5
    assert post(endpoint).status_code == 200


@needs_two_cores
def test_large_bodies_in_little_memory_end_no_worker(model, serve):
    container = serve(
        model, "--memory", "1g", "--memory-swap", "1g", "--env", "MODEL_SERVER_WORKERS=2"
    )
    before, url = workers(container), container.url()

    # What is refused leaves as little behind as what is answered.
    for pattern, content_type, statuses in LARGE_BODIES:
        body = pattern * (25 * 10**6 // len(pattern))
        with ThreadPoolExecutor(CLIENTS) as clients:
            large = [
                clients.submit(post, url, body, **{"Content-Type": content_type})
                for _ in range(CLIENTS)
            ]
            small = [post(url).status_code for _ in range(50)]
            answers = [answer.result() for answer in large]
        found = {answer.status_code for answer in answers}
        assert found <= statuses | {503}, (pattern, found)
        assert found & statuses, pattern
        assert all("Retry-After" in entry.headers for entry in answers if entry.status_code == 503)
        assert set(small) == {200}
        assert workers(container) == before, pattern


def test_many_numbers_a_row_are_refused_with_the_rows_that_would_do(model, serve):
    url = serve(model, "--memory", "1g", "--memory-swap", "1g").url()
    attributes = "quantiles=" + ",".join(["0.25"] * 100)

    answer = post(url, ROW * 300_000, **{"X-Amzn-SageMaker-Custom-Attributes": attributes})

    assert answer.status_code == 413
    assert answer.text.startswith("the answer to 300,000 rows takes about ")


def memory(container: Container) -> int:
    """Bytes of all processes, those shared counted once."""
    program = (
        "import pathlib\n"
        "files = [folder / 'smaps_rollup' for folder in pathlib.Path('/proc').glob('[0-9]*')]\n"
        "names = [file.with_name('cmdline').read_text() for file in files]\n"
        "kept = [file for file, name in zip(files, names)"
        " if 'nginx' in name or 'gunicorn' in name]\n"
        "lines = [line for file in kept for line in file.read_text().splitlines()]\n"
        "print(sum(int(line.split()[1]) for line in lines if line.startswith('Pss:')))\n"
    )
    return 1024 * int(container.python(program))


def test_memory_stays_flat_over_requests_good_and_bad(model, serve):
    # One worker: of two, one may have its first predictions, and its threads their first memory,
    # long after the other.
    container = serve(model, "--env", "MODEL_SERVER_WORKERS=1")
    url = f"{container.url()}/invocations"
    table = "".join(
        f"{a},{b}\n" for a, b in np.random.default_rng(9).normal(size=(2_000, 2)).tolist()
    )
    bodies = [
        (ROW, CSV),
        (table, {**CSV, "X-Amzn-SageMaker-Custom-Attributes": "output=mean,std"}),
        ("1,x\n", CSV),
        ("", CSV),
    ]
    session = requests.Session()

    def send(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for body, headers in bodies:
                session.post(url, body, headers=headers, timeout=60)

    send(5)
    before = memory(container)
    send(15)

    assert memory(container) - before < GROWTH_BYTES
