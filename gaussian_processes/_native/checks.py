"""Refusals of arguments that a routine must not see: the value, the rule and the remedy.

The compiled routines and their NumPy implementation share these, so that both refuse the same
arguments with the same sentence.
"""

from collections.abc import Sequence
from operator import index
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# The largest degree or depth: that of a C int.
MAX_COUNT = 2**31 - 1
SIMD_WIDTHS = (2, 4, 8)


def common_dtype(**arrays: Array) -> bytes:
    """Letter of the one dtype that all arrays have: ``b"d"`` or ``b"f"``.

    Raises
    ------
    ValueError
        If they differ, are neither float64 nor float32, or an argument is no matrix.
    """
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.ndim != 2:
            raise ValueError(f"{name} is {describe(array)}; give a matrix")
        if not array.flags.aligned:
            refuse_unaligned(name, array)
    dtypes = {array.dtype for array in arrays.values()}
    if len(dtypes) > 1:
        found = ", ".join(f"{name} of {array.dtype}" for name, array in arrays.items())
        raise ValueError(f"there are {found}; convert them to one type")
    (dtype,) = dtypes
    if dtype not in (np.float64, np.float32):
        raise ValueError(f"a matrix of {dtype} is unknown to BLAS; convert it to float64")
    if not next(iter(arrays.values())).flags.writeable:
        name, array = next(iter(arrays.items()))
        raise ValueError(f"{name} is {describe(array)}, and is to be written to; copy it")
    return b"d" if dtype == np.float64 else b"f"


def count(name: str, value: object) -> int:
    """Return a degree or a depth, a whole number from 0 to `MAX_COUNT`."""
    try:
        number = index(value)  # type: ignore[arg-type]  # what has no index is refused below
    except TypeError:
        refuse_count(name, value)
    if not 0 <= number <= MAX_COUNT:
        refuse_count(name, value)
    return number


def contiguous(name: str, array: Array, *, writable: bool = False) -> None:
    """Refuse what is not float64, or whose numbers are not one after the other."""
    if (
        not isinstance(array, np.ndarray)
        or array.dtype != np.float64
        or not array.flags.c_contiguous
        or (writable and not array.flags.writeable)
    ):
        rule = "contiguous and writable" if writable else "contiguous"
        raise ValueError(f"{name} is {describe(array)}; give float64, {rule}: copy it")
    if not array.flags.aligned:
        refuse_unaligned(name, array)


def matrix(name: str, array: Array, *, writable: bool = False) -> None:
    """Refuse what is no contiguous matrix of float64."""
    rule = "contiguous and writable" if writable else "contiguous"
    if not isinstance(array, np.ndarray) or array.ndim != 2:
        refuse_buffer(name, array, 2, rule)
    contiguous(name, array, writable=writable)


def vector(name: str, array: Array) -> None:
    """Refuse what is no contiguous vector of float64."""
    if not isinstance(array, np.ndarray) or array.ndim != 1:
        refuse_buffer(name, array, 1, "contiguous")
    contiguous(name, array)


def rows(name: str, array: Array) -> None:
    """Refuse what is no matrix of float64 with contiguous rows."""
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype != np.float64:
        refuse_buffer(name, array, 2, "with contiguous rows")
    if array.shape[1] > 1 and array.strides[1] != array.itemsize:
        refuse_strides(name, array)
    if array.shape[0] > 1 and array.strides[0] < array.shape[1] * array.itemsize:
        refuse_strides(name, array)
    if not array.flags.aligned:
        refuse_unaligned(name, array)


def runs(name: str, array: Array) -> None:
    """Refuse a matrix neither whose rows nor whose columns are contiguous."""
    for turned in (array, array.T):
        (down, right), (height, width) = turned.strides, turned.shape
        along = width <= 1 or right == turned.itemsize
        if along and (height <= 1 or down >= turned.itemsize * width):
            return
    raise ValueError(
        f"{name} has shape {array.shape} and strides {array.strides},"
        " so neither its rows nor its columns are contiguous; copy it"
    )


def panels(found: Sequence[Array], width: int) -> None:
    """Refuse panels that are not those of a lower triangle, each `width` columns wide."""
    for position, panel in enumerate(found):
        if not isinstance(panel, np.ndarray):
            raise ValueError(f"panel {position} is {describe(panel)}; give an array")
    if width < 1 or not len(found) or not len(found[0]):
        raise ValueError(f"{len(found)} panels of width {width} hold no triangle; give one or more")
    size = len(found[0])
    shapes = [(size - start, min(width, size - start)) for start in range(0, size, width)]
    if [panel.shape for panel in found] != shapes or not all(
        panel.flags.c_contiguous and panel.flags.aligned and panel.dtype == np.float64
        for panel in found
    ):
        raise ValueError(
            f"there are panels of shapes {[panel.shape for panel in found]};"
            f" give {shapes}, contiguous, of float64"
        )


