"""Health check of a container: whether `serve`, where it runs, answers ``/ping``.

The image's HEALTHCHECK runs it now and then beside whatever the container runs, so that nothing is
imported beside the standard library.
"""

import os
import socket
import sys
from pathlib import Path

# Longer than a ping takes on a busy machine, and half of what the image's HEALTHCHECK gives this
# program, for which Python starts first.
PING_TIMEOUT_SECONDS = 5


def main() -> int:
    """Return 1 if `serve` runs and does not answer, and 0 otherwise: a training job is well."""
    if not _serves(Path("/proc")):
        return 0
    address = os.environ.get("SERVING_BIND_ADDRESS") or "127.0.0.1"
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
    return 0 if answers_ping((address, port), PING_TIMEOUT_SECONDS) else 1


def answers_ping(address: str | tuple[str, int], seconds: float) -> bool:
    """Whether ``GET /ping`` is answered on a unix socket, or on an address and a port."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    try:
        with socket.socket(family) as connection:
            connection.settimeout(seconds)
            connection.connect(address)
            connection.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)  # the status is in the first 15 bytes
    except OSError:
        return False


def _serves(processes: Path) -> bool:
    """Whether a process is the program `serve`, by itself or as a script of Python's."""
    for command in processes.glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().split(b"\0")[:2]
        except OSError:  # it has ended meanwhile, or is another user's
            continue
        if any(word.rpartition(b"/")[2] == b"serve" for word in words):
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
