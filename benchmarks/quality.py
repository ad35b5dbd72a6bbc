"""Quality of the default model, beside the defaults of its peers on the same splits.

python -m benchmarks.quality [--folder DIR ...] [--splits 5] [--methods NAME ...] [--sets NAME ...]

Without a folder: the sets that scikit-learn ships. `datasets.of_folder` says how a folder is laid
out. Regression is judged by RMSE, mean log density, CRPS and the coverage of the 90 per cent
interval, and by the histogram of the probability integral transform (PIT); classification by
accuracy, log loss and the expected calibration error; both by the seconds that a person waits. An
estimator without deviations has that of its out-of-fold residuals.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

from benchmarks import datasets, methods, reporting
from benchmarks.datasets import DataSet, Split
from gaussian_processes.gp.distributions import PredictiveDistribution

Array = NDArray[np.float64]
# Of one method on one split; the shares of the PIT histogram are an array.
Scores = Mapping[str, Any]

# Probabilities outside the 90 per cent interval, below and above.
TAIL = 0.05
PIT, PIT_BINS = "PIT", 10
# Levels of the quantiles whose pinball losses make the CRPS, to a thousandth of it.
CRPS_LEVELS = 200
# The score that ranks and tests compare, and whether more of it is better.
RANKED = {False: ("RMSE", False), True: ("accuracy", True)}
# A probability of 0 for the class that comes has an infinite log loss.
LEAST_PROBABILITY = 1e-15
CALIBRATION_BINS = 10


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.quality", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--folder", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--splits", type=int, default=5, help="of every set, at most (default 5)")
    parser.add_argument("--methods", nargs="*", help="some of them; all unless it is given")
    parser.add_argument("--sets", nargs="*", help="some of them; all unless it is given")
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    found = [entry for folder in arguments.folder for entry in datasets.of_folder(folder)]
    sets = found or datasets.of_scikit_learn()
    if arguments.sets:
        sets = [entry for entry in sets if entry.name in arguments.sets]
    for classes in (False, True):
        chosen = [entry for entry in sets if entry.classes == classes]
        if chosen:
            _report(chosen, arguments.splits, arguments.methods)


def _report(sets: Sequence[DataSet], splits: int, wanted: Sequence[str] | None) -> None:
    """Print a table a set, and one over all sets."""
    classes = sets[0].classes
    scorers: Mapping[str, Callable[[Split], Scores]] = (
        {name: _classification(method) for name, method in methods.classifications().items()}
        if classes
        else {name: _regression(method) for name, method in methods.regressions().items()}
    )
    if wanted:
        scorers = {name: scorer for name, scorer in scorers.items() if name in wanted}
    table: dict[str, list[Scores]] = {name: [] for name in scorers}
    for entry in sets:
        parts = list(entry.splits(splits))
        rows, columns = parts[0].x.shape
        lines = []
        for name, scorer in scorers.items():
            print(f"{entry.name}: {name} …", file=sys.stderr, flush=True)
            mean = _mean([scorer(part) for part in parts])
            table[name].append(mean)
            lines.append([name, *_cells(mean)])
        print(f"\n{rows} training rows of {columns} columns:\n")
        head = [f"{entry.name}, {len(parts)} splits", *_scalars(mean)]
        print(reporting.markdown(head, lines), flush=True)
    if len(sets) > 1:
        _summarize(table, *RANKED[classes])
    if not classes:
        _print_histograms(table)


def _summarize(table: Mapping[str, Sequence[Scores]], score: str, more_is_better: bool) -> None:
    """Print means over the sets, mean ranks, and this package's wins with their significance."""
    names = list(table)
    values = np.array([[scores[score] for scores in table[name]] for name in names])
    losses = -values if more_is_better else np.log(values)
    ranks = rankdata(losses, axis=0).mean(axis=1)
    lines = []
    for index, name in enumerate(names):
        difference = losses[0] - losses[index]
        wins, p = "–", "–"
        if index and difference.any():
            wins = f"{(difference < 0).sum()} of {len(difference)}"
            p = f"{wilcoxon(difference).pvalue:.2g}"
        lines.append([name, *_cells(_mean(table[name])), f"{ranks[index]:.2f}", wins, p])
    head = [
        f"{values.shape[1]} sets",
        *_scalars(table[names[0]][0]),
        f"rank by {score}",
        "we win",
        "Wilcoxon p",
    ]
    print(f"\nMeans over the sets, each of its splits:\n\n{reporting.markdown(head, lines)}")


