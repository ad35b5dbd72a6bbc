"""The compiled routines and their NumPy implementation, against definitions and one another."""

import ctypes
import logging
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from oracles import composed

from gaussian_processes import _native
from gaussian_processes._native import fallback, routines
from gaussian_processes.gp.pairwise import CANCELLATION_THRESHOLD, DUPLICATE_TOLERANCE

THRESHOLDS = (CANCELLATION_THRESHOLD, DUPLICATE_TOLERANCE)
# Where nothing is compiled both are the fallback, and its own tests are run twice.
both = pytest.mark.parametrize("native", [routines, fallback], ids=["compiled", "fallback"])
AWKWARD = [0, 1, 2, 63, 64, 65, 129]


def cosine_distances(size, seed=7):
    distances = 2 * np.random.default_rng(seed).random(size) ** 4
    distances[: size // 8] = np.resize([0.0, 2.0, 1.0, 1e-16, 1e-8], size // 8)
    return distances


def test_this_suite_runs_on_what_was_compiled():
    assert _native.COMPILED


@pytest.mark.parametrize(
    "symbol",
    [
        "gp_arc_cosine",
        "gp_arc_cosine_derivative",
        "gp_gaussian",
        "gp_half_sqdist",
        "gp_skinny_solve_lower",
    ],
)
def test_no_symbol_of_c_is_seen_from_outside(symbol):
    assert not hasattr(ctypes.CDLL(routines.__file__), symbol)


@both
@pytest.mark.parametrize(("q", "l"), [(0, 0), (0, 2), (1, 0), (1, 3), (2, 1), (4, 2)])
def test_kernels_are_those_of_the_definition(native, q, l):  # noqa: E741
    distances = cosine_distances(40)
    with mp.workdps(50):
        expected = [composed(q, l, 1 - mpf(float(distance))) for distance in distances]

        native.arc_cosine(distances, q, l)

        errors = [abs(mpf(float(v)) - e) for v, e in zip(distances, expected, strict=True)]
        assert max(errors) < 1e-14


@both
@pytest.mark.parametrize(("q", "l"), [(0, 0), (0, 2), (1, 0), (1, 3), (2, 1), (4, 2)])
def test_derivatives_are_difference_quotients_of_the_definition(native, q, l):  # noqa: E741
    distances = np.array([1e-6, 0.01, 0.3, 0.9, 1.0, 1.1, 1.7, 1.999])
    with mp.workdps(60):
        step = mpf(10) ** -20
        cosines = [1 - mpf(float(distance)) for distance in distances]
        expected = [
            (composed(q, l, t + step) - composed(q, l, t - step)) / (2 * step) for t in cosines
        ]

        native.arc_cosine_derivative(distances, q, l)

        np.testing.assert_allclose(distances, [float(e) for e in expected], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("entry", ["arc_cosine", "arc_cosine_derivative"])
@pytest.mark.parametrize("size", AWKWARD)
@given(q=st.integers(0, 6), l=st.integers(0, 4))
def test_both_implementations_agree_on_kernels_of_any_size(entry, size, q, l):  # noqa: E741
    compiled, plain = cosine_distances(size), cosine_distances(size)

    getattr(routines, entry)(compiled, q, l)
    getattr(fallback, entry)(plain, q, l)

    np.testing.assert_allclose(compiled, plain, rtol=1e-9, atol=1e-11)


@both
@pytest.mark.parametrize("size", AWKWARD)
@given(q=st.integers(0, 4), l=st.integers(0, 3))
def test_one_pass_gives_the_kernels_and_derivatives_of_two(native, size, q, l):  # noqa: E741
    kernels, derivatives, expected = (cosine_distances(size).reshape(1, -1) for _ in range(3))
    slopes = np.full((1, size), np.nan)
    native.arc_cosine(expected, q, l)
    native.arc_cosine_derivative(derivatives, q, l)

    native.arc_cosine_and_derivative(kernels, slopes, q, l)

    np.testing.assert_allclose(kernels, expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(slopes, derivatives, rtol=1e-14)


@both
@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 4, 0), (1, 1, 1), (7, 130, 5)])
def test_half_squared_distances_are_those_of_the_differences(native, shape):
    rng, (rows, columns, width) = np.random.default_rng(1), shape
    a, b = rng.normal(size=(rows, width)) / 9, rng.normal(size=(columns, width)) / 9
    if rows > 1 and columns > 1:
        b[1], b[-1] = a[1], a[0] + 1e-9
    exact = ((a[:, np.newaxis] - b).astype(np.longdouble) ** 2).sum(axis=2) / 2
    products = a @ b.T

    native.half_sqdist(products, (a**2).sum(axis=1) / 2, (b**2).sum(axis=1) / 2, a, b, *THRESHOLDS)

    np.testing.assert_allclose(products, exact.astype(float), rtol=1e-11)


