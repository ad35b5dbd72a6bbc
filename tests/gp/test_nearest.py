import numpy as np
import pytest

from gaussian_processes.gp import iterative
from gaussian_processes.gp.iterative import Iterations
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF
from gaussian_processes.gp.regression import GramMatrix, fit

KERNELS = [ArcCosine(0, 1), ArcCosine(1, 1), ArcCosineRBF(1, 1, 0.5)]


def problem(kernel, size=700):
    rng = np.random.default_rng(11)
    points = np.column_stack([rng.normal(size=(size + 40, 3)), np.full(size + 40, 2.0)])
    targets = np.sin(points[:size, :1]) + 0.2 * rng.normal(size=(size, 1))
    weight = rng.uniform(0.3, 3, size)
    return GramMatrix(kernel, points[:size], 0.05, weight), targets, points[size:]


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_variance_of_the_nearest_rows_is_less_than_that_of_all_rows_and_most_are_near_it(kernel):
    matrix, targets, new = problem(kernel)

    process, _ = iterative.fit(matrix, targets, Iterations(50).solve)
    mean, variance = process.with_nearest_points(200, matrix.noise_scale).mean_and_variance(new)

    exact_mean, exact = fit(matrix, targets).mean_and_variance(new)
    np.testing.assert_allclose(mean, exact_mean, rtol=0, atol=1e-5)
    # σ²_f is that of α, which has a residual.
    ratio = variance / exact
    assert ratio.min() > 1 - 1e-5
    assert np.median(ratio) < 1.15


def test_with_as_many_nearest_rows_as_rows_the_variance_is_that_of_the_factor():
    matrix, targets, new = problem(ArcCosine(1, 1))
    exact = fit(matrix, targets)
    without = iterative.fit(matrix, targets, Iterations(50).solve)[0]

    found = without.with_nearest_points(10_000, matrix.noise_scale).variance(new)

    np.testing.assert_allclose(found, exact.variance(new), rtol=1e-5)


def test_a_process_with_its_factor_does_not_ask_the_nearest_rows():
    matrix, targets, new = problem(ArcCosine(1, 1))
    exact = fit(matrix, targets)

    found = exact.with_nearest_points(5, matrix.noise_scale).variance(new)

    np.testing.assert_array_equal(found, exact.variance(new))


def test_the_nearest_rows_are_the_rows_of_the_highest_covariance():
    matrix, targets, new = problem(ArcCosineRBF(1, 1, 0.5), size=90)
    process, _ = iterative.fit(matrix, targets, Iterations(50).solve)

    found = process.with_nearest_points(7, matrix.noise_scale).variance(new)

    for point, variance in zip(new, found, strict=True):
        covariance = matrix.kernel(point[np.newaxis], matrix.points)[0]
        near = np.argsort(-covariance)[:7]
        square = matrix.kernel(matrix.points[near], matrix.points[near])
        square += 0.05 * np.diag(matrix.noise_scale[near])
        explained = covariance[near] @ np.linalg.solve(square, covariance[near])
        expected = process.signal_variance * (1.05 - explained)
        np.testing.assert_allclose(variance, expected, rtol=1e-9)


def test_equal_rows_of_next_to_no_noise_explain_no_more_than_there_is():
    points = np.ones((30, 2))
    matrix = GramMatrix(ArcCosine(1, 1), points, 1e-17)
    process = fit(GramMatrix(ArcCosine(1, 1), points, 0.1), np.ones((30, 1))).with_nearest_points(
        20, matrix.noise_scale
    )
    without = iterative.conditioned(
        matrix, 0.0, np.ones((30, 1)), iterative.CGSolution(process.alpha, 1, 0.0)
    ).with_nearest_points(20, matrix.noise_scale)

    variance = without.variance(points[:2])

    assert (variance > 0).all()
    assert np.isfinite(variance).all()
