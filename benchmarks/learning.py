"""Time of learning: one marginal likelihood with its gradient, and a whole default job.

python -m benchmarks.learning [--rows 500 1000 2000 4000] [--repetitions 3]
"""

import argparse

from benchmarks import reporting
from benchmarks.measuring import Measurement, Subject, measure

# Evaluations of one process are as many as this many rows: few of many rows, so that each size
# takes seconds.
ROWS_IN_ALL = 5_000


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.learning", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[500, 1000, 2000, 4000], help="sizes of the samples"
    )
    parser.add_argument(
        "--job-rows", type=int, default=442, help="diabetes' rows in the default job; 0 for none"
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, help="of every subject, interleaved (default 3)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    for rows in arguments.rows:
        print("\n" + _evaluations(rows, arguments.repetitions), flush=True)
    if arguments.job_rows:
        print("\n" + _jobs(arguments.job_rows, arguments.repetitions), flush=True)


def _evaluations(rows: int, repetitions: int) -> str:
    arguments = {"rows": rows, "evaluations": max(1, ROWS_IN_ALL // rows)}
    subjects = [
        Subject("LAPACK's potrf", "lapack:potrf_repeated", arguments, compared=True),
        Subject("this package", "ours:evaluation", arguments, compared=True),
        Subject("gpflash, Matérn-5/2", "gpflash_exact:evaluation", arguments),
        Subject("scikit-learn, Matérn-5/2", "scikit_learn:evaluation", arguments),
        Subject("GPyTorch, Matérn-5/2", "gpytorch_exact:evaluation", arguments),
    ]
    measurements = measure(subjects, repetitions)
    return reporting.markdown(
        [f"likelihood and gradient in 8 relevances, {rows:,} rows", "ms", "ours of it"],
        [
            [
                found.label,
                _milliseconds(found, arguments["evaluations"]),
                reporting.ratio(measurements[1], found),
            ]
            for found in measurements
        ],
    )


def _jobs(rows: int, repetitions: int) -> str:
    subjects = [
        Subject("this package: all candidates", "ours:default_job", {"rows": rows}, compared=True),
        Subject("scikit-learn: one Matérn-5/2, ARD", "scikit_learn:default_job", {"rows": rows}),
    ]
    measurements = measure(subjects, repetitions)
    return reporting.markdown(
        [f"default model of {rows:,} rows of diabetes", "seconds", "ours of it"],
        [
            [found.label, reporting.seconds(found), reporting.ratio(measurements[0], found)]
            for found in measurements
        ],
    )


def _milliseconds(measurement: Measurement, evaluations: int) -> str:
    """Return the median milliseconds of an evaluation, with the fastest and slowest process's."""
    if not measurement.succeeded:
        return str(measurement.failure)
    median, least, most = (
        f"{1e3 * seconds / evaluations:.3g}"
        for seconds in (measurement.seconds, *measurement.spread)
    )
    return f"{median} ({least} to {most})"


if __name__ == "__main__":
    main()
