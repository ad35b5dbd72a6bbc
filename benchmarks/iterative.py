"""Time and memory of conjugate gradients, beside a factor in float32 that is kept in files.

python -m benchmarks.iterative [--rows 12000] [--solvers cg mixed]

The program `train` runs with `solver=cg`, in a limit of memory, and with `precision=mixed` and a
checkpoint, whose panels are files; kernel and noise are learned alike, from a sample. `--rows
100000 --solvers cg` is the size that is promised; mixed takes 20 GB of disk there.
"""

import argparse
import json
import os
import re
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import reporting
from benchmarks.subjects import problem

# What `train` may take in all with `solver=cg`, its libraries included.
LIMIT_BYTES = 4 << 30
NEW = 1000
SOLVERS: Mapping[str, Mapping[str, str]] = {
    "cg": {"solver": "cg"},
    "mixed": {"solver": "cholesky", "precision": "mixed", "keep_factor": "false"},
}
HEAD = ("solver", "seconds", "peak, GB", "iterations", "residual", "RMSE", "means differ by")


@dataclass(frozen=True)
class Job:
    """What one job of `train` took, and came to."""

    seconds: float
    peak_bytes: int
    log: str
    means: list[float]


def main() -> None:
    """Measure, and print the table; means are in standard deviations of the targets."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.iterative", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rows", type=int, default=12000, help="training rows (default 12000)")
    parser.add_argument(
        "--solvers", nargs="+", choices=sorted(SOLVERS), default=list(SOLVERS), help="(all)"
    )
    parser.add_argument(
        "--folder", type=Path, help="where to work; mixed takes 2 × rows² bytes (0.3 GB)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    jobs = {}
    for solver in arguments.solvers:
        with tempfile.TemporaryDirectory(prefix="iterative-", dir=arguments.folder) as folder:
            jobs[solver] = _run(Path(folder), arguments.rows, solver)
    print("\n" + _table(jobs))


def _run(base: Path, rows: int, solver: str) -> Job:
    """Lay out /opt/ml as SageMaker does, and run `train`."""
    _write(base / "input/config/hyperparameters.json", {"q": "1", "l": "1", **SOLVERS[solver]})
    if solver == "mixed":
        _write(base / "input/config/checkpointconfig.json", {"LocalPath": str(base / "panels")})
    z, y = problem.standardized(rows + NEW)
    for name, part in (("train", slice(rows)), ("validation", slice(rows, None))):
        path = base / f"input/data/{name}/data.csv"
        path.parent.mkdir(parents=True)
        np.savetxt(path, np.column_stack([y[part], z[part]]), delimiter=",")
    # Files that are mapped count as addresses, so mixed has no limit of them.
    limit = f"ulimit -v {LIMIT_BYTES >> 10}; " if solver == "cg" else ""
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base)}
    began, program = time.perf_counter(), f"{sysconfig.get_path('scripts')}/train"
    with (base / "log.txt").open("w") as log:
        command = ["/bin/sh", "-c", f'{limit}exec "$0"', program]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, said = time.perf_counter() - began, (base / "log.txt").read_text()
    if process.returncode:
        raise RuntimeError(f"train with {solver} ended with {process.returncode}: {said[-500:]}")
    lines = np.genfromtxt(
        base / "output/data/validation_predictions.csv", delimiter=",", names=True
    )
    return Job(seconds, used.ru_maxrss * 1024, said, lines["mean"].tolist())


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _table(jobs: Mapping[str, Job]) -> str:
    reference = next(iter(jobs.values()))
    lines = []
    for solver, job in jobs.items():
        difference = np.abs(np.subtract(job.means, reference.means)).max()
        said = _found(r"to a\s+residual of (\S+)", job.log)
        lines.append(
            [
                solver,
                f"{job.seconds:.0f}",
                f"{job.peak_bytes / 1e9:.2f}",
                _found(r"(\d+) iterations (?:of conjugate|in float64)", job.log),
                said,
                f"{float(_found(r'validation:RMSE=(.*?);', job.log)):.5f}",
                f"{difference:.0e}" if job is not reference else reporting.NOTHING,
            ]
        )
    return reporting.markdown(HEAD, lines)


def _found(expression: str, text: str) -> str:
    found = re.search(expression, text)
    return found[1] if found else reporting.NOTHING


if __name__ == "__main__":
    main()
