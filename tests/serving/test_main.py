"""`serve` as processes on a real port."""

import contextlib
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from trained import COLUMNS, train

from gaussian_processes.model import artifact
from gaussian_processes.serving import main

PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from gaussian_processes.serving.main import main; sys.exit(main())",
]
CSV, BOTH = {"Content-Type": "text/csv"}, {"X-Amzn-SageMaker-Custom-Attributes": "output=mean,std"}
ROW = "0.5,-1.5,2.5\n"
MAX_PING_SECONDS = 0.05
FRONTS = [
    pytest.param(
        True,
        id="nginx",
        marks=pytest.mark.skipif(not shutil.which("nginx"), reason="this machine has no nginx"),
    ),
    pytest.param(False, id="gunicorn"),
]

Server = namedtuple("Server", "process url out err")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Base folder of a model that predicts within a millisecond."""
    return train(tmp_path_factory.mktemp("small"), rows=30)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Base folder of a model that takes a second for the variances of some thousand rows."""
    return train(tmp_path_factory.mktemp("large"), rows=2_000)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment(base, nginx, **variables):
    path = os.environ["PATH"] if nginx else str(Path(sys.executable).parent)
    return {**os.environ, "SAGEMAKER_BASE_DIR": str(base), "PATH": path, **variables}


@contextlib.contextmanager
def serve(base, nginx=True, **variables):
    """Run `serve` until the block ends; the block begins once it is ready."""
    port = free_port()
    variables["SAGEMAKER_BIND_TO_PORT"] = str(port)
    folder = base.parent / f"log-{port}"
    folder.mkdir()
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            PROGRAM,
            env=environment(base, nginx, **variables),
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    server = Server(process, f"http://127.0.0.1:{port}", folder / "out", folder / "err")
    try:
        assert set(statuses_until_ready(server)) == {200}, server.err.read_text()
        yield server
    finally:
        process.terminate()
        process.wait(30)


def statuses_until_ready(server):
    """Statuses of the first five pings that are answered."""
    statuses = []
    while len(statuses) < 5 and server.process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            statuses.append(requests.get(f"{server.url}/ping", timeout=5).status_code)
        time.sleep(0.01)
    return statuses


