"""Gaussian-process regression without a factor: α by preconditioned conjugate gradients.

Products with M, computed block by block from the kernel, are all that is needed of it: the memory
grows with the rows, not with their square. The posterior mean is exact to the residual; what a
factor is needed for (log marginal likelihood, leave-one-out, variances) there is not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.pairwise import CenteredPoints
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, conditioned
from gaussian_processes.linalg.cg import (
    CGSolution,
    IterationProgress,
    StoppingRule,
    preconditioned_cg,
)
from gaussian_processes.linalg.nystrom import NystromPreconditioner, RowShare, random_landmarks

Array = NDArray[np.float64]

# Residual, relative to the targets, at which the iterations end: ten times less took 3 more of 18.
# In the mean it is less than 1e-5 of the targets' standard deviation.
TOLERANCE = 1e-6
# Of 100,000 rows they took 18, of noise 0.007; where this does not suffice, the noise is so small
# that a factor takes less time.
MAX_ITERATIONS = 1_000
STOP = StoppingRule(TOLERANCE, MAX_ITERATIONS)
# Landmarks for the square root of the rows: to build the preconditioner then takes about as long as
# an iteration, whose kernel of n²/2 pairs takes a core 5 ns each, where r² n/2 multiplications take
# 0.05 ns each, twice. Twice as many would spare a quarter of the iterations.
LANDMARKS_PER_ROOT = 7

Solve = Callable[[GramMatrix, Array], CGSolution]


@dataclass(frozen=True)
class Iterations:
    """Conjugate gradients on a Gram matrix, with the Nyström preconditioner.

    Parameters
    ----------
    rank : int
        Number of landmarks.
    progress : callable, optional
        See `linalg.cg`.
    share : RowShare, optional
        Rows of the preconditioner that this host keeps, where hosts share the matrix.
    """

    rank: int
    progress: IterationProgress | None = None
    share: RowShare | None = None

    def solve(self, matrix: GramMatrix, targets: Array) -> CGSolution:
        """Solve M x = y to `TOLERANCE`, for y of shape (n, t).

        Parameters
        ----------
        matrix : GramMatrix
            With noise.
        targets : ndarray of shape (n, t)

        Returns
        -------
        CGSolution
            Whose residual is that of the solution itself, ‖y - M x‖/‖y‖, of one more product.

        Raises
        ------
        NotPositiveDefiniteError
            If `MAX_ITERATIONS` do not reach it.
        """
        approximation = preconditioner(matrix, self.rank, self.share)
        found = preconditioned_cg(matrix, approximation, targets, STOP, self.progress)
        left = np.linalg.norm(targets - matrix.product(found.x), axis=0)
        sizes = np.linalg.norm(targets, axis=0)
        relative = np.divide(left, sizes, out=np.zeros_like(left), where=sizes > 0)
        return CGSolution(found.x, found.iterations, float(relative.max()))


def landmark_count(rows: int, memory: int, hosts: int = 1) -> int:
    """Return the number of landmarks for so many rows.

    Their preconditioner, which hosts share, takes half of a host's memory at most.
    """
    fitting = memory // 2 * hosts // (8 * rows)
    return max(1, min(rows, math.isqrt(LANDMARKS_PER_ROOT**2 * rows), fitting))


def preconditioner(
    matrix: GramMatrix, rank: int, share: RowShare | None = None
) -> NystromPreconditioner:
    """Build the Nyström preconditioner of M = K + λ W⁻¹ of random landmarks.

    Raises
    ------
    ValueError
        If there is no noise.
    """
    if not matrix.noise_ratio:
        raise ValueError("without noise there is no preconditioner; give a noise above 0")
    chosen = CenteredPoints.of(matrix.points[random_landmarks(len(matrix), rank)])
    return NystromPreconditioner.build(
        lambda rows: matrix.kernel.value(chosen.pairs(matrix.points[rows])),
        matrix.kernel.value(chosen.pairs_up_to(slice(0, len(chosen.offsets)))),
        matrix.noise_ratio * matrix.noise_scale,
        share,
    )


def fit(matrix: GramMatrix, targets: Array, solve: Solve) -> tuple[GaussianProcess, float]:
    """Condition a Gaussian process on observations, without a factor.

    Parameters
    ----------
    matrix : GramMatrix
        Of n observations, with noise.
    targets : ndarray of shape (n, t)
        One column a target.
    solve : callable
        Solves M x = y: `Iterations.solve`.

    Returns
    -------
    process : GaussianProcess
        Without a factor. A target that is zero everywhere has a signal variance of 1/(n + 1), which
        nothing is computed from.
    residual : float
        The largest ‖y - M α‖/‖y‖ of a target.

    Raises
    ------
    NotPositiveDefiniteError
        If the iterations do not reach `TOLERANCE`.
    """
    means = matrix.means(targets)
    found = solve(matrix, means)
    process = conditioned(matrix, 0.0, targets, found)
    prior = np.full_like(process.signal_variance, 1 / (process.observations + 1))
    return process.with_signal_variance(prior), found.residual
