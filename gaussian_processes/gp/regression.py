"""Exact Gaussian-process regression: posterior mean, variance, and log marginal likelihood.

Symbols and algorithms of C. E. Rasmussen and C. K. I. Williams, *Gaussian Processes for Machine
Learning* (GPML), 2006. The prior covariance of the targets is σ²_f M with M = K + λ W⁻¹, so that
one factor of M serves every target, and σ²_f has a closed form.

===============  =========================================  ==================================
Symbol           Attribute                                  Equation of GPML
===============  =========================================  ==================================
X                `GaussianProcess.points`                   section 2.2; one observation a row
k(x, x')         `GaussianProcess.kernel`                   section 4.1; 1 where x = x'
σ²_f             `GaussianProcess.signal_variance`          2.31; yᵀα/n, the maximum of 2.30
λ = σ²ₙ/σ²_f     `GramMatrix.noise_ratio`                   σ²ₙ of 2.20
W                `GramMatrix.sample_weight`                 W = I in 2.20; the noise is σ²ₙ/w
n                `GaussianProcess.observations`             of which equal ones may be merged
diag W⁻¹         `GramMatrix.noise_scale`
M                `GramMatrix`                               2.20, over σ²_f
L                `GaussianProcess.factor`                   algorithm 2.1, line 2, of M
α = M⁻¹ y        `GaussianProcess.alpha`                    algorithm 2.1, line 3, times σ²_f
E f(x*)          `GaussianProcess.mean`                     2.25
V y(x*)          `GaussianProcess.variance`                 2.26, plus σ²ₙ
log p(y | X)     `GaussianProcess.log_marginal_likelihood`  2.30
E, V y_i | y_-i  `GaussianProcess.leave_one_out`            5.12
===============  =========================================  ==================================
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.kernels import Kernel
from gaussian_processes.gp.nearest import explained_by_nearest
from gaussian_processes.gp.pairwise import CenteredPoints
from gaussian_processes.gp.replicates import Replicates
from gaussian_processes.linalg.cg import CGSolution, preconditioned_cg
from gaussian_processes.linalg.cholesky import (
    TILE_ROWS,
    CholeskyFactor,
    Factorise,
    InMemoryPanels,
    PanelStorage,
    Progress,
    factorise,
    factorise_with_jitter,
    slices,
)
from gaussian_processes.linalg.parallel import WorkerPool, run_all
from gaussian_processes.resources import available_cpus

Array = NDArray[np.float64]

# New points of one product: enough columns for BLAS to run at speed, few enough for every core to
# have some.
CHUNK_ROWS = 64
# Pairs of new points and observations in a task, which takes a core one to five milliseconds; to
# start the threads of a pool takes a third of one.
TASK_PAIRS = 1 << 19
# New points of a task that predicts variances from the nearest observations: some 50 ms of a core.
LOCAL_ROWS = 12


def working_bytes(rows: int, columns: int, cores: int) -> int:
    """Memory that a fit and its predictions take besides the factor, in bytes.

    The rows five times (as they were read, imputed, standardised, scaled by their relevances, and
    as points); and for every busy core a copy of the points and, in its largest task, leaving one
    out, `cholesky.TILE_ROWS` columns of the inverse.
    """
    busy = min(cores, len(slices(rows, TILE_ROWS)))
    return 8 * rows * (5 * columns + busy * (columns + TILE_ROWS))


@dataclass(frozen=True)
class GramMatrix:
    """Covariance matrix M = K + λ W⁻¹ of noisy observations, over σ²_f, block by block.

    Parameters
    ----------
    kernel : Kernel
    points : ndarray of shape (m, d)
        None zero.
    noise_ratio : float
        λ, at least 0.
    sample_weight : ndarray of shape (m,), optional
        The diagonal of W, positive: an observation of weight 2 is as good as two that agree. 1
        unless it is given.
    replicates : Replicates, optional
        The n observations whose means stand for the points, where several are merged into one.
    """

    kernel: Kernel
    points: Array
    noise_ratio: float
    sample_weight: Array | None = None
    replicates: Replicates | None = None

    @classmethod
    def merged(
        cls,
        kernel: Kernel,
        points: Array,
        noise_ratio: float,
        sample_weight: Array,
        replicates: Replicates | None,
    ) -> "GramMatrix":
        """Covariance matrix of n observations, of which replicates are merged.

        Not without noise, of which the observations of one point differ: then M is singular, and
        gets a jitter.
        """
        if replicates is None or not noise_ratio:
            return cls(kernel, points, noise_ratio, sample_weight)
        own = points[replicates.first]
        return cls(kernel, own, noise_ratio, replicates.total_weight, replicates)

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    @property
    def noise_scale(self) -> Array:
        """Diagonal of W⁻¹, of shape (n,): noise variances over that of weight 1."""
        return np.ones(len(self)) if self.sample_weight is None else 1 / self.sample_weight

    @property
    def observations(self) -> int:
        """Number n of observations."""
        return len(self if self.replicates is None else self.replicates)

    def means(self, targets: Array) -> Array:
        """Means of the points' targets, of shape (m, t), for targets of shape (n, t)."""
        return targets if self.replicates is None else self.replicates.mean(targets)

    def signal_variance(self, targets: Array, means: Array, alpha: Array) -> Array:
        """σ²_f of the highest likelihood, yᵀ M⁻¹ y/n of all observations, of shape (t,)."""
        quadratic_form: Array = (means * alpha).sum(axis=0)
        if self.replicates is not None:
            quadratic_form = quadratic_form + self.replicates.pure_error(targets) / self.noise_ratio
        return quadratic_form / self.observations

    def block(self, rows: slice, columns: slice) -> Array:
        """Return a block of M, of shape (rows, columns)."""
        block = self.kernel(self.points[rows], self.points[columns])
        diagonal = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
        block[diagonal - rows.start, diagonal - columns.start] += (
            self.noise_ratio * self.noise_scale[diagonal]
        )
        return block

    def product(self, x: Array) -> Array:
        """Matrix product M x, of shape (n, t) for x of shape (n, t), without storing M."""
        return self.partial_product(x, slices(len(self)))

    def agree(self, numbers: Array) -> Array:
        """Return numbers as they are: nobody else computes a product of this matrix."""
        return numbers

    def partial_product(self, x: Array, panels: Sequence[slice]) -> Array:
        """Part of M x that some panels of columns have, of shape (n, t): those of all sum to M x.

        Of a panel the blocks at and below the diagonal are computed, and serve transposed as well.
        """
        y = np.zeros_like(x)
        with WorkerPool() as pool:
            products = pool(lambda columns: self._panel_product(columns, x), panels)
            for columns, product in zip(panels, products, strict=True):
                y[columns.start :] += product
        return y

    def _panel_product(self, columns: slice, x: Array) -> Array:
        """Part of M x, from row `columns.start` on, of M's blocks at and below a diagonal block.

        Every block below the diagonal serves twice, as itself and transposed.
        """
        y = np.zeros_like(x[columns.start :])
        top, below = np.split(y, [columns.stop - columns.start])
        top += self.block(columns, columns) @ x[columns]
        for part in slices(len(below)):
            rows = slice(columns.stop + part.start, columns.stop + part.stop)
            block = self.block(rows, columns)
            below[part] += block @ x[columns]
            top += block.T @ x[rows]
        return y


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process conditioned on n observations of t targets, which share the kernel.

    Parameters
    ----------
    kernel : Kernel
    noise_ratio : float
        λ, as asked for.
    jitter : float
        What had to be added to λ for M to be positive definite: usually 0.
    points : ndarray of shape (m, d)
        X, as the kernel compares them.
    alpha : ndarray of shape (m, t)
        α = M⁻¹ y, of the means of m points where n observations share these.
    signal_variance : ndarray of shape (t,)
        σ²_f of each target; of one that is zero everywhere the prior's, see `fit`.
    factor : CholeskyFactor or None
        L of M. Without it there are means, and variances only from the nearest points.
    observations : int
        n.
    varies : ndarray of bool of shape (t,)
        Whether each target is not zero everywhere.
    iterations : int
        Iterations of conjugate gradients that α took: 0 in float64.
    replicates : Replicates, optional
        Which point every observation has, where n is more than m.
    nearest_points : int
        Points that variances are predicted from without a factor; 0 if they are not.
    noise_scale : ndarray of shape (m,), optional
        Diagonal of W⁻¹, for these; 1 unless it is given.
    """

    kernel: Kernel
    noise_ratio: float
    jitter: float
    points: Array
    alpha: Array
    signal_variance: Array
    factor: CholeskyFactor | None
    observations: int
    varies: NDArray[np.bool_]
    iterations: int = 0
    replicates: Replicates | None = None
    nearest_points: int = 0
    noise_scale: Array | None = None

    @property
    def has_variance(self) -> bool:
        """Whether it predicts variances: from the factor, or from the nearest observations."""
        return self.factor is not None or self.nearest_points > 0

    @property
    def first_observations(self) -> NDArray[np.intp]:
        """Index of the first observation of every point, of shape (m,)."""
        return np.arange(self.observations) if self.replicates is None else self.replicates.first

    def influence(self, points: Array) -> Array:
        """Terms k(x*, x_i) α_i of the posterior mean, of shape (m*, m, t): GPML eq. 2.27."""
        influence: Array = self._cross_covariance(points)[:, :, np.newaxis] * self.alpha
        return influence

    def mean(self, points: Array) -> Array:
        """Posterior mean, of shape (m, t), at new points of shape (m, d): GPML eq. 2.25."""
        mean = np.empty((len(points), self.alpha.shape[1]))

        def predict(rows: slice) -> None:
            for chunk in slices(rows.stop - rows.start, CHUNK_ROWS):
                at = slice(rows.start + chunk.start, rows.start + chunk.stop)
                np.matmul(self._cross_covariance(points[at]), self.alpha, out=mean[at])

        task_rows = CHUNK_ROWS * max(1, TASK_PAIRS // (CHUNK_ROWS * len(self.points)))
        with WorkerPool() as pool:
            run_all(pool, predict, _even_slices(len(points), task_rows))
        return mean

    def variance(self, points: Array) -> Array:
        """Posterior variance of a new observation of weight 1, noise included.

        Parameters
        ----------
        points : ndarray of shape (m, d)

        Returns
        -------
        ndarray of shape (m, t)
            σ²_f (1 + λ - ‖L⁻¹ k(x*)‖²): GPML eq. 2.26, which is of the function, and the noise.

        Raises
        ------
        ValueError
            If the factor was not kept.
        """
        return self.mean_and_variance(points)[1]

    def mean_and_variance(self, points: Array) -> tuple[Array, Array]:
        """`mean` and `variance` at new points, each of shape (m, t), of one cross-covariance.

        Without a factor, the variance from the nearest points, which is never smaller.
        """
        if self.factor is None and self.nearest_points:
            return self._mean_and_local_variance(points)
        factor = self.kept_factor
        mean, explained = np.empty((len(points), self.alpha.shape[1])), np.empty(len(points))
        chunks = _even_slices(len(points), factor.block_columns)

        def predict(rows: slice) -> None:
            covariance = self._cross_covariance(points[rows])
            np.matmul(covariance, self.alpha, out=mean[rows])
            # GPML, algorithm 2.1, line 5.
            explained[rows] = factor.quadratic_form(covariance.T, inner)

        with WorkerPool() as pool:
            # Every core takes chunks of its own, if there are enough; else all cores share each.
            several = len(chunks) > 1 and len(chunks) >= available_cpus()
            one_core_each = several and factor.concurrent
            outer, inner = (pool, map) if one_core_each else (map, pool)
            run_all(outer, predict, chunks)
        return mean, self._unexplained(explained, float(np.finfo(factor.dtype).eps))

    def _mean_and_local_variance(self, points: Array) -> tuple[Array, Array]:
        """Return `mean`, and the variance from the nearest points."""
        mean, explained = np.empty((len(points), self.alpha.shape[1])), np.empty(len(points))
        scale = np.ones(len(self.points)) if self.noise_scale is None else self.noise_scale
        noise = self._jittered_noise_ratio * scale

        def predict(rows: slice) -> None:
            covariance = self._cross_covariance(points[rows])
            np.matmul(covariance, self.alpha, out=mean[rows])
            explained[rows] = explained_by_nearest(
                self.kernel, self.points, noise, covariance, self.nearest_points
            )

        with WorkerPool() as pool:
            run_all(pool, predict, _even_slices(len(points), LOCAL_ROWS))
        return mean, self._unexplained(explained, float(np.finfo(float).eps))

    def _unexplained(self, explained: Array, rounding: float) -> Array:
        """Variance of new observations, of shape (m, t), of whose prior a part is explained."""
        noise = self._jittered_noise_ratio
        # No observation is surer than its noise, and without noise none is surer than rounding.
        floor = max(noise, rounding)
        return np.maximum(1 + noise - explained, floor)[:, np.newaxis] * self.signal_variance

    def with_nearest_points(self, count: int, noise_scale: Array) -> "GaussianProcess":
        """Return the process with variances from so many nearest points, if it has no factor."""
        return replace(self, nearest_points=count, noise_scale=noise_scale)

    def log_marginal_likelihood(self) -> float:
        """Log marginal likelihood at the best σ²_f, summed over the targets: GPML eq. 2.30.

        Targets that are zero everywhere, which any process without signal explains, are left out.
        """
        log_determinant = self.kept_factor.log_determinant
        if self.replicates is not None:
            log_determinant += self.replicates.log_determinant(self._jittered_noise_ratio)
        signal_variance = self.signal_variance[self.varies]
        return log_marginal_likelihood(self.observations, signal_variance, log_determinant)

    def leave_one_out(self, targets: Array) -> tuple[Array, Array]:
        """Leave-one-out predictions of every observation from all the others, without refitting.

        Parameters
        ----------
        targets : ndarray of shape (n, t)
            What the process was fitted to.

        Returns
        -------
        mean, variance : ndarray of shape (n, t)
            GPML eq. 5.12, with σ²_f as the n - 1 others have it.

        Notes
        -----
        Without an observation, yᵀ M⁻¹ y is less by α_i²/[M⁻¹]_ii.
        """
        alpha, precision = self._alpha_and_precision(targets)
        rows = len(targets)
        total = self.signal_variance * rows
        # Where one observation is nearly all of it, the difference has no digit left.
        others = np.maximum(total - alpha**2 / precision, total * np.finfo(float).eps)
        return targets - alpha / precision, others / max(1, rows - 1) / precision

    def _alpha_and_precision(self, targets: Array) -> tuple[Array, Array]:
        """α of shape (n, t), and the diagonal of M⁻¹ of shape (n, 1), of all observations."""
        alpha, precision = self.alpha, self.kept_factor.inverse_diagonal()
        if self.replicates is not None:
            alpha, precision = self.replicates.expand(
                alpha, precision, targets, self._jittered_noise_ratio
            )
        return alpha, precision[:, np.newaxis]

    def with_prior_variance(self, targets: Array) -> "GaussianProcess":
        """Give targets that are zero everywhere the signal variance that `fit` describes."""
        # -½ (yᵀ M⁻¹ y/σ²_f + n log σ²_f + …) of GPML eq. 2.30 has no slope in σ²_f there.
        _, precision = self._alpha_and_precision(targets)
        variance = 1 / (self.observations + 1) / (1 / precision).mean()
        return self.with_signal_variance(np.full_like(self.signal_variance, variance))

    def with_signal_variance(self, variance: Array) -> "GaussianProcess":
        """Return the process with other variances, of shape (t,), of targets that are all zero."""
        return replace(self, signal_variance=np.where(self.varies, self.signal_variance, variance))

    def inverse(self) -> Array:
        """Inverse M⁻¹, of shape (n, n)."""
        return self.kept_factor.inverse()

    def _cross_covariance(self, points: Array) -> Array:
        """Kernel of new points and the observations' points."""
        return self.kernel.value(self._centered_points.pairs(points))

    @cached_property
    def _centered_points(self) -> CenteredPoints:
        return CenteredPoints.of(self.points)

    @property
    def _jittered_noise_ratio(self) -> float:
        return self.noise_ratio + self.jitter

    @property
    def kept_factor(self) -> CholeskyFactor:
        """Return the factor.

        Raises
        ------
        ValueError
            If it was not kept.
        """
        if self.factor is None:
            raise ValueError("this needs the factor, which was not kept")
        return self.factor


