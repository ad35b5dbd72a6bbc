"""Cores, memory and processes that may be used: affinity, control groups, OMP_NUM_THREADS."""

import math
import os
import resource
from pathlib import Path

ROOT = Path("/")


def available_cpus(root: Path = ROOT) -> int:
    """Count the cores that this process may keep busy: at least 1.

    Parameters
    ----------
    root : Path
        Folder that holds ``sys/fs/cgroup``.

    Returns
    -------
    int
        The least of the CPU affinity (of the machine's cores where there is none, as on macOS), the
        control group's quota (``docker run --cpus``, rounded up) and ``OMP_NUM_THREADS``.
    """
    limits = [_affinity(), _cgroup_cpus(root / "sys/fs/cgroup"), _openmp_threads()]
    return max(1, min(limit for limit in limits if limit is not None))


def available_memory(root: Path = ROOT) -> int:
    """Measure the memory that this process can still take without being killed, in bytes.

    Parameters
    ----------
    root : Path
        Folder that holds ``proc/meminfo`` and ``sys/fs/cgroup``.

    Returns
    -------
    int
        The least of what the kernel calls available, what the control group leaves, and what the
        limit of addresses does (``ulimit -v``). Page cache counts as free: it gives way. Where
        there is no ``/proc``, as on macOS, the kernel's part is all of the machine's memory.
    """
    limits = [
        _system_memory(root / "proc/meminfo"),
        _cgroup_memory(root / "sys/fs/cgroup"),
        _addresses_left(root / "proc/self/statm"),
    ]
    return min(limit for limit in limits if limit is not None)


def process_limit(root: Path = ROOT) -> int | None:
    """Return how many processes and threads the control group may have; None if unlimited."""
    counts = [_count(folder / "pids.max") for folder in _process_cgroups(root)]
    return next((count for count in counts if count is not None), None)


def available_processes(root: Path = ROOT) -> int | None:
    """Count the processes and threads that the control group still allows; None if unlimited."""
    limit = process_limit(root)
    counts = [_count(folder / "pids.current") for folder in _process_cgroups(root)]
    return None if limit is None else limit - sum(filter(None, counts))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _openmp_threads() -> int | None:
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return int(threads) if threads.isdecimal() else None


def _cgroup_cpus(cgroup: Path) -> int | None:
    """Whole cores of the quota (control groups of version 2, then 1); None if unlimited."""
    words = _words(cgroup / "cpu.max") or [
        *_words(cgroup / "cpu/cpu.cfs_quota_us"),
        *_words(cgroup / "cpu/cpu.cfs_period_us"),
    ]
    if len(words) != 2 or not words[0].isdecimal():  # "max" or -1: no quota
        return None
    quota, period = map(int, words)
    return math.ceil(quota / period)


def _system_memory(meminfo: Path) -> int:
    available = _fields(meminfo).get("MemAvailable:")
    if available is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return available * 1024  # the file counts in KiB


def _addresses_left(statm: Path) -> int | None:
    """Bytes of addresses that RLIMIT_AS leaves to this process; None if unlimited."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _words(statm)
    if limit == resource.RLIM_INFINITY or not used:
        return None
    return max(limit - int(used[0]) * resource.getpagesize(), 0)


def _cgroup_memory(cgroup: Path) -> int | None:
    """Bytes that the control group, of version 2 or of version 1, leaves; None if unlimited."""
    left = _memory_left(cgroup, "memory.max", "memory.current", "inactive_file")
    if left is not None:
        return left
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return _memory_left(cgroup / "memory", *names)


def _process_cgroups(root: Path) -> list[Path]:
    """Folders of the control group that counts processes, of version 2 and of version 1."""
    return [root / "sys/fs/cgroup", root / "sys/fs/cgroup/pids"]


def _count(path: Path) -> int | None:
    """Whole number in a file; None if there is no file, or "max" in it."""
    words = _words(path)
    return int(words[0]) if words and words[0].isdecimal() else None


def _memory_left(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    words = _words(folder / limit)
    if not words or not words[0].isdecimal():
        return None
    used = int(_words(folder / usage)[0]) - _fields(folder / "memory.stat").get(cache, 0)
    return int(words[0]) - used


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.is_file() else []


def _fields(path: Path) -> dict[str, int]:
    """Parse lines of a name and a whole number, as the kernel writes them."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return {name: int(value) for name, value, *_ in map(str.split, lines)}
