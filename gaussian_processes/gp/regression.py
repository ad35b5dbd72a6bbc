"""What does a Gaussian process say about new points, once it has seen some?

Notation and algorithms of Rasmussen & Williams, Gaussian Processes for Machine Learning (GPML), 2006: targets y with the
prior y ~ N(0, a M), M = K + λ W⁻¹, where K is the kernel's Gram matrix, λ the noise variance against a kernel whose value at
equal points is 1, W the weights of the observations (1, usually), and a the signal variance, which has a closed form.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.kernels import ArcCosine, CenteredPoints
from gaussian_processes.linalg.cg import preconditioned_cg
from gaussian_processes.linalg.cholesky import (
    TILE_ROWS,
    Factor,
    InMemoryPanels,
    PanelStorage,
    Progress,
    factorise_with_jitter,
    slices,
    squared_norms,
)
from gaussian_processes.linalg.parallel import WorkerPool
from gaussian_processes.resources import available_cpus

Array = NDArray[np.float64]

# New points to a chunk: enough columns for BLAS to run at speed, few enough for every core to have some.
CHUNK = 64
# Pairs of new points and old whose kernels a core computes at once: for one to five milliseconds; the threads of a team take a
# third of one to start.
PAIRS = 1 << 19


def working_bytes(rows: int, columns: int, cores: int) -> int:
    """Memory that a fit and its predictions take besides the factor, in bytes.

    The rows five times (as they were read, filled in, standardised, weighted, and as points); and for every busy core a copy
    of the points and, in its largest task, leaving one out, `cholesky.TILE_ROWS` columns of the inverse.
    """
    busy = min(cores, len(slices(rows, TILE_ROWS)))
    return 8 * rows * (5 * columns + busy * (columns + TILE_ROWS))


@dataclass(frozen=True)
class GramMatrix:
    """M = K + λ W⁻¹ of n points, block by block.

    Parameters
    ----------
    kernel : ArcCosine
    points : ndarray of shape (n, d)
        Rows of norm 1.
    noise_ratio : float
        λ, at least 0.
    sample_weight : ndarray of shape (n,), optional
        The diagonal of W, positive: an observation of weight 2 is as good as two that agree. 1 unless it is given.
    """

    kernel: ArcCosine
    points: Array
    noise_ratio: float
    sample_weight: Array | None = None

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    @property
    def noise_scale(self) -> Array:
        """Diagonal of W⁻¹, of shape (n,): the noise of every observation against that of one of weight 1."""
        return np.ones(len(self)) if self.sample_weight is None else 1 / self.sample_weight

    def block(self, rows: slice, columns: slice) -> Array:
        """Return a block of M, of shape (rows, columns)."""
        block = self.kernel(self.points[rows], self.points[columns])
        diagonal = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
        block[diagonal - rows.start, diagonal - columns.start] += (
            self.noise_ratio * self.noise_scale[diagonal]
        )
        return block

    def product(self, x: Array) -> Array:
        """M x, of shape (n, t) for x of shape (n, t); every block below the diagonal serves twice."""
        y = np.zeros_like(x)

        def part(columns: slice) -> tuple[slice, Array]:
            below = slice(columns.start, len(self))
            y = np.zeros_like(x[below])
            for rows in slices(len(y)):
                here = slice(below.start + rows.start, below.start + rows.stop)
                block = self.block(here, columns)
                y[rows] += block @ x[columns]
                if here != columns:
                    y[: columns.stop - columns.start] += block.T @ x[here]
            return below, y

        with WorkerPool() as over:
            for below, share in over(part, slices(len(self))):
                y[below] += share
        return y


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process conditioned on n observations of t targets, which share the kernel.

    Parameters
    ----------
    kernel : ArcCosine
    noise_ratio : float
        λ, as asked for.
    jitter : float
        What had to be added to λ for the matrix to be positive definite: usually 0.
    points : ndarray of shape (n, d)
        Where it was observed; rows of norm 1.
    alpha : ndarray of shape (n, t)
        α = M⁻¹ y.
    signal_variance : ndarray of shape (t,)
        a, of each target.
    factor : Factor or None
        L of M. Without it there are means, but no variances.
    iterations : int
        How many iterations refined the weights, in mixed precision.
    """

    kernel: ArcCosine
    noise_ratio: float
    jitter: float
    points: Array
    alpha: Array
    signal_variance: Array
    factor: Factor | None
    iterations: int = 0

    def mean(self, points: Array) -> Array:
        """Mean at new points: of shape (m, t) for points of shape (m, d). GPML eq. 2.25."""
        many = CHUNK * max(1, PAIRS // (CHUNK * len(self.points)))
        mean = np.empty((len(points), self.alpha.shape[1]))

        def fill(rows: slice) -> None:
            here, there = points[rows], mean[rows]
            for chunk in slices(len(here), CHUNK):
                np.matmul(self._kernels(here[chunk]), self.alpha, out=there[chunk])

        with WorkerPool() as over:
            for _ in over(fill, _even_slices(len(points), many)):
                pass
        return mean

    def variance(self, points: Array) -> Array:
        """Variance of a new observation of weight 1, noise included, at new points.

        Parameters
        ----------
        points : ndarray of shape (m, d)

        Returns
        -------
        ndarray of shape (m, t)
            a (1 + λ - ‖L⁻¹ k(x*)‖²): GPML eq. 2.26, which is of the function, and the noise.

        Raises
        ------
        ValueError
            If the factor was not kept.
        """
        return self.mean_and_variance(points)[1]

    def mean_and_variance(self, points: Array) -> tuple[Array, Array]:
        """`mean` and `variance` at new points, each of shape (m, t), from kernels that are computed once."""
        factor, total = self._kept_factor, 1 + self.noise_ratio + self.jitter
        mean, explained = np.empty((len(points), self.alpha.shape[1])), np.empty(len(points))
        chunks = _even_slices(len(points), factor.at_once)

        def fill(rows: slice) -> None:
            kernel = self._kernels(points[rows])
            np.matmul(kernel, self.alpha, out=mean[rows])
            explained[rows] = squared_norms(factor.solve_lower(kernel.T, inside))

        with WorkerPool() as over:
            # Every core takes chunks of its own, if there are enough; else all of them share one after the other.
            alone = len(chunks) > 1 and len(chunks) >= available_cpus()
            outside, inside = (over, map) if alone else (map, over)
            for _ in outside(fill, chunks):
                pass
        # No observation is surer than its noise, and without noise none is surer than rounding; rounding may say otherwise.
        least = max(self.noise_ratio + self.jitter, float(np.finfo(factor.dtype).eps))
        return mean, np.maximum(total - explained, least)[:, np.newaxis] * self.signal_variance

    def log_marginal_likelihood(self) -> float:
        """Log marginal likelihood of the observations, summed over the targets: GPML eq. 2.30, at the best a.

        Targets that are zero everywhere, which any process without signal explains at will, are left out.
        """
        size, signal = len(self.points), self.signal_variance[self.signal_variance > 0]
        logs = size * np.log(2 * np.pi * signal) + self._kept_factor.log_determinant + size
        return float(-logs.sum() / 2)

    def leave_one_out(self, targets: Array) -> tuple[Array, Array]:
        """Predict every observation from all the others, without refitting.

        Parameters
        ----------
        targets : ndarray of shape (n, t)
            What the process was fitted to.

        Returns
        -------
        mean, variance : ndarray of shape (n, t)
            GPML eqs. 5.12, with a as it was found on all observations.
        """
        precision = self._kept_factor.inverse_diagonal()[:, np.newaxis]
        return targets - self.alpha / precision, self.signal_variance / precision

    def inverse(self) -> Array:
        """M⁻¹, of shape (n, n)."""
        return self._kept_factor.inverse()

    def _kernels(self, points: Array) -> Array:
        """Kernel of new points and those where it was observed."""
        return self.kernel.from_cosine_distance(self._centred.cosine_distances(points))

    @cached_property
    def _centred(self) -> CenteredPoints:
        return CenteredPoints.of(self.points)

    @property
    def _kept_factor(self) -> Factor:
        if self.factor is None:
            raise ValueError("this needs the factor, which was not kept")
        return self.factor


def _even_slices(size: int, most: int) -> list[slice]:
    """Slices of `most` rows at most, as few as there can be, and all of a length but the last."""
    return slices(size, math.ceil(size / math.ceil(size / most))) if size else []


def in_memory(diagonal: float) -> PanelStorage:  # noqa: ARG001  the same for every diagonal
    """Panels of float64 in memory."""
    return InMemoryPanels()


def fit(
    matrix: GramMatrix,
    targets: Array,
    stores: Callable[[float], PanelStorage] = in_memory,
    progress: Progress | None = None,
) -> GaussianProcess:
    """Condition a Gaussian process on observations.

    Parameters
    ----------
    matrix : GramMatrix
        Of n points.
    targets : ndarray of shape (n, t)
        One column a target.
    stores : callable
        Gives, for the λ of a matrix, the store of its factor's panels. If they are of float32 the weights are refined in
        float64. A variance then has an absolute error of about 1e-6 a, so a relative one of up to 1e-6/λ; the log evidence
        and leaving one out suffer likewise.
    progress : callable, optional
        See `cholesky.factorise`.

    Returns
    -------
    GaussianProcess
        GPML alg. 2.1. If M is not positive definite in float64, its `jitter` is the smallest power of ten that makes it so.
        The signal variance is where the log evidence -½ (yᵀM⁻¹y/a + n log a + …) has no slope in a: yᵀα/n.

    Raises
    ------
    NotPositiveDefiniteError
        If M is not positive definite in float32, or its factor there is too coarse to refine the weights with.
    ValueError
        If M stays indefinite whatever the jitter.
    """

    def jittered(jitter: float) -> GramMatrix:
        return replace(matrix, noise_ratio=matrix.noise_ratio + jitter)

    factor, jitter = factorise_with_jitter(
        jittered, lambda jitter: stores(matrix.noise_ratio + jitter), progress
    )
    alpha, iterations = (
        preconditioned_cg(jittered(jitter), factor, targets)
        if factor.dtype == np.float32
        else (factor.solve(targets), 0)
    )
    variance = (targets * alpha).sum(axis=0) / len(targets)
    return GaussianProcess(
        matrix.kernel,
        matrix.noise_ratio,
        jitter,
        matrix.points,
        alpha,
        variance,
        factor,
        iterations,
    )
