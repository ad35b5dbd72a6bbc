"""What of a fit outlives memory, or the process?

The panels of the factor, each in a file of its own: finished ones never change, so an interrupted job continues with the
first that is missing.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes.files import atomic_write, create_memmap

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
    unbroken : context manager
        Entered for each panel.
    lasting : bool
        Whether files are to be found again by their names.
    """

    folder: Path
    dtype: DTypeLike
    unbroken: AbstractContextManager[object]
    lasting: bool

    def finished(self) -> Sequence[Array]:
        """Return the panels that are there, up to the first that is not, read-only."""
        panels: list[Array] = []
        with suppress(
            FileNotFoundError, EOFError, ValueError
        ):  # the last two: cut off, on its way to S3 or back
            while True:
                panels.append(
                    np.asarray(np.load(self._path(len(panels)), mmap_mode="r", allow_pickle=False))
                )
        return panels

    @contextmanager
    def panel(self, index: int, shape: tuple[int, int]) -> Iterator[Array]:
        """Give a panel of zeros in a file that gets its name when the panel is finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._path(index).with_suffix(UNFINISHED)
        with self.unbroken:
            panel = create_memmap(unfinished, self.dtype, shape)
            if not self.lasting:
                unfinished.unlink()  # the mapping stays, and goes with the process however that ends
            yield np.asarray(panel)
            if self.lasting:
                panel.flush()
                unfinished.replace(self._path(index))

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05}.npy"


@dataclass(frozen=True)
class Checkpoint:
    """A folder for what one job, of one host, has found so far.

    Parameters
    ----------
    folder : Path
        Its own: other hosts and other jobs have others.
    unbroken : context manager
        Entered for each panel; whoever wants to end the process waits until it is left.
    lasting : bool
        Whether the folder outlives the process, so that panels are worth keeping even where they fit into memory.
    """

    folder: Path
    unbroken: AbstractContextManager[object] = field(default_factory=nullcontext)
    lasting: bool = False

    def of_job(self, *ingredients: bytes) -> tuple["Checkpoint", str]:
        """Checkpoint of the job that is made of `ingredients`, and a sentence on what was there.

        Its folder is named by them. What another job has left is removed, but not relied upon to be gone: SageMaker brings
        files back in any order, and perhaps some that were removed.
        """
        digest = hashlib.sha256()
        for ingredient in ingredients:
            digest.update(hashlib.sha256(ingredient).digest())
        own = replace(self, folder=self.folder / digest.hexdigest())
        others = [path for path in self.folder.glob("*") if path != own.folder]
        for path in others:
            shutil.rmtree(path, ignore_errors=True)
        if own.folder.is_dir():
            return own, f"the checkpoint in {self.folder} is of this job: it goes on from there"
        if others:
            return (
                own,
                f"the checkpoint in {self.folder} is of other data or hyperparameters: the job starts over",
            )
        return own, f"finished panels of the factor are kept in {self.folder}"

    def part(self, name: str) -> "Checkpoint":
        """Checkpoint of a part of the job."""
        return replace(self, folder=self.folder / name)

    def recall(self, name: str) -> Mapping[str, Any] | None:
        """Return what was noted under a name, if anything was."""
        path = self.folder / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def note(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep something that JSON can hold."""
        atomic_write(
            self.folder / f"{name}.json", lambda path: path.write_text(json.dumps(content))
        )

    def panels(self, diagonal: float, dtype: DTypeLike) -> PanelFiles:
        """Store for the panels of a matrix, which differ with what stands on its diagonal and with their type."""
        return PanelFiles(
            self.folder / f"{np.dtype(dtype).name}-{diagonal!r}", dtype, self.unbroken, self.lasting
        )

    def kept_bytes(self, dtype: DTypeLike) -> int:
        """Bytes of the panels of a type that are there."""
        return sum(
            path.stat().st_size for path in self.folder.glob(f"{np.dtype(dtype).name}-*/*.npy")
        )

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
