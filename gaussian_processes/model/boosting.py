"""Gradient boosting of trees: LightGBM, in its own text format."""

import math
import re
from pathlib import Path
from typing import Any, Self

import lightgbm
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Many small steps of small trees, each of a part of the rows and columns, which costs seconds. One
# thread, because several that wait for each other stand still where other processes want the cores.
ROUNDS = 1_000
PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.6,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 0,
    "verbosity": -1,
}
MODEL_FILE = "trees.txt"
# What LightGBM writes before the trees and of each of them, line by line, and where they end. What
# follows is of no use to predict, and is not kept.
HEADER = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
)
OF_TREE = ("num_leaves", "num_cat", "is_linear", "shrinkage")
OF_SPLITS = (
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "internal_value",
    "internal_weight",
    "internal_count",
)
OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
END = "end of trees\n"
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
NUMBERS = re.compile(rf"{NUMBER}(?: {NUMBER})*", re.ASCII)
# Bits of a split's type: of a category, which these trees have not, and of all kinds of missing.
CATEGORICAL, TYPES = 1, 16


class BoostedTrees:
    """Trees that each fit what the ones before have left (Friedman 2001; Ke et al. 2017)."""

    def __init__(self) -> None:
        self._booster: lightgbm.Booster | None = None

    def fit(self, x: Array, y: Array, sample_weight: Array) -> None:
        """Fit to coordinates of shape (n, d), targets and weights of shape (n,)."""
        rows = lightgbm.Dataset(x, y, weight=sample_weight, params=PARAMETERS)
        self._booster = lightgbm.train(PARAMETERS, rows, ROUNDS)

    def predict(self, x: Array) -> Array:
        """Predict the means of m rows, of shape (m,)."""
        return np.asarray(self._fitted.predict(x, num_threads=1), np.float64)

    def save(self, folder: Path) -> None:
        """Write the trees as text."""
        text = self._fitted.model_to_string()
        (folder / MODEL_FILE).write_text(text[: text.index(END) + len(END)])

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the trees; ValueError if the text is no model of LightGBM."""
        trees, text = cls(), (folder / MODEL_FILE).read_text("ascii")
        try:
            check(text)
            trees._booster = lightgbm.Booster(model_str=text)
        except (ValueError, lightgbm.basic.LightGBMError) as error:
            raise ValueError(f"{MODEL_FILE} is no model of LightGBM: {error}") from error
        return trees

    @property
    def _fitted(self) -> lightgbm.Booster:
        if self._booster is None:
            raise ValueError("the trees are not fitted; call fit")
        return self._booster


def check(text: str) -> None:
    """Refuse what LightGBM would not have written: its reader ends the process, or never ends.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    head, *trees = text.split("Tree=")
    _require(head.startswith("tree\n") and head.endswith("\n\n"), "its begin")
    pairs = [line.partition("=")[::2] for line in head[5:-2].split("\n")]
    _require([key for key, _ in pairs] == list(HEADER), "its header")
    header = dict(pairs)
    columns = int(header["max_feature_idx"]) + 1
    fixed = {"num_class": "1", "num_tree_per_iteration": "1", "label_index": "0"}
    _require({key: header[key] for key in fixed} == fixed, "its kind")
    _require(header["objective"] == PARAMETERS["objective"], "its objective")
    _require(len(header["feature_names"].split()) == columns, "its names")
    _require(len(header["feature_infos"].split()) == columns, "its ranges")
    _require(text.endswith(END), "its end")
    trees[-1] = trees[-1].removesuffix(END) if trees else ""
    sizes = [len(f"Tree={tree}") for tree in trees]
    _require(header["tree_sizes"] == " ".join(map(str, sizes)), "the sizes of its trees")
    for number, tree in enumerate(trees):
        _check_tree(number, tree, columns)


def _check_tree(number: int, text: str, columns: int) -> None:
    first, *lines = text.rstrip("\n").split("\n")
    _require(first == str(number), f"the number of tree {number}")
    pairs = [line.partition("=")[::2] for line in lines]
    _require(sorted(key for key, _ in pairs) == sorted((*OF_TREE, *OF_SPLITS, *OF_LEAVES)), first)
    fields = {key: _numbers(value, key) for key, value in pairs}
    (leaves,) = fields["num_leaves"]
    splits = int(leaves) - 1
    if splits == 0:  # a tree of one leaf has no weights
        fields["leaf_weight"] = fields["leaf_weight"] or [0.0]
    for keys, size in ((OF_TREE, 1), (OF_SPLITS, splits), (OF_LEAVES, splits + 1)):
        _require(all(len(fields[key]) == size for key in keys), f"the lengths of tree {number}")
    _require(fields["num_cat"] == fields["is_linear"] == [0.0], f"the kind of tree {number}")
    _require(set(fields["split_feature"]) <= set(range(columns)), f"a column of tree {number}")
    types = set(range(0, TYPES, CATEGORICAL + 1))
    _require(set(fields["decision_type"]) <= types, f"a split of tree {number}")
    # Every split but the first, and every leaf, is the child of one split that comes before it.
    children = [*fields["left_child"], *fields["right_child"]]
    expected = [*range(-splits - 1, 0), *range(1, splits)] if splits else []
    _require(sorted(children) == expected, f"the children of tree {number}")
    for split, child in enumerate(children):
        _require(child < 0 or child > split % splits, f"the children of tree {number}")


def _numbers(text: str, key: str) -> list[float]:
    """Finite numbers of a line."""
    _require(not text or NUMBERS.fullmatch(text), f"the numbers of {key}")
    numbers = list(map(float, text.split()))
    _require(all(map(math.isfinite, numbers)), f"the numbers of {key}")
    return numbers


def _require(condition: object, what: str) -> None:
    if not condition:
        raise ValueError(f"{what} is not as LightGBM writes it")
