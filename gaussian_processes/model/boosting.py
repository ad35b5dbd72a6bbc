"""Gradient boosting of trees: LightGBM, in its own text format."""

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
        (folder / MODEL_FILE).write_text(self._fitted.model_to_string())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the trees; ValueError if the text is no model of LightGBM."""
        trees = cls()
        try:
            trees._booster = lightgbm.Booster(model_str=(folder / MODEL_FILE).read_text())
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"{MODEL_FILE} is no model of LightGBM: {error}") from error
        return trees

    @property
    def _fitted(self) -> lightgbm.Booster:
        if self._booster is None:
            raise ValueError("the trees are not fitted; call fit")
        return self._booster
