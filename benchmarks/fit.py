"""Time and memory of a fit and of predictions, beside LAPACK, scikit-learn and GPyTorch.

python -m benchmarks.fit [--rows 8000] [--prediction-rows 10000] [--repetitions 3]
"""

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks import reporting
from benchmarks.measuring import Measurement, Subject, measure
from gaussian_processes.linalg.cholesky import packed_bytes

NEW = 1000
# Matrices of rows × rows numbers of float64 that a peer was seen to take, and what Python and its
# libraries take at most: above this, it is better skipped than killed for lack of memory, perhaps
# with others.
SQUARES = {
    "potrf": 1.1,
    "trsm": 1.8,
    "scikit-learn": 4.3,
    "GPyTorch": 5.5,
    "GPyTorch's predictions": 6.5,
}
LIBRARIES = 0.4e9


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.fit", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--rows", type=int, default=8000, help="training rows of the fit (default 8000)"
    )
    parser.add_argument(
        "--prediction-rows",
        type=int,
        default=10000,
        help="training rows behind the predictions; 0 for none",
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, help="of every subject, interleaved (default 3)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    print("\n" + _fits(arguments.rows, arguments.repetitions), flush=True)
    if arguments.prediction_rows:
        print("\n" + _predictions(arguments.prediction_rows, arguments.repetitions), flush=True)


def _fits(rows: int, repetitions: int) -> str:
    size = {"rows": rows}
    subjects = [
        Subject(
            "LAPACK's potrf of a ready matrix",
            "lapack:potrf",
            size,
            _needed("potrf", rows),
            compared=True,
        ),
        Subject(
            "this package: whole fit",
            "ours:fit",
            size,
            packed_bytes(rows) + LIBRARIES,
            compared=True,
        ),
        Subject("scikit-learn: whole fit", "scikit_learn:fit", size, _needed("scikit-learn", rows)),
        Subject(
            "GPyTorch: evidence only", "gpytorch_exact:evidence", size, _needed("GPyTorch", rows)
        ),
        Subject("GPyTorch: whole fit", "gpytorch_exact:fit", size, _needed("GPyTorch", rows)),
    ]
    return _table(f"fit of {rows:,} rows", rows, measure(subjects, repetitions), "potrf")


def _predictions(rows: int, repetitions: int) -> str:
    size = {"rows": rows, "new": NEW}
    subjects = [
        Subject(
            "BLAS's trsm of a ready factor",
            "lapack:trsm",
            size,
            _needed("trsm", rows),
            compared=True,
        ),
        Subject(
            "this package", "ours:predict", size, packed_bytes(rows) + LIBRARIES, compared=True
        ),
        Subject("scikit-learn", "scikit_learn:predict", size, _needed("scikit-learn", rows)),
        Subject(
            "GPyTorch", "gpytorch_exact:predict", size, _needed("GPyTorch's predictions", rows)
        ),
    ]
    return _table(
        f"{NEW:,} means and variances from {rows:,} rows",
        rows,
        measure(subjects, repetitions),
        "trsm",
    )


def _needed(peer: str, rows: int) -> float:
    return SQUARES[peer] * 8 * rows**2 + LIBRARIES


def _table(title: str, rows: int, measurements: Sequence[Measurement], bare: str) -> str:
    """Return a line a subject; `bare` is the routine that the others are compared with."""
    reference, ours = _first(measurements, f":{bare}"), _first(measurements, "ours:")
    head = [
        title,
        "seconds",
        f"of {bare}",
        "of ours",
        "peak, GB",
        "before the work",
        "peak, n×n matrices",
        "means differ by",
    ]
    return reporting.markdown(
        head,
        [
            [
                measurement.label,
                reporting.seconds(measurement),
                reporting.ratio(measurement, reference),
                reporting.ratio(measurement, ours),
                reporting.gigabytes(measurement),
                f"{measurement.start_bytes / 1e9:.2f}"
                if measurement.succeeded
                else reporting.NOTHING,
                reporting.squares(measurement, rows),
                _difference(measurement, ours),
            ]
            for measurement in measurements
        ],
    )


def _first(measurements: Sequence[Measurement], work: str) -> Measurement | None:
    """Return the first measurement of some work that succeeded."""
    return next(
        (found for found in measurements if work in found.subject.work and found.succeeded), None
    )


def _difference(measurement: Measurement, ours: Measurement | None) -> str:
    """Return the largest difference of the predicted means from ours, as a check."""
    if ours is None or not measurement.succeeded or "means" not in measurement.found:
        return reporting.NOTHING
    return f"{np.abs(np.subtract(measurement.found['means'], ours.found['means'])).max():.0e}"


if __name__ == "__main__":
    main()
