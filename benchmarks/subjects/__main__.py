"""Measure one subject in this process.

    python -m benchmarks.subjects MODULE:FUNCTION '{"argument": value}'

A subject has three steps. The function prepares the work and returns it; the work, which alone is
timed, returns a function that gives its findings; these go to stdout as JSON, with the seconds and
the memory.
"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path


def memory(field: str) -> int:
    """Return this process's memory in bytes: `VmRSS`, the current, or `VmHWM`, the peak.

    Not ``ru_maxrss``, which begins with what the parent had.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    """Run the subject that the command line names."""
    module, name = sys.argv[1].split(":")
    function = getattr(import_module(f"benchmarks.subjects.{module}"), name)
    work = function(**json.loads(sys.argv[2]))
    start_bytes, began = memory("VmRSS"), time.perf_counter()
    findings = work()
    seconds, peak_bytes = time.perf_counter() - began, memory("VmHWM")
    print(
        json.dumps(
            {
                "seconds": seconds,
                "start_bytes": start_bytes,
                "peak_bytes": peak_bytes,
                "found": findings(),
            }
        )
    )


if __name__ == "__main__":
    main()
