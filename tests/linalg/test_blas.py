import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.linalg import blas

sizes = st.integers(1, 9)
dtypes = st.sampled_from([np.float32, np.float64])
flags = st.booleans()


def matrix(rng, rows, columns, dtype, transposed, inside):
    """A matrix of random numbers, perhaps stored by columns, perhaps within a larger one."""
    shape = (columns, rows) if transposed else (rows, columns)
    stored = (
        rng.normal(size=(shape[0] + 2, shape[1] + 3)).astype(dtype)[1:-1, 2:-1]
        if inside
        else rng.normal(size=shape).astype(dtype)
    )
    return stored.T if transposed else stored


@given(st.integers(0, 99), sizes, sizes, sizes, dtypes, flags, flags, flags)
def test_a_product_is_subtracted_in_place(
    seed, rows, inner, columns, dtype, a_transposed, b_transposed, inside
):
    rng = np.random.default_rng(seed)
    a = matrix(rng, rows, inner, dtype, a_transposed, inside)
    b = matrix(rng, inner, columns, dtype, b_transposed, inside)
    c = matrix(rng, rows, columns, dtype, False, inside)
    expected = c.astype(float) - a.astype(float) @ b.astype(float)

    blas.gemm_update(c, a, b)

    np.testing.assert_allclose(c, expected, rtol=0, atol=100 * np.finfo(dtype).eps)


@given(st.integers(0, 99), sizes, sizes, dtypes, flags, flags, flags)
def test_a_triangle_is_solved_in_place_and_its_other_half_is_not_read(
    seed, size, columns, dtype, upper, c_transposed, inside
):
    rng = np.random.default_rng(seed)
    stored = matrix(rng, size, size, dtype, False, inside)
    stored[np.diag_indices(size)] = 3 + rng.random(size)
    lower = np.tril(stored).astype(float)
    stored[np.triu_indices(size, 1)] = np.nan
    c = matrix(rng, size, columns, dtype, c_transposed, inside)
    expected = np.linalg.solve(lower.T if upper else lower, c.astype(float))

    blas.solve_triangular(stored.T if upper else stored, c)

    np.testing.assert_allclose(
        c, expected, rtol=0, atol=1e3 * np.finfo(dtype).eps * (1 + np.abs(expected).max())
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_block_is_factorised_in_its_lower_half(dtype):
    root = np.random.default_rng(5).normal(size=(20, 20))
    matrix = (root @ root.T + np.eye(20)).astype(dtype)
    block = matrix.copy()

    assert blas.potrf(block) == 0

    lower = np.tril(block).astype(float)
    np.testing.assert_allclose(lower @ lower.T, matrix, rtol=0, atol=300 * np.finfo(dtype).eps)


def test_the_first_minor_that_is_not_positive_is_named():
    block = np.diag([1.0, 2.0, -3.0, 4.0])

    assert blas.potrf(block) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_factor_becomes_the_lower_half_of_the_inverse(dtype):
    root = np.random.default_rng(6).normal(size=(20, 20))
    matrix = (root @ root.T / 20 + np.eye(20)).astype(dtype)
    block = matrix.copy()
    blas.potrf(block)

    blas.potri(block)

    inverse = np.tril(block) + np.tril(block, -1).T
    np.testing.assert_allclose(
        inverse.astype(float) @ matrix, np.eye(20), rtol=0, atol=300 * np.finfo(dtype).eps
    )


def test_a_factor_with_a_zero_on_its_diagonal_has_no_inverse():
    with pytest.raises(ValueError, match="number 2 of the factor's diagonal is 0"):
        blas.potri(np.diag([1.0, 0.0]))


def test_types_that_differ_are_refused():
    with pytest.raises(ValueError, match="convert them to one type"):
        blas.gemm_update(np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2), np.float32))
