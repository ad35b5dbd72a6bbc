import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.gp.sphere import project_to_sphere, project_to_sphere_vjp


@given(st.integers(0, 99), st.integers(1, 6), st.floats(0, 1e3))
def test_points_have_norm_1_and_keep_their_direction(seed, columns, bias):
    z = np.random.default_rng(seed).normal(size=(4, columns))

    points = project_to_sphere(z, bias)

    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(points[:, :-1] * bias, points[:, -1:] * z, rtol=0, atol=1e-12)


def test_the_vector_jacobian_product_agrees_with_central_differences():
    rng = np.random.default_rng(7)
    z, bias, weights = rng.normal(size=(5, 3)), 1.7, rng.normal(size=(5, 4))
    step = 1e-6

    product = project_to_sphere_vjp(z, bias, weights)

    for row, column in np.ndindex(5, 3):
        shift = np.zeros_like(z)
        shift[row, column] = step
        quotient = (
            (project_to_sphere(z + shift, bias) - project_to_sphere(z - shift, bias)) * weights
        ).sum() / (2 * step)
        assert abs(product[row, column] - quotient) < 1e-9
    quotient = (
        (project_to_sphere(z, bias + step) - project_to_sphere(z, bias - step)) * weights
    ).sum() / (2 * step)
    assert abs(product[:, -1].sum() - quotient) < 1e-9
