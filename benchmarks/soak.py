"""Memory of an endpoint over many requests.

python -m benchmarks.soak [--minutes 5] [--clients 8]

`serve` runs in a process of its own, and gets rows, tables, mistakes and pings from several
clients at once; what its processes hold is looked at every second. The slope is that of the line
through the second half of it.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import requests

from benchmarks import reporting
from benchmarks.serving import _prepare, _serving, _tree
from benchmarks.subjects import problem

ROWS = 1_000
LOOK_SECONDS = 1.0
CSV = {"Content-Type": "text/csv"}
BOTH = {
    **CSV,
    "X-Amzn-SageMaker-Custom-Attributes": "output=mean,std",
    "Accept": "application/json",
}


def main() -> None:
    """Send requests, and print what memory did."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.soak", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=5, help="how long (default 5)")
    parser.add_argument("--clients", type=int, default=8, help="how many at once (default 8)")
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        base = Path(folder) / "opt_ml"
        _prepare(base, ROWS)
        with _serving("ours", base) as server:
            statuses, held = _soak(
                server.process,
                f"http://127.0.0.1:{server.port}",
                60 * arguments.minutes,
                arguments.clients,
            )
    print("\n" + _table(statuses, held))


def _soak(
    process: subprocess.Popen[bytes], url: str, seconds: float, clients: int
) -> tuple[Counter[int], list[tuple[float, int, int]]]:
    """Send requests from several clients; return counts by status, and the memory over time."""
    statuses, over = Counter[int](), threading.Event()
    threads = [threading.Thread(target=_send, args=(url, statuses, over)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    held, begin = [], time.monotonic()
    while (passed := time.monotonic() - begin) < seconds:
        held.append((passed, sum(statuses.values()), sum(map(_resident_bytes, _tree(process.pid)))))
        time.sleep(LOOK_SECONDS)
    over.set()
    for thread in threads:
        thread.join()
    return statuses, held


def _send(url: str, statuses: Counter[int], over: threading.Event) -> None:
    rng = np.random.default_rng(10)
    table = "".join(
        ",".join(map(str, row)) + "\n" for row in rng.normal(size=(1_000, problem.COLUMNS))
    )
    row = table.partition("\n")[0]
    requested = [
        (row, CSV),
        (table, BOTH),
        ("1,x\n", CSV),
        ('{"instances": [', {"Content-Type": "application/json"}),
    ]
    session = requests.Session()
    for body, headers in itertools.cycle(requested):
        if over.is_set():
            return
        statuses[
            session.post(f"{url}/invocations", body, headers=headers, timeout=600).status_code
        ] += 1
        statuses[session.get(f"{url}/ping", timeout=600).status_code] += 1


def _resident_bytes(process: int) -> int:
    """Return the anonymous part of the RSS, in bytes: mapped files are shared."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines()
    )
    return int(fields["RssAnon"].split()[0]) * 1024


def _table(statuses: Counter[int], held: list[tuple[float, int, int]]) -> str:
    seconds, requested, size = np.array(held[len(held) // 2 :], dtype=float).T
    by_hour, by_request = (
        np.polyfit(along, size, 1)[0] for along in (seconds / 3600, requested / 1000)
    )
    answers = ", ".join(f"{count:,} of {status}" for status, count in sorted(statuses.items()))
    head = [
        "requests",
        "memory half-way, MB",
        "at the end, MB",
        "slope, MB an hour",
        "slope, kB per 1,000 requests",
    ]
    row = [
        answers,
        f"{size[0] / 1e6:.1f}",
        f"{size[-1] / 1e6:.1f}",
        f"{by_hour / 1e6:+.1f}",
        f"{by_request / 1e3:+.1f}",
    ]
    return reporting.markdown(head, [row])


if __name__ == "__main__":
    sys.exit(main())
