import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from oracles import composed, gaussian, gram, matern52

from gaussian_processes.gp import kernels
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF, Matern52
from gaussian_processes.gp.pairwise import CenteredPoints, cosine_distances

COSINES = [-1.0, -0.999999, -0.9, -0.3, 0.0, 1e-8, 0.25, 0.7, 0.95, 0.999999, 1.0]
degrees = st.integers(0, 10)
depths = st.integers(0, 20)
distances = st.floats(0, 2)


@pytest.mark.parametrize("degree", range(7))
@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_values_agree_with_the_derivative_definition(degree, depth):
    with mp.workdps(50):
        cosine_distance = np.array([1 - t for t in COSINES])
        expected = [composed(degree, depth, 1 - mpf(float(d))) for d in cosine_distance]

        values = ArcCosine(degree, depth).from_cosine_distance(cosine_distance)

        assert max(abs(mpf(float(v)) - e) for v, e in zip(values, expected, strict=True)) < 1e-13


@pytest.mark.parametrize("degree", range(6))
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_derivatives_agree_with_the_difference_quotient_of_the_definition(degree, depth):
    with mp.workdps(60):
        step = mpf(10) ** -20
        cosines = [mpf(t) for t in (-0.9, -0.3, 0.25, 0.7, 0.95)]
        expected = [
            (composed(degree, depth, t + step) - composed(degree, depth, t - step)) / (2 * step)
            for t in cosines
        ]

        derivatives = ArcCosine(degree, depth).derivative(np.array([float(1 - t) for t in cosines]))

        np.testing.assert_allclose(
            derivatives, [float(e) for e in expected], rtol=1e-12, atol=1e-13
        )


@given(degrees, depths, st.lists(distances, min_size=2, max_size=50))
def test_values_lie_between_0_and_1_and_never_decrease_in_the_cosine(
    degree, depth, cosine_distance
):
    values = ArcCosine(degree, depth).from_cosine_distance(np.sort(cosine_distance)[::-1].copy())

    assert values.min() >= 0
    assert values.max() <= 1
    # Neighbouring values may swap by the rounding of the last layer, and no more.
    assert np.diff(values).min() >= -1e-15


@given(degrees, depths)
def test_equal_points_have_a_kernel_of_exactly_1(degree, depth):
    points = unit(np.random.default_rng(degree).normal(size=(5, 3)))

    values = ArcCosine(degree, depth)(points, points)

    assert (values.diagonal() == 1).all()


@pytest.mark.parametrize("distance", [0.0, 1e-14, 1e-12, 1e-9, 1e-6, 1e-3])
def test_the_angle_of_near_duplicates_keeps_its_digits(distance):
    first = unit(np.array([[1.0, 2.0, 3.0]]))
    second = unit(first + distance * np.array([[1.0, -0.5, 0.0]]))
    with mp.workdps(50):
        expected = float(gram(0, 0, first, second)[0])

        value = ArcCosine(0, 0)(first, second)[0, 0]

    # One rounding of the coordinates, 1e-16, is all that the angle may be off; from the cosine it
    # would be 1e-8.
    assert abs(value - expected) < 2e-16


def test_a_large_bias_costs_no_digits():
    rows = np.column_stack([np.random.default_rng(1).normal(size=(6, 2)), np.full(6, 1000.0)])
    with mp.workdps(50):
        points = unit(rows)
        expected = np.array(gram(0, 0, points, points).tolist(), dtype=float)

        values = ArcCosine(0, 0)(points, points)

    np.testing.assert_allclose(values, expected, rtol=0, atol=2e-15)


def test_a_block_is_the_same_whatever_the_rows_that_are_asked_with_it():
    points = unit(np.random.default_rng(2).normal(size=(3000, 4)))
    kernel = ArcCosine(1, 2)

    together, apart = (
        kernel(points, points[:10]),
        [kernel(points[[row]], points[:10])[0] for row in (0, 1500, 2999)],
    )

    np.testing.assert_allclose(together[[0, 1500, 2999]], apart, rtol=0, atol=1e-15)


def test_a_cosine_distance_is_one_minus_the_cosine():
    a, b = (
        unit(np.random.default_rng(3).normal(size=(7, 5))),
        unit(np.random.default_rng(4).normal(size=(4, 5))),
    )

    np.testing.assert_allclose(cosine_distances(a, b), 1 - a @ b.T, rtol=0, atol=1e-15)


def test_antipodes_are_two_apart_and_share_nothing():
    points = np.array([[1.0, 0.0], [-1.0, 0.0]])

    assert cosine_distances(points, points)[0, 1] == 2
    assert ArcCosine(3, 0)(points, points)[0, 1] == 0


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("scale", [1 / 3, 0.1, 7.0, 1e10])
def test_rows_of_one_direction_are_one_point_whatever_rounding_makes_of_them(scale):
    rows = np.random.default_rng(5).normal(size=(50, 6))

    values = ArcCosine(0, 5)(unit(rows), unit(rows * scale))

    assert (values.diagonal() == 1).all()


