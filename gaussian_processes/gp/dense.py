"""Dense Gram matrix of a few thousand points, with its derivatives in the pairs of points.

Learning evaluates the log marginal likelihood and its gradient (GPML eq. 5.9) some tens of times on
few points. Kernels and derivatives are of one pass over half of the pairs; the Cholesky factor is
made in the memory of the matrix, and its inverse in that of the factor.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.kernels import Derivatives
from gaussian_processes.gp.pairwise import CenteredPoints
from gaussian_processes.gp.regression import GramMatrix, log_marginal_likelihood
from gaussian_processes.gp.sphere import project_to_sphere, project_to_sphere_vjp
from gaussian_processes.linalg import blas
from gaussian_processes.linalg.cholesky import slices, with_least_jitter
from gaussian_processes.linalg.inversion import (
    ONE_CORE_ROWS,
    factorise_in_place,
    invert_in_place,
)
from gaussian_processes.linalg.parallel import ParallelMap, WorkerPool

Array = NDArray[np.float64]
# Of a block's rows and of its columns; 0 for arrays of zeros.
Products = tuple[Array, Array] | tuple[float, float]

# Rows of a block of pairs: its arrays stay in a core's cache, and what is computed above the
# diagonal is 64 n pairs of n²/2. From 32 to 128 it makes no difference that could be measured.
PAIR_BLOCK_ROWS = 64
BELOW_DIAGONAL = np.tri(PAIR_BLOCK_ROWS, k=-1)


@dataclass(frozen=True)
class DenseGram:
    """Lower half of M = K + λ W⁻¹, and of the kernel's derivatives.

    Parameters
    ----------
    source : GramMatrix
    matrix : ndarray of shape (n, n)
        M at and below the diagonal; what stands above means nothing.
    derivatives : list of Derivatives
        Below the diagonal, 0 at and above, of each block of rows and the columns up to it.
    """

    source: GramMatrix
    matrix: Array
    derivatives: list[Derivatives]

    @classmethod
    def of(cls, source: GramMatrix, parallel_map: ParallelMap = map) -> "DenseGram":
        """Compute kernels and derivatives of all pairs of points.

        Parameters
        ----------
        source : GramMatrix
        parallel_map : ParallelMap
            Shares the blocks among the cores.
        """
        kernel, points = source.kernel, source.points
        matrix, centered = np.empty((len(points), len(points))), CenteredPoints.of(points)

        def fill(rows: slice) -> Derivatives:
            values, derivatives = kernel.value_and_derivatives(centered.pairs_up_to(rows))
            matrix[rows, : rows.stop] = values
            for array in derivatives.arrays:
                array[:, rows.start :] *= BELOW_DIAGONAL[: len(array), : len(array)]
            return derivatives

        derivatives = list(parallel_map(fill, slices(len(points), PAIR_BLOCK_ROWS)))
        matrix.flat[:: len(points) + 1] += source.noise_ratio * source.noise_scale
        return cls(source, matrix, derivatives)

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.source)

    def block(self, rows: slice, columns: slice) -> Array:
        """Return a block of M at or below the diagonal, as `cholesky.factorise` asks for it."""
        return self.matrix[rows, columns]


@dataclass(frozen=True)
class DensePosterior:
    """A process conditioned on observations, as far as learning needs it.

    Parameters
    ----------
    gram : DenseGram
    targets : ndarray of shape (o, t)
        Of all o observations, of which there may be several a point.
    alpha : ndarray of shape (n, t)
        α = M⁻¹ y.
    signal_variance : ndarray of shape (t,)
        σ²_f of each target.
    log_determinant : float
        log |M|, of all observations.
    inverse : ndarray of shape (n, n)
        M⁻¹ at and below the diagonal; what stands above means nothing.
    """

    gram: DenseGram
    targets: Array
    alpha: Array
    signal_variance: Array
    log_determinant: float
    inverse: Array

    def log_marginal_likelihood(self) -> float:
        """Log marginal likelihood at the best σ²_f, summed over the targets: GPML eq. 2.30."""
        return log_marginal_likelihood(
            len(self.targets), self.signal_variance, self.log_determinant
        )

    def noise_gradient(self) -> float:
        """Return the derivative of the log marginal likelihood in λ."""
        scaled, targets = self._scaled_alpha, self.alpha.shape[1]
        source = self.gram.source
        in_diagonal = np.vecdot(scaled, scaled) - targets * self.inverse.diagonal()
        gradient = float((in_diagonal * source.noise_scale).sum()) / 2
        if source.replicates is not None:
            # Of -½ (pure error/(σ²_f λ) + (o - n) log λ), which the points' means leave out.
            explained = (source.replicates.pure_error(self.targets) / self.signal_variance).sum()
            surplus = targets * (source.observations - len(source))
            gradient += float(explained / source.noise_ratio - surplus) / source.noise_ratio / 2
        return gradient

    def points_gradient(self, parallel_map: ParallelMap = map) -> Array:
        """Return the derivative of the log marginal likelihood in the points, of shape (n, d).

        Notes
        -----
        GPML eq. 5.9: that in M is ½ (α αᵀ/σ²_f - M⁻¹), summed over the targets; twice as much for
        a pair below the diagonal, which stands for two.
        """
        points, scaled, targets = self.gram.source.points, self._scaled_alpha, self.alpha.shape[1]
        directions, _ = project_to_sphere(points)
        # From their mean, which cancels, a bias takes no digits of the differences.
        offsets = points - points.mean(axis=0)

        def products(block: tuple[slice, Derivatives]) -> tuple[slice, list[Products]]:
            rows, derivatives = block
            weights = self.inverse[rows, : rows.stop] * -targets
            weights += scaled[rows] @ scaled[: rows.stop].T
            parts = [
                _angular_products(weights, derivatives.angular, directions, rows),
                _radial_products(weights, derivatives.radial, offsets, rows),
            ]
            return rows, parts

        gradients = np.zeros_like(points), np.zeros_like(points)
        blocks = zip(slices(len(points), PAIR_BLOCK_ROWS), self.gram.derivatives, strict=True)
        for rows, parts in parallel_map(products, blocks):
            for gradient, (own, others) in zip(gradients, parts, strict=True):
                gradient[rows] += own
                gradient[: rows.stop] += others
        angular, radial = gradients
        return project_to_sphere_vjp(points, angular) + radial

    @property
    def _scaled_alpha(self) -> Array:
        return self.alpha / np.sqrt(self.signal_variance)


def _angular_products(
    weights: Array, derivative: Array | None, directions: Array, rows: slice
) -> Products:
    """Differentiate Σ w_ij t_ij in the directions of a block's rows, and in those of its columns.

    As d(u·v) = v·du + u·dv; the weights are times ∂k/∂t.
    """
    if derivative is None:
        return 0.0, 0.0
    scaled = weights * derivative
    return scaled @ directions[: rows.stop], scaled.T @ directions[rows]


def _radial_products(
    weights: Array, derivative: Array | None, offsets: Array, rows: slice
) -> Products:
    """Differentiate Σ w_ij r²_ij in the points of a block's rows, and in those of its columns.

    As d‖a - b‖² = 2 (a - b)·(da - db); the weights are times ∂k/∂r².
    """
    if derivative is None:
        return 0.0, 0.0
    scaled = 2 * weights * derivative
    own, others = offsets[rows], offsets[: rows.stop]
    in_rows = scaled.sum(axis=1)[:, np.newaxis] * own - scaled @ others
    in_columns = scaled.sum(axis=0)[:, np.newaxis] * others - scaled.T @ own
    return in_rows, in_columns


def log_marginal_likelihood_gradients(
    matrix: GramMatrix, targets: Array
) -> tuple[float, float, Array]:
    """Log marginal likelihood, and its gradients in λ and in the points.

    Parameters
    ----------
    matrix : GramMatrix
        Of n points.
    targets : ndarray of shape (o, t)
        Of its o observations; none zero everywhere.

    Returns
    -------
    value : float
    in_noise_ratio : float
    in_points : ndarray of shape (n, d)
    """
    with WorkerPool() as pool:
        parallel_map = pool if len(matrix) > ONE_CORE_ROWS else map
        posterior = condition(matrix, targets, parallel_map)
        in_points = posterior.points_gradient(parallel_map)
    return posterior.log_marginal_likelihood(), posterior.noise_gradient(), in_points


def condition(
    matrix: GramMatrix, targets: Array, parallel_map: ParallelMap = map
) -> DensePosterior:
    """Condition on observations: GPML algorithm 2.1, and the inverse.

    The parameters are those of `log_marginal_likelihood_gradients`. The noise ratio is raised by
    the smallest of `cholesky.JITTERS`, or 0, that makes M positive definite.

    Raises
    ------
    ValueError
        If M stays indefinite whatever the jitter.
    """

    def attempt(jitter: float) -> DensePosterior:
        jittered = replace(matrix, noise_ratio=matrix.noise_ratio + jitter)
        return _posterior(jittered, targets, parallel_map)

    return with_least_jitter(attempt)[0]


def _posterior(source: GramMatrix, targets: Array, parallel_map: ParallelMap) -> DensePosterior:
    gram = DenseGram.of(source, parallel_map)
    means = source.means(targets)
    alpha, log_determinant, inverse = _invert(gram, means, parallel_map)
    if source.replicates is not None:
        log_determinant += source.replicates.log_determinant(source.noise_ratio)
    signal_variance = source.signal_variance(targets, means, alpha)
    return DensePosterior(gram, targets, alpha, signal_variance, log_determinant, inverse)


def _invert(
    gram: DenseGram, targets: Array, parallel_map: ParallelMap
) -> tuple[Array, float, Array]:
    """Factorise and invert in the memory of the matrix: α, log |M| and M⁻¹."""
    square, alpha = gram.matrix, targets.copy()
    factorise_in_place(square, parallel_map)
    log_determinant = 2 * float(np.log(square.diagonal()).sum())
    blas.solve_triangular(square, alpha)
    blas.solve_triangular(square.T, alpha)
    invert_in_place(square, parallel_map)
    return alpha, log_determinant, square
