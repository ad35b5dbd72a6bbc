"""Reasons of failures, by their kind."""

import errno
import os
import re
import subprocess
import sys
import tempfile

import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker import failures
from gaussian_processes.sagemaker.failures import failure_reason


def os_error(number, path=None):
    return OSError(number, os.strerror(number), path)


PLATFORM = [
    (
        os_error(errno.ENOSPC, "/proc/model/alpha-0.npy"),
        r"/proc/model/alpha-0\.npy can't be written: the disk is full \(No space left on device,"
        r" [\d.]+ [MG]B of [\d.]+ [MG]B free\); use a larger volume",
    ),
    (
        os_error(errno.ENOSPC),
        r"a disk is full \(No space left.*/tmp.* has [\d.]+ [MG]B of .*larger",
    ),
    (os_error(errno.EDQUOT, "/proc/x"), r"/proc/x can't be written: the disk is full \(.*larger"),
    (
        os_error(errno.EACCES, "/opt/ml/model"),
        r"/opt/ml/model can't be accessed by user \d+ \(Permission denied\); mount it",
    ),
    (os_error(errno.EPERM, "/x"), r"/x can't be accessed by user \d+ \(.*\); mount it"),
    (os_error(errno.EROFS, "/x"), r"/x can't be accessed .*Read-only file system\); mount it"),
    (os_error(errno.EFBIG, "/x"), r"/x can't be written \(File too large.*ulimit -f\); raise"),
    (os_error(errno.EMFILE, "/x"), r"/x can't be opened \(.*limit is [\d,]+: ulimit -n\); raise"),
    (os_error(errno.EAGAIN), r"no further process or thread can be started \(.*limit.*\); raise"),
    (RuntimeError("can't start new thread"), r"no further process or thread can be started"),
    (os_error(errno.ENOMEM), r"memory ran out \(.*Cannot allocate.* are free.*\); use an instance"),
    (MemoryError(), r"memory ran out \(MemoryError; [\d.]+ [MG]B are free.*\); use an instance"),
    (os_error(errno.EIO, "/x"), r"/x can't be read or written \(.*\): the volume is damaged"),
    (os_error(errno.ENOTDIR, "/x/y"), r"/x/y can't be used \(Not a directory\): a file is where"),
    (os_error(errno.EISDIR, "/x"), r"/x can't be used \(Is a directory\): .*; correct the path"),
    (os_error(errno.EEXIST, "/x"), r"/x can't be used \(File exists\): .*; correct the path"),
    (os_error(errno.ELOOP, "/x"), r"/x can't be used \(.*\): .*leads nowhere; correct the path"),
    (os_error(errno.EPIPE), r"the log can't be written \(Broken pipe\): nobody reads it; keep"),
]


@pytest.mark.parametrize(
    ("error", "sentence"), PLATFORM, ids=[f"{error!r}" for error, _ in PLATFORM]
)
def test_an_error_of_the_platform_is_one_sentence_with_path_limit_and_remedy(error, sentence):
    reason = failure_reason(error)

    assert re.match(sentence, reason)
    assert "\n" not in reason
    assert "bug" not in reason


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"),
        RuntimeError("the event loop is closed"),
        OSError("no number at all"),
    ],
)
def test_any_other_error_is_a_bug_with_its_traceback(error):
    reason = failure_reason(raised(error))

    assert reason.startswith(f"unexpected {type(error).__name__} in line ")
    assert ", likely a bug to report: " in reason
    assert "Traceback (most recent call last)" in reason


def test_a_mistake_of_the_person_is_its_sentence_on_one_line():
    assert failure_reason(UserError("the column 'a\nb' is\n empty")) == "the column 'a b' is empty"


def test_no_folder_for_temporary_files_is_the_platform_s(monkeypatch):
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null/none"])

    with pytest.raises(FileNotFoundError) as caught:
        tempfile._get_default_tempdir()

    reason = failure_reason(caught.value)
    assert re.match(r"there is no folder for temporary files \(.*/dev/null/none.*\); mount", reason)


@pytest.mark.parametrize(
    ("of_group", "limit"), [(None, "the limit is 7,700"), (55, "the limit is 55")]
)
def test_the_smaller_limit_of_processes_is_named(monkeypatch, of_group, limit):
    monkeypatch.setattr(failures, "process_limit", lambda: of_group)
    monkeypatch.setattr(failures.resource, "getrlimit", lambda which: (7700, 7700))

    assert limit in failure_reason(RuntimeError("can't start new thread"))


def test_a_limit_of_file_sizes_ends_a_job_with_the_sentence(tmp_path):
    """The platform's own error, from the program's own write, in a process with the limit."""
    code = f"""
import resource, sys
from pathlib import Path
from gaussian_processes.files import atomic_write
from gaussian_processes.sagemaker import environment

folder = Path({str(tmp_path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
job = lambda: atomic_write(folder / "metrics.json", lambda path: path.write_bytes(bytes(10_000)))
sys.exit(environment.run_entry_point(job, folder / "failure"))
"""
    # The file that coverage writes at a program's end would meet the limit, too.
    unmeasured = {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=unmeasured, check=False, capture_output=True, text=True
    )

    reason = (tmp_path / "failure").read_text()
    assert done.returncode == 1
    assert done.stderr == f"{reason}\n"
    assert reason == (
        f"{tmp_path}/metrics.json can't be written (File too large, and 4,096 bytes are allowed:"
        " ulimit -f); raise the limit of file sizes"
    )


def raised(error):
    """Raise an error and catch it, so that it has a traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught
