"""Memory of requests and of loaded models: a budget of bytes that all workers share."""

import contextlib
import fcntl
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes

# Share of the memory that is free at the start that requests and models that are loaded later may
# take together. Allocators keep some of what they had, workers grow by some megabytes, and nginx
# buffers bodies and answers.
BUDGET_SHARE = 0.7
# Requests that take less are served whatever the others take: those of a worker that are computed
# at once are as few as its threads.
SMALL_BYTES = 1 << 20
# Processes that may hold reservations at a time; a machine has fewer cores.
MAX_PROCESSES = 1024


class TooLargeError(UserError):
    """A request takes more memory than there is for all of them: HTTP 413."""


class BusyError(UserError):
    """A request takes more memory than the others leave at the moment: HTTP 503."""


class MemoryBudget:
    """Budget of bytes that the requests and the models of several processes reserve from.

    It is made before the processes fork. What a process has reserved is free once it has ended,
    however it ended.

    Parameters
    ----------
    total_bytes : int
        Bytes that all reservations may take together.
    """

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._model_bytes = 0
        # Rows of a process's id and of the bytes that it has reserved, in memory that forks share.
        self._table = np.frombuffer(mmap.mmap(-1, 16 * MAX_PROCESSES), np.int64).reshape(-1, 2)
        # The kernel frees a file's lock with its process, and threads of one process share it.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  for as long as the budget
        weakref.finalize(self, self._file.close)
        self._threads = threading.Lock()

    @property
    def reserved_bytes(self) -> int:
        """Bytes that the living processes have reserved."""
        with self._locked():
            return self._remove_dead()

    @property
    def request_bytes(self) -> int:
        """Bytes that one request may take: all but those of this process's models."""
        return self.total_bytes - self._model_bytes

    def add_model(self, size: int) -> bool:
        """Reserve the bytes of a model, or give back as many; False if they are not free."""
        added = self.add(size)
        if added:
            self._model_bytes += size
        return added

    def reservation(self) -> "Reservation":
        """Make a reservation of no bytes."""
        return Reservation(self)

    def add(self, size: int) -> bool:
        """Reserve bytes for this process, or give back as many; False if they are not free."""
        with self._locked():
            if size > 0 and self._remove_dead() + size > self.total_bytes:
                return False
            self._table[self._own_row(), 1] += size
            return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _own_row(self) -> int:
        """Row of this process, which it gets with its first reservation."""
        ids = self._table[:, 0]
        own = np.flatnonzero(ids == os.getpid())
        row = int(own[0]) if len(own) else int(np.flatnonzero(ids == 0)[0])
        self._table[row, 0] = os.getpid()
        return row

    def _remove_dead(self) -> int:
        """Remove the rows of processes that have ended; return the bytes of the others."""
        for row in np.flatnonzero(self._table[:, 0]):
            try:
                os.kill(int(self._table[row, 0]), 0)
            except ProcessLookupError:
                self._table[row] = 0
            except PermissionError:
                continue
        return int(self._table[:, 1].sum())


@dataclass
class Reservation:
    """Bytes that one request has reserved, until it is answered."""

    budget: MemoryBudget
    size: int = field(default=0, init=False)

    def grow(self, size: int, subject: str, remedy: str) -> None:
        """Reserve as many bytes in all; less than is reserved changes nothing.

        Raises
        ------
        TooLargeError
            If all memory would not do; the message says what takes it, and the remedy.
        BusyError
            If the other requests leave too little.
        """
        if size <= max(self.size, SMALL_BYTES):
            return
        total = self.budget.request_bytes
        if size > total:
            raise TooLargeError(
                f"{subject} takes about {format_bytes(size)} of memory, and"
                f" {format_bytes(max(total, 0))} are there for it; {remedy}"
            )
        if not self.budget.add(size - self.size):
            raise BusyError(
                f"{subject} takes about {format_bytes(size)} of memory, which other requests hold;"
                " send it again in a second"
            )
        self.size = size

    def release(self) -> None:
        """Give all bytes back."""
        if self.size:
            self.budget.add(-self.size)
            self.size = 0
