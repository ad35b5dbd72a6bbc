"""Rate of kernel values, beside the machine's memory bandwidth and NumPy's arccos.

python -m benchmarks.kernel [--rows 8192]
"""

import argparse

from benchmarks import reporting
from benchmarks.measuring import Measurement, Subject, measure
from gaussian_processes.resources import available_cpus

DEGREES_AND_DEPTHS = ((0, 0), (0, 2), (1, 0), (1, 1), (1, 3), (2, 0), (2, 2), (3, 2), (4, 5))
# Bytes to copy: far more than a cache holds.
COPIED = 1 << 30
HEAD = (
    "of 17 columns",
    "seconds",
    "million values/s",
    "ns/value/core",
    "of arccos",
    "written, of the copy's bandwidth",
)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.kernel", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--rows", type=int, default=8192, help="whose pairs make the values (default 8192)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=5, help="of every subject, interleaved (default 5)"
    )
    parser.add_argument(
        "--most-degree", type=int, default=4, help="of the kernels to measure (default 4)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    subjects = _subjects(arguments.rows, arguments.most_degree)
    copy, arccos, *kernels = measure(subjects, arguments.repetitions)
    bandwidth = copy.found["bytes"] / copy.seconds
    print(
        f"\nA copy of {COPIED / 2**30:.0f} GiB on all cores reads and writes"
        f" {bandwidth / 1e9:.1f} GB/s.\n"
    )
    table = [_row(measurement, arccos, bandwidth) for measurement in [arccos, *kernels]]
    print(reporting.markdown(HEAD, table))


def _subjects(rows: int, most_degree: int) -> list[Subject]:
    """Return a copy, NumPy's arccos, and the kernels, in this order."""
    kernels = [
        Subject(
            f"kernel q={degree}, l={depth}", "ours:kernel", {"q": degree, "l": depth, "rows": rows}
        )
        for degree, depth in DEGREES_AND_DEPTHS
        if degree <= most_degree
    ]
    return [
        Subject("copy", "elementary:copy", {"size": COPIED}),
        Subject("NumPy's arccos", "elementary:arccos", {"values": rows**2}),
        *kernels,
    ]


def _row(measurement: Measurement, arccos: Measurement, bandwidth: float) -> list[str]:
    rate = measurement.found["values"] / measurement.seconds
    return [
        measurement.label,
        reporting.seconds(measurement),
        f"{rate / 1e6:.0f}",
        f"{1e9 * available_cpus() / rate:.1f}",
        f"{arccos.found['values'] / arccos.seconds / rate:.1f}",
        f"{8 * rate / bandwidth:.1%}",
    ]


if __name__ == "__main__":
    main()