def run_to_end(base, nginx=True, **variables):
    """Run `serve` to its end; return its exit code and stderr."""
    run = subprocess.run(
        PROGRAM,
        env=environment(base, nginx, **variables),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return run.returncode, run.stderr


def post(server, body=ROW, **headers):
    return requests.post(f"{server.url}/invocations", body, headers={**CSV, **headers}, timeout=60)


def children(process):
    """Command lines of the child processes, by process id."""
    found = {}
    for number in map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            found[number] = Path(f"/proc/{number}/cmdline").read_text()
    return found


def child(server, name):
    (number,) = (
        number for number, command in children(server.process.pid).items() if name in command
    )
    return number


def workers(server):
    return list(children(child(server, "gunicorn")))


def metric(server, name):
    """Value of a metric without labels, or None where there is none yet."""
    text = requests.get(f"{server.url}/metrics", timeout=60).text
    found = re.search(rf"^{name} (.*)$", text, re.MULTILINE)
    return found and float(found[1])


def wait_until(condition, seconds=20):
    """Poll a condition until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def refuses(server):
    """Return whether a server lets in no connection any more."""
    try:
        requests.get(f"{server.url}/ping", timeout=5)
    except requests.ConnectionError:
        return True
    return False


def many_rows(rows):
    return "".join(
        ",".join(map(repr, row)) + "\n"
        for row in np.random.default_rng(74).normal(size=(rows, COLUMNS)).tolist()
    )


@pytest.mark.parametrize("nginx", FRONTS)
def test_a_model_is_served_to_the_limits_of_a_body(small, nginx):
    model = artifact.load(small / "model")
    expected = model.predict(np.array([[0.5, -1.5, 2.5]]), variance=True)

    with serve(
        small, nginx, SAGEMAKER_MAX_PAYLOAD_IN_MB="1", SAGEMAKER_INFERENCE_OUTPUT="std"
    ) as server:
        std = post(server)
        both = post(server, Accept="application/json", **BOTH)
        full = post(server, ROW * (2**20 // len(ROW)))
        over = post(server, ROW * (2**20 // len(ROW) + 1))
        bad = post(server, "1,2,abc")
        empty = post(server, "")
    code = server.process.returncode
    out, err = server.out.read_text(), server.err.read_text()

    assert (std.status_code, float(std.text)) == (200, np.sqrt(expected.variance[0, 0]))
    assert both.json() == {
        "predictions": [{"score": expected.mean[0, 0], "std": np.sqrt(expected.variance[0, 0])}]
    }
    assert full.text.count("\n") == 2**20 // len(ROW)
    assert (over.status_code, over.text) == (
        413,
        "the body is larger than 1 MB; send fewer rows at a time\n",
    )
    assert (bad.status_code, bad.text.split(" is ")[0]) == (400, "row 1, column 3 of the request")
    assert (empty.status_code, empty.text) == (204, "")
    assert code == 0
    assert "Traceback" not in err
    assert ("without nginx" in err) != nginx
    assert out.count('"path": "/invocations", "status": 200') == 3
    assert "ping" not in out + err


def test_a_long_prediction_delays_neither_ping_nor_other_requests(large):
    rows = 40_000
    body = many_rows(rows)

    # Of more cores the prediction would make short work.
    with (
        serve(large, MODEL_SERVER_WORKERS="1", OMP_NUM_THREADS="2") as server,
        ThreadPoolExecutor() as pool,
    ):
        start = time.perf_counter()
        long = pool.submit(post, server, body, **BOTH)
        pings, others = [], []
        while not long.done():
            pings.append(requests.get(f"{server.url}/ping", timeout=60).elapsed.total_seconds())
            others.append(post(server).elapsed.total_seconds())
        seconds = time.perf_counter() - start

    assert long.result().text.count("\n") == rows
    assert seconds > 1
    # One in ten may be late for other programs; behind the prediction it would wait for seconds.
    assert np.quantile(pings, 0.9) < MAX_PING_SECONDS
    assert max(pings) < seconds / 2
    assert max(others) < seconds / 2
    assert len(others) > 10


def test_another_request_is_answered_while_one_is_explained(large):
    shap = {"X-Amzn-SageMaker-Custom-Attributes": "output=shap"}
    rows = 1_000

    with serve(large, MODEL_SERVER_WORKERS="1") as server, ThreadPoolExecutor() as pool:
        long = pool.submit(post, server, many_rows(rows), **shap)
        wait_until(lambda: metric(server, "gaussian_processes_queue") or long.done())
        other = post(server)

        assert not long.done()

    assert other.status_code == 200
    assert len(long.result().text.splitlines()) == rows


@pytest.mark.slow
@pytest.mark.parametrize("nginx", FRONTS)
def test_sigterm_answers_what_is_in_flight_refuses_what_is_new_and_ends_with_0(large, nginx):
    rows = 25_000
    body = many_rows(rows)
    with serve(large, nginx, OMP_NUM_THREADS="1") as server, ThreadPoolExecutor() as pool:
        long = pool.submit(post, server, body, **BOTH)
        wait_until(lambda: metric(server, "gaussian_processes_queue") or long.done())
        assert not long.done()

        server.process.terminate()
        wait_until(lambda: refuses(server))
        start = time.perf_counter()
        code = server.process.wait(25)

    assert time.perf_counter() - start < 25
    assert long.result().text.count("\n") == rows
    assert code == 0


def test_ctrl_c_ends_it_with_0(small):
    with serve(small) as server:
        wait_until(lambda: server.err.read_text().endswith("\n"))  # that it serves
        # A terminal sends the signal to every process of the group.
        os.killpg(os.getpgid(server.process.pid), signal.SIGINT)
        code = server.process.wait(10)

    assert code == 0
    assert server.err.read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("name", "nginx"),
    [pytest.param("nginx", *FRONTS[0].values, marks=FRONTS[0].marks), ("gunicorn", False)],
)
def test_the_end_of_one_process_is_the_end_of_all(small, name, nginx):
    with serve(small, nginx) as server:
        others = [
            number for number in children(server.process.pid) if number != child(server, name)
        ]
        os.kill(child(server, name), signal.SIGKILL)
        code = server.process.wait(10)

    assert code == 1
    assert server.err.read_text().endswith(
        f"{name} ended with signal 9, which the kernel sends where memory runs out, and serving"
        " ends with it\n"
    )
    assert not any(Path(f"/proc/{number}").exists() for number in others)


@pytest.mark.parametrize("nginx", FRONTS)
def test_workers_that_die_are_replaced_and_connections_to_them_forgotten(small, nginx):
    with serve(small, nginx) as server:
        assert post(server).status_code == 200
        before = workers(server)
        for number in before:
            os.kill(number, signal.SIGKILL)
        for _ in range(100):
            if len(workers(server)) == len(before) and not {*before} & {*workers(server)}:
                break
            time.sleep(0.05)

        assert post(server).status_code == 200
        assert not {*before} & {*workers(server)}


def test_a_server_whose_workers_keep_dying_ends_with_the_reason(small):
    with serve(small, nginx=False, MODEL_SERVER_WORKERS="1") as server:
        deadline = time.monotonic() + 50
        while server.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(StopIteration, ValueError, ProcessLookupError, OSError):
                os.kill(next(iter(workers(server))), signal.SIGKILL)
            time.sleep(0.05)
        code = server.process.wait(10)

    assert code == 1
    said = server.err.read_text()
    assert "6 workers have died within 60 seconds, for the reasons above; the server ends" in said
    assert said.endswith("gunicorn ended with exit code 1, and serving ends with it\n")


@pytest.mark.parametrize("nginx", FRONTS)
def test_files_that_change_under_a_server_change_no_answer(small, tmp_path, nginx):
    shutil.copytree(small / "model", tmp_path / "model")
    with serve(tmp_path, nginx) as server:
        expected = post(server, **BOTH).content
        for path in (tmp_path / "model").glob("*.npy"):
            with path.open("r+b") as file:
                file.seek(-64, os.SEEK_END)
                file.write(bytes(64))
        overwritten = post(server, **BOTH)
        for path in (tmp_path / "model").iterdir():
            os.truncate(path, 0)
        cut_off = post(server, **BOTH)
        shutil.rmtree(tmp_path / "model")
        removed = post(server, **BOTH)

    for answer in (overwritten, cut_off, removed):
        assert (answer.status_code, answer.content) == (200, expected)


def test_a_multi_model_endpoint_keeps_its_models_when_its_worker_dies(small):
    variables = {"SAGEMAKER_MULTI_MODEL": "true", "SERVING_MODEL_FOLDERS": str(small)}
    with serve(small, nginx=False, **variables) as server:
        url = f"{server.url}/models"
        body = {"model_name": "a", "url": str(small / "model")}
        assert requests.post(url, json=body, timeout=60).status_code == 200
        expected = requests.post(f"{url}/a/invoke", ROW, headers=CSV, timeout=60).content
        (before,) = workers(server)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: workers(server) not in ([], [before]))

        answer = requests.post(f"{url}/a/invoke", ROW, headers=CSV, timeout=60)

        assert (answer.status_code, answer.content) == (200, expected)
        assert requests.get(url, timeout=60).json()["models"] == [
            {"modelName": "a", "modelUrl": str(small / "model")}
        ]


@pytest.mark.parametrize("nginx", FRONTS)
def test_a_connection_that_a_client_keeps_does_not_keep_serving_from_its_end(small, nginx):
    with serve(small, nginx) as server, requests.Session() as session:
        assert (
            session.post(f"{server.url}/invocations", ROW, headers=CSV, timeout=60).status_code
            == 200
        )
        server.process.terminate()

        assert server.process.wait(main.DRAIN_SECONDS / 2) == 0


def test_access_log_lines_of_concurrent_requests_are_whole(small):
    with (
        serve(small, nginx=False, PYTHONUNBUFFERED="1") as server,
        ThreadPoolExecutor(8) as clients,
    ):
        answers = list(clients.map(lambda _: post(server), range(400)))

    assert {answer.status_code for answer in answers} == {200}
    assert [json.loads(line)["status"] for line in server.out.read_text().splitlines()] == [
        200
    ] * len(answers)


def test_workers_share_one_copy_of_the_model(large):
    cores = str(len(os.sched_getaffinity(0)))
    # But for its first and last pages, which hold other things as well.
    size = (large / "model/factor-0.npy").stat().st_size - 2 * resource.getpagesize()
    with serve(large, nginx=False, MODEL_SERVER_WORKERS=cores) as server:
        post(server, many_rows(1_000), **BOTH)
        regions = [dirty_bytes(number) for number in workers(server)]

    assert len(regions) == int(cores)
    for shared, private in regions:
        assert max(shared) >= size
        assert max(private) < size


def dirty_bytes(process):
    """Bytes that were written of every region of a process's memory: shared, and its own."""
    text = Path(f"/proc/{process}/smaps").read_text()
    return [
        [1024 * int(number) for number in re.findall(rf"^{kind}_Dirty: +(\d+) kB$", text, re.M)]
        for kind in ("Shared", "Private")
    ]


def test_a_model_among_other_files_in_a_read_only_folder_is_served(small, tmp_path):
    shutil.copytree(small / "model", tmp_path / "model")
    (tmp_path / "model/model.tar.gz").write_bytes(b"another file")
    for path in (tmp_path / "model").iterdir():
        path.chmod(0o444)
    (tmp_path / "model").chmod(0o555)

    with serve(tmp_path, nginx=False) as server:
        assert post(server).status_code == 200


def test_a_missing_model_ends_it_at_the_start_with_a_sentence(tmp_path):
    code, stderr = run_to_end(tmp_path)

    assert code == 1
    assert stderr.count("\n") == 1
    assert str(tmp_path / "model") in stderr


def test_a_broken_model_ends_it_at_the_start_with_a_sentence(small, tmp_path):
    shutil.copytree(small / "model", tmp_path / "model")
    description = json.loads((tmp_path / "model/model.json").read_text())
    (tmp_path / "model" / next(iter(description["sha256"]))).write_bytes(b"broken")

    code, stderr = run_to_end(tmp_path)

    assert code == 1
    assert stderr.count("\n") == 1
    assert "does not begin as numpy.save begins" in stderr


def test_an_unknown_output_ends_it_at_the_start_with_a_sentence(small):
    code, stderr = run_to_end(small, SAGEMAKER_INFERENCE_OUTPUT="mean,stdev")

    assert code == 1
    assert stderr == (
        'SAGEMAKER_INFERENCE_OUTPUT=mean,stdev: "stdev" is not an output, did you mean "std"; '
        "the outputs are mean, std, variance, interval, quantiles, novelty, shap, neighbours\n"
    )


def test_an_invalid_number_ends_it_at_the_start_with_a_sentence(small):
    code, stderr = run_to_end(small, MODEL_SERVER_WORKERS="two")

    assert code == 1
    assert stderr == 'MODEL_SERVER_WORKERS is "two"; it must be a whole number, 1 or more\n'


def test_a_port_that_is_taken_ends_it(small):
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))  # noqa: S104  # as `serve` does
        listener.listen()
        code, stderr = run_to_end(small, SAGEMAKER_BIND_TO_PORT=str(listener.getsockname()[1]))

    assert code == 1
    assert "in use" in stderr


