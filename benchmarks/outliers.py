"""Errors and coverage of default models where some targets are wrong.

python -m benchmarks.outliers [--tables 10] [--rows 100] [--wrong 0 1 5] [--distance 8]

A table is a function of two columns that vary and, in every other table, three that do not matter,
with normal noise of about a tenth of its deviation. Some of its targets are moved up or down by
`distance` standard deviations of all.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks import reporting
from benchmarks.datasets import SEED, Split
from benchmarks.methods import Regression, regressions
from gaussian_processes import GaussianProcessRegressor
from gaussian_processes.gp.distributions import PredictiveDistribution

Array = NDArray[np.float64]

NEW_ROWS = 500
NOISE = 0.1
IRRELEVANT_COLUMNS = 3


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.outliers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--tables", type=int, default=10, help="to average over (default 10)")
    parser.add_argument("--rows", type=int, default=100, help="of each (default 100)")
    parser.add_argument(
        "--wrong", type=int, nargs="+", default=[0, 1, 5], help="wrong targets (default 0 1 5)"
    )
    parser.add_argument(
        "--distance", type=float, default=8.0, help="in standard deviations (default 8)"
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    lines = []
    for name, method in _methods().items():
        cells = []
        for wrong in arguments.wrong:
            splits = _splits(arguments.tables, arguments.rows, wrong, arguments.distance)
            cells += _scores(method, list(splits))
        lines.append([name, *cells])
    head = [f"{arguments.rows} rows, {arguments.tables} tables"]
    for wrong in arguments.wrong:
        head += [f"RMSE, {wrong} wrong", "90% interval covers"]
    print(f"\n{reporting.markdown(head, lines)}", flush=True)


def _methods() -> Mapping[str, Regression]:
    """Return the default, the same without rejection, and the peers."""
    ours, *peers = regressions().items()
    return dict([ours, ("with likelihood=normal", _normal), *peers])


def _normal(split: Split) -> PredictiveDistribution:
    process = GaussianProcessRegressor(likelihood="normal")
    return process.fit(split.x, split.y).predict_distribution(split.new)


def _splits(tables: int, rows: int, wrong: int, distance: float) -> Iterator[Split]:
    """Draw tables whose new rows have noise and no errors."""
    for number in range(tables):
        generator = np.random.default_rng([SEED, number])
        columns = 2 + IRRELEVANT_COLUMNS * (number % 2)
        x = generator.uniform(size=(rows + NEW_ROWS, columns))
        y = _function(x) + NOISE * generator.normal(size=len(x))
        learned = y[:rows].copy()
        signs = generator.choice([-1.0, 1.0], wrong)
        learned[generator.choice(rows, wrong, replace=False)] += distance * learned.std() * signs
        yield Split(x[:rows], learned, x[rows:], y[rows:])


def _function(x: Array) -> Array:
    return np.asarray(np.sin(5 * x[:, 0]) + x[:, 1])


def _scores(method: Regression, splits: Sequence[Split]) -> list[str]:
    """RMSE to the function, of all tables together, and share of new observations covered."""
    squares, covered = [], []
    for split in splits:
        prediction = method(split)
        squares.append(np.mean((prediction.mean[:, 0] - _function(split.new)) ** 2))
        low, high = (prediction.quantile(level)[:, 0] for level in (0.05, 0.95))
        covered.append(np.mean((low <= split.truth) & (split.truth <= high)))
    return [f"{np.sqrt(np.mean(squares)):.3f}", f"{np.mean(covered):.2f}"]


if __name__ == "__main__":
    main()
