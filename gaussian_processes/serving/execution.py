"""Execution of a function inline, or in gevent's pool of threads beside the event loop."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

import gevent  # type: ignore[import-untyped]

Result = TypeVar("Result")

# What takes longer than this does not run in the thread of the event loop. Handing it to another
# thread costs half a millisecond, and more when all cores are busy.
INLINE_SECONDS = 1e-3
# How much a thread of the pool gives way, from 0 to 19. With all cores busy `/ping` is answered
# twice as fast for it; it costs predictions nothing unless other programs want the cores.
NICENESS = 10


class Runner(Protocol):
    """Runs a function, which may take seconds, and returns what it returns."""

    def __call__(self, function: Callable[[], Result], /) -> Result:
        """Return what the function returns, or raise what it raises."""


def run_inline(function: Callable[[], Result]) -> Result:
    """Run a function in the thread of the caller."""
    return function()


def run_in_threadpool(function: Callable[[], Result]) -> Result:
    """Run a function in a thread of its own, while the other greenlets of the worker go on."""
    # The future carries an exception over: gevent would print its traceback, even of a UserError.
    future: Future[Result] = Future()
    try:
        gevent.get_hub().threadpool.apply(_resolve, (future, function))
        return future.result()
    finally:
        # The exception knows this frame, and would be kept, with the body of the request, until
        # the garbage is collected.
        del future


def _resolve(future: Future[Result], function: Callable[[], Result]) -> None:
    # Linux has a niceness for each thread, and the threads that this one starts inherit it.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)
        del future  # as above