@both
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (3, 9), (7, 130)])
@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.5, 40.0])
def test_gaussians_are_exponentials_of_the_squared_distance(native, shape, gamma):
    rng = np.random.default_rng(2)
    distances = cosine_distances(shape[0] * shape[1]).reshape(shape)
    norms_a, norms_b = (rng.uniform(0.5, 4, size=size) for size in shape)
    values = np.full(shape, np.nan)

    native.gaussian(values, distances, norms_a, norms_b, gamma)

    with mp.workdps(40):
        for row, column in np.ndindex(*shape):
            a, b, distance = (
                mpf(float(own)) for own in (norms_a[row], norms_b[column], distances[row, column])
            )
            square = (a - b) ** 2 + 2 * a * b * distance
            expected = mp.exp(-mpf(gamma) * square / 2)
            # The exponent's own rounding is its size times that of a double.
            tolerance = 1e-15 * (1 + gamma * square / 2) * expected + mpf(10) ** -300
            assert abs(mpf(float(values[row, column])) - expected) < tolerance


@both
def test_gaussians_are_1_at_equal_points_and_0_far_away(native):
    values = np.empty((1, 3))

    native.gaussian(values, np.array([[0.0, 2.0, np.nan]]), np.ones(1), np.ones(3), 1e6)

    assert values[0, :2].tolist() == [1.0, 0.0]
    assert np.isnan(values[0, 2])


@both
@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(
    "change", [lambda x: x[:-1], lambda x: x[..., np.newaxis], lambda x: x.astype(np.float32)]
)
def test_gaussians_of_what_does_not_fit_together_are_refused(native, position, change):
    arguments = [np.ones((4, 5)), np.ones((4, 5)), np.ones(4), np.ones(5)]
    arguments[position] = change(arguments[position])

    with pytest.raises(ValueError, match="; give "):
        native.gaussian(*arguments, 1.0)


@both
def test_nan_among_the_points_stays_where_it_is(native):
    a = np.array([[0.1, 0.2], [np.nan, 0.0]])
    norms, products = (a**2).sum(axis=1) / 2, a @ a.T

    native.half_sqdist(products, norms, norms, a, a, *THRESHOLDS)

    np.testing.assert_array_equal(np.isnan(products), [[False, True], [True, True]])


@both
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 99))
def test_blas_takes_matrices_of_any_size(native, dtype, rows, inner, columns, seed):
    rng, tolerance = np.random.default_rng(seed), 300 * np.finfo(dtype).eps
    c, a, b = (
        rng.normal(size=shape).astype(dtype)
        for shape in [(rows, columns), (rows, inner), (inner, columns)]
    )
    triangle = (np.tril(rng.normal(size=(rows, rows)) / 9) + np.eye(rows)).astype(dtype)
    expected = np.linalg.solve(triangle.astype(float), c.astype(float) - a.astype(float) @ b)

    native.gemm_update(c, a, np.asfortranarray(b))
    native.solve_triangular(triangle, c)

    np.testing.assert_allclose(c, expected, rtol=0, atol=tolerance)


@both
def test_potrf_leaves_the_upper_half_and_names_the_minor(native):
    block = np.array([[4.0, np.nan, np.nan], [2.0, 2.0, np.nan], [0.0, 1.0, -1.0]])

    assert native.potrf(block) == 3
    np.testing.assert_array_equal(block[:2], [[2.0, np.nan, np.nan], [1.0, 1.0, np.nan]])


@both
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_potri_leaves_the_upper_half_and_names_a_pivot_of_zero(native, dtype):
    block = np.array([[2.0, np.nan], [1.0, 0.5]], dtype)

    assert native.potri(block) == 0
    np.testing.assert_array_equal(block, np.array([[1.25, np.nan], [-2, 4]], dtype))
    assert native.potri(np.array([[1.0, 0.0], [1.0, 0.0]], dtype)) == 2
    assert native.potri(np.ones((0, 0), dtype)) == 0


