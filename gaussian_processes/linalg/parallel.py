"""Tasks in parallel on one pool of threads a process, each with a BLAS of one thread."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from threading import Lock, local
from typing import Any, Protocol, TypeVar

from threadpoolctl import ThreadpoolController

from gaussian_processes.linalg import blas  # noqa: F401  loads the libraries that lose their threads
from gaussian_processes.resources import available_cpus

Task = TypeVar("Task")
Result = TypeVar("Result")

# Tasks of one map that are begun or wait for each thread: with one, a thread would wait until the
# next is handed over; with many, a map that begins beside others would wait for all of theirs.
TASKS_PER_THREAD = 2


class ParallelMap(Protocol):
    """Call a function on every task, several at a time, and yield the results in order."""

    def __call__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], /
    ) -> Iterator[Result]:
        """Return the results, in the order of the tasks."""


def run_all(
    parallel_map: ParallelMap, function: Callable[[Task], object], tasks: Iterable[Task]
) -> None:
    """Call a function on every task for what it does, not for what it returns."""
    deque(parallel_map(function, tasks), maxlen=0)


@cache
def _libraries() -> ThreadpoolController:
    """BLAS as NumPy and SciPy have loaded it: the search takes a millisecond, as a prediction."""
    return ThreadpoolController()


class _SingleThreadedBlas:
    """Limit of BLAS to one thread, which a process has once: from the first to the last user."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._limit = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._limit.enter_context(_libraries().limit(limits=1, user_api="blas"))
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._limit.close()


_SINGLE_THREADED_BLAS = _SingleThreadedBlas()


def single_threaded_blas() -> AbstractContextManager[None]:
    """Return a context in which BLAS has one thread, in every thread of the process.

    Contexts may overlap and nest; BLAS gets its threads back when the last one ends. To enter takes
    as long as a small prediction, unless another context is open.
    """
    return _SINGLE_THREADED_BLAS


class _Threads:
    """The threads of the process: one a core, from the first pool that needs them to the last.

    They end with the last pool, so that a process that forks between two has none to lose.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._executor: ThreadPoolExecutor | None = None
        self._marks = local()
        self.count = 0

    def acquire(self) -> ThreadPoolExecutor | None:
        """Return the executor, started for the first user; none where there is one core."""
        with self._lock:
            if not self._executor:
                self.count = available_cpus()
                if self.count <= 1:
                    return None
                self._executor = ThreadPoolExecutor(self.count, initializer=self._mark)
            self._users += 1
            return self._executor

    def release(self) -> None:
        """End the threads if this was the last user."""
        with self._lock:
            self._users -= 1
            if not self._users and self._executor:
                self._executor.shutdown()
                self._executor = None

    def _mark(self) -> None:
        self._marks.inside = True

    def inside(self) -> bool:
        """Return whether the caller is one of them, and must not wait for the others."""
        return getattr(self._marks, "inside", False)


_THREADS = _Threads()


class WorkerPool:
    """A share of the process's threads: one thread a core, each with a BLAS of one thread.

    Threads over tiles, and not threads inside BLAS: OpenBLAS's threaded `syrk` (which ``x @ x.T``
    and LAPACK's `potrf` call) crashes above some 15,000 rows on AVX-512 processors. The tiles do
    not depend on the number of threads, so neither do the results, to the last bit.

    Pools that are open at once take turns, task by task; within a task a pool calls its function
    one task after the other.

    Examples
    --------
    >>> with WorkerPool() as parallel_map:
    ...     list(parallel_map(abs, [-1, 2, -3]))
    [1, 2, 3]
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._single_core = False
        self._unread: list[deque[Future[Any]]] = []

    def __enter__(self) -> ParallelMap:
        """Take the threads from BLAS."""
        single_threaded_blas().__enter__()
        return self

    def __call__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], /
    ) -> Iterator[Result]:
        """Call a function on every task, and yield the results in the order of the tasks."""
        waiting = list(tasks)
        # One task is the caller's own: a thread takes as long to start as a thousand kernels.
        if len(waiting) <= 1 or _THREADS.inside():
            return map(function, waiting)
        # To count the cores takes as long as a small prediction, so a pool does it once.
        if not self._executor and not self._single_core:
            self._executor = _THREADS.acquire()
            self._single_core = not self._executor
        if not self._executor:
            return map(function, waiting)
        return self._map(self._executor, function, waiting)

    def _map(
        self, executor: ThreadPoolExecutor, function: Callable[[Task], Result], tasks: list[Task]
    ) -> Iterator[Result]:
        """Keep a few tasks in the threads, and yield the results in order."""
        futures: deque[Future[Result]] = deque()
        self._unread.append(futures)
        for task in tasks:
            if len(futures) == TASKS_PER_THREAD * _THREADS.count:
                yield futures.popleft().result()
            futures.append(executor.submit(function, task))
        while futures:
            yield futures.popleft().result()

    def __exit__(self, *_: object) -> None:
        """Wait for the tasks that were begun, and leave threads and BLAS to others."""
        unread = [future for futures in self._unread for future in futures]
        for future in unread:
            future.cancel()
        wait(unread)
        if self._executor:
            _THREADS.release()
        self._executor, self._unread = None, []
        single_threaded_blas().__exit__(None, None, None)
