"""How is work shared among the cores?"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from threading import Lock
from typing import Protocol, TypeVar

from threadpoolctl import ThreadpoolController

from gaussian_processes.linalg import blas  # noqa: F401  loads the libraries that lose their threads
from gaussian_processes.resources import available_cpus

Task = TypeVar("Task")
Result = TypeVar("Result")


class ParallelMap(Protocol):
    """Call a function on every task, several at a time, and yield the results in the order of the tasks."""

    def __call__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], /
    ) -> Iterator[Result]:
        """Return the results, in the order of the tasks."""


@cache
def _libraries() -> ThreadpoolController:
    """BLAS as NumPy and SciPy have loaded it: looking for it takes a millisecond, as long as a small prediction."""
    return ThreadpoolController()


class _OneThread:
    """BLAS's one thread, from when the first asks for it until the last no longer does: a process has one setting for all."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._asking = 0
        self._limit = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._asking:
                self._limit.enter_context(_libraries().limit(limits=1, user_api="blas"))
            self._asking += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._asking -= 1
            if not self._asking:
                self._limit.close()


# Whoever is inside has a BLAS of one thread. Entering takes as long as a small prediction if nobody else is there.
ONE_THREAD = _OneThread()
# The teams of this process that have threads: one that begins beside others has the fewer for it.
_BUSY: "list[WorkerPool]" = []


class WorkerPool:
    """One thread a core, each with a BLAS of one thread; of several teams that work at once, each has a part of the cores.

    Threads over tiles, and not threads inside BLAS: OpenBLAS's threaded `syrk` (which ``x @ x.T`` and LAPACK's `potrf` call)
    crashes above some 15,000 rows on AVX-512 processors. The tiles do not depend on the number of threads, so neither do the
    results, to the last bit.

    Examples
    --------
    >>> with WorkerPool() as over:
    ...     list(over(abs, [-1, 2, -3]))
    [1, 2, 3]
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> ParallelMap:
        """Take the threads from BLAS."""
        ONE_THREAD.__enter__()
        return self

    def __call__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], /
    ) -> Iterator[Result]:
        """Call a function on every task, and yield the results in the order of the tasks."""
        waiting = list(tasks)
        # One task is done here, for starting a thread takes as long as the kernel of a thousand pairs.
        if (
            len(waiting) > 1
            and not self._pool
            and (threads := available_cpus() // (1 + len(_BUSY))) > 1
        ):
            self._pool = ThreadPoolExecutor(threads)
            _BUSY.append(self)
        return (
            self._pool.map(function, waiting)
            if self._pool and len(waiting) > 1
            else map(function, waiting)
        )

    def __exit__(self, *_: object) -> None:
        """Wait for the tasks, and give BLAS its threads back once no team is left."""
        if self._pool:
            self._pool.shutdown()
            _BUSY.remove(self)
        ONE_THREAD.__exit__()
