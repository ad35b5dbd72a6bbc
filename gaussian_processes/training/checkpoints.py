"""Checkpoints: what of a fit outlives memory, or the process.

The panels of the factor have a file each. Finished ones never change, so an interrupted job
continues with the first that is missing. Every file has a checksum, without which it does not
count: a disk, or a copy on the way to S3 and back, may have spoiled it.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes import npy
from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write, checksum, create_memmap, open_regular

LOGGER = logging.getLogger(__name__)
Array = NDArray[Any]

# SageMaker does not upload a file of this name: it is not finished.
UNFINISHED = ".sagemaker-ignore"
# Bytes of a file of a checksum that are read: more than it has, so that what is longer differs.
MAX_CHECKSUM_BYTES = 1 << 10
# What a file may be found to be that was spoiled; whatever else a disk refuses ends the job.
SPOILED = (ValueError, LookupError, TypeError, RecursionError)


@dataclass(frozen=True)
class PanelFiles:
    """Panels in the files 00000.npy, 00001.npy, … of a folder, mapped into memory.

    Parameters
    ----------
    folder : Path
        Made when the first panel is.
    dtype : dtype
    critical_section : context manager
        Entered for each panel.
    persistent : bool
        Whether files are to be found again by their names.
    verified : dict of Path to tuple of int
        Inode, size and time of change of the files whose checksums this process has compared, which
        takes as long as to read them.
    """

    folder: Path
    dtype: DTypeLike
    critical_section: AbstractContextManager[object]
    persistent: bool
    verified: dict[Path, tuple[int, ...]] = field(default_factory=dict)

    def finished(self) -> Sequence[Array]:
        """Return the finished panels, up to the first that is not as it was left, read-only."""
        panels: list[Array] = []
        while self._path(len(panels)).exists():
            path = self._path(len(panels))
            try:
                panel = self._load(path)
                _check_panel(panel, panels, self.dtype)
            except (FileNotFoundError, *SPOILED) as error:
                LOGGER.warning(
                    f"{path} is not as it was left ({error}): this panel and those after it are"
                    " computed again"
                )
                _remove(path)
                _remove(_checksum_path(path))
                break
            panels.append(panel)
        return panels

    @contextmanager
    def panel(self, index: int, shape: tuple[int, int]) -> Iterator[Array]:
        """Give a panel of zeros in a file that gets its name when the panel is finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(index)
        unfinished = path.with_name(f"{path.stem}.{uuid4().hex}{UNFINISHED}")
        with self.critical_section:
            panel = create_memmap(unfinished, self.dtype, shape)
            if not self.persistent:
                unfinished.unlink()  # the mapping stays, and goes with the process
            yield np.asarray(panel)
            if self.persistent:
                panel.flush()
                # The checksum first: a panel that has its name has a checksum as well.
                found = checksum(unfinished)
                atomic_write(_checksum_path(path), lambda new: new.write_text(found), sync=False)
                unfinished.replace(path)

    def _load(self, path: Path) -> Array:
        """Map a panel, and compare its checksum unless that was done."""
        status = path.stat()
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self.verified.get(path) != state:
            with open_regular(_checksum_path(path)) as file:
                kept = file.read(MAX_CHECKSUM_BYTES)
            if checksum(path).encode() != kept:
                raise ValueError("its checksum differs")
            self.verified[path] = state
        return npy.open_mapped(path)

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05}.npy"


def _checksum_path(panel: Path) -> Path:
    return panel.with_suffix(".sha256")


