"""The GP post's example: its data, and its formulas written slowly."""

import numpy as np


def table(rows: int, seed: int) -> np.ndarray:
    """Rows of y = 1.5 x₁ + 5.2 x₂ + N(0, 1) and of x from N(0, I), the target first."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 2))
    return np.column_stack([x @ [1.5, 5.2] + generator.normal(size=rows), x])


def predictions(train: np.ndarray, x: np.ndarray) -> np.ndarray:
    """E[y(x*)] = v(x*)ᵀ M⁻¹ y for q = 0, l = 2, noise = 0.1: k(t) = 1 − arccos(t)/π, thrice."""
    gram = np.array([[kernel(a, b) for b in train[:, 1:]] for a in train[:, 1:]])
    weights = np.linalg.inv(gram + 0.1 * np.eye(len(train))) @ train[:, 0]
    return np.array([[kernel(a, b) for b in train[:, 1:]] for a in x]) @ weights


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    t = a @ b / np.sqrt((a @ a) * (b @ b))
    for _ in range(3):
        t = 1 - np.arccos(np.clip(t, -1, 1)) / np.pi
    return t
