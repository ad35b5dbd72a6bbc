import numpy as np
import pytest

from gaussian_processes.linalg.cg import CG_TOLERANCE, StoppingRule, preconditioned_cg
from gaussian_processes.linalg.cholesky import NotPositiveDefiniteError


class Dense:
    """A matrix whose products, and whose approximate inverse, are NumPy's."""

    def __init__(self, square, preconditioner):
        self.square, self.preconditioner = square, preconditioner

    def product(self, x):
        return self.square @ x

    def agree(self, numbers):
        return numbers

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

    found = preconditioned_cg(matrix, matrix, targets)

    residual = np.linalg.norm(targets - square @ found.x, axis=0)
    assert (residual <= 2 * CG_TOLERANCE * np.linalg.norm(targets, axis=0)).all()
    assert 1 <= found.iterations <= 4


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30])
def test_the_unit_of_the_targets_does_not_matter(unit):
    square, targets = positive_definite()
    matrix = Dense(square, np.linalg.inv(square).astype(np.float32))

    solution = preconditioned_cg(matrix, matrix, unit * targets).x

    np.testing.assert_allclose(solution / unit, np.linalg.solve(square, targets), rtol=1e-7)


def test_a_target_of_zeros_is_solved_by_zeros_beside_others():
    square, targets = positive_definite()
    targets[:, 1] = 0
    matrix = Dense(square, np.linalg.inv(square))

    solution = preconditioned_cg(matrix, matrix, targets).x

    assert (solution[:, 1] == 0).all()
    np.testing.assert_allclose(solution, np.linalg.solve(square, targets), rtol=0, atol=1e-8)


def test_a_preconditioner_that_is_too_coarse_is_refused():
    square, targets = positive_definite(condition=1e12)

    with pytest.raises(NotPositiveDefiniteError, match="20 iterations leave a residual of"):
        preconditioned_cg(Dense(square, np.eye(80)), Dense(square, np.eye(80)), targets)


def test_without_a_preconditioner_the_residual_is_that_of_the_definition():
    square, targets = positive_definite(condition=50)
    matrix, said = Dense(square, np.eye(80)), []

    found = preconditioned_cg(
        matrix, matrix, targets, StoppingRule(1e-6, 100), lambda *iteration: said.append(iteration)
    )

    left = np.linalg.norm(targets - square @ found.x, axis=0) / np.linalg.norm(targets, axis=0)
    assert found.residual == pytest.approx(left.max(), rel=1e-6)
    assert found.residual <= 1e-6
    assert said[-1] == (found.iterations, found.residual)


def test_iterations_are_at_most_the_distinct_eigenvalues():
    # Golub & Van Loan (4th edition), theorem 11.3.1.
    square, targets = positive_definite()
    basis = np.linalg.eigh(square).eigenvectors
    values = np.repeat([1.0, 7.0, 30.0, 100.0], 20)
    matrix = Dense((basis * values) @ basis.T, np.eye(80))

    assert preconditioned_cg(matrix, matrix, targets).iterations <= 4