def _remove(path: Path) -> None:
    """Remove whatever has the name of a file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_panel(panel: Array, before: Sequence[Array], dtype: DTypeLike) -> None:
    """Refuse a panel of another type, or of a shape that none can have after those before it.

    It has the rows of the last one but for those of a diagonal block: of all its rows or, where
    hosts share the factor, of this host's.
    """
    fits = panel.dtype == dtype and panel.ndim == 2
    if fits and before:
        rows, width = before[-1].shape
        own = _diagonal_rows(before)
        fits = panel.shape[1] <= width and own.start <= rows - len(panel) < own.stop
    if not fits:
        raise ValueError(f"it is of {panel.dtype} and shape {panel.shape}")


def _diagonal_rows(panels: Sequence[Array]) -> range:
    """Range of the numbers of rows that the last panel's diagonal block may have on this host."""
    width = panels[-1].shape[1]
    if len(panels) == 1:
        return range(width + 1)
    # Equal in all panels but the last, to a rounding of the part of a block.
    rows = len(panels[-2]) - len(panels[-1])
    return range(max(0, rows - 1), rows + 2)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which one process may have at a time.

    Raises
    ------
    UserError
        If another process has it: two jobs would overwrite each other's panels while they read
        them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UserError(
            f"another job is using the checkpoint in {folder}; wait for its end, or give this job a"
            " checkpoint folder of its own"
        ) from error
    except OSError as error:  # some network file systems have no locks
        LOGGER.warning(
            f"{folder} can't be locked ({error.strerror}); make sure that no other job uses it"
        )
    try:
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Checkpoint:
    """Folder for the state of one job on one host.

    Parameters
    ----------
    folder : Path
        Its own: other hosts and other jobs have others.
    critical_section : context manager
        Entered for each panel; a signal to stop waits until it is left.
    persistent : bool
        Whether the folder outlives the process, so that panels are worth keeping even where they
        fit into memory.
    """

    folder: Path
    critical_section: AbstractContextManager[object] = field(default_factory=nullcontext)
    persistent: bool = False
    verified: dict[Path, tuple[int, ...]] = field(default_factory=dict, repr=False)

    def for_job(self, fingerprint: str) -> "Checkpoint":
        """Return the checkpoint of the job of a fingerprint, and log what was found.

        What another job has left is removed, but not relied upon to be gone: SageMaker brings files
        back in any order, and perhaps some that were removed.
        """
        own = self.child(fingerprint)
        others = [path for path in self.folder.glob("*") if path != own.folder]
        for path in [*own.folder.rglob(f"*{UNFINISHED}")]:
            _remove(path)
        for path in others:
            shutil.rmtree(path, ignore_errors=True)
        if own.folder.is_dir():
            LOGGER.info("the checkpoint in %s is of this job: it goes on from there", self.folder)
        elif others:
            LOGGER.warning(
                "the checkpoint in %s is of other data, hyperparameters or hosts: the job starts"
                " over",
                self.folder,
            )
        else:
            LOGGER.info("finished panels of the factor are kept in %s", self.folder)
        return own

    def child(self, name: str) -> "Checkpoint":
        """Return the checkpoint of a part of the job."""
        return replace(self, folder=self.folder / name)

    def load(self, name: str) -> Mapping[str, Any] | None:
        """Load what was saved under a name; None if nothing was, or not as it was left."""
        path = self.folder / f"{name}.json"
        try:
            with open_regular(path) as file:
                note = json.loads(file.read())
            content: Mapping[str, Any] = note["content"]
            if note["sha256"] != _content_checksum(content):
                raise ValueError("its checksum differs")
        except FileNotFoundError:
            return None
        except SPOILED as error:
            LOGGER.warning(f"{path} is not as it was left ({error}): it is made again")
            _remove(path)
            return None
        return content

    def save(self, name: str, content: Mapping[str, Any]) -> None:
        """Save something that JSON can hold, where the folder outlives the process."""
        if not self.persistent:
            return
        text = json.dumps({"content": content, "sha256": _content_checksum(content)})
        atomic_write(self.folder / f"{name}.json", lambda path: path.write_text(text))

    def panels(self, diagonal: float, dtype: DTypeLike) -> PanelFiles:
        """Return the storage of a matrix's panels, which differ by its diagonal and their type."""
        folder = self.folder / f"{np.dtype(dtype).name}-{diagonal!r}"
        return PanelFiles(folder, dtype, self.critical_section, self.persistent, self.verified)

    def kept_bytes(self, dtype: DTypeLike) -> int:
        """Bytes of the finished panels of a type."""
        files = self.folder.glob(f"{np.dtype(dtype).name}-*/*.npy")
        return sum(path.stat().st_size for path in files)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def fingerprint(*parts: bytes) -> str:
    """Hash the parts that a job is made of, each apart: their borders count."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _content_checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of what JSON can hold, however it is laid out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
