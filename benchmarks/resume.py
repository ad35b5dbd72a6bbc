"""Cost of an interruption, and whether the model is the same to the last bit.

python -m benchmarks.resume [--rows 16000]

The program `train` runs in folders of its own: without checkpoints, with them, and with them but
killed by SIGKILL when half of the factor's panels are finished, then started again.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.subjects import problem
from gaussian_processes.linalg.cholesky import slices

# How often it is looked whether a panel is there, and the process: rarely enough to leave the
# processor to the job.
LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Part:
    """Seconds and peak memory of one process of `train`, mapped files included."""

    seconds: float
    peak_bytes: int


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.resume", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rows", type=int, default=16000, help="training rows (default 16000)")
    parser.add_argument(
        "--folder", type=Path, help="where to work; it takes 17 × rows² bytes (4.4 GB)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, help="of every run, interleaved (default 3)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    rounds = [_round(arguments.rows, arguments.folder) for _ in range(arguments.repetitions)]
    print("\n" + _table(arguments.rows, [parts for parts, _ in rounds]))
    equal = all(len({json.dumps(checksums) for checksums in found}) == 1 for _, found in rounds)
    print(
        "\nThe three models of every repetition are"
        f" {'equal to the last bit' if equal else 'NOT EQUAL'}."
    )
    sys.exit(not equal)


def _round(rows: int, folder: Path | None) -> tuple[list[Part], list[Any]]:
    """Run without checkpoints, with them, until killed, and again; return the checksums, too."""
    with tempfile.TemporaryDirectory(prefix="resume-", dir=folder) as scratch:
        plain, kept, killed = (Path(scratch) / name for name in ("plain", "kept", "killed"))
        half = len(slices(rows)) // 2
        _prepare(plain, rows, checkpoints=False)
        _prepare(kept, rows, checkpoints=True)
        _prepare(killed, rows, checkpoints=True)
        parts = [_train(plain), _train(kept), _train(killed, panels=half), _train(killed)]
        return parts, [
            json.loads((base / "model/model.json").read_text())["sha256"]
            for base in (plain, kept, killed)
        ]


def _prepare(base: Path, rows: int, checkpoints: bool) -> None:
    """Lay out /opt/ml as SageMaker does."""
    data, config = base / "input/data/train", base / "input/config"
    data.mkdir(parents=True)
    config.mkdir(parents=True)
    rng = np.random.default_rng(7)
    x = rng.normal(size=(rows, problem.COLUMNS))
    y = np.sin(x).sum(axis=1) + rng.normal(size=rows) / 2
    np.savetxt(data / "data.csv", np.column_stack([y, x]), delimiter=",")
    (config / "hyperparameters.json").write_text(json.dumps(problem.HYPERPARAMETERS))
    if checkpoints:
        (config / "checkpointconfig.json").write_text(
            json.dumps({"LocalPath": str(base / "checkpoints")})
        )


def _train(base: Path, panels: int = 0) -> Part:
    """Run `train` to its end, or kill it as soon as some panels are finished."""
    log = (
        os.POSIX_SPAWN_OPEN,
        1,
        str(base / "log.txt"),
        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        0o600,
    )
    program, environment = (
        f"{sysconfig.get_path('scripts')}/train",
        {**os.environ, "SAGEMAKER_BASE_DIR": str(base)},
    )
    print(
        f"train in {base}{f', killed after {panels} panels' if panels else ''} …",
        file=sys.stderr,
        flush=True,
    )
    began = time.perf_counter()
    process = os.posix_spawn(program, [program], environment, file_actions=[log])
    if panels:
        _await_panels(base, panels, process)
        os.kill(process, signal.SIGKILL)
    _, status, used = os.wait4(process, 0)
    seconds = time.perf_counter() - began
    expected = -signal.SIGKILL if panels else 0
    if (code := os.waitstatus_to_exitcode(status)) != expected:
        raise RuntimeError(
            f"train in {base} ended with {code} and not {expected};"
            f" with 0 for {expected}, take more rows"
        )
    return Part(seconds, used.ru_maxrss * 1024)


def _await_panels(base: Path, panels: int, process: int) -> None:
    """Wait until so many panels are finished, or the process is."""
    while not list((base / "checkpoints").rglob(f"{panels - 1:05}.npy")):
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(LOOK_SECONDS)


def _table(rows: int, rounds: list[list[Part]]) -> str:
    plain, kept, killed, again = (
        Part(
            statistics.median(part.seconds for part in parts),
            int(statistics.median(part.peak_bytes for part in parts)),
        )
        for parts in zip(*rounds, strict=True)
    )
    both = Part(killed.seconds + again.seconds, max(killed.peak_bytes, again.peak_bytes))
    panels = len(slices(rows))
    lines = {
        "without checkpoints": plain,
        "with checkpoints, uninterrupted": kept,
        f"killed after {panels // 2} of {panels} panels": killed,
        "started again": again,
        "both together": both,
    }
    head = [f"`train` on {rows:,} rows", "seconds", "of uninterrupted", "peak, GB"]
    return reporting.markdown(
        head,
        [
            [
                label,
                f"{part.seconds:.1f}",
                f"{part.seconds / kept.seconds:.2f}",
                f"{part.peak_bytes / 1e9:.2f}",
            ]
            for label, part in lines.items()
        ],
    )


if __name__ == "__main__":
    main()
