"""NumPy's implementation of the compiled routines: slower, and an oracle of theirs.

The entries are those of `_routines.pyx`, and refuse what these refuse.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.linalg import solve_triangular as scipy_solve_triangular

from gaussian_processes._native import checks

Array = NDArray[Any]

# Pairs that are computed at once: their temporary arrays then stay in the cache.
BLOCK = 1 << 13
# Angle below which sin θ - θ cos θ is summed as a series: above, its subtraction costs no more
# than two roundings. Nine terms leave 1e-17 of it.
SERIES_ANGLE = 1.0
SERIES = [(-1.0) ** (k + 1) * 2 * k / math.factorial(2 * k + 1) for k in range(1, 10)]


def simd_width() -> int:
    """Return 1: NumPy takes any number of columns."""
    return 1


def arc_cosine(cosine_distance: Array, q: int, l: int) -> None:  # noqa: E741  the literature's
    """Make cosine distances into kernels k_{q,l}, in place."""
    degree, depth = checks.count("q", q), checks.count("l", l)
    checks.contiguous("cosine_distance", cosine_distance, writable=True)
    flat = cosine_distance.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        distance = flat[start : start + BLOCK]
        for _ in range(depth + 1):
            _, distance = _layer(degree, distance)
        flat[start : start + BLOCK] = 1 - distance


def arc_cosine_derivative(
    cosine_distance: Array,
    q: int,
    l: int,  # noqa: E741  the literature's
) -> None:
    """Make cosine distances into derivatives of k_{q,l} in the cosine, in place."""
    degree, depth = checks.count("q", q), checks.count("l", l)
    checks.contiguous("cosine_distance", cosine_distance, writable=True)
    flat = cosine_distance.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        distance = flat[start : start + BLOCK]
        derivative = np.ones_like(distance)
        for _ in range(depth + 1):
            slope, distance = _layer(degree, distance)
            derivative *= slope
        flat[start : start + BLOCK] = derivative


def arc_cosine_and_derivative(
    cosine_distance: Array,
    derivative: Array,
    q: int,
    l: int,  # noqa: E741  the literature's
) -> None:
    """Make cosine distances into kernels k_{q,l}, in place, and write their derivatives."""
    checks.count("q", q)
    checks.count("l", l)
    checks.matrix("cosine_distance", cosine_distance, writable=True)
    checks.matrix("derivative", derivative, writable=True)
    if cosine_distance.shape != derivative.shape:
        checks.refuse_derivative(cosine_distance, derivative)
    derivative[...] = cosine_distance
    arc_cosine(cosine_distance, q, l)
    arc_cosine_derivative(derivative, q, l)


def _layer(degree: int, distance: Array) -> tuple[Array, Array]:
    """Return the derivative of one layer in the cosine, and 1 - k_q: Cho & Saul, eq. 4."""
    angle = 2 * np.arcsin(np.sqrt(distance / 2))
    previous = angle / np.pi
    if degree == 0:
        sine = np.sqrt(distance * (2 - distance))
        return np.divide(1 / np.pi, sine, out=np.zeros_like(sine), where=sine > 0), previous
    current = distance - _sine_less_arc(angle) / np.pi
    for p in range(1, degree):
        factor = p * p / ((2 * p - 1) * (2 * p + 1))
        last = factor * distance * (2 - distance) * (1 - previous)
        previous, current = current, (1 - distance) * current + distance - last
    slope = degree * degree / (2 * degree - 1) * (1 - previous)
    return slope, np.clip(current, 0, 1)


def _sine_less_arc(angle: Array) -> Array:
    """Compute sin θ - θ cos θ to the rounding of its own size."""
    square = angle * angle
    series = angle * square * np.polynomial.polynomial.polyval(square, SERIES)
    direct = np.sin(angle) - angle * np.cos(angle)
    return np.asarray(np.where(angle < SERIES_ANGLE, series, direct))


def half_sqdist(  # noqa: PLR0913, PLR0917  what a distance is made of, as C takes it
    products: Array,
    half_sqnorms_a: Array,
    half_sqnorms_b: Array,
    a: Array,
    b: Array,
    cancellation_threshold: float,
    duplicate_tolerance: float,
) -> None:
    """Make products a bᵀ into half the squared distances of the rows of a and b, in place."""
    _check_half_sqdist(products, half_sqnorms_a, half_sqnorms_b, a, b)
    bound = cancellation_threshold * half_sqnorms_a
    for rows in _blocks(len(a), len(b)):
        distance = half_sqnorms_a[rows, np.newaxis] + half_sqnorms_b - products[rows]
        products[rows] = np.clip(distance, 0, 2)
    for rows in _blocks(len(a), len(b)):
        row, column = np.nonzero(products[rows] < bound[rows, np.newaxis])
        row += rows.start
        for part in _blocks(len(row), a.shape[1]):
            difference = a[row[part]] - b[column[part]]
            exact = np.vecdot(difference, difference) / 2
            products[row[part], column[part]] = np.where(exact > duplicate_tolerance, exact, 0)


def _check_half_sqdist(
    products: Array, half_sqnorms_a: Array, half_sqnorms_b: Array, a: Array, b: Array
) -> None:
    checks.matrix("products", products, writable=True)
    for name, points in (("a", a), ("b", b)):
        checks.matrix(name, points)
    for name, norms in (("half_sqnorms_a", half_sqnorms_a), ("half_sqnorms_b", half_sqnorms_b)):
        checks.vector(name, norms)
    if (
        products.shape != (len(a), len(b))
        or a.shape[1] != b.shape[1]
        or half_sqnorms_a.shape != (len(a),)
        or half_sqnorms_b.shape != (len(b),)
    ):
        checks.refuse_half_sqdist(products, half_sqnorms_a, half_sqnorms_b, a, b)


def gaussian(
    value: Array, cosine_distance: Array, norms_a: Array, norms_b: Array, gamma: float
) -> None:
    """Write exp(-γ r²/2) of the points of cosine distances and norms."""
    checks.matrix("value", value, writable=True)
    checks.matrix("cosine_distance", cosine_distance)
    for name, norms in (("norms_a", norms_a), ("norms_b", norms_b)):
        checks.vector(name, norms)
    if not value.shape == cosine_distance.shape == (len(norms_a), len(norms_b)):
        checks.refuse_gaussian(value, cosine_distance, norms_a, norms_b)
    for rows in _blocks(*value.shape):
        norms = norms_a[rows, np.newaxis]
        squares = np.square(norms - norms_b) + 2 * norms * norms_b * cosine_distance[rows]
        value[rows] = np.exp(-gamma / 2 * squares)


def _blocks(rows: int, columns: int) -> list[slice]:
    """Slices of so many rows that they have about `BLOCK` numbers."""
    height = max(1, BLOCK // max(1, columns))
    return [slice(start, min(start + height, rows)) for start in range(0, rows, height)]


def skinny_gemm_update(c: Array, a: Array, b: Array, simd_width: int) -> None:
    """Make c into c - a b, in place."""
    checks.matrix("c", c, writable=True)
    checks.rows("a", a)
    checks.matrix("b", b)
    _check_product(c, a, b)
    _check_columns(c.shape[1], simd_width)
    c -= a @ b


def skinny_solve_triangular(triangle: Array, c: Array, simd_width: int) -> None:
    """Make c into L⁻¹ c, in place, for a lower triangle L."""
    checks.matrix("c", c, writable=True)
    checks.rows("triangle", triangle)
    _check_columns(c.shape[1], simd_width)
    solve_triangular(triangle, c)


class PanelPointers:
    """The panels of a lower triangle, checked once."""

    def __init__(self, panels: Sequence[Array], width: int) -> None:
        """Check the panels, and hold them."""
        checks.panels(panels, width)
        self.panels, self.rows, self.width = tuple(panels), len(panels[0]), width


def skinny_solve_lower(triangle: PanelPointers, c: Array, simd_width: int) -> None:
    """Make c into L⁻¹ c, in place, for a lower triangle L in panels."""
    checks.matrix("c", c, writable=True)
    if len(c) != triangle.rows:
        checks.refuse_rows(triangle.rows, c)
    _check_columns(c.shape[1], simd_width)
    for panel in triangle.panels:
        width = panel.shape[1]
        solve_triangular(panel[:width], c[:width])
        c[width:] -= panel[width:] @ c[:width]
        c = c[width:]


def gemm_update(c: Array, a: Array, b: Array) -> None:
    """Make c into c - a b, in place: float64 or float32."""
    checks.common_dtype(c=c, a=a, b=b)
    _check_product(c, a, b)
    if c.size and b.size:
        _check_rows("c", c)
        checks.runs("a", a)
        checks.runs("b", b)
        c -= a @ b


def solve_triangular(triangle: Array, c: Array) -> None:
    """Make c into T⁻¹ c, in place, for T a lower triangle or the transpose of one."""
    checks.common_dtype(c=c, triangle=triangle)
    if triangle.shape != (len(c), len(c)):
        checks.refuse_triangle(triangle, c)
    if not c.size:
        return
    checks.runs("triangle", triangle)
    checks.runs("c", c)
    lower = triangle.shape[1] == 1 or triangle.strides[1] == triangle.itemsize
    c[...] = scipy_solve_triangular(triangle, c, lower=lower, check_finite=False)


def potrf(block: Array) -> int:
    """Make the lower half of a block into its Cholesky factor, in place."""
    checks.common_dtype(block=block)
    if block.shape[0] != block.shape[1]:
        checks.refuse_square("block", block)
    if not block.size:
        return 0
    _check_rows("block", block)
    routine = lapack.dpotrf if block.dtype == np.float64 else lapack.spotrf
    factor, failed_minor = routine(block, lower=1, clean=0)
    block[...] = factor
    return int(failed_minor)


def potri(block: Array) -> int:
    """Make the lower half of a block from a Cholesky factor into the inverse, in place."""
    checks.common_dtype(block=block)
    if block.shape[0] != block.shape[1]:
        checks.refuse_square("block", block)
    if not block.size:
        return 0
    _check_rows("block", block)
    routine = lapack.dpotri if block.dtype == np.float64 else lapack.spotri
    inverse, zero_pivot = routine(block, lower=1)
    lower = np.tri(len(block), dtype=bool)
    block[lower] = inverse[lower]
    return int(zero_pivot)


def _check_product(c: Array, a: Array, b: Array) -> None:
    if a.shape != (len(c), len(b)) or b.shape[1] != c.shape[1]:
        checks.refuse_product(c, a, b)


def _check_rows(name: str, array: Array) -> None:
    checks.runs(name, array)
    if array.shape[1] > 1 and array.strides[1] != array.itemsize:
        checks.refuse_strides(name, array)


def _check_columns(columns: int, width: int) -> None:
    if width < 1 or (columns != 1 and columns % width):
        raise ValueError(f"there are {columns} columns; give 1, or a multiple of {width}")
