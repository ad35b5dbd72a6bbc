"""What does a Gaussian process say about new points, once it has seen some?

Notation and algorithms of Rasmussen & Williams, Gaussian Processes for Machine Learning (GPML), 2006: targets y with the
prior y ~ N(0, a M), M = K + λ I, where K is the kernel's Gram matrix, λ the noise variance against a kernel whose value at
equal points is 1, and a the signal variance, which has a closed form.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.cholesky import WIDTH, Factor, NotPositiveDefiniteError, Progress, factorise, slices
from gaussian_processes.kernels import ArcCosine
from gaussian_processes.parallel import team

Array = NDArray[np.float64]

# What may be added to the diagonal of a matrix that rounding has made indefinite, the smallest first. Rounding moves the
# eigenvalues by about 1e-16 n, so a few of these are tried in vain at most; each trial costs up to a factorisation.
JITTERS = tuple(10.0**exponent for exponent in range(-15, 0))
# New points to a chunk: enough columns for BLAS to run at speed, few enough for every core to have some.
CHUNK = 256


def working_bytes(rows: int, columns: int, cores: int) -> int:
    """Memory that a fit and its predictions take besides the factor, in bytes: the points, and each core's share of columns.

    The largest share is that of leaving one out: `cholesky.WIDTH` columns of the inverse, and their squares.
    """
    return 8 * rows * (3 * columns + cores * 2 * WIDTH)


@dataclass(frozen=True)
class GramMatrix:
    """M = K + λ I, block by block."""

    kernel: ArcCosine
    points: Array
    noise: float

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.points)

    def block(self, rows: slice, columns: slice) -> Array:
        """Return a block of M, of shape (rows, columns)."""
        block = self.kernel(self.points[rows], self.points[columns])
        diagonal = np.arange(max(rows.start, columns.start), min(rows.stop, columns.stop))
        block[diagonal - rows.start, diagonal - columns.start] += self.noise
        return block


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process conditioned on n observations of t targets, which share the kernel.

    Parameters
    ----------
    kernel : ArcCosine
    noise : float
        λ, as asked for.
    jitter : float
        What had to be added to λ for the matrix to be positive definite: usually 0.
    points : ndarray of shape (n, d)
        Where it was observed; rows of norm 1.
    weights : ndarray of shape (n, t)
        α = M⁻¹ y.
    signal_variance : ndarray of shape (t,)
        a, of each target.
    factor : Factor or None
        L of M. Without it there are means, but no variances.
    """

    kernel: ArcCosine
    noise: float
    jitter: float
    points: Array
    weights: Array
    signal_variance: Array
    factor: Factor | None

    def mean(self, points: Array) -> Array:
        """Mean at new points: of shape (m, t) for points of shape (m, d). GPML eq. 2.25."""
        with team() as over:
            parts = over(lambda rows: self.kernel(points[rows], self.points) @ self.weights, slices(len(points), CHUNK))
            return np.concatenate([np.empty((0, self.weights.shape[1])), *parts])

    def variance(self, points: Array) -> Array:
        """Variance of a new observation, noise included, at new points.

        Parameters
        ----------
        points : ndarray of shape (m, d)

        Returns
        -------
        ndarray of shape (m, t)
            a (1 + λ - ‖L⁻¹ k(x*)‖²). GPML eq. 2.26.

        Raises
        ------
        ValueError
            If the factor was not kept.
        """
        factor, total = self._kept_factor, 1 + self.noise + self.jitter
        with team() as over:
            parts = over(
                lambda rows: np.square(factor.half_solve(self.kernel(self.points, points[rows]))).sum(axis=0),
                slices(len(points), CHUNK),
            )
            explained = np.concatenate([np.empty(0), *parts])
        # Rounding may explain all there is, or more, of an observation at a training point without noise.
        return np.outer(np.maximum(total - explained, np.finfo(float).eps), self.signal_variance)

    def log_evidence(self) -> float:
        """Log marginal likelihood of the observations, summed over the targets: GPML eq. 2.30, at the best a."""
        size = len(self.points)
        logs = size * np.log(2 * np.pi * self.signal_variance) + self._kept_factor.log_determinant + size
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
        return targets - self.weights / precision, self.signal_variance / precision

    def inverse(self) -> Array:
        """M⁻¹, of shape (n, n)."""
        return self._kept_factor.inverse()

    @property
    def _kept_factor(self) -> Factor:
        if self.factor is None:
            raise ValueError("this needs the factor, which was not kept")
        return self.factor


def fit(kernel: ArcCosine, points: Array, targets: Array, noise: float, progress: Progress | None = None) -> GaussianProcess:
    """Condition a Gaussian process on observations.

    Parameters
    ----------
    kernel : ArcCosine
    points : ndarray of shape (n, d)
        Rows of norm 1.
    targets : ndarray of shape (n, t)
        One column a target.
    noise : float
        λ, at least 0.
    progress : callable, optional
        See `cholesky.factorise`.

    Returns
    -------
    GaussianProcess
        GPML alg. 2.1. If M is not positive definite in floating point, its `jitter` is the smallest power of ten that
        makes it so.
    """
    for jitter in (0.0, *JITTERS):
        try:
            factor = factorise(GramMatrix(kernel, points, noise + jitter), progress)
        except NotPositiveDefiniteError:
            continue
        weights = factor.solve(targets)
        signal_variance = (targets * weights).sum(axis=0) / len(targets)
        return GaussianProcess(kernel, noise, jitter, points, weights, signal_variance, factor)
    raise ValueError(
        f"the Gram matrix stays indefinite with {JITTERS[-1]} on its diagonal; the points hold NaN or are not of norm 1"
    )
