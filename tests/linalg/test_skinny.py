"""Products and solutions of a few columns, against those in more digits and column by column."""

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.linalg import skinny

SIMD_WIDTH = skinny.SIMD_WIDTH
SIZES = st.integers(0, 40)
# One column alone is as long as a few registers, and the sums of it.
LENGTHS = st.integers(0, 200)
# Around what is done at once, and two that end with each number of registers; or one column,
# whatever a register holds.
GROUPS = st.sampled_from(["one column", *range(10)])
every_register = pytest.mark.parametrize(
    "numbers", [numbers for numbers in (2, 4, 8) if numbers <= SIMD_WIDTH]
)


@contextmanager
def registers_of(numbers):
    """Compute as a processor does whose registers have so many numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skinny, "SIMD_WIDTH", numbers)
        yield


def columns_of(groups, numbers):
    """Columns of so many groups."""
    return 1 if groups == "one column" else groups * numbers


def exactly(a, b):
    """A product in 64 bits of mantissa."""
    return a.astype(np.longdouble) @ b.astype(np.longdouble)


@every_register
@given(rows=SIZES, inner=LENGTHS, groups=GROUPS, seed=st.integers(0, 1000), spare=st.integers(0, 3))
def test_a_product_is_subtracted(numbers, rows, inner, groups, seed, spare):
    rng, columns = np.random.default_rng(seed), columns_of(groups, numbers)
    a = rng.normal(size=(rows, inner + spare))[:, :inner]
    b, c = rng.normal(size=(inner, columns)), rng.normal(size=(rows, columns))
    expected = c - exactly(a, b)
    a.flags.writeable = False

    with registers_of(numbers):
        skinny.gemm_update(c, a, b)

    np.testing.assert_allclose(c, expected.astype(float), rtol=0, atol=1e-13)


@every_register
@given(rows=LENGTHS, groups=GROUPS, seed=st.integers(0, 1000), spare=st.integers(0, 3))
def test_a_triangle_is_undone_and_its_other_half_not_read(numbers, rows, groups, seed, spare):
    rng, columns = np.random.default_rng(seed), columns_of(groups, numbers)
    whole = np.full((rows, rows + spare), np.nan)
    triangle = whole[:, :rows]
    lower = np.tril(rng.uniform(-1, 1, size=(rows, rows)) / 4) + 2 * np.eye(rows)
    triangle[np.tril_indices(rows)] = lower[np.tril_indices(rows)]
    solution = rng.normal(size=(rows, columns))
    c = exactly(lower, solution).astype(float)

    with registers_of(numbers):
        skinny.solve_triangular(triangle, c)

    np.testing.assert_allclose(c, solution, rtol=0, atol=1e-12)


@every_register
@given(rows=st.integers(1, 60), width=st.integers(1, 30), groups=GROUPS, seed=st.integers(0, 1000))
def test_a_triangle_in_panels_is_undone_to_the_last_bit_as_one_panel_after_the_other_is(
    numbers, rows, width, groups, seed
):
    rng = np.random.default_rng(seed)
    triangle = np.tril(rng.uniform(-1, 1, size=(rows, rows)) / 4) + 2 * np.eye(rows)
    starts = range(0, rows, width)
    panels = [np.ascontiguousarray(triangle[start:, start : start + width]) for start in starts]
    c = rng.normal(size=(rows, columns_of(groups, numbers)))
    expected = c.copy()
    for panel in panels:
        panel.flags.writeable = False

    with registers_of(numbers):
        for start, panel in zip(starts, panels, strict=True):
            top, rest = expected[start : start + width], expected[start + width :]
            skinny.solve_triangular(panel[:width], top)
            skinny.gemm_update(rest, panel[width:], top)
        skinny.solve_lower(skinny.panel_pointers(panels, width), c)

    np.testing.assert_array_equal(c, expected)


@pytest.mark.parametrize(
    "columns",
    [0, 1, 2, skinny.SIMD_WIDTH, skinny.SIMD_WIDTH + 1, skinny.MAX_COLUMNS, skinny.MAX_COLUMNS + 1],
)
def test_there_is_room_for_every_column_and_what_has_room_is_supported(columns):
    padded = skinny.padded_columns(columns, np.float64)

    assert columns <= padded < columns + skinny.SIMD_WIDTH
    assert skinny.supports(np.zeros((2, padded))) == (columns <= skinny.MAX_COLUMNS)


def test_what_is_not_supported_is_not_padded():
    assert skinny.padded_columns(3, np.float32) == 3
    assert not skinny.supports(np.zeros((2, skinny.SIMD_WIDTH), np.float32))
    assert not skinny.supports(np.zeros((2, skinny.SIMD_WIDTH + 1)))


@every_register
@pytest.mark.parametrize("rows", range(48, 56))
@pytest.mark.parametrize("routine", ["gemm_update", "solve_triangular"])
def test_a_column_is_the_same_to_the_last_bit_whatever_is_beside_it(numbers, rows, routine):
    rng, columns = np.random.default_rng(rows), 8 * numbers
    a = np.tril(rng.normal(size=(rows, rows))) / rows + np.eye(rows)
    b, c = rng.normal(size=(rows, columns)), rng.normal(size=(rows, columns))
    for column in range(columns):
        alone, beside = (
            np.pad(matrix[:, column : column + 1], ((0, 0), (0, numbers - 1))) for matrix in (c, b)
        )
        together = c.copy()
        with registers_of(numbers):
            if routine == "gemm_update":
                skinny.gemm_update(together, a, b)
                skinny.gemm_update(alone, a, beside)
            else:
                skinny.solve_triangular(a, together)
                skinny.solve_triangular(a, alone)

        np.testing.assert_array_equal(alone[:, 0], together[:, column])


@pytest.mark.parametrize(
    "c",
    [
        np.zeros((4, SIMD_WIDTH), np.float32),
        np.zeros((4, 2 * SIMD_WIDTH))[:, ::2],
        np.broadcast_to(np.zeros(SIMD_WIDTH), (4, SIMD_WIDTH)),
    ],
    ids=["float32", "every other column", "not to be written to"],
)
def test_what_is_no_row_of_numbers_is_refused(c):
    with pytest.raises(ValueError, match="copy it"):
        skinny.gemm_update(c, np.zeros((4, 4)), np.zeros((4, SIMD_WIDTH)))
    with pytest.raises(ValueError, match="copy it"):
        skinny.solve_triangular(np.eye(4), c)


def test_a_matrix_by_columns_is_refused():
    with pytest.raises(ValueError, match="copy it"):
        skinny.gemm_update(np.zeros((4, SIMD_WIDTH)), np.zeros((3, 4)).T, np.zeros((3, SIMD_WIDTH)))
    with pytest.raises(ValueError, match="copy it"):
        skinny.gemm_update(np.zeros((4, SIMD_WIDTH)), np.zeros((4, 3)), np.zeros((SIMD_WIDTH, 3)).T)


@pytest.mark.parametrize(
    ("c", "a", "b"),
    [((4, SIMD_WIDTH), (5, 3), (3, SIMD_WIDTH)), ((4, SIMD_WIDTH), (4, 3), (4, SIMD_WIDTH))],
)
def test_shapes_that_do_not_fit_are_refused(c, a, b):
    with pytest.raises(ValueError, match=r"give \(n, m\), \(n, k\) and \(k, m\)"):
        skinny.gemm_update(np.zeros(c), np.zeros(a), np.zeros(b))
    with pytest.raises(ValueError, match=r"give \(n, n\) and \(n, m\)"):
        skinny.solve_triangular(np.zeros(a), np.zeros(c))


@pytest.mark.parametrize(
    "shapes", [[(5, 3), (2, 3)], [(5, 3)], [(5, 3), (2, 2), (0, 0)], [(5, 2), (3, 2), (1, 1)]]
)
def test_panels_that_are_no_triangle_are_refused(shapes):
    with pytest.raises(ValueError, match=r"give \[\(5, 3\), \(2, 2\)\], contiguous"):
        skinny.panel_pointers([np.zeros(shape) for shape in shapes], 3)


def test_panels_by_columns_and_another_number_of_rows_are_refused():
    with pytest.raises(ValueError, match="contiguous"):
        skinny.panel_pointers([np.zeros((2, 3)).T, np.zeros((1, 1))], 2)
    with pytest.raises(ValueError, match=r"3 and 4 rows; give \(n, n\) and \(n, m\)"):
        skinny.solve_lower(skinny.panel_pointers([np.eye(3)], 3), np.zeros((4, 1)))


def test_columns_that_do_not_fill_registers_are_refused():
    columns = np.zeros((3, SIMD_WIDTH + 1))
    with pytest.raises(
        ValueError, match=f"{SIMD_WIDTH + 1} columns; give 1, or a multiple of {SIMD_WIDTH}"
    ):
        skinny.solve_lower(skinny.panel_pointers([np.eye(3)], 3), columns)
    with pytest.raises(
        ValueError, match=f"{SIMD_WIDTH + 1} columns; give 1, or a multiple of {SIMD_WIDTH}"
    ):
        skinny.gemm_update(columns, np.eye(3), columns)
    with pytest.raises(
        ValueError, match=f"{SIMD_WIDTH + 1} columns; give 1, or a multiple of {SIMD_WIDTH}"
    ):
        skinny.solve_triangular(np.eye(3), columns)
