"""The regression problem that every subject solves.

Rows of 16 standard normal columns with a bias of 1, on the sphere; a smooth target with noise;
the kernel of q = 1, l = 1.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.gp.sphere import append_bias, project_to_sphere
from gaussian_processes.linalg.cholesky import TILE_ROWS, slices
from gaussian_processes.linalg.parallel import WorkerPool

Array = NDArray[np.float64]

COLUMNS = 16
LEARNING_COLUMNS = 8
KERNEL = ArcCosine(q=1, l=1)
NOISE = 0.01
# The same as strings, for `train`. Nothing is left to learn, so that the fit takes the time; and
# with the factor all of the fit is in the model.
HYPERPARAMETERS = {
    "q": f"{KERNEL.q}",
    "l": f"{KERNEL.l}",
    "noise": f"{NOISE}",
    "bias": "1",
    "leave_one_out": "false",
    "keep_factor": "true",
}


@dataclass(frozen=True)
class Problem:
    """Observations, and points to predict.

    Parameters
    ----------
    points : ndarray of shape (n, 17)
    targets : ndarray of shape (n, 1)
        Of mean 0 and variance 1.
    new : ndarray of shape (m, 17)
    """

    points: Array
    targets: Array
    new: Array

    @property
    def matrix(self) -> GramMatrix:
        """M = K + λ I of the observations, which computes its blocks as they are asked for."""
        return GramMatrix(KERNEL, self.points, NOISE)


def make(rows: int, new: int = 1000) -> Problem:
    """Problem of some rows, the same at every call; `new` points to predict."""
    rng = np.random.default_rng(20261121)
    z = rng.normal(size=(rows + new, COLUMNS))
    y = np.sin(z).sum(axis=1, keepdims=True) + rng.normal(size=(rows + new, 1)) / 2
    # Peers take points of norm 1.
    points, y = project_to_sphere(append_bias(z, bias=1.0))[0], y[:rows]
    return Problem(points[:rows], (y - y.mean()) / y.std(), points[rows:])


def standardized(rows: int) -> tuple[Array, Array]:
    """Rows of `LEARNING_COLUMNS` standard normal columns, and targets of which half matter."""
    rng = np.random.default_rng(20261127)
    z = rng.normal(size=(rows, LEARNING_COLUMNS))
    y = np.sin(z[:, : LEARNING_COLUMNS // 2]).sum(axis=1, keepdims=True)
    y += rng.normal(size=(rows, 1)) / 2
    return z, (y - y.mean()) / y.std()


def closed_form(xp: ModuleType, t: Any) -> Any:
    """`KERNEL` for cosines t, as a user of another library would write it; `xp` is numpy or torch.

    Cho & Saul's J_1(θ)/π = (sin θ + (π - θ) cos θ)/π, twice.
    """
    for _ in range(KERNEL.l + 1):
        t = xp.clip(t, -1, 1)
        t = (xp.sqrt((1 - t) * (1 + t)) + (np.pi - xp.arccos(t)) * t) / np.pi
    return t


def square(matrix: GramMatrix) -> Array:
    """All of a Gram matrix, as other libraries hold it."""
    k = np.empty((len(matrix), len(matrix)))

    def fill(rows: slice) -> None:
        k[rows] = matrix.block(rows, slice(0, len(matrix)))

    with WorkerPool() as over:
        list(over(fill, slices(len(matrix), TILE_ROWS)))
    return k
