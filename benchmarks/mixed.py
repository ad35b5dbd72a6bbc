"""Time and memory of mixed precision, and the difference of its predicted means.

python -m benchmarks.mixed [ROWS ...]
"""

import argparse

import numpy as np

from benchmarks import reporting
from benchmarks.measuring import Measurement, Subject, measure
from benchmarks.subjects.problem import COLUMNS
from gaussian_processes.gp.regression import working_bytes
from gaussian_processes.linalg.cholesky import packed_bytes
from gaussian_processes.resources import available_cpus

HEAD = (
    "rows",
    "float64, seconds",
    "mixed, seconds",
    "mixed of float64",
    "float64, n×n matrices",
    "mixed, n×n matrices",
    "iterations",
    "means differ by",
)


def main() -> None:
    """Measure, and print the table; means are in standard deviations of the targets."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.mixed", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "rows", type=int, nargs="*", default=[8000, 20000], help="sizes (default 8000 20000)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, help="of every subject, interleaved (default 3)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    rows = [
        _row(
            rows,
            *measure([_subject(rows, "float64"), _subject(rows, "float32")], arguments.repetitions),
        )
        for rows in arguments.rows
    ]
    print("\n" + reporting.markdown(HEAD, rows))


def _subject(rows: int, dtype: str) -> Subject:
    needed = packed_bytes(rows, dtype) + working_bytes(rows, COLUMNS + 1, available_cpus())
    return Subject(f"{dtype}, {rows:,} rows", "ours:fit", {"rows": rows, "dtype": dtype}, needed)


def _row(rows: int, float64: Measurement, mixed: Measurement) -> list[str]:
    cells = [
        f"{rows:,}",
        reporting.seconds(float64),
        reporting.seconds(mixed),
        reporting.ratio(mixed, float64),
    ]
    cells += [reporting.squares(float64, rows), reporting.squares(mixed, rows)]
    if not (float64.succeeded and mixed.succeeded):
        return [*cells, reporting.NOTHING, reporting.NOTHING]
    difference = np.abs(np.subtract(mixed.found["means"], float64.found["means"])).max()
    return [*cells, str(mixed.found["iterations"]), f"{difference:.0e}"]


if __name__ == "__main__":
    main()
