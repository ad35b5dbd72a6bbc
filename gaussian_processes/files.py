"""Atomic writes, memory-mapped arrays, and sizes in words."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike

from gaussian_processes.errors import UserError


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` write a file under a temporary name, then give it its own: never a part of it.

    An error of the disk is raised with the file's name, which Python leaves out while writing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        write(temporary)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
    temporary.replace(path)


def create_memmap(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Make an array of zeros in a .npy file, mapped into memory.

    Raises
    ------
    UserError
        If the disk is full. Its room is taken at once: a file that grows as it is written kills the
        process there.
    """
    file: np.memmap[Any, Any] = open_memmap(path, "w+", dtype, shape)
    try:
        with path.open("rb+") as whole:
            os.posix_fallocate(whole.fileno(), 0, path.stat().st_size)
    except OSError as error:
        size = format_bytes(path.stat().st_size)
        path.unlink()
        raise UserError(
            f"{path.parent} has no room for {size} ({error.strerror}); use a larger volume"
        ) from error
    return file


def format_bytes(size: float) -> str:
    """Return a number of bytes in megabytes or gigabytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