def describe(array: object) -> str:
    """Say what an argument is, as far as the routines care."""
    if not isinstance(array, np.ndarray):
        return f"of type {type(array).__name__}"
    state = "" if array.flags.writeable else ", read-only"
    return f"an array of {array.dtype}, shape {array.shape} and strides {array.strides}{state}"


def refuse_buffer(
    name: str, array: object, dimensions: int, rule: str, cause: Exception | None = None
) -> NoReturn:
    """Refuse what is no array of float64 of so many dimensions, laid out as a rule says."""
    raise ValueError(
        f"{name} is {describe(array)}; give float64 of {dimensions} dimensions, {rule}: copy it"
    ) from cause


def refuse_strides(name: str, array: object) -> NoReturn:
    """Refuse a matrix whose rows are not contiguous, or overlap."""
    raise ValueError(f"{name} is {describe(array)}, so its rows are not contiguous; copy it")


def refuse_unaligned(name: str, array: object) -> NoReturn:
    """Refuse numbers between the addresses of numbers, as of a field of packed records."""
    raise ValueError(f"{name} is {describe(array)}, and not aligned in memory; copy it")


def refuse_count(name: str, value: object) -> NoReturn:
    """Refuse what is no degree or depth."""
    raise ValueError(f"{name} is {value!r}; give a whole number from 0 to {MAX_COUNT}")


def refuse_derivative(cosine_distance: Array, derivative: Array) -> NoReturn:
    """Refuse a matrix of derivatives that has another shape than that of the distances."""
    raise ValueError(
        f"cosine_distance and derivative have shapes {cosine_distance.shape} and"
        f" {derivative.shape}; give two of one shape"
    )


def refuse_columns(columns: int, width: int, widest: int) -> NoReturn:
    """Refuse columns that do not fill registers, or a width that no register has."""
    if width not in SIMD_WIDTHS or width > widest:
        allowed = [known for known in SIMD_WIDTHS if known <= widest]
        raise ValueError(f"no register here holds {width} numbers; give one of {allowed}")
    raise ValueError(f"there are {columns} columns; give 1, or a multiple of {width}")


def refuse_rows(size: int, c: Array) -> NoReturn:
    """Refuse a right-hand side of another number of rows than the triangle's."""
    raise ValueError(f"triangle and c have {size} and {len(c)} rows; give (n, n) and (n, m)")


def refuse_triangle(triangle: Array, c: Array) -> NoReturn:
    """Refuse a triangle that is not square, or of other rows than the right-hand side."""
    raise ValueError(
        f"triangle and c have shapes {triangle.shape} and {c.shape}; give (n, n) and (n, m)"
    )


def refuse_square(name: str, array: Array) -> NoReturn:
    """Refuse a block that is not square."""
    raise ValueError(f"{name} has shape {array.shape}; give a square block")


def refuse_product(c: Array, a: Array, b: Array) -> NoReturn:
    """Refuse matrices whose product does not have the shape of what it is taken from."""
    raise ValueError(
        f"c, a and b have shapes {c.shape}, {a.shape} and {b.shape}; give (n, m), (n, k) and (k, m)"
    )


def refuse_half_sqdist(
    products: Array, half_sqnorms_a: Array, half_sqnorms_b: Array, a: Array, b: Array
) -> NoReturn:
    """Refuse points, norms and products of different numbers of points or columns."""
    shapes = [array.shape for array in (products, half_sqnorms_a, half_sqnorms_b, a, b)]
    raise ValueError(
        f"products, half_sqnorms_a, half_sqnorms_b, a and b have shapes {shapes};"
        " give (n, m), (n,), (m,), (n, d) and (m, d)"
    )


def refuse_gaussian(
    value: Array, cosine_distance: Array, norms_a: Array, norms_b: Array
) -> NoReturn:
    """Refuse pairs and norms of different numbers of points."""
    shapes = [array.shape for array in (value, cosine_distance, norms_a, norms_b)]
    raise ValueError(
        f"value, cosine_distance, norms_a and norms_b have shapes {shapes};"
        " give (n, m), (n, m), (n,) and (m,)"
    )
