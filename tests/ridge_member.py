"""A member of one's own: ridge regression, with a variance or without."""

import json

import numpy as np

PENALTY = 1e-3


class Ridge:
    """Linear regression with a small penalty."""

    def fit(self, x, y, sample_weight):
        x, w = np.column_stack([x, np.ones(len(x))]), sample_weight[:, np.newaxis]
        square = x.T @ (w * x) + PENALTY * np.eye(x.shape[1])
        self.coefficients = np.linalg.solve(square, x.T @ (sample_weight * y))

    def predict(self, x):
        return np.column_stack([x, np.ones(len(x))]) @ self.coefficients

    def save(self, folder):
        (folder / "ridge.json").write_text(json.dumps(self.coefficients.tolist()))

    @classmethod
    def load(cls, folder):
        ridge = cls()
        ridge.coefficients = np.array(json.loads((folder / "ridge.json").read_text()))
        return ridge


class RidgeWithVariance(Ridge):
    """The same, which says that its variance is a quarter."""

    def predict(self, x):
        return super().predict(x), np.full(len(x), 0.25)


class Wrong(Ridge):
    """One that predicts a number too few."""

    def predict(self, x):
        return super().predict(x)[1:]
