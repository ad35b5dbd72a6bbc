"""Atomic writes, memory-mapped arrays, regular files, checksums, archives, and sizes as text."""

import hashlib
import os
import stat
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike

from gaussian_processes.errors import UserError

# Bytes that are written at a time where a file's room can't be allocated: enough to keep a disk
# busy.
BLOCK_BYTES = 1 << 20


def atomic_write(path: Path, write: Callable[[Path], object], sync: bool = True) -> None:
    """Write a file under a temporary name, then rename it: a reader sees all of it or nothing.

    Parameters
    ----------
    path : Path
        Its folder is made if it is missing. A file of that name is replaced.
    write : callable
        Writes the file whose path it is given. If it raises, nothing is left behind.
    sync : bool
        Whether the content must have reached the disk before the name does, so that a loss of power
        leaves no empty file. It takes as long as the disk takes to write.

    Raises
    ------
    OSError
        With the name of `path`: Python gives no name while writing, or the temporary one.

    Notes
    -----
    Temporary names are unique: of several writers of one file the last to finish wins, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        write(temporary)
        if sync:
            _sync(temporary)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in {None, str(temporary)}:
            error.filename = str(path)
        raise
    if sync:
        # Some network file systems can't sync a folder; the rename is atomic there all the same.
        with suppress(OSError):
            _sync(path.parent)


def create_memmap(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Create an array of zeros in a ``.npy`` file, mapped into memory.

    Parameters
    ----------
    path : Path
    dtype : data type
    shape : tuple of int

    Returns
    -------
    memmap of that shape
        What is written into it is written into the file.

    Raises
    ------
    UserError
        If the disk is full. The file's room is allocated at once: where a mapped file has none, the
        first write to it kills the process.
    """
    array: np.memmap[Any, Any] = open_memmap(path, "w+", dtype, shape)
    size = path.stat().st_size
    try:
        _allocate(path, size)
    except OSError as error:
        path.unlink()
        raise UserError(
            f"{path.parent} has no room for {format_bytes(size)} ({error.strerror}); use a larger"
            " volume"
        ) from error
    return array


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises
    ------
    ValueError
        If it is a folder, a FIFO or a device, which reading might never end of.
    OSError
        If it can't be opened.
    """
    # A FIFO without a writer would keep a blocking call waiting.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path.name} is no regular file")
    return os.fdopen(descriptor, "rb")


def checksum(path: Path) -> str:
    """SHA-256 of a regular file, in hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def format_bytes(size: float) -> str:
    """Format a number of bytes in megabytes or gigabytes.

    Examples
    --------
    >>> format_bytes(1.5e9)
    '1.5 GB'
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _allocate(path: Path, size: int) -> None:
    """Allocate the blocks of a file of zeros, which may have holes until then."""
    with path.open("rb+") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        # macOS has no such call. What the file holds is read, holes as zeros, and written again.
        for start in range(0, size, BLOCK_BYTES):
            file.seek(start)
            block = file.read(BLOCK_BYTES)
            file.seek(start)
            file.write(block)


def _sync(path: Path) -> None:
    """Wait until a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive of files and folders into a folder.

    Raises
    ------
    UserError
        If it is damaged, or has a link, a device, or a member that would lie outside the folder.
    """
    try:
        with tarfile.open(archive) as packed:
            members = packed.getmembers()
            for member in members:
                is_inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
                if not is_inside or not (member.isfile() or member.isdir()):
                    raise UserError(
                        f"{archive} has the member {member.name[:200]!a}, which is no file or"
                        " folder inside it; pack the files of the model alone"
                    )
            # Python 3.11.0 to 3.11.3, which Debian 12 has, knows no filter, and needs none now.
            packed.extraction_filter = getattr(tarfile, "data_filter", None)
            packed.extractall(folder, members)  # noqa: S202  the members are checked
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is no whole tar archive ({error}); pack it again") from error
