import subprocess
import sys
import threading
import time

import pytest

from gaussian_processes.linalg import parallel
from gaussian_processes.linalg.parallel import WorkerPool


@pytest.mark.parametrize("start", ["", "; threading.Thread(target=work).start()"])
def test_blas_has_one_thread_until_the_last_team_ends_and_then_its_own_again(start):
    code = f"""
import threading
from threadpoolctl import threadpool_info
from gaussian_processes.linalg import parallel
from gaussian_processes.linalg.parallel import WorkerPool

def threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

def work():
    before = threads()
    for _ in range(2):
        with WorkerPool():
            with WorkerPool():
                assert set(threads()) == {{1}}, threads()
            assert set(threads()) == {{1}}, threads()
        assert threads() == before, threads()
    print("done")

work(){start}
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert answer.stdout.splitlines() == ["done"] * (2 if start else 1)


def test_teams_that_work_at_once_share_the_cores(monkeypatch):
    monkeypatch.setattr(parallel, "available_cpus", lambda: 4)

    def threads(over):
        return len(set(over(lambda _: (time.sleep(0.05), threading.get_ident())[1], range(8))))

    with WorkerPool() as first:
        before = threads(first)
        with WorkerPool() as second:
            beside = threads(second)
        with WorkerPool() as third, WorkerPool() as fourth, WorkerPool() as fifth:
            each = [threads(one) for one in (third, fourth, fifth)]
    with WorkerPool() as last:
        after = threads(last)

    assert (before, beside, each, after) == (4, 2, [2, 1, 1], 4)


def test_an_error_in_a_task_is_raised_where_the_results_are_read_and_ends_the_team():
    with pytest.raises(ZeroDivisionError), WorkerPool() as over:
        list(over(lambda task: 1 / task, [1, 0, 2]))

    with WorkerPool() as over:
        assert list(over(abs, [-1, 2])) == [1, 2]
