"""Cosine distances of points, beside exact arithmetic."""

import numpy as np
import pytest
from mpmath import mp, mpf

from gaussian_processes.gp.pairwise import CenteredPoints, cosine_distances


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def exact(a, b):
    """1 - cos θ of two rows of floats, by the definition; exactly 0 for equal ones."""
    u, v = ([mpf(float(value)) for value in row] for row in (a, b))
    product = sum(x * y for x, y in zip(u, v, strict=True))
    return 1 - product / mp.sqrt(sum(x * x for x in u) * sum(y * y for y in v))


@pytest.mark.parametrize("bias", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("gap", [1.0, 1e-3, 1e-6])
def test_distances_of_close_directions_keep_their_digits(bias, gap):
    rng = np.random.default_rng(11)
    cluster = rng.normal(size=3) + gap * rng.normal(size=(6, 3))
    points = np.column_stack([cluster, np.full(6, bias)])

    found = cosine_distances(points, points)

    for i in range(6):
        for j in range(6):
            expected = float(exact(points[i], points[j]))
            # Directions are rounded to 1e-16 before they are compared: that is what an offset
            # of the pair's length can have lost.
            lost = 4e-16 / np.sqrt(max(expected, 1e-30))
            assert found[i, j] == pytest.approx(expected, rel=1e-11 + lost, abs=1e-30)


def test_points_of_one_direction_are_at_distance_0_and_opposite_ones_at_2():
    point = np.random.default_rng(12).normal(size=(1, 5))
    points = np.concatenate([point, 3 * point, 1e-3 * point, -point])

    found = cosine_distances(points, points)

    assert (found[:3, :3] == 0).all()
    np.testing.assert_allclose(found[3, :3], 2, rtol=1e-15)


def test_squared_distances_are_those_of_the_points():
    rng = np.random.default_rng(13)
    a, b = 5 * rng.normal(size=(4, 3)), rng.normal(size=(6, 3))

    found = CenteredPoints.of(b).pairs(a).squared_distances()

    expected = [[np.sum((u - v) ** 2) for v in b] for u in a]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_part_of_the_lower_triangle_is_that_part_of_all_pairs():
    points = np.random.default_rng(14).normal(size=(9, 3))
    centered = CenteredPoints.of(points)

    part, whole = centered.pairs_up_to(slice(3, 7)), centered.pairs(points)

    np.testing.assert_allclose(
        part.cosine_distances, whole.cosine_distances[3:7, :7], rtol=1e-13, atol=1e-16
    )
    np.testing.assert_allclose(part.norms, np.linalg.norm(points[3:7], axis=1), rtol=1e-15)
    np.testing.assert_allclose(part.other_norms, np.linalg.norm(points[:7], axis=1), rtol=1e-15)


def test_the_center_is_the_mean_direction_whatever_the_lengths():
    points = np.random.default_rng(15).normal(size=(8, 3))

    found = CenteredPoints.of(points * np.logspace(-3, 3, 8)[:, np.newaxis])

    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    np.testing.assert_allclose(found.center, directions.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.offsets.mean(axis=0), 0, atol=1e-16)
    assert found.half_sqnorms.sum() == pytest.approx((1 - np.sum(found.center**2)) * 4, rel=1e-14)
