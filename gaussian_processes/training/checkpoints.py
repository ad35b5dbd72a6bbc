"""Checkpoints: what of a fit outlives memory, or the process.

The panels of the factor have a file each. Finished ones never change, so an interrupted job
continues with the first that is missing.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes.files import atomic_write, create_memmap

LOGGER = logging.getLogger(__name__)
Array = NDArray[Any]

# SageMaker does not upload a file of this name: it is not finished.
UNFINISHED = ".sagemaker-ignore"


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
    """

    folder: Path
    dtype: DTypeLike
    critical_section: AbstractContextManager[object]
    persistent: bool

    def finished(self) -> Sequence[Array]:
        """Return the finished panels, up to the first that is not, read-only."""
        panels: list[Array] = []
        # The last two errors are those of a file that was cut off on its way to S3 or back.
        with suppress(FileNotFoundError, EOFError, ValueError):
            while True:
                panel = np.load(self._path(len(panels)), mmap_mode="r", allow_pickle=False)
                panels.append(np.asarray(panel))
        return panels

    @contextmanager
    def panel(self, index: int, shape: tuple[int, int]) -> Iterator[Array]:
        """Give a panel of zeros in a file that gets its name when the panel is finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._path(index).with_suffix(UNFINISHED)
        with self.critical_section:
            panel = create_memmap(unfinished, self.dtype, shape)
            if not self.persistent:
                unfinished.unlink()  # the mapping stays, and goes with the process
            yield np.asarray(panel)
            if self.persistent:
                panel.flush()
                unfinished.replace(self._path(index))

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05}.npy"


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

    def for_job(self, fingerprint: str) -> "Checkpoint":
        """Return the checkpoint of the job of a fingerprint, and log what was found.

        What another job has left is removed, but not relied upon to be gone: SageMaker brings files
        back in any order, and perhaps some that were removed.
        """
        own = self.child(fingerprint)
        others = [path for path in self.folder.glob("*") if path != own.folder]
        for path in others:
            shutil.rmtree(path, ignore_errors=True)
        if own.folder.is_dir():
            LOGGER.info("the checkpoint in %s is of this job: it goes on from there", self.folder)
        elif others:
            LOGGER.warning(
                "the checkpoint in %s is of other data or hyperparameters: the job starts over",
                self.folder,
            )
        else:
            LOGGER.info("finished panels of the factor are kept in %s", self.folder)
        return own

    def child(self, name: str) -> "Checkpoint":
        """Return the checkpoint of a part of the job."""
        return replace(self, folder=self.folder / name)

    def load(self, name: str) -> Mapping[str, Any] | None:
        """Load what was saved under a name; None if nothing was."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def save(self, name: str, content: Mapping[str, Any]) -> None:
        """Save something that JSON can hold."""
        text = json.dumps(content)
        atomic_write(self.folder / f"{name}.json", lambda path: path.write_text(text))

    def panels(self, diagonal: float, dtype: DTypeLike) -> PanelFiles:
        """Return the storage of a matrix's panels, which differ by its diagonal and their type."""
        folder = self.folder / f"{np.dtype(dtype).name}-{diagonal!r}"
        return PanelFiles(folder, dtype, self.critical_section, self.persistent)

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
