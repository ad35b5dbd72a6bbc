"""scikit-learn's GaussianProcessRegressor with the same kernel."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from benchmarks.subjects import problem

Array = problem.Array
Findings = Callable[[], dict[str, Any]]
Work = Callable[[], Findings]


class ArcCosine(Kernel):
    """`problem.KERNEL`, without parameters."""

    def __init__(self) -> None:
        """Take no parameters, which scikit-learn reads off this signature."""

    def __call__(self, x: Array, y: Array | None = None, eval_gradient: bool = False) -> Array:
        """Return the Gram matrix of `x`, or its values against `y`."""
        if eval_gradient:
            raise NotImplementedError("nothing is learned here")
        return problem.closed_form(np, x @ (x if y is None else y).T)

    def diag(self, x: Array) -> Array:
        """Return the kernel of every row with itself."""
        return np.ones(len(x))

    def is_stationary(self) -> bool:
        """Return whether the kernel depends on the difference of two points alone."""
        return False


def fit(rows: int) -> Work:
    """Compute Gram matrix, factor, alpha and log evidence, as `fit` does."""
    task, process = problem.make(rows), _process()

    def work() -> Findings:
        process.fit(task.points, task.targets)
        return lambda: {"means": process.predict(task.new).ravel().tolist()}

    return work


def predict(rows: int, new: int) -> Work:
    """Means and standard deviations at new points."""
    task = problem.make(rows, new)
    process = _process().fit(task.points, task.targets)

    def work() -> Findings:
        mean, _ = process.predict(task.new, return_std=True)
        return lambda: {"means": mean.ravel().tolist()}

    return work


def _process() -> GaussianProcessRegressor:
    # Without a copy of the training rows, and without an optimizer: the best that can be asked of
    # it.
    return GaussianProcessRegressor(
        ArcCosine(), alpha=problem.NOISE, optimizer=None, copy_X_train=False
    )


def evaluation(rows: int, evaluations: int) -> Work:
    """Log marginal likelihood of an ARD Matérn-5/2, with its gradient."""
    z, y = problem.standardized(rows)
    process = GaussianProcessRegressor(_matern(z.shape[1]), optimizer=None).fit(z, y[:, 0])
    theta = process.kernel_.theta

    def work() -> Findings:
        for _ in range(evaluations):
            value, _ = process.log_marginal_likelihood(
                theta, eval_gradient=True, clone_kernel=False
            )
        return lambda: {"log_marginal_likelihood": float(value)}

    return work


def default_job(rows: int) -> Work:
    """Fit one ARD Matérn-5/2 to rows of diabetes, by its own optimizer."""
    x, y = load_diabetes(return_X_y=True)
    x = (x[:rows] - x[:rows].mean(axis=0)) / x[:rows].std(axis=0)
    process = GaussianProcessRegressor(_matern(x.shape[1]), normalize_y=True)

    def work() -> Findings:
        process.fit(x, y[:rows])
        return dict

    return work


def _matern(columns: int) -> Kernel:
    return ConstantKernel(1.0) * Matern(np.ones(columns), nu=2.5) + WhiteKernel(0.1)
