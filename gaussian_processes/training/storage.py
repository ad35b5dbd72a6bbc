"""Storage plan of a factor: its precision, and memory or files.

Memory where the panels fit, in float64 if that fits; files where they do not, or where they are to
outlive the process.
"""

import shutil
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes
from gaussian_processes.gp.iterative import landmark_count
from gaussian_processes.gp.regression import working_bytes
from gaussian_processes.linalg.cholesky import InMemoryPanels, PanelStorage, packed_bytes
from gaussian_processes.resources import available_cpus, available_memory
from gaussian_processes.training.checkpoints import Checkpoint

# Types that each precision may store the factor in, the best first.
DTYPES = {"auto": ("float64", "float32"), "float64": ("float64",), "mixed": ("float32",)}
# Numbers that conjugate gradients keep for each row: its columns as `working_bytes` counts them,
# and a dozen vectors of the iterations and of the products under way.
ROW_COPIES, ITERATION_VECTORS = 5, 12


class NoRoomError(UserError):
    """A factor that there is no room for: in memory to work in, or on the disk to keep it."""


@dataclass(frozen=True)
class StoragePlan:
    """Storage for the factor of one fit, for any diagonal of its matrix.

    Parameters
    ----------
    dtype : str
        float64 or float32.
    size : int
        Bytes of the factor, or of this host's share of it.
    checkpoint : Checkpoint
        Where files go.
    in_files : bool
        Whether the panels are files, or in memory.
    hosts : int
        That share the factor.
    """

    dtype: str
    size: int
    checkpoint: Checkpoint
    in_files: bool
    hosts: int = 1

    def __call__(self, diagonal: float) -> PanelStorage:
        """Return the storage of the matrix with that diagonal."""
        dtype = np.dtype(self.dtype)
        return self.checkpoint.panels(diagonal, dtype) if self.in_files else InMemoryPanels(dtype)

    def __str__(self) -> str:
        """Describe the plan in a sentence."""
        place = f"files in {self.checkpoint.folder}" if self.in_files else "memory"
        size = f"{format_bytes(self.size)} of {self.dtype}{_each(self.hosts)}"
        return f"the factor takes {size}, in {place}"


def plan_storage(
    shape: tuple[int, ...], precision: str, checkpoint: Checkpoint, hosts: int = 1
) -> StoragePlan:
    """Plan precision and place of a fit's factor, before anything is allocated.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the training data.
    precision : str
        `auto`, `float64` or `mixed`.
    checkpoint : Checkpoint
        Where files go: if it is persistent, in any case.
    hosts : int
        Hosts that share the factor evenly.

    Raises
    ------
    NoRoomError
        If memory does not suffice to work in, or the disk to keep the panels on, with the sizes and
        the remedies.
    """
    (rows, columns), memory = shape, available_memory()
    working = _check_memory(rows, columns, memory)
    sizes = {dtype: packed_bytes(rows, dtype) // hosts for dtype in DTYPES[precision]}
    fitting = [dtype for dtype, size in sizes.items() if working + size <= memory]
    dtype = fitting[0] if fitting else list(sizes)[-1]
    in_files = checkpoint.persistent or not fitting
    if in_files:
        _check_disk(rows, dtype, checkpoint, hosts)
    return StoragePlan(dtype, sizes[dtype], checkpoint, in_files, hosts)


def plan_landmarks(shape: tuple[int, ...], hosts: int = 1) -> int:
    """Plan the landmarks of conjugate gradients, which take half of what memory the rows leave.

    Raises
    ------
    UserError
        If memory does not suffice for the rows.
    """
    (rows, columns), memory = shape, available_memory()
    working = 8 * rows * (ROW_COPIES * columns + ITERATION_VECTORS)
    if working > memory:
        raise UserError(
            f"{rows:,} rows need {format_bytes(working)} of memory and {format_bytes(memory)} are"
            " free; use an instance with more memory, or fewer rows"
        )
    return landmark_count(rows, memory - working, hosts)


def _check_memory(rows: int, columns: int, memory: int) -> int:
    """Bytes to work in, beside the factor; refuse rows that memory does not suffice for."""
    cores = available_cpus()
    working = working_bytes(rows, columns, cores)
    if working > memory:
        fitting = bisect_right(
            range(rows), memory, key=lambda size: working_bytes(size, columns, cores)
        )
        raise NoRoomError(
            f"{rows:,} rows need {format_bytes(working)} of memory to work in and"
            f" {format_bytes(memory)} are free; use an instance with more memory,"
            f" solver=cg, or {max(fitting - 1, 0):,} rows"
        )
    return working


def _check_disk(rows: int, dtype: str, checkpoint: Checkpoint, hosts: int) -> None:
    """Refuse what the disk has no room for, where finished panels of this type need none."""
    folder = checkpoint.folder
    folder.mkdir(parents=True, exist_ok=True)
    needed = packed_bytes(rows, dtype) // hosts
    free = shutil.disk_usage(folder).free + checkpoint.kept_bytes(np.dtype(dtype))
    if needed > free:
        room = free * hosts
        fitting = bisect_right(range(rows), room, key=lambda size: packed_bytes(size, dtype)) - 1
        raise NoRoomError(
            f"the factor of {rows:,} rows needs {format_bytes(needed)} in {dtype}{_each(hosts)} and"
            f" {folder} has room for {format_bytes(free)}; use an instance with more memory or a"
            f" larger volume, solver=cg, or {fitting:,} rows"
        )


def _each(hosts: int) -> str:
    """Words on a size that is that of one of the hosts."""
    return f" on each of {hosts} hosts" if hosts > 1 else ""