def _print_histograms(table: Mapping[str, Sequence[Scores]]) -> None:
    """Print PIT histograms over all sets: a calibrated distribution has equal shares."""
    head = ["PIT, share of the new rows", *(f"to {(1 + b) / PIT_BINS:g}" for b in range(PIT_BINS))]
    lines = [[name, *(f"{s:.3f}" for s in _mean(rows)[PIT])] for name, rows in table.items()]
    print(f"\n{reporting.markdown(head, lines)}", flush=True)


def _mean(scores: Sequence[Scores]) -> Scores:
    return {name: np.mean([entry[name] for entry in scores], axis=0) for name in scores[0]}


def _scalars(scores: Scores) -> Scores:
    return {name: value for name, value in scores.items() if name != PIT}


def _cells(scores: Scores) -> list[str]:
    return [f"{value:.4g}" for value in _scalars(scores).values()]


def _regression(method: methods.Regression) -> Callable[[Split], Scores]:
    def scorer(split: Split) -> Scores:
        began = time.perf_counter()
        predicted = method(split)
        seconds = time.perf_counter() - began
        truth = split.truth[:, np.newaxis]
        pit = np.ravel(predicted.cdf(truth))
        return {
            "RMSE": float(np.sqrt(np.mean(np.square(truth - predicted.mean)))),
            "log density": float(predicted.log_density(truth).mean()),
            "CRPS": _crps(predicted, truth),
            "coverage": float(((pit > TAIL) & (pit < 1 - TAIL)).mean()),
            PIT: np.histogram(pit, PIT_BINS, (0, 1))[0] / len(pit),
            "seconds": seconds,
        }

    return scorer


def _crps(predicted: PredictiveDistribution, truth: Array) -> float:
    """Mean continuous ranked probability score: twice the integral of the pinball loss.

    Gneiting & Raftery (2007), section 4.2, by the midpoint rule over the levels.
    """
    levels = (np.arange(CRPS_LEVELS) + 0.5) / CRPS_LEVELS
    losses = []
    for level in levels.tolist():
        excess = truth - predicted.quantile(level)
        losses.append(np.maximum(level * excess, (level - 1) * excess).mean())
    return float(2 * np.mean(losses))


def _classification(method: methods.Classification) -> Callable[[Split], Scores]:
    def scorer(split: Split) -> Scores:
        truth = split.truth.astype(int)
        classes = int(max(split.y.max(), split.truth.max())) + 1
        began = time.perf_counter()
        probabilities = method(split, classes)
        seconds = time.perf_counter() - began
        own = np.maximum(probabilities[np.arange(len(truth)), truth], LEAST_PROBABILITY)
        return {
            "accuracy": float((probabilities.argmax(axis=1) == truth).mean()),
            "log loss": float(-np.log(own).mean()),
            "calibration error": _calibration_error(probabilities, truth),
            "seconds": seconds,
        }

    return scorer


def _calibration_error(probabilities: Array, truth: NDArray[np.intp]) -> float:
    """Return the expected calibration error of the predicted class (Guo et al. 2017, eq. 3)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(right[bins == index].mean() - confidence[bins == index].mean()) * (bins == index).mean()
        for index in np.unique(bins)
    ]
    return float(np.sum(gaps))


if __name__ == "__main__":
    main()
