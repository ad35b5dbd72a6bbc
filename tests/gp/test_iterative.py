import numpy as np
import pytest

from gaussian_processes.gp import iterative
from gaussian_processes.gp.iterative import Iterations, landmark_count
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.gp.replicates import find_replicates
from gaussian_processes.linalg.cholesky import NotPositiveDefiniteError, slices

SIZE = 900


def problem(kernel, noise_ratio=0.01, size=SIZE):
    rng = np.random.default_rng(size)
    points = np.column_stack([rng.normal(size=(size, 2)), np.ones(size)])
    targets = np.sin(points[:, :2] * 3) + 0.1 * rng.normal(size=(size, 2))
    return GramMatrix(kernel, points, noise_ratio, rng.uniform(0.5, 2, size)), targets


def dense(matrix):
    """M by its definition."""
    square = matrix.kernel(matrix.points, matrix.points)
    return square + matrix.noise_ratio * np.diag(matrix.noise_scale)


@pytest.mark.parametrize("kernel", [ArcCosine(0, 1), ArcCosine(2, 0), ArcCosineRBF(1, 1, 0.5)])
def test_weights_solve_the_equations_to_the_residual_that_is_said(kernel):
    matrix, targets = problem(kernel)

    process, residual = iterative.fit(matrix, targets, Iterations(60).solve)

    left = targets - dense(matrix) @ process.alpha
    sizes = np.linalg.norm(left, axis=0) / np.linalg.norm(targets, axis=0)
    assert residual == pytest.approx(sizes.max(), rel=1e-6)
    assert residual <= 1.1 * iterative.TOLERANCE
    assert 1 < process.iterations < 100


def test_the_posterior_is_that_of_the_definition_up_to_the_residual():
    matrix, targets = problem(ArcCosine(1, 1))
    new = matrix.points[:50] + 0.1

    process, _ = iterative.fit(matrix, targets, Iterations(60).solve)

    alpha = np.linalg.solve(dense(matrix), targets)
    expected = matrix.kernel(new, matrix.points) @ alpha
    np.testing.assert_allclose(process.mean(new), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        process.signal_variance, (targets * alpha).sum(axis=0) / SIZE, rtol=1e-5
    )
    with pytest.raises(ValueError, match="the factor, which was not kept"):
        process.variance(new)


def test_replicates_are_merged_to_the_same_weights_of_their_means():
    matrix, targets = problem(ArcCosine(1, 1), size=300)
    points = np.repeat(matrix.points, 2, axis=0)
    weights, doubled = np.ones(600), np.repeat(targets, 2, axis=0)
    doubled[::2] += 0.1
    merged = GramMatrix.merged(
        matrix.kernel, points, 0.01, weights, find_replicates(points, weights)
    )

    process, _ = iterative.fit(merged, doubled, Iterations(40).solve)

    square = matrix.kernel(points, points) + 0.01 * np.eye(600)
    alpha = np.linalg.solve(square, doubled)
    expected = matrix.kernel(points[:20], points) @ alpha
    np.testing.assert_allclose(process.mean(points[:20]), expected, rtol=0, atol=1e-5)
    variance = (doubled * alpha).sum(axis=0) / 600
    np.testing.assert_allclose(process.signal_variance, variance, rtol=1e-5)


def test_a_target_of_zeros_beside_another_has_the_mean_zero_and_a_finite_variance():
    matrix, targets = problem(ArcCosine(1, 1))
    targets[:, 1] = 0

    process, residual = iterative.fit(matrix, targets, Iterations(60).solve)

    assert (process.alpha[:, 1] == 0).all()
    assert process.signal_variance[1] == 1 / (SIZE + 1)
    assert residual <= 1.1 * iterative.TOLERANCE


def test_what_does_not_converge_says_its_residual(monkeypatch):
    monkeypatch.setattr(iterative, "STOP", iterative.StoppingRule(1e-6, 3))
    matrix, targets = problem(ArcCosine(0, 1))

    with pytest.raises(NotPositiveDefiniteError, match=r"3 iterations leave a residual of \d"):
        iterative.fit(matrix, targets, Iterations(5).solve)


def test_a_matrix_without_noise_is_refused():
    matrix, targets = problem(ArcCosine(0, 1), noise_ratio=0.0)

    with pytest.raises(ValueError, match="give a noise above 0"):
        iterative.fit(matrix, targets, Iterations(5).solve)


def test_partial_products_sum_to_the_product_of_the_definition():
    matrix, targets = problem(ArcCosineRBF(1, 1, 0.5), size=2_000)
    panels = slices(2_000)

    found = [matrix.partial_product(targets, panels[first::2]) for first in range(2)]

    expected = dense(matrix) @ targets
    np.testing.assert_allclose(sum(found), expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize(
    ("rows", "memory", "expected"),
    [(100_000, 2**40, 2_213), (100_000, 16 * 10**8, 1_000), (10, 2**40, 10), (10**6, 0, 1)],
)
def test_landmarks_grow_as_the_root_of_the_rows_within_half_of_the_memory(rows, memory, expected):
    assert landmark_count(rows, memory) == expected
