"""How is work shared among the cores?"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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


# The pools of this process that are open: a team that begins beside others has the fewer threads for it.
_OPEN: list[ThreadPoolExecutor] = []


@contextmanager
def team() -> Iterator[Over]:
    """One thread a core, each with a BLAS of one thread; of several teams that work at once, each has a part of the cores.

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
    with ExitStack() as stack:
        # Setting what is set already takes as long as a small prediction.
        if any(library.get_num_threads() != 1 for library in _blas_libraries()):
            stack.enter_context(_libraries().limit(limits=1, user_api="blas"))
        pools: list[ThreadPoolExecutor] = []

        def over(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
            waiting = list(tasks)
            # One task is done here, for starting a thread takes as long as the kernel of a thousand pairs.
            if len(waiting) < 2:
                return map(function, waiting)
            if not pools and (threads := allowed_cores() // (1 + len(_OPEN))) > 1:
                pools.append(stack.enter_context(_pool(threads)))
            return pools[0].map(function, waiting) if pools else map(function, waiting)

        yield over


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(threads) as pool:
        _OPEN.append(pool)
        try:
            yield pool
        finally:
            _OPEN.remove(pool)
