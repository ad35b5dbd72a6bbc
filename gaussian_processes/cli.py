"""Entry points of console scripts: they say in a sentence what keeps a program from starting.

Nothing is imported that needs more than the standard library, so that even NumPy's import may fail.
"""

import argparse
import importlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from gaussian_processes import __version__
from gaussian_processes.resources import available_memory, process_limit

INSTALL = "install the package with its extra: pip install '.[tuning]' in a checkout"
# What the image says in the place of pip. Requirements that are longer are cut.
FIXED = (
    "this is the image of gaussian-processes, whose packages are fixed when it is built, and it has"
    " no pip; leave the requirements out, or build an image of your own FROM it"
)
QUOTED_CHARACTERS = 200
# Addresses that libraries reserve as they are imported: in all, and for the threads of BLAS that
# every core has. With fewer OpenBLAS hangs or aborts.
BASE_ADDRESSES, CORE_ADDRESSES = 256 << 20, 64 << 20
# Memory with less of which the kernel kills the process as it imports libraries.
MIN_MEMORY = 64 << 20


def train() -> int:
    """Run `train`; the reason that keeps it from starting goes into the failure file as well."""
    return _run("gaussian_processes.training.main", lambda reason: _write(_failure_file(), reason))


def serve() -> int:
    """Run `serve`."""
    return _run("gaussian_processes.serving.main")


def describe() -> int:
    """Run `describe`."""
    return _run("gaussian_processes.report.main")


def tune() -> int:
    """Run `tune`, or say in one sentence why this installation can't.

    The image has neither `gaussian_processes.tuning` nor the libraries of the extra `tuning`, yet
    it has every console script of the package.
    """
    try:
        # Imported as late as this, so that what is missing is a sentence and no traceback.
        from gaussian_processes.tuning.__main__ import main  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if missing.startswith("gaussian_processes.tuning"):
            reason = "this installation has no tuner (the image leaves it out)"
        elif missing.startswith("gaussian_processes"):
            raise
        else:
            reason = f"tune needs {missing.partition('.')[0]}, which is not installed"
        if sys.argv[1:] == ["--version"]:  # which a report of an error begins with
            print(f"tune {__version__}")
            return 0
        print(f"{reason}; {INSTALL}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _refuse(_interruption(), lambda _: None, 128 + signal.SIGINT)
    return main()


def pip() -> int:
    """Stand in for pip in the image: an empty list of requirements is installed, others refused.

    Version 3 of the SageMaker SDK ends without a word in an image that has no pip, and gives one
    that has it the requirements of the person's source code.
    """
    words = sys.argv[1:]
    try:
        asked = _requirements(words[1:]) if words[:1] == ["install"] else words
    except OSError as error:
        asked = [f"the requirements of {error.filename}, which can't be read ({error.strerror})"]
    if not asked and words:
        return 0
    reason = f"pip was asked for {' '.join(asked)[:QUOTED_CHARACTERS] or 'nothing'}, but {FIXED}"
    print(reason, file=sys.stderr)
    failure = _failure_file()
    if failure.parent.is_dir():
        _write(failure, reason)
    return 1


def _requirements(words: list[str]) -> list[str]:
    """Return what `pip install` is asked for, on its command line and in files."""
    parser = argparse.ArgumentParser("pip install", add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--requirement", action="append", default=[], type=Path)
    parser.add_argument("asked", nargs="*")
    found, _ = parser.parse_known_args(words)
    lines = [line for path in found.requirement for line in path.read_text().splitlines()]
    contents = [line.partition("#")[0].strip() for line in lines]
    return [*found.asked, *filter(None, contents)]


def _failure_file() -> Path:
    return Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml") / "output/failure"


def _run(module: str, leave: Callable[[str], object] = lambda _: None) -> int:
    """Import a module and run its `main`; print why that can't be, and leave the reason."""
    try:
        _check_addresses()
        _check_memory()
        main: Callable[[], int] = importlib.import_module(module).main
    except (ImportError, MemoryError, OSError) as error:
        reason = (
            f"the libraries can't be loaded ({type(error).__name__}: {error}); give the process"
            " more memory, or install the package again"
        )
        return _refuse(reason, leave, 1)
    except KeyboardInterrupt:  # OpenBLAS sends the signal where its threads can't be started
        return _refuse(_interruption(), leave, 128 + signal.SIGINT)
    return main()


def _interruption() -> str:
    """Say what may have interrupted the import of the libraries."""
    limit = process_limit()
    number = "" if limit is None else f" ({limit:,} are allowed: docker run --pids-limit)"
    return (
        "interrupted as the libraries were loaded, by Ctrl-C or for want of processes"
        f" and threads{number}; raise the limit, or start again"
    )


def _refuse(reason: str, leave: Callable[[str], object], status: int) -> int:
    """Print a reason and leave it; return the exit status."""
    reason = " ".join(reason.split())
    print(reason, file=sys.stderr)
    leave(reason)
    return status


def _check_addresses() -> None:
    """Refuse a limit of addresses under which libraries hang as they are imported."""
    limit, needed = resource.getrlimit(resource.RLIMIT_AS)[0], BASE_ADDRESSES
    needed += CORE_ADDRESSES * (os.cpu_count() or 1)
    if limit not in {resource.RLIM_INFINITY, -1} and limit < needed:
        raise MemoryError(
            f"{limit / 1e6:,.0f} MB of addresses are allowed and {needed / 1e6:,.0f} MB are needed:"
            " ulimit -v"
        )


def _check_memory() -> None:
    """Refuse a limit of memory under which libraries can't be imported."""
    available = available_memory()
    if available < MIN_MEMORY:
        raise MemoryError(
            f"{available / 1e6:,.0f} MB of memory are free and {MIN_MEMORY / 1e6:,.0f} MB are"
            " needed: docker run --memory"
        )


def _write(failure: Path, reason: str) -> None:
    try:
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(reason)
    except OSError as error:
        print(f"this reason could not be left in {failure}: {error}", file=sys.stderr)
