import numpy as np
import pytest

from gaussian_processes.gp import dense
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF, Matern52
from gaussian_processes.gp.regression import GramMatrix, fit
from gaussian_processes.gp.sphere import append_bias
from gaussian_processes.linalg.inversion import ONE_CORE_ROWS


def observations(rows, targets=2, seed=31):
    rng = np.random.default_rng(seed)
    return append_bias(rng.normal(size=(rows, 3)), 1.5), rng.normal(size=(rows, targets))


def gram_matrix(kernel, points):
    """Gram matrix whose noise is 0.2 of the signal and differs from row to row, and the noise."""
    scale = np.linspace(0.5, 2, len(points))
    return GramMatrix(kernel, points, 0.2, 1 / scale), 0.2 * scale


# Above `ONE_CORE_ROWS` tiles are shared among the cores.
@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 200, ONE_CORE_ROWS + 1])
def test_the_posterior_is_that_of_linear_algebra_on_whole_matrices(rows):
    points, targets = observations(rows)
    kernel = ArcCosine(1, 1)
    source, noise = gram_matrix(kernel, points)
    matrix = kernel(points, points) + np.diag(noise)
    alpha = np.linalg.solve(matrix, targets)

    posterior = dense.condition(source, targets)

    inverse = np.tril(np.linalg.inv(matrix))
    np.testing.assert_allclose(np.tril(posterior.inverse), inverse, rtol=0, atol=1e-11)
    np.testing.assert_allclose(posterior.alpha, alpha, rtol=0, atol=1e-10)
    np.testing.assert_allclose(posterior.signal_variance, (targets * alpha).mean(axis=0))
    assert posterior.log_determinant == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-12)


@pytest.mark.parametrize("rows", [3, 130])
@pytest.mark.parametrize(
    "kernel",
    [ArcCosine(0, 1), ArcCosine(1, 1), ArcCosine(2, 1), ArcCosineRBF(2, 1, 0.3), Matern52(0.2)],
)
def test_gradients_in_the_points_are_those_of_whole_matrices(rows, kernel):
    points, targets = observations(rows)
    source, noise = gram_matrix(kernel, points)
    inverse = np.linalg.inv(kernel(points, points) + np.diag(noise))
    alpha = inverse @ targets
    scaled = alpha / np.sqrt((targets * alpha).mean(axis=0))
    in_matrix = (scaled @ scaled.T - 2 * inverse) / 2
    step = 1e-5
    expected = np.zeros_like(points)
    for row, column in np.ndindex(min(rows, 10), points.shape[1]):
        shift = np.zeros_like(points)
        shift[row, column] = step
        # A point moves its own row and column of the matrix, and not its own entry.
        slopes = kernel(points[[row]] + shift[row], points) - kernel(
            points[[row]] - shift[row], points
        )
        slopes[0, row] = 0
        expected[row, column] = 2 * (in_matrix[row] * slopes[0]).sum() / (2 * step)

    _, in_noise_ratio, in_points = dense.log_marginal_likelihood_gradients(source, targets)

    assert in_noise_ratio == pytest.approx((in_matrix.diagonal() * noise).sum() / 0.2, rel=1e-9)
    np.testing.assert_allclose(
        in_points[:10], expected[:10], rtol=0, atol=1e-8 * abs(expected).max()
    )


def test_a_matrix_that_rounding_made_indefinite_gets_the_least_jitter():
    points, targets = observations(40)
    points[20:] = points[:20]

    posterior = dense.condition(GramMatrix(ArcCosine(1, 3), points, 0.0), targets)

    process = fit(GramMatrix(ArcCosine(1, 3), points, 0.0), targets)
    assert process.jitter > 0
    assert posterior.log_determinant == pytest.approx(process.factor.log_determinant, rel=1e-2)


def test_a_matrix_that_no_jitter_mends_is_refused():
    points, targets = observations(5)

    with pytest.raises(ValueError, match=r"stays indefinite with 0\.1 on"):
        dense.condition(GramMatrix(ArcCosine(), points, -2.0), targets)
