"""Strict reading of ``.npy`` files: arrays of floats in C order, as `numpy.save` writes them.

`numpy.load` believes the header: it allocates what the header says, evaluates it as Python, and
maps whatever it finds. This reads only a regular file whose header has the one form that NumPy
writes and whose length is what the header says (format 1.0 of `numpy.lib.format`).
"""

import hashlib
import math
import os
import re
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.files import open_regular

Array = NDArray[Any]

MAGIC = b"\x93NUMPY\x01\x00"
# Two bytes hold the length of a header of format 1.0, after the magic string.
HEADER = re.compile(
    rb"\{'descr': '(<f[48])', 'fortran_order': False, 'shape': \(((?:\d{1,15}, )*\d{1,15},?)\), \}"
    rb" *\n"
)
# Dimensions of a header at most: NumPy takes up to 64.
MAX_DIMENSIONS = 8
# Bytes that are read at a time: enough to keep a disk busy.
BLOCK_BYTES = 1 << 20


class Header(NamedTuple):
    """Header of an array's file: its type, its shape, and the bytes before its first number."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.offset + self.dtype.itemsize * math.prod(self.shape)


def read(path: Path) -> tuple[Array, str]:
    """Read an array into memory, and the SHA-256 of its file.

    Raises
    ------
    ValueError
        If the file holds no array of floats, or is longer or shorter than its header says.
    OSError, MemoryError
    """
    with open_regular(path) as file:
        header = _read_header(file, path.name)
        file.seek(0)
        digest = hashlib.sha256(file.read(header.offset))
        array = np.empty(header.shape, header.dtype)
        left = array.reshape(-1).view(np.uint8).data
        while left:
            count = file.readinto(left[:BLOCK_BYTES])  # type: ignore[attr-defined]
            if not count:
                raise ValueError(f"{path.name} was cut off while it was read")
            digest.update(left[:count])
            left = left[count:]
    return array, digest.hexdigest()


def open_mapped(path: Path) -> Array:
    """Map an array's file into memory, read-only.

    Raises
    ------
    ValueError
        If the file holds no array of floats, or is longer or shorter than its header says.
    OSError
    """
    with open_regular(path) as file:
        header = _read_header(file, path.name)
        if not math.prod(header.shape):
            return np.empty(header.shape, header.dtype)
        mapped = np.memmap(file, header.dtype, "r", header.offset, header.shape)
    return np.asarray(mapped)


def checksum(path: Path) -> str:
    """SHA-256 of a regular file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _read_header(file: IO[bytes], name: str) -> Header:
    """Read the header of an array's file, and compare the file's length with it."""
    length = len(MAGIC) + 2
    start = file.read(length)
    text = file.read(int.from_bytes(start[len(MAGIC) :], "little"))
    match = HEADER.fullmatch(text)
    if not start.startswith(MAGIC) or match is None:
        raise ValueError(f"{name} does not begin as numpy.save begins an array of floats")
    shape = tuple(int(size) for size in match[2].rstrip(b",").split(b", "))
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{name} has {len(shape)} dimensions")
    header = Header(np.dtype(match[1].decode()), shape, length + len(text))
    size = os.fstat(file.fileno()).st_size
    if header.size != size:
        raise ValueError(f"{name} has {size:,} bytes, and its header says {header.size:,}")
    return header
