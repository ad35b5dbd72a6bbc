"""Strict reading of ``.npy`` files and bodies, whose headers are checked before they are believed.

`numpy.load` believes the header: it allocates what the header says, evaluates it as Python, and
maps whatever it finds. `read` and `open_mapped` take a regular file whose header has the one form
that NumPy writes for floats and whose length is what the header says (format 1.0 of
`numpy.lib.format`). `parse` takes the arrays of others from bytes: of all formats, and of every
type but Python's objects.
"""

import ast
import hashlib
import math
import os
import re
import sys
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
# Magic string of all formats, and the bytes of the length of a header by the format's version.
ANY_MAGIC, LENGTH_BYTES = b"\x93NUMPY", {1: 2, 2: 4, 3: 4}
# Characters of a header at most, as NumPy has it: parsing a longer one may take long.
MAX_HEADER_CHARACTERS = 10_000
# A type in a header: byte order, kind and size. Python's objects, which run code, are none of them.
PLAIN_TYPE = re.compile(r"[<>|=]?[?biufcSUmMV]\d{0,9}(\[[0-9a-zA-Z]{1,9}\])?")
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
            count = file.readinto(left[:BLOCK_BYTES])
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


class _TypeError(ValueError):
    """An array of Python's objects, which reading would run as a program, or of nested types."""


def parse(content: bytes) -> Array:
    """Parse what `numpy.save` has written; the array is read-only, in the memory of the bytes.

    Raises
    ------
    ValueError
        If it is no such array, holds objects of Python, or is longer or shorter than its header
        says.
    """
    text, offset = _header_text(content)
    dtype, fortran_order, shape = _parse_header(text)
    size = dtype.itemsize * math.prod(shape)
    if offset + size != len(content):
        raise ValueError(
            f"its header says {_shown(size)} bytes of numbers, and {len(content) - offset:,} follow"
        )
    if not size:
        return np.empty(shape, dtype)
    array = np.frombuffer(content, dtype, offset=offset)
    for name in dtype.names or ():
        _check_characters(array[name])
    _check_characters(array)
    return array.reshape(shape, order="F" if fortran_order else "C")


def count_values(content: bytes) -> int:
    """Values of the array that `parse` would return, those of all fields; 0 if it is none."""
    try:
        array = parse(content)
    except ValueError:
        return 0
    return array.size * len(array.dtype.names or ("",))


def _header_text(content: bytes) -> tuple[str, int]:
    """Text of a header of any format, and the bytes before the first number."""
    start = len(ANY_MAGIC) + 2
    version = content[start - 2] if len(content) >= start else 0
    if not content.startswith(ANY_MAGIC) or version not in LENGTH_BYTES:
        raise ValueError("it does not begin as numpy.save begins")
    end = start + LENGTH_BYTES[version]
    length = int.from_bytes(content[start:end], "little")
    if length > MAX_HEADER_CHARACTERS or len(content) < end + length:
        raise ValueError(f"its header has {length:,} characters")
    encoding = "utf-8" if version == 3 else "latin-1"
    return content[end : end + length].decode(encoding), end + length


def _parse_header(text: str) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Type, whether columns come first, and shape."""
    try:
        header = ast.literal_eval(text.strip())
        descr, fortran_order, shape = (header[key] for key in ("descr", "fortran_order", "shape"))
        _check_type(descr)
        dtype = np.dtype(descr)
    except _TypeError:
        raise
    # Python's parser and NumPy's raise whatever they please.
    except Exception as error:
        raise ValueError("its header is damaged") from error
    sizes_are_valid = isinstance(shape, tuple) and all(
        type(size) is int and size >= 0 for size in shape
    )
    if not sizes_are_valid or len(shape) > MAX_DIMENSIONS or not isinstance(fortran_order, bool):
        raise ValueError("its header is damaged")
    return dtype, fortran_order, shape


def _check_type(descr: object) -> None:
    """Refuse a type that is neither plain nor a record of plain ones, or takes no bytes."""
    fields = descr if isinstance(descr, list) else [("", descr)]
    for name, plain, *shape in fields:
        if shape or isinstance(plain, list):
            raise _TypeError(f"the field {name!a:.60} holds several values, and a cell is one")
        if plain in {"O", "|O"}:
            raise _TypeError("it holds objects of Python")
        if not (isinstance(name, str) and isinstance(plain, str) and PLAIN_TYPE.fullmatch(plain)):
            raise ValueError(f"{name!a} has the type {plain!a}")
        # The length of a file would not bound how many of them there are.
        if not np.dtype(plain).itemsize:
            raise ValueError(f"{name!a} has the type {plain!a}, of no bytes")


def _check_characters(array: Array) -> None:
    """Refuse text whose numbers are no characters, at which Python fails."""
    if array.dtype.kind == "U" and array.dtype.itemsize:
        native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        if (native.view(np.uint32) > sys.maxunicode).any():
            raise ValueError("its text has numbers that are no characters")


def _shown(size: int) -> str:
    """Text of a number, which may have thousands of digits."""
    return f"{size:,}" if size < 10**18 else "more than 10^18"


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