def log_marginal_likelihood(
    observations: int, signal_variance: Array, log_determinant: float
) -> float:
    """Log marginal likelihood at the best σ²_f, summed over the targets: GPML eq. 2.30.

    Parameters
    ----------
    observations : int
        n.
    signal_variance : ndarray of shape (t,)
        yᵀ M⁻¹ y/n of each target.
    log_determinant : float
        log |M|, of all observations.
    """
    # yᵀ M⁻¹ y / σ²_f = n, and log |σ²_f M| = n log σ²_f + log |M|.
    terms = observations * np.log(2 * np.pi * signal_variance) + log_determinant + observations
    return float(-terms.sum() / 2)


def _even_slices(size: int, max_rows: int) -> list[slice]:
    """Slices of `max_rows` at most, as few as there can be, and all but the last of one length."""
    if not size:
        return []
    return slices(size, math.ceil(size / math.ceil(size / max_rows)))


def in_memory(noise_ratio: float) -> PanelStorage:  # noqa: ARG001  the same whatever the noise
    """Storage of panels of float64 in memory."""
    return InMemoryPanels()


def fit(
    matrix: GramMatrix,
    targets: Array,
    storage: Callable[[float], PanelStorage] = in_memory,
    progress: Progress | None = None,
    factorise: Factorise = factorise,
) -> GaussianProcess:
    """Condition a Gaussian process on observations: GPML algorithm 2.1.

    Parameters
    ----------
    matrix : GramMatrix
        Of n observations.
    targets : ndarray of shape (n, t)
        One column a target.
    storage : callable
        Returns, for the λ of a matrix, the storage of its factor's panels. If they are of float32,
        α is refined in float64. A variance then has an absolute error of about 1e-6 σ²_f, so a
        relative one of up to 1e-6/λ; the log marginal likelihood and leaving one out suffer
        likewise.
    progress : callable, optional
        See `cholesky.factorise`.
    factorise : callable
        The factorisation: `cholesky.factorise`, or one that is shared among hosts.

    Returns
    -------
    GaussianProcess
        If M is not positive definite in float64, its `jitter` is the smallest power of ten that
        makes it so. Of a target that is zero everywhere the likelihood has its maximum, which is
        infinite, at a signal variance of 0. Instead its mean leave-one-out variance is 1/(n + 1):
        that of one prior observation of squared deviation 1 and n of 0, as a conjugate prior of the
        variance weighs them (A. Gelman et al., "Bayesian Data Analysis", 2013, section 2.6).

    Raises
    ------
    NotPositiveDefiniteError
        If M is not positive definite in float32, or its factor there is too coarse to refine α.
    ValueError
        If M stays indefinite whatever the jitter.
    """

    def jittered(jitter: float) -> GramMatrix:
        return replace(matrix, noise_ratio=matrix.noise_ratio + jitter)

    def storage_of(jitter: float) -> PanelStorage:
        return storage(matrix.noise_ratio + jitter)

    factor, jitter = factorise_with_jitter(jittered, storage_of, progress, factorise)
    means = matrix.means(targets)
    if factor.dtype == np.float32:
        found = preconditioned_cg(jittered(jitter), factor, means)
    else:
        found = CGSolution(factor.solve(means), 0, 0.0)
    process = conditioned(matrix, jitter, targets, found, factor)
    return process if process.varies.all() else process.with_prior_variance(targets)


def conditioned(
    matrix: GramMatrix,
    jitter: float,
    targets: Array,
    solution: CGSolution,
    factor: CholeskyFactor | None = None,
) -> GaussianProcess:
    """Return the process of a matrix whose α is found.

    Parameters
    ----------
    matrix : GramMatrix
    jitter : float
    targets : ndarray of shape (n, t)
    solution : CGSolution
        α, and the iterations that it took.
    factor : CholeskyFactor, optional
        Of the matrix with its jitter.
    """
    jittered = replace(matrix, noise_ratio=matrix.noise_ratio + jitter)
    means = matrix.means(targets)
    return GaussianProcess(
        kernel=matrix.kernel,
        noise_ratio=matrix.noise_ratio,
        jitter=jitter,
        points=matrix.points,
        alpha=solution.x,
        signal_variance=jittered.signal_variance(targets, means, solution.x),
        factor=factor,
        observations=matrix.observations,
        varies=(targets != 0).any(axis=0),
        iterations=solution.iterations,
        replicates=matrix.replicates,
    )
