"""Time of one job that compares 20 kernels, beside 20 jobs of one kernel each.

python -m benchmarks.selection [ROWS ...]
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import reporting
from benchmarks.subjects import problem

DEGREES, DEPTHS = range(5), range(4)
HEAD = (
    "rows",
    "20 jobs, seconds",
    "one job, seconds",
    "one of 20 jobs",
    "of which comparing",
    "the same kernel is best",
)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.selection", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "rows", type=int, nargs="*", default=[500, 2000, 8000], help="sizes (default 500 2000 8000)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    print("\n" + reporting.markdown(HEAD, [_row(rows) for rows in arguments.rows]))


def _row(rows: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="selection-") as scratch:
        base = Path(scratch)
        _prepare(base, rows)
        singles = {(q, depth): _train(base, q, depth) for q in DEGREES for depth in DEPTHS}
        seconds, _, comparing, chosen = _train(base, "0-4", "0-3")
    best = max(singles, key=lambda kernel: singles[kernel][1])
    together = sum(single[0] for single in singles.values())
    cells = [
        f"{rows:,}",
        f"{together:.1f}",
        f"{seconds:.1f}",
        f"{seconds / together:.2f}",
        f"{comparing:.0%}",
    ]
    return [*cells, "yes" if best == chosen else f"no: {best} alone, {chosen} together"]


def _prepare(base: Path, rows: int) -> None:
    """Lay out /opt/ml as SageMaker does."""
    for folder in ("input/data/train", "input/config"):
        (base / folder).mkdir(parents=True)
    rng = np.random.default_rng(8)
    x = rng.normal(size=(rows, problem.COLUMNS))
    y = np.sin(x).sum(axis=1) + rng.normal(size=rows) / 2
    np.savetxt(base / "input/data/train/data.csv", np.column_stack([y, x]), delimiter=",")


def _train(base: Path, q: object, depth: object) -> tuple[float, float, float, tuple[int, int]]:
    """Return a job's seconds, log evidence, share of the time for comparing, and kernel."""
    (base / "input/config/hyperparameters.json").write_text(
        json.dumps({"q": str(q), "l": str(depth), "leave_one_out": "false"})
    )
    print(f"train on q={q}, l={depth} …", file=sys.stderr, flush=True)
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base)}
    began = time.perf_counter()
    done = subprocess.run(
        [f"{sysconfig.get_path('scripts')}/train"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - began
    comparing = float(done.stdout.rsplit(" took ", 1)[1].split()[0])
    kernel = json.loads((base / "model/model.json").read_text())["members"][0]["process"]["kernel"]
    evidence = json.loads((base / "output/data/metrics.json").read_text())["train:log_evidence"]
    return seconds, evidence, comparing / seconds, (kernel["q"], kernel["l"])


if __name__ == "__main__":
    main()
