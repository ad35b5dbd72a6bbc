"""Growth of time and memory of a fit with the number of rows.

python -m benchmarks.scaling [--most 50000]
"""

import argparse
import math
from collections.abc import Sequence

from benchmarks import reporting
from benchmarks.measuring import Measurement, Subject, measure
from benchmarks.subjects.problem import COLUMNS
from gaussian_processes.gp.regression import working_bytes
from gaussian_processes.linalg.cholesky import packed_bytes
from gaussian_processes.resources import available_cpus

SIZES = (1000, 2000, 4000, 8000, 16000, 32000, 50000)
# A fit of more rows takes minutes, over which the noise of a machine averages by itself.
REPEATED_ROWS = 8000
# A product of this size takes a second or so and runs at the full rate.
PRODUCT = 4000


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.scaling", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--most", type=int, default=SIZES[-1], help=f"rows, at most (default {SIZES[-1]})"
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, help=f"of sizes up to {REPEATED_ROWS} (default 3)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    sizes = [size for size in SIZES if size <= arguments.most]
    measured = [
        _measure(size, arguments.repetitions if size <= REPEATED_ROWS else 1) for size in sizes
    ]
    print("\n" + _table(sizes, measured))


def _measure(rows: int, repetitions: int) -> tuple[Measurement, Measurement]:
    """Measure a fit, and a matrix product for the rate that the processor reaches meanwhile."""
    needed = packed_bytes(rows) + working_bytes(rows, COLUMNS + 1, available_cpus())
    fit = Subject(f"fit of {rows:,} rows", "ours:fit", {"rows": rows}, needed)
    fit_measured, product = measure(
        [fit, Subject("dgemm", "lapack:gemm", {"size": PRODUCT})], repetitions
    )
    return fit_measured, product


def _table(sizes: Sequence[int], measured: Sequence[tuple[Measurement, Measurement]]) -> str:
    head = [
        "rows",
        "seconds",
        "exponent",
        "GFLOP/s",
        "of dgemm's",
        "peak, GB",
        "peak, n×n matrices",
    ]
    befores = [None, *zip(sizes, measured, strict=True)]
    return reporting.markdown(
        head,
        [
            _row(rows, pair, before)
            for rows, pair, before in zip(sizes, measured, befores, strict=False)
        ],
    )


def _row(
    rows: int,
    pair: tuple[Measurement, Measurement],
    before: tuple[int, tuple[Measurement, Measurement]] | None,
) -> list[str]:
    fit, product = pair
    cells = [f"{rows:,}", reporting.seconds(fit)]
    if not fit.succeeded:
        return [*cells, *[reporting.NOTHING] * 5]
    # The factorisation's operations over the seconds of all: what the Gram matrix takes counts
    # against the rate.
    rate, possible = rows**3 / 3 / fit.seconds, product.found["operations"] / product.seconds
    exponent = math.log(fit.seconds / before[1][0].seconds, rows / before[0]) if before else None
    cells += [
        f"{exponent:.2f}" if exponent else reporting.NOTHING,
        f"{rate / 1e9:.0f}",
        f"{rate / possible:.2f}",
    ]
    return [*cells, reporting.gigabytes(fit), reporting.squares(fit, rows)]


if __name__ == "__main__":
    main()
