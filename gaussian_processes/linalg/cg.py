"""Preconditioned conjugate gradients, on a matrix that need not be stored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.linalg.cholesky import NotPositiveDefiniteError

Array = NDArray[Any]

# With a factor in float32: the size of the residual, relative to the right-hand side, at which the
# iterations end. It is that of the recursion, from which the true one strays by a few roundings. An
# iteration makes it some 1,000 times smaller, and costs as much as the kernel of all pairs.
CG_TOLERANCE = 1e-10
# A factor in float32 takes two to five; one that takes more than these is too coarse, and float64
# will be faster.
CG_MAX_ITERATIONS = 20

# Called after every iteration, with its number and the largest relative residual.
IterationProgress = Callable[[int, float], None]


class LinearOperator(Protocol):
    """A symmetric positive definite matrix M of n rows that need not be stored."""

    def product(self, x: Array) -> Array:
        """Return M x, for x of shape (n, t)."""

    def agree(self, numbers: Array) -> Array:
        """Return numbers as all have them who compute the product together."""


class Preconditioner(Protocol):
    """An approximate inverse of M."""

    def solve(self, y: Array) -> Array:
        """Return about M⁻¹ y, for y of shape (n, t)."""


@dataclass(frozen=True)
class StoppingRule:
    """End of the iterations.

    Parameters
    ----------
    tolerance : float
        ‖y - M x‖ ≤ `tolerance` ‖y‖ for every column, to the rounding of M x itself, ε ‖M‖ ‖x‖.
    max_iterations : int
        Of which that has to be reached.
    """

    tolerance: float = CG_TOLERANCE
    max_iterations: int = CG_MAX_ITERATIONS


REFINEMENT = StoppingRule()


@dataclass(frozen=True)
class CGSolution:
    """Solution of M x = y by conjugate gradients.

    Parameters
    ----------
    x : ndarray of shape (n, t)
    iterations : int
    residual : float
        The largest ‖y - M x‖/‖y‖ of any column, by the recursion.
    """

    x: Array
    iterations: int
    residual: float


def preconditioned_cg(
    matrix: LinearOperator,
    preconditioner: Preconditioner,
    targets: Array,
    stop: StoppingRule = REFINEMENT,
    progress: IterationProgress | None = None,
) -> CGSolution:
    """Solve M x = y in float64 by preconditioned conjugate gradients.

    Parameters
    ----------
    matrix : LinearOperator
        M, of n rows.
    preconditioner : Preconditioner
        A Cholesky factor of M in float32, say.
    targets : ndarray of shape (n, t)
        y; every column is solved for by itself.
    stop : StoppingRule
    progress : callable, optional

    Raises
    ------
    NotPositiveDefiniteError
        If the tolerance is not reached in as many iterations as there may be.

    Notes
    -----
    Golub & Van Loan, Matrix Computations (4th edition), alg. 11.5.1; β in Polak and Ribière's form,
    since the preconditioner rounds. Hosts agree on the numbers that steer the iterations: the last
    digits of sums differ from processor to processor, but all end with the same iteration.
    """
    # Vectors of length 1 keep within the range of float32, whatever the targets' units.
    norm = matrix.agree(np.linalg.norm(targets, axis=0))
    residual = _ratio(targets, norm)
    solution, left = np.zeros_like(residual), 1.0
    direction = preconditioned = preconditioner.solve(residual).astype(float)
    for iteration in range(1, stop.max_iterations + 1):
        image, descent = matrix.product(direction), (residual * preconditioned).sum(axis=0)
        step = matrix.agree(_ratio(descent, (direction * image).sum(axis=0)))
        solution += step * direction
        previous, residual = residual, residual - step * image
        left = float(matrix.agree(np.linalg.norm(residual, axis=0)).max())
        if progress:
            progress(iteration, left)
        if left <= stop.tolerance:
            return CGSolution(solution * norm, iteration, left)
        preconditioned = preconditioner.solve(residual).astype(float)
        change = (preconditioned * (residual - previous)).sum(axis=0)
        beta = matrix.agree(_ratio(change, descent))
        direction = preconditioned + beta * direction
    raise NotPositiveDefiniteError(
        f"{stop.max_iterations} iterations leave a residual of {left:.1e}"
    )


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, or 0 where the denominator is 0: for a target that is zero or solved exactly."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator != 0)
