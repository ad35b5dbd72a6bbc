"""Compiled routines in C99 and their one binding; NumPy stands in where nothing is compiled.

`routines` is either module, and `COMPILED` says which.
"""

import logging
from importlib import import_module
from types import ModuleType


def _load() -> ModuleType:
    """Import the compiled routines, or say once that NumPy stands in for them."""
    try:
        return import_module("gaussian_processes._native._routines")
    # A TypeError says that this SciPy declares its routines otherwise than the one compiled for.
    except (ImportError, TypeError) as error:
        logging.getLogger(__name__).warning(
            "gaussian_processes is not compiled (%s), so NumPy computes what C would, several"
            " times slower; install it with pip and a C compiler",
            error,
        )
        return import_module("gaussian_processes._native.fallback")


routines = _load()
COMPILED: bool = routines.__name__.endswith("._routines")
