import numpy as np
import pytest

from gaussian_processes.linalg.cg import StoppingRule, preconditioned_cg
from gaussian_processes.linalg.nystrom import NystromPreconditioner, random_landmarks

SIZE = 1_000


class Dense:
    """A matrix whose products are NumPy's, and that approximates its inverse by the identity."""

    def __init__(self, square):
        self.square = square

    def product(self, x):
        return self.square @ x

    def agree(self, numbers):
        return numbers

    def solve(self, y):
        return y


def gaussian_kernel(size=SIZE):
    points = np.random.default_rng(3).normal(size=(size, 3))
    return np.exp(-((points[:, np.newaxis] - points) ** 2).sum(axis=2) / 2)


def preconditioner(kernel, diagonal, rank):
    chosen = random_landmarks(len(kernel), rank)
    return NystromPreconditioner.build(
        lambda rows: kernel[rows, chosen], kernel[np.ix_(chosen, chosen)], diagonal
    )


def test_the_preconditioner_solves_with_the_nystrom_approximation():
    kernel, rng = gaussian_kernel(), np.random.default_rng(4)
    diagonal, y = rng.uniform(0.01, 0.1, SIZE), rng.normal(size=(SIZE, 2))
    chosen = random_landmarks(SIZE, 40)

    found = preconditioner(kernel, diagonal, 40).solve(y)

    cross, square = kernel[:, chosen], kernel[np.ix_(chosen, chosen)]
    jitter = 0.1 * diagonal.min() * 40 / SIZE
    approximation = cross @ np.linalg.solve(square + jitter * np.eye(40), cross.T)
    expected = np.linalg.solve(approximation + np.diag(diagonal), y)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_conjugate_gradients_take_fewer_iterations_the_more_landmarks_there_are():
    kernel, y = gaussian_kernel(), np.random.default_rng(5).normal(size=(SIZE, 1))
    matrix, diagonal = Dense(kernel + 1e-2 * np.eye(SIZE)), np.full(SIZE, 1e-2)
    preconditioners = [matrix, *(preconditioner(kernel, diagonal, rank) for rank in (50, 400))]

    found = [
        preconditioned_cg(matrix, own, y, StoppingRule(1e-8, 1_000)) for own in preconditioners
    ]

    without, few, many = (solution.iterations for solution in found)
    assert many < few < without
    expected = np.linalg.solve(matrix.square, y)
    for solution in found:
        np.testing.assert_allclose(solution.x, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("noise", [1e-6, 1e-2])
def test_equal_landmarks_do_not_make_it_indefinite(noise):
    kernel = np.ones((SIZE, SIZE))
    matrix = Dense(kernel + noise * np.eye(SIZE))
    y = np.random.default_rng(6).normal(size=(SIZE, 1))

    found = preconditioned_cg(
        matrix, preconditioner(kernel, np.full(SIZE, noise), 20), y, StoppingRule(1e-6, 50)
    )

    assert found.iterations <= 5


def test_all_points_are_landmarks_where_there_are_few():
    assert random_landmarks(5, 9).tolist() == [0, 1, 2, 3, 4]