def test_help_explains_the_environment(capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(["--help"])

    assert caught.value.code == 0
    text = capsys.readouterr().out
    for name in (
        "SAGEMAKER_BIND_TO_PORT",
        "SAGEMAKER_INFERENCE_OUTPUT",
        "MODEL_SERVER_WORKERS",
        "/invocations",
    ):
        assert name in text


def test_every_request_but_pings_is_a_line_of_json(small):
    with serve(small) as server:
        post(server, ROW * 3, **{"X-Amzn-SageMaker-Inference-Id": "mine"})
        post(server, "1,2,abc")
    lines = [json.loads(line) for line in server.out.read_text().splitlines()]

    assert [(line["method"], line["path"], line["status"], line["rows"]) for line in lines] == [
        ("POST", "/invocations", 200, 3),
        ("POST", "/invocations", 400, None),
    ]
    assert lines[0]["request_id"] == "mine"
    assert len(lines[1]["request_id"]) == 32
    assert all(0 < line["milliseconds"] < 10_000 for line in lines)


def test_there_is_no_access_log_above_level_info(small):
    with serve(small, SAGEMAKER_CONTAINER_LOG_LEVEL="30") as server:
        post(server)

    assert server.out.read_text() == ""


def test_metrics_count_over_all_workers(small):
    with serve(small, MODEL_SERVER_WORKERS="2", OMP_NUM_THREADS="2") as server:
        for _ in range(20):
            post(server, ROW * 2)
        text = requests.get(f"{server.url}/metrics", timeout=5).text

    assert re.search(r"^gaussian_processes_rows_total 40.0$", text, re.MULTILINE)


def test_the_gauges_of_a_worker_that_is_killed_are_removed(large):
    with serve(large, MODEL_SERVER_WORKERS="1") as server, ThreadPoolExecutor() as pool:
        before = workers(server)
        post(server)
        long = pool.submit(post, server, many_rows(20_000), **BOTH)
        wait_until(lambda: metric(server, "gaussian_processes_queue") == 1)
        for number in before:
            os.kill(number, signal.SIGKILL)
        wait_until(lambda: not {*before} & {*workers(server)})
        queue = metric(server, "gaussian_processes_queue")
        rows = metric(server, "gaussian_processes_rows_total")

    assert long.result().status_code == 502
    assert queue == 0
    assert rows == 1


@pytest.mark.parametrize("nginx", FRONTS)
def test_it_listens_on_the_given_address_alone(small, nginx):
    with serve(small, nginx, SERVING_BIND_ADDRESS="127.0.0.1") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.socket() as other:
            other.bind(("127.0.0.2", port))  # fails beside a listener on every address


def send(server, request):
    """Send bytes; return the status, the media type and the body of the response."""
    host, port = server.url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        # What the server refuses it may not read to its end.
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
    head, _, body = received.decode().partition("\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    return int(head.split()[1]), headers["content-type"], body


LONG = b"a" * 40_000
HOST = b" HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize("nginx", FRONTS)
def test_a_request_that_is_no_http_is_refused_in_a_sentence(small, nginx):
    cases = {
        b"GARBAGE\r\n\r\n": {400},
        b"GET /" + LONG + HOST + b"\r\n": {414},
        b"GET /ping" + HOST + b"X: " + LONG + b"\r\n\r\n": {400, 431},
        b"GET /ping HTTP/3.0\r\nHost: h\r\n\r\n": {400, 505},
        b"POST /invocations" + HOST + b"Transfer-Encoding: foo\r\n\r\n": {400, 501},
        b"POST /ping" + HOST + b"Content-Length: 4\r\nConnection: close\r\n\r\nbody": {405},
    }
    if not nginx:
        # gunicorn closes the connection before it has read these, which may lose its response.
        cases = {
            request: statuses for request, statuses in cases.items() if len(request) < len(LONG)
        }
    with serve(small, nginx) as server:
        responses = {request: send(server, request) for request in cases}

    for request, (status, content_type, body) in responses.items():
        assert status in cases[request], (request[:40], status)
        assert content_type == "text/plain; charset=utf-8"
        assert "<" not in body
        assert body.count("\n") == 1


@pytest.mark.skipif(not shutil.which("nginx"), reason="this machine has no nginx")
def test_a_ping_with_a_large_body_and_an_internal_path_are_refused_by_method_and_path(small):
    with serve(small, SAGEMAKER_MAX_PAYLOAD_IN_MB="1") as server:
        ping = requests.post(f"{server.url}/ping", b"a" * 2**21, timeout=60)
        internal = requests.get(f"{server.url}/errors/400", timeout=60)
        rewritten = requests.get(f"{server.url}/pinged", timeout=60)

    assert ping.status_code == 405
    assert internal.status_code == rewritten.status_code == 404
    for response in (ping, internal, rewritten):
        assert response.text.endswith("GET /openapi.json lists what it takes\n") or (
            response.text.endswith("GET /openapi.json lists what there is\n")
        )


def send_content_type_twice(server):
    """Send a header that may stand once; return the status, and the header that nginx reads."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/invocations")
    for content_type in ("text/csv", "application/json"):
        connection.putheader("Content-Type", content_type)
    connection.endheaders()
    with contextlib.closing(connection), connection.getresponse() as response:
        return response.status, response.headers["X-Refused"]


@pytest.mark.skipif(not shutil.which("nginx"), reason="this machine has no nginx")
def test_what_nginx_refuses_is_in_the_log_and_in_the_metrics(small):
    smuggled = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    cases = [
        (b"\xff\x00 GARBAGE\r\n\r\n", 400),
        (b"POST /invocations" + HOST + smuggled, 400),
        (b'GET /\xff"\\' + LONG[:7_000] + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + LONG + HOST + b"\r\n", 414),
        (b"GET /ping" + HOST + b"X: " + LONG + b"\r\n\r\n", 431),
        (b"PUT /ping" + HOST + b"Content-Length: 0\r\nConnection: close\r\n\r\n", 405),
        (b"GET /ping" + HOST + b"Content-Length: 2000\r\n\r\n", 413),
        (b"POST /invocations" + HOST + b"Content-Length: 2000000\r\n\r\n", 413),
        (b"GET /ping" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ]
    with serve(small, SAGEMAKER_MAX_PAYLOAD_IN_MB="1") as server:
        statuses = [send(server, request)[0] for request, _ in cases]
        twice = send_content_type_twice(server)
        post(server)
        wait_until(lambda: len(server.out.read_text().splitlines()) > len(cases) + 1)
        text = requests.get(f"{server.url}/metrics", timeout=60).text
    lines = [json.loads(line) for line in server.out.read_text().splitlines()]
    counted = re.findall(r'requests_total\{path="refused",status="(\d+)"\} (\d)', text)

    assert statuses == [status for _, status in cases]
    # gunicorn refuses and logs this one, which is counted beside those of nginx.
    assert twice == (400, None)
    statuses.append(400)
    assert sorted(line["status"] for line in lines) == sorted([*statuses, 200])
    assert Counter({int(status): int(count) for status, count in counted}) == Counter(statuses)
    assert all(line["path"] is None or len(line["path"]) <= 200 for line in lines)


@pytest.mark.parametrize("nginx", FRONTS)
def test_contradictory_and_many_forwarded_headers_and_a_long_path_do_not_matter(small, nginx):
    many = {f"X-{number}": "1" for number in range(200)}
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off", "X-Forwarded-Protocol": "x"}
    with serve(small, nginx) as server:
        assert post(server, **headers, **many).status_code == 200
        long = requests.get(f"{server.url}/{'a' * 7_000}", timeout=60)

    assert long.status_code == 404
    assert long.text.startswith("there is no /aaaa")


def test_execution_parameters_follow_the_environment(small):
    with serve(small, SAGEMAKER_BATCH="True", SAGEMAKER_MAX_PAYLOAD_IN_MB="60") as server:
        parameters = requests.get(f"{server.url}/execution-parameters", timeout=5).json()

    assert parameters == {
        "MaxConcurrentTransforms": 1,
        "BatchStrategy": "MultiRecord",
        "MaxPayloadInMB": 60,
    }


def test_a_multi_model_endpoint_starts_empty_and_loads_models(small, large, tmp_path):
    (tmp_path / "base").mkdir()
    with serve(
        tmp_path / "base", SAGEMAKER_MULTI_MODEL="true", SERVING_MODEL_FOLDERS=f"{small}:{large}"
    ) as server:
        for name, base in (("small", small), ("large", large)):
            asked = {"model_name": name, "url": str(base / "model")}
            assert requests.post(f"{server.url}/models", json=asked, timeout=30).status_code == 200
        again = requests.post(f"{server.url}/models", json=asked, timeout=30)
        listed = requests.get(f"{server.url}/models", timeout=5).json()["models"]
        answers = [
            requests.post(f"{server.url}/models/{name}/invoke", ROW, headers=CSV, timeout=30)
            for name in ("small", "large")
        ]
        gone = requests.delete(f"{server.url}/models/small", timeout=5)
        missing = requests.post(f"{server.url}/models/small/invoke", ROW, headers=CSV, timeout=5)

    assert again.status_code == 409
    assert [model["modelName"] for model in listed] == ["small", "large"]
    for base, answer in zip((small, large), answers, strict=True):
        assert (
            float(answer.text)
            == artifact.load(base / "model").predict(np.array([[0.5, -1.5, 2.5]])).mean[0, 0]
        )
    assert (gone.status_code, missing.status_code) == (200, 404)
