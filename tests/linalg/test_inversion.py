import numpy as np
import pytest

from gaussian_processes.linalg.cholesky import TILE_ROWS, NotPositiveDefiniteError
from gaussian_processes.linalg.inversion import (
    ONE_CORE_ROWS,
    factorise_in_place,
    invert_in_place,
)
from gaussian_processes.linalg.parallel import WorkerPool

# By LAPACK in one piece; by tiles, the last of which is one row, whole, or all but a row.
SIZES = [1, 2, 65, ONE_CORE_ROWS, ONE_CORE_ROWS + 1, 5 * TILE_ROWS, 5 * TILE_ROWS - 1]


def positive_definite(size):
    root = np.random.default_rng(size).normal(size=(size, size))
    return root @ root.T / size + np.eye(size)


@pytest.mark.parametrize("size", SIZES)
def test_the_factor_and_the_inverse_are_those_of_linear_algebra(size):
    matrix = positive_definite(size)
    square = matrix.copy()

    factorise_in_place(square)
    factor = np.tril(square)
    invert_in_place(square)

    np.testing.assert_allclose(factor, np.linalg.cholesky(matrix), rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.tril(square), np.tril(np.linalg.inv(matrix)), atol=1e-12)


def test_the_number_of_cores_changes_no_bit():
    matrix = positive_definite(ONE_CORE_ROWS + 300)
    alone, shared = matrix.copy(), matrix.copy()

    with WorkerPool() as pool:
        for square, parallel_map in ((alone, map), (shared, pool)):
            factorise_in_place(square, parallel_map)
            invert_in_place(square, parallel_map)

    np.testing.assert_array_equal(np.tril(alone), np.tril(shared))


@pytest.mark.parametrize("size", [10, ONE_CORE_ROWS + 300])
def test_an_indefinite_matrix_is_refused_with_its_leading_minor(size):
    matrix = positive_definite(size)
    matrix[size - 3, size - 3] = -1.0

    with pytest.raises(NotPositiveDefiniteError, match=f"row {size - 2} is, up to"):
        factorise_in_place(matrix)