@both
@pytest.mark.parametrize("derivative", [np.ones((3, 4)), np.ones((4, 3)), np.ones(4), None])
def test_derivatives_of_another_shape_than_the_distances_are_refused(native, derivative):
    with pytest.raises(ValueError, match=r"give two of one shape|copy it"):
        native.arc_cosine_and_derivative(np.ones((4, 4)), derivative, 1, 1)


FLOATS = np.ones((4, 4))
READ_ONLY = np.broadcast_to(np.ones(4), (4, 4))
UNALIGNED = np.zeros(129, np.uint8)[1:].view(float).reshape(4, 4)
NO_MATRIX = [
    np.ones((4, 4), np.float32),
    np.ones((4, 4), int),
    np.ones((4, 8))[:, ::2],
    np.ones((4, 4), order="F")[:3],
    READ_ONLY,
    UNALIGNED,
    [[1.0] * 4] * 4,
    None,
]
W = max(2, routines.simd_width())


@both
@pytest.mark.parametrize("wrong", NO_MATRIX, ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize("entry", ["arc_cosine", "arc_cosine_derivative"])
def test_what_is_no_contiguous_array_of_float64_has_no_kernels(native, entry, wrong):
    with pytest.raises(ValueError, match=r"cosine_distance is .*copy it"):
        getattr(native, entry)(wrong, 1, 1)


@both
@pytest.mark.parametrize(("q", "l"), [(-1, 0), (0, -1), (1.0, 0), ("1", 0), (0, 2**31), (2**70, 0)])
@pytest.mark.parametrize("entry", ["arc_cosine", "arc_cosine_derivative"])
def test_what_is_no_degree_or_depth_is_refused(native, entry, q, l):  # noqa: E741
    with pytest.raises(ValueError, match="; give a whole number from 0 to 2147483647"):
        getattr(native, entry)(np.ones(3), q, l)


@both
@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[:-1],
        lambda x: x[..., np.newaxis],
        lambda x: x.astype(np.float32),
        lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
        lambda x: None,
    ],
)
def test_distances_of_what_does_not_fit_together_are_refused(native, position, change):
    arguments = [np.ones((4, 5)), np.ones(4), np.ones(5), np.ones((4, 3)), np.ones((5, 3))]
    arguments[position] = change(arguments[position])

    with pytest.raises(ValueError, match="; give "):
        native.half_sqdist(*arguments, *THRESHOLDS)


@both
@pytest.mark.parametrize(
    ("c", "a", "b", "complaint"),
    [
        (np.ones((3, W)), np.ones((4, 4)), np.ones((4, W)), r"give \(n, m\), \(n, k\) and \(k, m"),
        (np.ones((4, W)), np.ones((4, 3)), np.ones((4, W)), r"give \(n, m\), \(n, k\) and \(k, m"),
        (np.ones((4, W)), np.ones((4, 4)).astype("f"), np.ones((4, W)), "copy it"),
        (np.ones((4, W)), np.ones((4, 8))[:, ::2], np.ones((4, W)), "copy it"),
        (np.ones((4, W)), np.broadcast_to(np.ones(4), (4, 4)), np.ones((4, W)), "copy it"),
        (np.ones((4, W)), np.ones((4, 4))[::-1], np.ones((4, W)), "copy it"),
        (np.ones((4, W)), np.ones((4, 4)), np.ones((W, 4)).T, "copy it"),
        (np.ones((4, W + 1)), np.ones((4, 4)), np.ones((4, W + 1)), "columns; give 1, or a"),
        (np.broadcast_to(np.ones(W), (4, W)), np.ones((4, 4)), np.ones((4, W)), "copy it"),
        (np.ones((4, W)), UNALIGNED, np.ones((4, W)), "not aligned in memory; copy it"),
        (None, np.ones((4, 4)), np.ones((4, W)), "c is of type NoneType; give float64"),
        (np.ones((4, W)), None, np.ones((4, W)), "a is of type NoneType; give float64"),
        (np.ones((4, W)), np.ones((4, 4)), None, "b is of type NoneType; give float64"),
    ],
)
def test_skinny_products_of_anything_else_are_refused(native, c, a, b, complaint):
    with pytest.raises(ValueError, match=complaint):
        native.skinny_gemm_update(c, a, b, W)


@both
@pytest.mark.parametrize("triangle", [np.ones((3, 4)), np.ones((4, 3)), np.ones((3, 3))])
def test_a_triangle_of_another_size_is_refused(native, triangle):
    with pytest.raises(ValueError, match=r"give \(n, n\) and \(n, m\)"):
        native.skinny_solve_triangular(triangle, np.ones((4, W)), W)
    with pytest.raises(ValueError, match=r"give \(n, n\) and \(n, m\)"):
        native.solve_triangular(triangle, np.ones((4, W)))


