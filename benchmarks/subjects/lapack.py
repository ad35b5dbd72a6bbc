"""LAPACK's and BLAS's routines for the dominant step alone.

Called as SciPy gives them, with all threads, on matrices that are ready and that they may
overwrite.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import blas, lapack

from benchmarks.subjects import problem
from gaussian_processes.linalg.cholesky import Factor, factorise, slices

Findings = Callable[[], dict[str, Any]]
Work = Callable[[], Findings]


def potrf(rows: int) -> Work:
    """Cholesky factor of a ready matrix, in its place."""
    # A symmetric matrix is its transpose, whose columns are contiguous, as LAPACK wants them.
    k = problem.square(problem.make(rows).matrix).T

    def work() -> Findings:
        _, failed_minor = lapack.dpotrf(k, lower=1, clean=0, overwrite_a=1)
        return lambda: {"failed_minor": failed_minor}

    return work


def potrf_repeated(rows: int, evaluations: int) -> Work:
    """Cholesky factors of ready matrices, as many as other subjects evaluate."""
    k = problem.square(problem.make(rows).matrix).T

    def work() -> Findings:
        for _ in range(evaluations):
            lapack.dpotrf(k, lower=1, clean=0)
        return dict

    return work


def trsm(rows: int, new: int) -> Work:
    """Triangular solve of variances: L⁻¹ k(x*) for a ready L and ready k(x*)."""
    task = problem.make(rows, new)
    triangle = _square(factorise(task.matrix))
    right = np.asfortranarray(problem.KERNEL(task.points, task.new))

    def work() -> Findings:
        blas.dtrsm(1.0, triangle, right, lower=1, overwrite_b=1)
        return dict

    return work


def gemm(size: int) -> Work:
    """Product of two different square matrices: the rate that a factorisation can hope for."""
    a, b = np.random.default_rng(1).normal(size=(2, size, size))
    c = np.zeros((size, size), order="F")

    def work() -> Findings:
        blas.dgemm(1.0, a.T, b.T, beta=0.0, c=c, overwrite_c=1)
        return lambda: {"operations": 2 * size**3}

    return work


def _square(factor: Factor) -> np.ndarray:
    """L as the square, column by column, that BLAS wants."""
    triangle = np.zeros((len(factor), len(factor)), order="F")
    for columns, panel in zip(slices(len(factor)), factor.panels, strict=True):
        triangle[columns.start :, columns] = panel
    return triangle
