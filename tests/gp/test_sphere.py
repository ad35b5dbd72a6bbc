import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.gp.sphere import append_bias, project_to_sphere, project_to_sphere_vjp


@given(st.integers(0, 99), st.integers(1, 6), st.floats(0, 1e3))
def test_directions_have_norm_1_and_are_those_of_the_points(seed, columns, bias):
    z = np.random.default_rng(seed).normal(size=(4, columns))

    points = append_bias(z, bias)
    directions, norms = project_to_sphere(points)

    assert (points[:, :-1] == z).all()
    assert (points[:, -1] == bias).all()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=2e-15)
    np.testing.assert_allclose(directions * norms[:, np.newaxis], points, rtol=1e-15, atol=1e-300)


def test_the_vector_jacobian_product_agrees_with_central_differences():
    rng = np.random.default_rng(7)
    points, weights = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    step = 1e-6

    product = project_to_sphere_vjp(points, weights)

    for row, column in np.ndindex(5, 4):
        shift = np.zeros_like(points)
        shift[row, column] = step
        above, below = (project_to_sphere(points + sign * shift)[0] for sign in (1, -1))
        quotient = ((above - below) * weights).sum() / (2 * step)
        assert abs(product[row, column] - quotient) < 1e-9


def test_points_on_the_sphere_stay_what_they_are():
    directions, _ = project_to_sphere(np.random.default_rng(8).normal(size=(50, 4)))

    again, norms = project_to_sphere(directions)

    assert (again == directions).all()
    assert (norms == 1).all()
