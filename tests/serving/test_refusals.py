"""What nginx refuses, sent as it sends it: datagrams of syslog to a unix socket."""

import json
import socket
import time

import pytest

from gaussian_processes.serving import prometheus
from gaussian_processes.serving.refusals import RefusalLog

# A log lives as long as its process, and never closes its socket.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket")


class Counted:
    """Metrics that remember what they were asked to count."""

    def __init__(self):
        self.requests = []

    def observe_request(self, *request):
        self.requests.append(request)


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Start a log that nginx can write to; gives it and the requests that it counts."""
    # RefusalLog sets it for the whole process.
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    counted = Counted()
    monkeypatch.setattr(prometheus, "Metrics", lambda: counted)

    def started(printed):
        log = RefusalLog(tmp_path / "refusals.sock", tmp_path, printed=printed)
        return log, counted.requests

    return started


@pytest.fixture
def handle(tmp_path):
    """Send datagrams, and wait until a log has counted as many requests as it should."""

    def handled(started, datagrams, expected):
        log, requests = started
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nginx:
            nginx.connect(str(tmp_path / "refusals.sock"))
            for content in datagrams:
                nginx.send(content)
        while len(requests) < expected:
            log.wait(0.02)
        return requests

    return handled


def datagram(**changed):
    fields = {"method": "POST", "path": "/invocations", "status": 413, "seconds": 0.0125}
    content = json.dumps({**fields, "inference_id": "mine", "logged": "", **changed})
    return f"<190>Nov 27 12:00:00 nginx: {content}".encode()


def test_a_refusal_is_counted_and_is_a_line_of_the_log(start, handle, capsys):
    requests = handle(start(printed=True), [datagram()], 1)

    assert requests == [("refused", 413, 0.0125)]
    line = json.loads(capsys.readouterr().out)
    assert time.strptime(line.pop("time")[:19], "%Y-%m-%dT%H:%M:%S")
    assert line == {
        "method": "POST",
        "path": "/invocations",
        "status": 413,
        "rows": None,
        "milliseconds": 12.5,
        "request_id": "mine",
    }


def test_a_refusal_that_is_not_to_be_printed_is_only_counted(start, handle, capsys):
    requests = handle(start(printed=False), [datagram(status=502)], 1)

    assert requests == [("refused", 502, 0.0125)]
    assert capsys.readouterr().out == ""


def test_what_was_no_http_has_no_method_and_an_identifier_of_its_own(start, handle, capsys):
    sent = datagram(method="", path="", status=400, inference_id="")

    handle(start(printed=True), [sent, sent], 2)

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["method"], first["path"]) == (None, None)
    assert first["request_id"] != second["request_id"]
    assert len(first["request_id"]) == 32


def test_a_long_path_is_quoted_in_part_and_a_datagram_that_was_cut_off_is_passed_over(
    start, handle, capsys
):
    sent = [
        datagram(path="/" + "a" * 8000),
        datagram()[:-20],
        b"nothing of this is JSON",
        datagram(path="/\xff").replace(b"\\u00ff", b"\xff"),
    ]

    requests = handle(start(printed=True), sent, 2)

    assert len(requests) == 2
    long, odd = map(json.loads, capsys.readouterr().out.splitlines())
    assert long["path"] == "/" + "a" * 199
    assert odd["path"] == "/\ufffd"
