import subprocess
import sys

import pytest

from gaussian_processes.parallel import team


def test_blas_has_one_thread_from_the_first_team_on_whichever_thread_asks():
    code = """
import threading
from threadpoolctl import threadpool_info
from gaussian_processes.parallel import team

def threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

def work():
    with team():
        print(threads())

for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
work()
"""
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert answer.stdout == "{1}\n{1}\n{1}\n"


def test_an_error_in_a_task_is_raised_where_the_results_are_read_and_ends_the_team():
    with pytest.raises(ZeroDivisionError), team() as over:
        list(over(lambda task: 1 / task, [1, 0, 2]))

    with team() as over:
        assert list(over(abs, [-1, 2])) == [1, 2]
