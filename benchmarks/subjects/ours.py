"""A fit, predictions and kernel values of this package."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

from benchmarks.subjects import problem
from gaussian_processes.estimators import GaussianProcessRegressor
from gaussian_processes.gp import regression
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.marginal_likelihood import (
    KernelParameters,
    TrainingData,
    log_marginal_likelihood_and_gradient,
)
from gaussian_processes.linalg.cholesky import PANEL_WIDTH, TILE_ROWS, InMemoryPanels, slices
from gaussian_processes.linalg.parallel import WorkerPool

Findings = Callable[[], dict[str, Any]]
Work = Callable[[], Findings]


def fit(rows: int, dtype: str = "float64") -> Work:
    """Compute Gram matrix, factor, alpha and log evidence, with the factor in memory."""
    task = problem.make(rows)

    def work() -> Findings:
        process = regression.fit(
            task.matrix, task.targets, lambda _: InMemoryPanels(np.dtype(dtype))
        )
        evidence = process.log_marginal_likelihood()
        return lambda: {
            "means": process.mean(task.new).ravel().tolist(),
            "log_evidence": evidence,
            "iterations": process.iterations,
        }

    return work


def predict(rows: int, new: int) -> Work:
    """Means and variances at new points."""
    task = problem.make(rows, new)
    process = regression.fit(task.matrix, task.targets)

    def work() -> Findings:
        mean, _ = process.mean(task.new), process.variance(task.new)
        return lambda: {"means": mean.ravel().tolist()}

    return work


def kernel(q: int, l: int, rows: int) -> Work:  # noqa: E741  the literature's letter
    """Kernel of all pairs of some rows, tile by tile as a fit asks for it, on all cores."""
    points = problem.make(rows).points
    k = ArcCosine(q, l)
    tiles = [
        (below, columns)
        for columns in slices(rows, PANEL_WIDTH)
        for below in slices(rows, TILE_ROWS)
    ]

    def fill(tile: tuple[slice, slice]) -> int:
        below, columns = tile
        return k(points[below], points[columns]).size

    def work() -> Findings:
        with WorkerPool() as over:
            values = sum(over(fill, tiles))
        return lambda: {"values": values}

    return work


def evaluation(rows: int, evaluations: int) -> Work:
    """Log marginal likelihood, with its gradient in relevances, noise and bias."""
    z, y = problem.standardized(rows)
    data = TrainingData(z, y, np.ones(rows))
    parameters = KernelParameters(problem.KERNEL, 0.1, 2.0, np.ones(z.shape[1]))

    def work() -> Findings:
        with WorkerPool():  # as in a search
            for _ in range(evaluations):
                value, _ = log_marginal_likelihood_and_gradient(parameters, data)
        return lambda: {"log_marginal_likelihood": value}

    return work


def default_job(rows: int) -> Work:
    """Fit the default model to rows of diabetes."""
    x, y = load_diabetes(return_X_y=True)

    def work() -> Findings:
        GaussianProcessRegressor().fit(x[:rows], y[:rows])
        return dict

    return work
