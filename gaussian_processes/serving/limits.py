"""Limits of the platform under which `serve` could not run: found before it starts anything."""

import resource
import shutil
from pathlib import Path

from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes
from gaussian_processes.resources import available_processes, process_limit
from gaussian_processes.serving.config import THREADPOOL_SIZE, ServerConfig

# Bytes of a file, and free in the folder of temporary files, without which no process could keep
# its metrics: they lie in mapped files, where a full disk kills who writes. Every process writes
# 50 kB at most into three files of 64 kB, which is room for twenty of them.
MIN_FILE_BYTES = 1 << 20
# Processes beside gunicorn's workers and this one: gunicorn's master, nginx's, and nginx's worker.
OTHER_PROCESSES = 3


def check_processes(config: ServerConfig) -> None:
    """Refuse a limit of processes that would keep a worker or a thread from starting."""
    left, limit = available_processes(), process_limit()
    # A worker has its event loop, the threads beside it, and those that share a computation.
    worker_threads = 1 + THREADPOOL_SIZE + config.threads
    needed = OTHER_PROCESSES + config.workers * worker_threads
    if left is not None and left < needed:
        raise UserError(
            f"up to {needed} more processes and threads are needed and {max(left, 0)} of"
            f" {limit:,} are left (docker run --pids-limit); raise the limit, or set"
            " MODEL_SERVER_WORKERS to less"
        )


def check_files(folder: Path) -> None:
    """Refuse a folder, or a limit of sizes, that leaves no room for the files of the metrics."""
    free, limit = shutil.disk_usage(folder).free, resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if free < MIN_FILE_BYTES:
        raise UserError(
            f"{folder.parent} has {format_bytes(free)} free and {format_bytes(MIN_FILE_BYTES)} are"
            " needed for temporary files; use a larger volume, or let TMPDIR name another folder"
        )
    if limit != resource.RLIM_INFINITY and limit < MIN_FILE_BYTES:
        raise UserError(
            f"files of {limit:,} bytes are allowed (ulimit -f) and {MIN_FILE_BYTES:,} are needed"
            f" in {folder.parent}; raise the limit of file sizes"
        )