def test_many_near_duplicates_take_no_more_memory_than_their_kernel():
    rows = unit(np.repeat(np.random.default_rng(6).normal(size=(4, 50)), 500, axis=0))
    kernel = ArcCosine(0, 0)
    tracemalloc.start()

    values = kernel(rows, rows)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (values[:500, :500] == 1).all()
    assert peak < 4 * values.nbytes


@pytest.mark.parametrize(("q", "l"), [(-1, 1), (1, -1), (1.5, 1), ("1", 1)])
def test_what_is_no_degree_or_depth_is_refused(q, l):  # noqa: E741
    with pytest.raises(ValueError, match="must be a whole number, 0 or more"):
        ArcCosine(q, l)


@pytest.mark.parametrize(
    ("degree", "depth", "bound"), [(3, 5, 2e-15), (4, 20, 2e-13), (10, 20, 1e-9)]
)
def test_the_error_grows_with_degree_and_depth_as_documented(degree, depth, bound):
    cosine_distance = np.concatenate([np.logspace(-15, 0, 40), np.linspace(1, 2, 10)])
    with mp.workdps(60):
        expected = [composed(degree, depth, 1 - mpf(float(d))) for d in cosine_distance]

        values = ArcCosine(degree, depth).from_cosine_distance(cosine_distance)

        assert max(abs(mpf(float(v)) - e) for v, e in zip(values, expected, strict=True)) < bound


def rows_of_a_bias(bias, seed=7):
    rows = np.random.default_rng(seed).normal(size=(12, 3))
    rows[1], rows[2] = rows[0], rows[3] + 1e-6
    return np.column_stack([rows, np.full(12, bias)])


@pytest.mark.parametrize("bias", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize(("q", "l"), [(0, 0), (1, 2), (3, 1)])
def test_the_product_with_a_gaussian_is_that_of_the_definitions(bias, q, l):  # noqa: E741
    points = rows_of_a_bias(bias)
    with mp.workdps(40):
        arc, distance = gram(q, l, points, points[:5]), gaussian(0.3, points, points[:5])
        expected = [[arc[i, j] * distance[i, j] for j in range(5)] for i in range(12)]

        values = ArcCosineRBF(q, l, 0.3)(points, points[:5])

    assert (values[range(5), range(5)] == 1).all()
    # A bias of 1000 leaves the angle of a pair 12 digits, of which degree 0 takes the root.
    np.testing.assert_allclose(values, np.array(expected, dtype=float), rtol=0, atol=5e-13)


@pytest.mark.parametrize("bias", [0.0, 1.0, 1000.0])
def test_materns_kernel_is_that_of_the_bessel_function(bias):
    points = rows_of_a_bias(bias)
    with mp.workdps(40):
        expected = np.array(matern52(0.7, points, points[:5]).tolist(), dtype=float)

        values = Matern52(0.7)(points, points[:5])

    assert (values[range(5), range(5)] == 1).all()
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)


@given(degrees, depths, st.integers(0, 99))
def test_a_gamma_of_0_is_the_arc_cosine_kernel_to_the_last_digit(degree, depth, seed):
    points = np.random.default_rng(seed).normal(size=(7, 3))

    values = ArcCosineRBF(degree, depth, 0.0)(points, points)

    assert (values == ArcCosine(degree, depth)(points, points)).all()


@pytest.mark.parametrize("kernel", [ArcCosineRBF(1, 0, 1e4), Matern52(1e4)])
def test_points_far_apart_share_nothing(kernel):
    values = kernel(np.array([[1e3, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0]]))

    assert values.tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize("kernel", [ArcCosine(0, 3), ArcCosineRBF(2, 1, 0.3), Matern52(0.2)])
def test_derivatives_are_computed_with_the_value(kernel):
    points = rows_of_a_bias(2.0)
    centered = CenteredPoints.of(points)

    value, derivatives = kernel.value_and_derivatives(centered.pairs(points))

    np.testing.assert_allclose(value, kernel(points, points), rtol=0, atol=1e-14)
    assert all(np.isfinite(array).all() for array in derivatives.arrays)


@pytest.mark.parametrize("kernel", [ArcCosine(0, 2), ArcCosineRBF(1, 3, 0.25), Matern52(3.0)])
def test_a_kernel_survives_json(kernel):
    content = kernel.to_json()

    assert content["name"] in str(kernel)
    assert kernels.from_json(content) == kernel


@pytest.mark.parametrize("gamma", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("kernel", [ArcCosineRBF, Matern52])
def test_what_is_no_gamma_is_refused(kernel, gamma):
    with pytest.raises(ValueError, match="must be a finite number, 0 or more"):
        kernel(gamma=gamma)


def test_squared_distances_are_those_of_the_points():
    points = rows_of_a_bias(1000.0)
    expected = ((points[:, np.newaxis] - points[:4]) ** 2).sum(axis=2)

    squares = CenteredPoints.of(points[:4]).pairs(points).squared_distances()

    np.testing.assert_allclose(squares, expected, rtol=1e-6, atol=1e-9)
    assert squares[1, 0] == 0
