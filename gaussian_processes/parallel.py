"""How is work shared among the cores?"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Protocol, TypeVar

from threadpoolctl import LibController, ThreadpoolController

from gaussian_processes import blas  # noqa: F401  loads the libraries that lose their threads
from gaussian_processes.machine import allowed_cores

Task = TypeVar("Task")
Result = TypeVar("Result")


class Over(Protocol):
    """Call a function on every task, several at a time, and yield the results in the order of the tasks."""

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
        """Return the results, in the order of the tasks."""


@cache
def _libraries() -> ThreadpoolController:
    """BLAS as NumPy and SciPy have loaded it: looking for it takes a millisecond, as long as a small prediction."""
    return ThreadpoolController()


@cache
def _blas_libraries() -> list[LibController]:
    return [library for library in _libraries().lib_controllers if library.user_api == "blas"]


# The teams of this process that have threads: one that begins beside others has the fewer for it.
_BUSY: "list[Team]" = []


class Team:
    """One thread a core, each with a BLAS of one thread; of several teams that work at once, each has a part of the cores.

    Threads over tiles, and not threads inside BLAS: OpenBLAS's threaded `syrk` (which ``x @ x.T`` and LAPACK's `potrf` call)
    crashes above some 15,000 rows on AVX-512 processors. The tiles do not depend on the number of threads, so neither do the
    results, to the last bit.

    A process has one setting of BLAS's threads. Where several teams overlap, as in `serve`, it should be 1 to begin with: the
    first that ends would give the threads back to the others as well.

    Examples
    --------
    >>> with Team() as over:
    ...     list(over(abs, [-1, 2, -3]))
    [1, 2, 3]
    """

    def __init__(self) -> None:
        self._limit: AbstractContextManager[object] = nullcontext()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Over:
        """Take the threads from BLAS."""
        # Setting what is set already takes as long as a small prediction.
        if any(library.get_num_threads() != 1 for library in _blas_libraries()):
            self._limit = _libraries().limit(limits=1, user_api="blas")
        self._limit.__enter__()
        return self

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
        """Call a function on every task, and yield the results in the order of the tasks."""
        waiting = list(tasks)
        # One task is done here, for starting a thread takes as long as the kernel of a thousand pairs.
        if len(waiting) > 1 and not self._pool and (threads := allowed_cores() // (1 + len(_BUSY))) > 1:
            self._pool = ThreadPoolExecutor(threads)
            _BUSY.append(self)
        return self._pool.map(function, waiting) if self._pool and len(waiting) > 1 else map(function, waiting)

    def __exit__(self, *_: object) -> None:
        """Wait for the tasks, and give BLAS its threads back."""
        if self._pool:
            self._pool.shutdown()
            _BUSY.remove(self)
        self._limit.__exit__(None, None, None)
