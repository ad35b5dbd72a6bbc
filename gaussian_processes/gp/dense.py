"""Dense Gram matrix of a few thousand points, with its derivative in the points' cosines.

Learning evaluates the log marginal likelihood and its gradient (GPML eq. 5.9) some tens of times on
few points. Kernels and derivatives are of one pass over half of the pairs; the Cholesky factor is
made in the memory of the matrix, and its inverse in that of the factor.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.pairwise import CenteredPoints
from gaussian_processes.linalg import blas
from gaussian_processes.linalg.cholesky import (
    JITTERS,
    NotPositiveDefiniteError,
    factorise,
    slices,
)
from gaussian_processes.linalg.parallel import ParallelMap, WorkerPool

Array = NDArray[np.float64]

# Rows of a block of pairs: its arrays stay in a core's cache, and what is computed above the
# diagonal is 64 n pairs of n²/2. From 32 to 128 it makes no difference that could be measured.
BLOCK_ROWS = 64
BELOW_DIAGONAL = np.tri(BLOCK_ROWS, k=-1)
# Rows up to which one core does all: a factor and its inverse take it 50 ms, and to hand tiles to
# the threads of a pool would cost more than a second core gains. It does not depend on the number
# of cores, and so neither do the results.
ONE_CORE_ROWS = 1_024


@dataclass(frozen=True)
class DenseGram:
    """Lower half of M = K + λ W⁻¹, and of the kernel's derivatives.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        Rows of norm 1.
    matrix : ndarray of shape (n, n)
        M at and below the diagonal; what stands above means nothing.
    derivatives : list of ndarray of shape (BLOCK_ROWS, stop)
        ∂k/∂t below the diagonal, 0 at and above, of each block of rows and the columns up to it.
    """

    points: Array
    matrix: Array
    derivatives: list[Array]

    @classmethod
    def of(
        cls, kernel: ArcCosine, points: Array, noise: Array, parallel_map: ParallelMap = map
    ) -> "DenseGram":
        """Compute kernels and derivatives of all pairs of points.

        Parameters
        ----------
        kernel : ArcCosine
        points : ndarray of shape (n, d)
        noise : ndarray of shape (n,)
            Noise variance of each point, over the signal variance.
        parallel_map : ParallelMap
            Shares the blocks among the cores.
        """
        matrix, centered = np.empty((len(points), len(points))), CenteredPoints.of(points)

        def fill(rows: slice) -> Array:
            distances = centered.up_to(rows)
            values, derivatives = kernel.value_and_derivative(distances)
            matrix[rows, : rows.stop] = values
            derivatives[:, rows.start :] *= BELOW_DIAGONAL[: len(derivatives), : len(derivatives)]
            return derivatives

        derivatives = list(parallel_map(fill, slices(len(points), BLOCK_ROWS)))
        matrix.flat[:: len(points) + 1] += noise
        return cls(points, matrix, derivatives)

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    def block(self, rows: slice, columns: slice) -> Array:
        """Return a block of M at or below the diagonal, as `cholesky.factorise` asks for it."""
        return self.matrix[rows, columns]


@dataclass(frozen=True)
class DensePosterior:
    """A process conditioned on observations, as far as learning needs it.

    Parameters
    ----------
    gram : DenseGram
    alpha : ndarray of shape (n, t)
        α = M⁻¹ y.
    signal_variance : ndarray of shape (t,)
        σ²_f of each target.
    log_determinant : float
        log |M|.
    inverse : ndarray of shape (n, n)
        M⁻¹ at and below the diagonal; what stands above means nothing.
    """

    gram: DenseGram
    alpha: Array
    signal_variance: Array
    log_determinant: float
    inverse: Array

    def log_marginal_likelihood(self) -> float:
        """Log marginal likelihood at the best σ²_f, summed over the targets: GPML eq. 2.30."""
        size = len(self.alpha)
        terms = size * np.log(2 * np.pi * self.signal_variance) + self.log_determinant + size
        return float(-terms.sum() / 2)

    def diagonal_gradient(self) -> Array:
        """Return the derivative of the log marginal likelihood in M's diagonal, of shape (n,)."""
        scaled, targets = self._scaled_alpha, self.alpha.shape[1]
        gradient: Array = (np.vecdot(scaled, scaled) - targets * self.inverse.diagonal()) / 2
        return gradient

    def points_gradient(self, parallel_map: ParallelMap = map) -> Array:
        """Return the derivative of the log marginal likelihood in the points, of shape (n, d).

        But for multiples of each point itself, which a projection to the sphere takes away.

        Notes
        -----
        GPML eq. 5.9: that in M is ½ (α αᵀ/σ²_f - M⁻¹), summed over the targets; twice as much for
        a pair below the diagonal, which stands for two.
        """
        points, scaled, targets = self.gram.points, self._scaled_alpha, self.alpha.shape[1]
        blocks = slices(len(points), BLOCK_ROWS)

        def products(block: tuple[slice, Array]) -> tuple[Array, Array]:
            rows, derivatives = block
            weights = self.inverse[rows, : rows.stop] * -targets
            weights += scaled[rows] @ scaled[: rows.stop].T
            weights *= derivatives
            return weights @ points[: rows.stop], weights.T @ points[rows]

        gradient = np.zeros_like(points)
        pairs = zip(blocks, self.gram.derivatives, strict=True)
        for rows, (own, others) in zip(blocks, parallel_map(products, pairs), strict=True):
            gradient[rows] += own
            gradient[: rows.stop] += others
        return gradient

    @property
    def _scaled_alpha(self) -> Array:
        return self.alpha / np.sqrt(self.signal_variance)


