"""How are tiles multiplied, solved and factorised in place, on several threads at once?

`scipy.linalg.blas` holds Python's global lock during a call and wants column-major arrays. The same routines are reached
here through the C pointers that `scipy.linalg.cython_blas` publishes: `ctypes` releases the lock, and a row-major matrix is
handed over as the transpose of a column-major one, so that nothing is copied.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cython_blas, cython_lapack

Array = NDArray[Any]

# Columns that are taken one by one: routines for matrices first copy the whole matrix into an order of their own, which takes
# as long as three products with vectors.
FEW = 3


def gemm_update(c: Array, a: Array, b: Array) -> None:
    """Make `c` into ``c - a @ b``, in place.

    Parameters
    ----------
    c : ndarray of shape (n, m), rows contiguous
    a : ndarray of shape (n, k)
    b : ndarray of shape (k, m)
        Rows or columns contiguous, of one type with `c`: float64 or float32.

    Raises
    ------
    ValueError
        If the types differ.
    """
    if not a.dtype == b.dtype == c.dtype:
        raise ValueError(
            f"a product of {a.dtype} and {b.dtype} can't be taken from {c.dtype}; convert them to one type"
        )
    (rows, inner), columns = a.shape, b.shape[1]
    if columns <= FEW and rows and inner:
        for j in range(columns):
            _subtract_from_column(c[:, j : j + 1], a, b[:, j : j + 1])
        return
    # Column-major BLAS sees every matrix transposed: c' = c' - b' a'.
    _routine("gemm", c.dtype.char)(
        _letter(b), _letter(a), _integer(columns), _integer(rows), _integer(inner), _scalar(c, -1), b.ctypes.data, _leading(b),
        a.ctypes.data, _leading(a), _scalar(c, 1), c.ctypes.data, _leading(c),
    )  # fmt: skip


def solve_triangular(triangle: Array, c: Array) -> None:
    """Make `c` into ``inv(triangle) @ c``, in place.

    Parameters
    ----------
    triangle : ndarray of shape (n, n)
        Lower triangular with contiguous rows, or the transpose of such a matrix. The other half is not read.
    c : ndarray of shape (n, m)
        Rows or columns contiguous.
    """
    (size, columns), rows_contiguous = c.shape, _letter(c) == b"N"
    if columns <= FEW and size:
        for j in range(columns):
            _solve_for_column(triangle, c[:, j : j + 1])
        return
    # A row-major `c` is seen as c', so the equation is transposed: c' inv(triangle'), from the right.
    side, extents = (b"R", (columns, size)) if rows_contiguous else (b"L", (size, columns))
    lower = _letter(triangle) == b"N"
    _routine("trsm", c.dtype.char)(
        side, b"U", b"N" if lower == rows_contiguous else b"T", b"N", _integer(extents[0]), _integer(extents[1]),
        _scalar(c, 1), triangle.ctypes.data, _leading(triangle), c.ctypes.data, _leading(c),
    )  # fmt: skip


def _subtract_from_column(c: Array, a: Array, b: Array) -> None:
    """`gemm_update` of one column."""
    rows_contiguous = _letter(a) == b"N"
    extents = (a.shape[1], a.shape[0]) if rows_contiguous else a.shape
    _routine("gemv", c.dtype.char)(
        b"T" if rows_contiguous else b"N", _integer(extents[0]), _integer(extents[1]), _scalar(c, -1), a.ctypes.data,
        _leading(a), b.ctypes.data, _step(b), _scalar(c, 1), c.ctypes.data, _step(c),
    )  # fmt: skip


def _solve_for_column(triangle: Array, c: Array) -> None:
    """`solve_triangular` of one column."""
    lower = _letter(triangle) == b"N"
    _routine("trsv", c.dtype.char)(
        b"U", b"T" if lower else b"N", b"N", _integer(len(triangle)), triangle.ctypes.data, _leading(triangle),
        c.ctypes.data, _step(c),
    )  # fmt: skip


def factorise(block: Array) -> int:
    """Make the lower half of `block` into its Cholesky factor, in place; the upper half is left as it is.

    Returns
    -------
    int
        0, or the order (from 1) of the first leading minor that is not positive definite.
    """
    failed_minor = ctypes.c_int()
    _routine("potrf", block.dtype.char)(
        b"U", _integer(len(block)), block.ctypes.data, _leading(block), ctypes.byref(failed_minor)
    )
    return failed_minor.value


def _letter(matrix: Array) -> bytes:
    """BLAS's word for a matrix whose rows are contiguous (N), or whose columns are (T)."""
    return b"N" if matrix.strides[1] == matrix.itemsize else b"T"


def _leading(matrix: Array) -> Any:
    """Elements from one contiguous run to the next: BLAS's leading dimension."""
    stride, shape = (0, 1) if _letter(matrix) == b"N" else (1, 0)
    return _integer(max(matrix.strides[stride] // matrix.itemsize, matrix.shape[shape]))


def _step(column: Array) -> Any:
    """Elements from one number of a column to the next."""
    return _integer(max(column.strides[0] // column.itemsize, 1))


def _integer(value: int) -> Any:
    return ctypes.byref(ctypes.c_int(value))


def _scalar(like: Array, value: float) -> Any:
    return ctypes.byref((ctypes.c_double if like.dtype == np.float64 else ctypes.c_float)(value))


@cache
def _routine(name: str, kind: str) -> Any:
    """The routine of BLAS or LAPACK for arrays of NumPy's type `kind` (d or f); it takes every argument by reference."""
    library = cython_lapack if name == "potrf" else cython_blas
    capsule = library.__pyx_capi__[{"d": "d", "f": "s"}[kind] + name]
    describe = ctypes.pythonapi.PyCapsule_GetName
    describe.restype, describe.argtypes = ctypes.c_char_p, [ctypes.py_object]
    locate = ctypes.pythonapi.PyCapsule_GetPointer
    locate.restype, locate.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = describe(capsule)
    parameters = [ctypes.c_void_p] * (signature.count(b",") + 1)
    return ctypes.CFUNCTYPE(None, *parameters)(locate(capsule, signature))
