"""Requests that nginx refuses by itself: a line of the log each, and their counts in ``/metrics``.

nginx sends a datagram a request, as syslog has it, to a unix socket. No worker need be there, which
is one of the reasons of a refusal.
"""

import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Path that stands for all of them in the metrics: what is no HTTP has none of its own.
REFUSED_PATH = "refused"
# Characters of a path that the log quotes; nginx itself takes 8,000.
QUOTED_CHARACTERS = 200
# Bytes of a datagram: of the longest path, each of whose characters is escaped.
MAX_DATAGRAM_BYTES = 1 << 16


class RefusalLog:
    """Log and metrics of what nginx refuses, in the process that started it.

    Parameters
    ----------
    path : Path
        Socket that nginx writes to, in a folder of this user's alone.
    metrics : Path
        Folder where the processes share their metrics.
    printed : bool
        Whether refusals are lines of the log, too.
    """

    def __init__(self, path: Path, metrics: Path, *, printed: bool) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._printed = printed
        # prometheus_client looks for the variable once, as it is imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        from gaussian_processes.serving.prometheus import Metrics  # noqa: PLC0415

        self._metrics = Metrics()

    def wait(self, seconds: float) -> None:
        """Wait, and handle what arrives meanwhile, however much that is."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                datagram = self._socket.recv(MAX_DATAGRAM_BYTES)
            except TimeoutError:
                return
            self._handle(datagram)

    def _handle(self, datagram: bytes) -> None:
        """Count a refusal, and print its line."""
        try:
            fields = json.loads(datagram[datagram.index(b"{") :].decode(errors="replace"))
        except ValueError:  # it was cut off: no such path is served
            return
        self._metrics.observe_request(REFUSED_PATH, fields["status"], fields["seconds"])
        if self._printed and not fields["logged"]:
            sys.stdout.write(json.dumps(_line(fields)) + "\n")
            sys.stdout.flush()


def _line(fields: Mapping[str, Any]) -> Mapping[str, object]:
    """Line of the log, with the keys of the workers' own."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "method": fields["method"] or None,
        "path": fields["path"][:QUOTED_CHARACTERS] or None,
        "status": fields["status"],
        "rows": None,
        "milliseconds": round(fields["seconds"] * 1000, 3),
        "request_id": fields["inference_id"] or secrets.token_hex(16),
    }
