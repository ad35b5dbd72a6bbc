"""What a person sees of a search on a terminal, and where there is none."""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tuning.toys import TUNE, limits, request

from gaussian_processes.tuning.job import Objective
from gaussian_processes.tuning.progress import Progress
from gaussian_processes.tuning.results import Results, Row
from gaussian_processes.tuning.space import NumericRange, Space

TESTS = Path(__file__).parents[1]
POST = TESTS.parent / "examples/tuning/gp_post.json"
# A search whose jobs take a moment, and fail where q is odd.
PROGRAM = """
import json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from tuning.toys import FAILING, search
from gaussian_processes.tuning.progress import Progress
one = search(pathlib.Path(sys.argv[2]), json.loads(sys.argv[3]), FAILING + "\\ntime.sleep(0.5)")
progress = Progress(8)
one.run(progress)
progress.close()
"""
BAR = re.compile(
    r"(\d)/8 \[(\d\d:\d\d)<([^,]+),[^\r]*, best (none yet|\S+), (\d) running, (\d) failed\]"
)


def on_a_terminal(
    command: list[str], type_when: Callable[[str], str] = lambda _: ""
) -> tuple[int, str]:
    """Exit code and output of a command on a terminal of 140 columns.

    `type_when` sees what is shown, and returns what to type.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 140, 0, 0))
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + 60
    while more := _read(ours):
        shown += more
        os.write(ours, type_when(shown.decode(errors="replace")).encode())
        assert time.monotonic() < deadline
    os.close(ours)
    return process.wait(30), shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # nobody is at the other end any more
        return b""


def toys(folder: Path) -> list[str]:
    asked = request(ResourceLimits=limits(8, parallel=2))
    return [sys.executable, "-c", PROGRAM, str(TESTS), str(folder), json.dumps(asked)]


def test_the_bar_tells_the_best_the_running_the_failed_and_the_time_left(tmp_path):
    status, shown = on_a_terminal(toys(tmp_path))

    assert status == 0
    bars = BAR.findall(shown)
    lines = re.findall(r"(Completed|Failed): (?:.*?)q=(\d) → (?:validation:RMSE=(\S+))?", shown)
    assert [line[0] for line in lines] == [
        "Failed" if int(q) % 2 else "Completed" for _, q, _ in lines
    ]
    assert len(lines) == 8
    assert {int(done) for done, *_ in bars} == set(range(9))
    assert max(int(running) for *_, running, _ in bars) == 2
    # In the end: all done, the least of what was found, none running, and no time left.
    least = min((found for *_, found in lines if found), key=float)
    failed = str([line[0] for line in lines].count("Failed"))
    assert bars[-1] == ("8", bars[-1][1], "00:00", least, "0", failed)
    assert all(left == "?" for done, _, left, *_ in bars if done == "0")
    assert all(re.fullmatch(r"\d\d:\d\d", left) for done, _, left, *_ in bars if done != "0")
    bests = [float(best) for *_, best, _, _ in bars if best != "none yet"]
    assert bests == sorted(bests, reverse=True)


def test_without_a_terminal_there_are_lines_and_no_bar(tmp_path):
    done = subprocess.run(toys(tmp_path), stderr=subprocess.PIPE, text=True, check=True, timeout=60)

    assert len(done.stderr.splitlines()) == 8
    left = re.findall(r"\[(\d)/8, \d\d:\d\d left\]$", done.stderr, flags=re.MULTILINE)
    assert left == list("12345678")
    assert all(
        re.match(r"toy-\w{8}-00\d (Completed|Failed): ", line) for line in done.stderr.splitlines()
    )


def test_the_time_left_is_that_of_the_jobs_which_this_run_has_ended(capsys):
    """Two of six jobs are an earlier run's; the third takes 10 seconds, as the last three will."""
    seconds = iter([100.0, 110.0])
    progress = Progress(6, clock=lambda: next(seconds))
    rows = [Row({"q": q}, f"toy-{q}", "Completed", {"validation:RMSE": 1.0}) for q in range(3)]
    space = Space((NumericRange("q", 0, 9, integer=True),))
    objectives = (Objective("validation:RMSE", maximize=False),)

    for ended in (2, 3):
        progress(Results("toy", objectives, space, {}, tuple(rows[:ended])), 1)
    progress.close()

    assert capsys.readouterr().err == (
        "toy-2 Completed: q=2 → validation:RMSE=1 [3/6, 00:30 left]\n"
    )


def test_ctrl_c_on_a_terminal_leaves_a_sentence(tmp_path):
    command = [
        TUNE,
        "run",
        str(POST),
        "--out",
        str(tmp_path / "out"),
    ]
    typed = []

    def interrupt(shown):
        # The first line that shows a job, and not that of the last two.
        if " running" not in shown or typed:
            return ""
        typed.append(True)
        return "\x03"

    status, shown = on_a_terminal(command, interrupt)

    assert status == 130
    last = shown.replace("^C", "").rstrip("\r\n").rpartition("\r")[2]
    assert last == f"stopped; the same command goes on, with what is in {tmp_path / 'out'}"
    assert "Traceback" not in shown
