"""Threads beside the event loop: results and errors come over, and nothing is kept of either."""

import contextlib
import gc
import os
import threading
import weakref

import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.serving.execution import NICENESS, run_in_threadpool, run_inline


class Body:
    """What a request holds while it is computed."""


@pytest.mark.parametrize("run", [run_inline, run_in_threadpool])
def test_what_a_function_returns_or_raises_comes_over(run):
    def refuse():
        raise UserError("row 1 has 2 columns")

    assert run(lambda: 3) == 3
    with pytest.raises(UserError, match="row 1 has 2 columns"):
        run(refuse)


def test_a_function_runs_in_another_thread_that_gives_way():
    thread = run_in_threadpool(threading.get_native_id)

    assert thread != threading.get_native_id()
    assert os.getpriority(os.PRIO_PROCESS, thread) == NICENESS


@pytest.mark.parametrize("run", [run_inline, run_in_threadpool])
@pytest.mark.parametrize("fails", [False, True])
def test_a_body_is_gone_with_its_answer_though_no_garbage_is_collected(run, fails):
    bodies = []

    def compute():
        body = Body()
        bodies.append(weakref.ref(body))
        if fails:
            raise UserError("refused") from ValueError(str(body))

    gc.disable()
    try:
        for _ in range(3):
            with contextlib.suppress(UserError):
                run(compute)
        assert [body() for body in bodies] == [None] * 3
    finally:
        gc.enable()