def log_marginal_likelihood_gradients(
    kernel: ArcCosine, points: Array, noise: Callable[[float], Array], targets: Array
) -> tuple[float, Array, Array]:
    """Log marginal likelihood, and its gradients in the diagonal of M and in the points.

    Parameters
    ----------
    kernel : ArcCosine
    points : ndarray of shape (n, d)
        Rows of norm 1.
    noise : callable
        Returns the noise variance of each point, over the signal variance, for what has to be added
        to the noise ratio: 0, or the smallest of `cholesky.JITTERS` that makes M positive definite.
    targets : ndarray of shape (n, t)
        None zero everywhere.

    Returns
    -------
    value : float
    in_diagonal : ndarray of shape (n,)
    in_points : ndarray of shape (n, d)
    """
    with WorkerPool() as pool:
        parallel_map = pool if len(points) > ONE_CORE_ROWS else map
        posterior = condition(kernel, points, noise, targets, parallel_map)
        in_points = posterior.points_gradient(parallel_map)
    return posterior.log_marginal_likelihood(), posterior.diagonal_gradient(), in_points


def condition(
    kernel: ArcCosine,
    points: Array,
    noise: Callable[[float], Array],
    targets: Array,
    parallel_map: ParallelMap = map,
) -> DensePosterior:
    """Condition on observations: GPML algorithm 2.1, and the inverse.

    The parameters are those of `log_marginal_likelihood_gradients`.

    Raises
    ------
    ValueError
        If M stays indefinite whatever the jitter.
    """
    invert = _invert_in_place if len(points) <= ONE_CORE_ROWS else _invert_by_tiles
    for jitter in (0.0, *JITTERS):
        gram = DenseGram.of(kernel, points, noise(jitter), parallel_map)
        with suppress(NotPositiveDefiniteError):
            return invert(gram, targets)
    raise ValueError(
        f"the Gram matrix stays indefinite with {JITTERS[-1]} on its diagonal;"
        " are there NaN among the points?"
    )


def _invert_in_place(gram: DenseGram, targets: Array) -> DensePosterior:
    """Factorise and invert by LAPACK, in the memory of the matrix."""
    square, alpha = gram.matrix, targets.copy()
    failed_minor = blas.potrf(square)
    if failed_minor:
        raise NotPositiveDefiniteError(f"the leading minor {failed_minor} is not positive")
    log_determinant = 2 * float(np.log(square.diagonal()).sum())
    blas.solve_triangular(square, alpha)
    blas.solve_triangular(square.T, alpha)
    blas.potri(square)
    return DensePosterior(gram, alpha, _signal_variance(targets, alpha), log_determinant, square)


def _invert_by_tiles(gram: DenseGram, targets: Array) -> DensePosterior:
    """Factorise and invert by tiles, which all cores share."""
    factor = factorise(gram)
    alpha = factor.solve(targets)
    signal_variance = _signal_variance(targets, alpha)
    return DensePosterior(gram, alpha, signal_variance, factor.log_determinant, factor.inverse())


def _signal_variance(targets: Array, alpha: Array) -> Array:
    """Return the maximum of the likelihood in σ²_f: yᵀα/n."""
    variance: Array = (targets * alpha).sum(axis=0) / len(targets)
    return variance