@pytest.mark.parametrize("width", [0, -2, 1, 3, 16, 2**40])
def test_registers_that_no_processor_has_are_refused(width):
    with pytest.raises(ValueError, match=r"no register here holds .*; give one of \[2"):
        routines.skinny_solve_triangular(np.eye(3), np.ones((3, 1)), width)


@both
@pytest.mark.parametrize(
    ("c", "a", "b", "complaint"),
    [
        (FLOATS, FLOATS.astype("f"), FLOATS, "convert them to one type"),
        (*[np.ones((4, 4), int)] * 3, "convert it to float64"),
        (FLOATS, FLOATS[0], FLOATS, "give a matrix"),
        (FLOATS, FLOATS[:3], FLOATS, r"give \(n, m\), \(n, k\) and \(k, m\)"),
        (READ_ONLY, FLOATS, FLOATS, "is to be written to; copy it"),
        (FLOATS, np.ones((8, 8))[::2, ::2], FLOATS, "neither its rows nor its columns"),
        (FLOATS, UNALIGNED, FLOATS, "not aligned in memory; copy it"),
        (FLOATS, FLOATS, FLOATS[::-1], "neither its rows nor its columns"),
        (FLOATS, FLOATS, READ_ONLY, "neither its rows nor its columns"),
        (np.ones((5, 4)).T[:, :4], FLOATS, FLOATS, "rows are not contiguous; copy it"),
    ],
)
def test_blas_products_of_anything_else_are_refused(native, c, a, b, complaint):
    with pytest.raises(ValueError, match=complaint):
        native.gemm_update(c, a, b)


@both
def test_blocks_that_have_no_factor_are_refused(native):
    with pytest.raises(ValueError, match="give a square block"):
        native.potrf(np.ones((3, 4)))
    with pytest.raises(ValueError, match="rows are not contiguous; copy it"):
        native.potrf(np.ones((5, 4)).T[:, :4])
    with pytest.raises(ValueError, match="give a square block"):
        native.potri(np.ones((3, 4)))
    with pytest.raises(ValueError, match="rows are not contiguous; copy it"):
        native.potri(np.ones((5, 4)).T[:, :4])


@both
def test_panels_of_other_numbers_are_refused(native):
    with pytest.raises(ValueError, match="contiguous, of float64"):
        native.PanelPointers([np.eye(3, dtype=np.float32)], 3)
    with pytest.raises(ValueError, match="contiguous, of float64"):
        native.PanelPointers([UNALIGNED], 4)
    with pytest.raises(ValueError, match="hold no triangle"):
        native.PanelPointers([], 3)
    with pytest.raises(ValueError, match="hold no triangle"):
        native.PanelPointers([np.eye(3)], 0)
    with pytest.raises(ValueError, match="panel 1 is of type NoneType; give an array"):
        native.PanelPointers([np.eye(3), None], 3)


def test_pointers_keep_their_panels_alive():
    pointers, c = routines.PanelPointers([2 * np.eye(500)], 500), np.ones((500, 1))
    np.full((500, 500), np.nan)  # takes the memory of panels that were freed

    routines.skinny_solve_lower(pointers, c, W)

    assert (c == 0.5).all()


def test_where_nothing_is_compiled_numpy_stands_in_and_it_is_said_once():
    code = """
import sys
sys.modules["gaussian_processes._native._routines"] = None
import numpy as np
import gaussian_processes.gp.regression, gaussian_processes.linalg.skinny
from gaussian_processes import _native
assert not _native.COMPILED
from gaussian_processes.gp.kernels import ArcCosine
print(ArcCosine(0, 0)(np.eye(2), np.eye(2)).round(15).tolist())
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert answer.stdout == "[[1.0, 0.5], [0.5, 1.0]]\n"
    assert answer.stderr.count("not compiled") == 1
    assert len(answer.stderr.splitlines()) == 1


def test_a_library_for_other_routines_of_scipy_is_not_used(monkeypatch, caplog):
    def differ(name):
        if name.endswith("_routines"):
            raise TypeError("C function scipy.linalg.cython_blas.dgemm has wrong signature")
        return fallback

    monkeypatch.setattr(_native, "import_module", differ)
    with caplog.at_level(logging.WARNING):
        assert _native._load() is fallback

    assert "wrong signature), so NumPy computes" in caplog.text
