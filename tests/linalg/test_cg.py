import numpy as np
import pytest

from gaussian_processes.linalg.cg import CG_TOLERANCE, preconditioned_cg
from gaussian_processes.linalg.cholesky import NotPositiveDefiniteError


class Dense:
    """A matrix whose products, and whose approximate inverse, are NumPy's."""

    def __init__(self, square, preconditioner):
        self.square, self.preconditioner = square, preconditioner

    def product(self, x):
        return self.square @ x

    def solve(self, y):
        return self.preconditioner @ y


def positive_definite(size=80, condition=1e4):
    rng = np.random.default_rng(size)
    basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
    return (basis * np.geomspace(1, condition, size)) @ basis.T, rng.normal(size=(size, 3))


def test_a_rough_inverse_is_refined_to_the_tolerance():
    square, targets = positive_definite()
    rough = np.linalg.inv(square).astype(np.float32)
    matrix = Dense(square, rough)

    solution, iterations = preconditioned_cg(matrix, matrix, targets)

    residual = np.linalg.norm(targets - square @ solution, axis=0)
    assert (residual <= 2 * CG_TOLERANCE * np.linalg.norm(targets, axis=0)).all()
    assert 1 <= iterations <= 4


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_the_unit_of_the_targets_does_not_matter(unit):
    square, targets = positive_definite()
    matrix = Dense(square, np.linalg.inv(square).astype(np.float32))

    solution, _ = preconditioned_cg(matrix, matrix, unit * targets)

    np.testing.assert_allclose(solution / unit, np.linalg.solve(square, targets), rtol=1e-7)


def test_a_target_of_zeros_is_solved_by_zeros_beside_others():
    square, targets = positive_definite()
    targets[:, 1] = 0
    matrix = Dense(square, np.linalg.inv(square))

    solution, _ = preconditioned_cg(matrix, matrix, targets)

    assert (solution[:, 1] == 0).all()
    np.testing.assert_allclose(solution, np.linalg.solve(square, targets), rtol=0, atol=1e-8)


def test_a_preconditioner_that_is_too_coarse_is_refused():
    square, targets = positive_definite(condition=1e12)

    with pytest.raises(NotPositiveDefiniteError, match="20 iterations leave a residual of"):
        preconditioned_cg(Dense(square, np.eye(80)), Dense(square, np.eye(80)), targets)
