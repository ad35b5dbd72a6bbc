"""Reasons of a failed job, of three kinds: the person's, the platform's, and bugs."""

import errno
import os
import resource
import shutil
import tempfile
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes
from gaussian_processes.resources import available_memory, process_limit

# What SageMaker shows of the failure file.
FAILURE_REASON_LENGTH = 1024


def failure_reason(error: Exception) -> str:
    """Explain an error: in one sentence or, if it is a bug, a sentence and then the traceback.

    Parameters
    ----------
    error : Exception
        A `UserError` speaks for itself. A full disk, a permission, a limit of processes, files or
        memory is the platform's: the sentence names the path and the limit. All else is a bug.
    """
    if isinstance(error, UserError):
        return _one_line(str(error))
    reason = platform_reason(error)
    return _bug(error) if reason is None else _one_line(reason)


def platform_reason(error: BaseException | None) -> str | None:
    """Sentence on an error of the platform; None for any other."""
    if isinstance(error, MemoryError):
        return _out_of_memory(error)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return _no_process(error)
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        return _no_temporary_folder(error)
    if isinstance(error, OSError):
        explain = EXPLANATIONS.get(error.errno or 0)
        return explain(error) if explain else None
    return None


def _disk_full(error: OSError) -> str:
    if error.filename is None:
        folders = {Path.cwd(), Path(tempfile.gettempdir())}
        rooms = ", ".join(sorted(f"{folder} has {_room(folder)} free" for folder in folders))
        return f"a disk is full ({error.strerror}; {rooms}); use a larger volume"
    path = Path(os.fsdecode(error.filename))
    return (
        f"{path} can't be written: the disk is full ({error.strerror}, {_room(path)} free);"
        " use a larger volume"
    )


def _room(path: Path) -> str:
    """Bytes free and in all, on the volume of a path that need not exist."""
    existing = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    usage = shutil.disk_usage(existing)
    return f"{format_bytes(usage.free)} of {format_bytes(usage.total)}"


def _no_permission(error: OSError) -> str:
    return (
        f"{_path(error)} can't be accessed by user {os.geteuid()} ({error.strerror});"
        " mount it readable and writable for this user"
    )


def _file_too_large(error: OSError) -> str:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    allowed = "" if limit == resource.RLIM_INFINITY else f", and {limit:,} bytes are allowed"
    return (
        f"{_path(error)} can't be written ({error.strerror}{allowed}: ulimit -f);"
        " raise the limit of file sizes"
    )


def _too_many_files(error: OSError) -> str:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"{_path(error)} can't be opened ({error.strerror}; the limit is {limit:,}: ulimit -n);"
        " raise the limit of open files"
    )


def _no_process(error: Exception) -> str:
    limits = [resource.getrlimit(resource.RLIMIT_NPROC)[0], process_limit()]
    finite = [limit for limit in limits if limit not in {resource.RLIM_INFINITY, None}]
    number = "the limit is the machine's"
    if finite:
        number = f"the limit is {min(finite):,}: ulimit -u, docker run --pids-limit"
    addresses = resource.getrlimit(resource.RLIMIT_AS)[0]
    if addresses != resource.RLIM_INFINITY:  # of which every thread's stack takes some
        number += f", and {format_bytes(addresses)} of addresses: ulimit -v"
    return (
        f"no further process or thread can be started ({error}; {number});"
        " raise the limit of processes"
    )


def _no_temporary_folder(error: OSError) -> str:
    return (
        f"there is no folder for temporary files ({error.strerror});"
        " mount a writable /tmp, or let TMPDIR name a folder"
    )


def _out_of_memory(error: Exception) -> str:
    free = ""
    with suppress(OSError, KeyError, ValueError):
        free = f"; {format_bytes(available_memory())} are free"
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        free += f", and {format_bytes(limit)} of addresses are allowed: ulimit -v"
    return (
        f"memory ran out ({str(error) or type(error).__name__}{free});"
        " use an instance with more memory, or fewer rows"
    )


def _no_such_kind(error: OSError) -> str:
    return (
        f"{_path(error)} can't be used ({error.strerror}): a file is where a folder belongs, a"
        " folder where a file does, or a link leads nowhere; correct the path, or mount another"
    )


def _device_error(error: OSError) -> str:
    return (
        f"{_path(error)} can't be read or written ({error.strerror}): the volume is damaged or"
        " gone; start the job again, with another volume"
    )


def _output_closed(error: OSError) -> str:
    return f"the log can't be written ({error.strerror}): nobody reads it; keep stdout open"


EXPLANATIONS: Mapping[int, Callable[[OSError], str]] = {
    errno.ENOSPC: _disk_full,
    errno.EDQUOT: _disk_full,
    errno.EACCES: _no_permission,
    errno.EPERM: _no_permission,
    errno.EROFS: _no_permission,
    errno.EFBIG: _file_too_large,
    errno.EMFILE: _too_many_files,
    errno.ENFILE: _too_many_files,
    errno.EAGAIN: _no_process,
    errno.ENOMEM: _out_of_memory,
    errno.ENOTDIR: _no_such_kind,
    errno.EISDIR: _no_such_kind,
    errno.EEXIST: _no_such_kind,
    errno.ELOOP: _no_such_kind,
    errno.ENAMETOOLONG: _no_such_kind,
    errno.EIO: _device_error,
    errno.ESTALE: _device_error,
    errno.EPIPE: _output_closed,
}


def _path(error: OSError) -> str:
    return "a file" if error.filename is None else os.fsdecode(error.filename)


def _bug(error: Exception) -> str:
    """Sentence that makes sense alone within what SageMaker shows, then the traceback."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    sentence = _one_line(
        f"unexpected {type(error).__name__} in line {place.lineno} of {Path(place.filename).name},"
        f" likely a bug to report: {_one_line(str(error)) or 'no further reason'}"
    )
    trace = "".join(traceback.format_exception(error))
    return f"{sentence[:FAILURE_REASON_LENGTH]}\n\n{trace}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
