"""How is work shared among the cores?"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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
def _libraries() -> ThreadpoolController:
    """BLAS as NumPy and SciPy have loaded it: looking for it takes a millisecond, as long as a small prediction."""
    return ThreadpoolController()


@contextmanager
def team() -> Iterator[Over]:
    """One thread a core, each with a BLAS of one thread.

    Threads over tiles, and not threads inside BLAS: OpenBLAS's threaded `syrk` (which ``x @ x.T`` and LAPACK's `potrf` call)
    crashes above some 15,000 rows on AVX-512 processors. The tiles do not depend on the number of threads, so neither do the
    results, to the last bit.

    A process has one setting of BLAS's threads. Where several teams overlap, as in `serve`, it should be 1 to begin with: the
    first that ends would give the threads back to the others as well.

    Examples
    --------
    >>> with team() as over:
    ...     list(over(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    with _libraries().limit(limits=1, user_api="blas"), ExitStack() as stack:
        pools: list[ThreadPoolExecutor] = []

        def over(function: Callable[[Task], Result], tasks: Iterable[Task], /) -> Iterator[Result]:
            tasks = list(tasks)
            if len(tasks) < 2:  # which threads would only make wait: a hundred rows are done before one has started
                return map(function, tasks)
            if not pools:
                pools.append(stack.enter_context(ThreadPoolExecutor(allowed_cores())))
            return pools[0].map(function, tasks)

        yield over
