import socket
import threading
from contextlib import contextmanager

import pytest

from gaussian_processes.serving import health


@contextmanager
def server(answer):
    """Listen on a port; send the answer to whoever connects, and return the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(answer)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]


def process(folder, number, command):
    """Write what /proc has of a process."""
    (folder / str(number)).mkdir()
    (folder / str(number) / "cmdline").write_bytes(b"\0".join(command) + b"\0")


@pytest.mark.parametrize(
    ("answer", "answers"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"", False),
    ],
)
def test_a_ping_is_answered_by_200(answer, answers):
    with server(answer) as port:
        assert health.answers_ping(("127.0.0.1", port), 5) is answers


def test_nobody_listens(tmp_path):
    assert not health.answers_ping(str(tmp_path / "no.sock"), 1)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ([b"/opt/program/bin/python", b"/opt/program/bin/serve"], 1),
        ([b"serve"], 1),
        ([b"/opt/program/bin/python", b"/opt/program/bin/train"], 0),
        ([b"bash", b"-c", b"serve"], 0),
        ([b""], 0),
    ],
)
def test_only_serve_must_answer(tmp_path, monkeypatch, command, code):
    process(tmp_path, 1, command)
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(health, "Path", lambda name: tmp_path)
    monkeypatch.setattr(health, "answers_ping", lambda address, seconds: False)

    assert health.main() == code


def test_the_address_and_the_port_are_those_of_serve(tmp_path, monkeypatch):
    process(tmp_path, 1, [b"serve"])
    monkeypatch.setattr(health, "Path", lambda name: tmp_path)
    with server(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        monkeypatch.setenv("SERVING_BIND_ADDRESS", "127.0.0.1")
        monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", str(port))

        assert health.main() == 0
