import subprocess
import sys
import threading

import pytest

from gaussian_processes.linalg import parallel
from gaussian_processes.linalg.parallel import WorkerPool


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(parallel, "available_cpus", lambda: 4)


def own_thread(_):
    return threading.get_ident()


@pytest.mark.parametrize("start", ["", "; threading.Thread(target=work).start()"])
def test_blas_has_one_thread_until_the_last_pool_ends_and_then_its_own_again(start):
    code = f"""
import threading
from threadpoolctl import threadpool_info
from gaussian_processes.linalg.parallel import WorkerPool, single_threaded_blas

def threads():
    libraries = threadpool_info()
    return [library["num_threads"] for library in libraries if library["user_api"] == "blas"]

def work():
    before = threads()
    for _ in range(2):
        with WorkerPool():
            with single_threaded_blas():
                assert set(threads()) == {{1}}, threads()
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


def test_a_pool_has_a_thread_a_core():
    meeting = threading.Barrier(4, timeout=30)  # where four threads have to be at once

    with WorkerPool() as parallel_map:
        list(parallel_map(lambda _: meeting.wait(), range(8)))


def test_pools_that_are_open_at_once_have_the_same_threads():
    with WorkerPool() as first, WorkerPool() as second:
        threads = {*first(own_thread, range(100)), *second(own_thread, range(100))}

    assert len(threads) <= 4
    assert threading.get_ident() not in threads


def test_a_pool_does_not_wait_for_all_the_tasks_of_another():
    begun = []
    with WorkerPool() as first, WorkerPool() as second:
        results = first(begun.append, range(1000))
        next(results)

        list(second(own_thread, range(10)))

        assert len(begun) <= 1 + 4 * parallel.TASKS_PER_THREAD
        list(results)

    assert sorted(begun) == list(range(1000))


def test_a_pool_within_a_task_takes_no_other_thread():
    def nested(_):
        with WorkerPool() as parallel_map:
            return set(parallel_map(own_thread, range(3))) == {threading.get_ident()}

    with WorkerPool() as parallel_map:
        assert all(parallel_map(nested, range(20)))


@pytest.mark.parametrize(("cores", "tasks"), [(1, 9), (4, 1), (4, 0)])
def test_where_nothing_can_be_shared_the_caller_does_it(monkeypatch, cores, tasks):
    monkeypatch.setattr(parallel, "available_cpus", lambda: cores)

    with WorkerPool() as parallel_map:
        assert set(parallel_map(own_thread, range(tasks))) <= {threading.get_ident()}


def test_no_thread_is_left_behind():
    before = threading.active_count()

    with WorkerPool() as parallel_map:
        list(parallel_map(own_thread, range(9)))

    assert threading.active_count() == before


def test_an_error_in_a_task_is_raised_where_the_results_are_read_and_ends_the_pool():
    done = []

    def invert(task):
        done.append(task)
        return 1 / task

    with pytest.raises(ZeroDivisionError), WorkerPool() as parallel_map:
        list(parallel_map(invert, [1, 0, *range(2, 1000)]))
    begun = len(done)

    with WorkerPool() as parallel_map:
        assert list(parallel_map(abs, [-1, 2])) == [1, 2]
    assert len(done) == begun < 1000
