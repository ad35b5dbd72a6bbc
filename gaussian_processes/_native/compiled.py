"""How are the functions called that were compiled when the package was installed?

Through ctypes, which lets go of Python's lock while one runs.
"""

import ctypes
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pointers = ctypes.Array[ctypes.c_void_p]

# Fits every buffer, an empty one too.
_NOTHING = ctypes.c_char * 0
_NUMBERS, _SIZE, _INTEGER, _NUMBER = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_double
# What the functions take, as pairs.c and narrow.c declare it.
_PARAMETERS = {
    "kernels": [_NUMBERS, _SIZE, _INTEGER, _INTEGER],
    "slopes": [_NUMBERS, _SIZE, _INTEGER, _INTEGER],
    "complete": [
        _NUMBERS,
        _NUMBERS,
        _NUMBERS,
        _NUMBERS,
        _NUMBERS,
        _SIZE,
        _SIZE,
        _SIZE,
        _NUMBER,
        _NUMBER,
    ],
    "gemm_update": [_NUMBERS, _NUMBERS, _NUMBERS, _SIZE, _SIZE, _SIZE, _SIZE, _INTEGER],
    "solve_triangular": [_NUMBERS, _NUMBERS, _SIZE, _SIZE, _SIZE, _INTEGER],
    "solve_lower": [_NUMBERS, _NUMBERS, _SIZE, _SIZE, _SIZE, _INTEGER],
    "register_numbers": [],
}


def _load() -> ctypes.CDLL:
    found = find_spec("gaussian_processes._native._compiled")
    if found is None or found.origin is None:
        raise ImportError(
            "gaussian_processes is not compiled; install it with pip, which needs a C compiler"
        )
    library = ctypes.CDLL(found.origin)
    for name, parameters in _PARAMETERS.items():
        getattr(library, name).argtypes = parameters
    return library


LIBRARY = _load()


def read(array: Array) -> int:
    """Address where the numbers of an array begin whose rows a function reads.

    Raises
    ------
    ValueError
        If it is not of float64, or the numbers of a row are not one after the other.
    """
    if array.dtype != np.float64 or (array.size and array.strides[-1] != array.itemsize):
        raise ValueError(
            f"an array of {array.dtype} and strides {array.strides} has no rows of float64; copy it"
        )
    return _address(array) if array.flags.carray else array.ctypes.data


def written(array: Array) -> int:
    """Address where the numbers of an array begin that a function changes.

    Raises
    ------
    ValueError
        If it is not of float64, its numbers are not one after the other, or may not be written to.
    """
    if array.dtype != np.float64 or not array.flags.carray:
        raise ValueError(
            f"an array of {array.dtype} and strides {array.strides} is no row of float64 to write to; copy it"
        )
    return _address(array)


def pointers(addresses: Sequence[int]) -> Pointers:
    """Addresses one after the other, as functions take an array of pointers."""
    return (_NUMBERS * len(addresses))(*addresses)


def _address(array: Array) -> int:
    """Address of what may be written to, in a third of the time that `ndarray.ctypes` takes."""
    return ctypes.addressof(_NOTHING.from_buffer(array))  # type: ignore[arg-type]  # an array is a buffer; its stubs forget it
