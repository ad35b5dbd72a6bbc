"""How is work shared among the cores?"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Protocol, TypeVar

from threadpoolctl import ThreadpoolController

from gaussian_processes import blas  # noqa: F401  loads the libraries that lose their threads
from gaussian_processes.machine import allowed_cores

Task = TypeVar("Task")
Result = TypeVar("Result")


class Over(Protocol):
    """Call a function on every task, several at a time, and yield the results in the order of the tasks."""

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
        """Return the results, in the order of the tasks."""


@cache
def _leave_blas_one_thread() -> None:
    """Take all threads but one from BLAS, once and for good.

    A process has one such setting, and teams of several threads may be at work at once: giving the threads back when one of
    them ends would pull them into the tiles of the others. Finding the libraries takes a millisecond, as long as a prediction.
    """
    ThreadpoolController().limit(limits=1, user_api="blas")


@contextmanager
def team() -> Iterator[Over]:
    """One thread a core, each with a BLAS of one thread.

    Threads over tiles, and not threads inside BLAS: OpenBLAS's threaded `syrk` (which ``x @ x.T`` and LAPACK's `potrf` call)
    crashes above some 15,000 rows on AVX-512 processors. The tiles do not depend on the number of threads, so neither do the
    results, to the last bit. From the first team on, BLAS has one thread in the whole process.

    Examples
    --------
    >>> with team() as over:
    ...     list(over(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    _leave_blas_one_thread()
    with ThreadPoolExecutor(allowed_cores()) as pool:
        yield pool.map
