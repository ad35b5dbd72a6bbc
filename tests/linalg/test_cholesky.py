import copy
from dataclasses import dataclass

import numpy as np
import pytest

from gaussian_processes.linalg import parallel, skinny
from gaussian_processes.linalg.cholesky import (
    PANEL_WIDTH,
    InMemoryPanels,
    NotPositiveDefiniteError,
    factorise,
    factorise_with_jitter,
    packed_bytes,
)

SIZES = [1, 2, PANEL_WIDTH - 1, PANEL_WIDTH, PANEL_WIDTH + 1, 3 * PANEL_WIDTH - 1]


@dataclass
class Dense:
    """A matrix that is there already."""

    square: np.ndarray

    def __len__(self):
        return len(self.square)

    def block(self, rows, columns):
        return self.square[rows, columns]


def positive_definite(size):
    root = np.random.default_rng(size).normal(size=(size, size))
    return root @ root.T / size + np.eye(size)


@pytest.fixture(params=SIZES)
def square(request):
    return positive_definite(request.param)


def test_solving_undoes_the_matrix(square):
    y = np.random.default_rng(0).normal(size=(len(square), 3))

    solved = factorise(Dense(square)).solve(square @ y)

    np.testing.assert_allclose(solved, y, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "columns",
    [
        0,
        1,
        skinny.SIMD_WIDTH - 1,
        skinny.SIMD_WIDTH,
        skinny.SIMD_WIDTH + 1,
        skinny.MAX_COLUMNS,
        skinny.MAX_COLUMNS + 1,
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-3)])
def test_half_of_a_solution_is_that_of_the_lower_triangle(square, columns, dtype, tolerance):
    y = np.random.default_rng(1).normal(size=(len(square), columns))

    half = factorise(Dense(square), InMemoryPanels(dtype)).solve_lower(y)

    assert half.dtype == dtype
    np.testing.assert_allclose(
        half, np.linalg.solve(np.linalg.cholesky(square), y), rtol=0, atol=tolerance
    )


def test_a_copy_of_a_factor_that_was_used_solves_with_its_own_panels():
    factor = factorise(Dense(positive_definite(5)))
    expected = factor.solve_lower(np.ones((5, 1)))

    other = copy.deepcopy(factor)
    factor.panels[0][...] = np.nan

    np.testing.assert_array_equal(other.solve_lower(np.ones((5, 1))), expected)


def test_the_determinant_is_that_of_the_square(square):
    assert factorise(Dense(square)).log_determinant == pytest.approx(
        np.linalg.slogdet(square)[1], rel=1e-12
    )


def test_the_inverse_and_its_diagonal_are_those_of_the_square(square):
    factor, expected = factorise(Dense(square)), np.linalg.inv(square)

    np.testing.assert_allclose(factor.inverse(), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(factor.inverse_diagonal(), expected.diagonal(), rtol=1e-12)


def test_the_panels_take_what_was_announced(square):
    assert sum(panel.nbytes for panel in factorise(Dense(square)).panels) == packed_bytes(
        len(square)
    )


def test_a_large_factor_takes_little_more_than_half_of_a_square():
    assert packed_bytes(20_000) / (8 * 20_000**2) < 0.52


@pytest.mark.parametrize("row", [0, PANEL_WIDTH - 1, PANEL_WIDTH, PANEL_WIDTH + 88])
def test_an_indefinite_matrix_is_refused_at_the_row_where_it_shows(row):
    square = positive_definite(PANEL_WIDTH + 90)
    square[row, row] = -1.0

    with pytest.raises(NotPositiveDefiniteError, match=f"row {row + 1} is"):
        factorise(Dense(square))


def test_progress_ends_with_all_the_operations_of_a_cholesky_factorisation():
    size, seen = 3 * PANEL_WIDTH, []

    factorise(
        Dense(positive_definite(size)), progress=lambda done, total: seen.append((done, total))
    )

    assert seen == sorted(seen)
    assert seen[-1][0] == pytest.approx(seen[-1][1])
    # n³/3, and the upper halves of the diagonal blocks, which are computed in vain.
    assert seen[-1][1] == pytest.approx(size**3 / 3 + PANEL_WIDTH * size**2 / 2, rel=0.05)


def test_the_number_of_cores_changes_no_bit(monkeypatch):
    square, results = positive_definite(PANEL_WIDTH + 1100), []
    y = np.random.default_rng(4).normal(size=(len(square), 100))
    for cores in (1, 2, 3):
        monkeypatch.setattr(parallel, "available_cpus", lambda cores=cores: cores)
        factor = factorise(Dense(square))
        with parallel.WorkerPool() as over:
            solved = [factor.solve_lower(y[:, :columns], over) for columns in (24, 100)]
        parts = [*factor.panels, *solved, factor.inverse_diagonal()]
        results.append(np.concatenate([part.ravel() for part in parts]))

    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def singular(jitter):
    """A matrix of ones, whose second pivot is exactly the jitter that rounding leaves of it."""
    return Dense(np.ones((3, 3)) + jitter * np.eye(3))


def test_the_smallest_jitter_that_makes_a_singular_matrix_definite_is_added():
    factor, jitter = factorise_with_jitter(singular)

    lower = np.tril(factor.panels[0])
    assert 0 < jitter <= 1e-14
    np.testing.assert_allclose(lower @ lower.T, singular(jitter).square, rtol=0, atol=1e-15)


def test_a_definite_matrix_gets_no_jitter():
    assert factorise_with_jitter(lambda jitter: Dense((1 + jitter) * np.eye(3)))[1] == 0


def test_in_single_precision_no_jitter_is_tried():
    with pytest.raises(NotPositiveDefiniteError):
        factorise_with_jitter(singular, lambda _: InMemoryPanels(np.float32))


def test_a_matrix_that_stays_indefinite_is_refused_with_the_question_to_ask():
    with pytest.raises(ValueError, match=r"indefinite with 0\.1 .* are there NaN among the points"):
        factorise_with_jitter(lambda jitter: Dense((jitter - 2) * np.eye(3)))
