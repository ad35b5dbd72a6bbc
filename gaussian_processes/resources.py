"""What may this process use of the machine it runs on?"""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Cores that this process may keep busy: at least 1.

    The least of the CPU affinity, the control group's quota (``docker run --cpus``, rounded up) and ``OMP_NUM_THREADS``.
    """
    limits = [len(os.sched_getaffinity(0)), *_quota(cgroup)]
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal():
        limits.append(int(wanted))
    return max(1, min(limits))


def available_memory(cgroup: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes of memory that this process can still take without being killed.

    The least of what the kernel calls available and what the control group leaves. Page cache counts as free: it gives way.
    """
    available = _fields(meminfo)["MemAvailable:"] * 1024  # the file counts in KiB
    return min([available, *_memory_left(cgroup)])


def _quota(cgroup: Path) -> list[int]:
    """Whole cores of the CPU quota: none if there is no quota; version 2 of control groups, then version 1."""
    words = _words(cgroup / "cpu.max") or [
        *_words(cgroup / "cpu/cpu.cfs_quota_us"),
        *_words(cgroup / "cpu/cpu.cfs_period_us"),
    ]
    if len(words) != 2 or not words[0].isdecimal():  # "max" or -1: no quota
        return []
    return [math.ceil(int(words[0]) / int(words[1]))]


def _memory_left(cgroup: Path) -> list[int]:
    for folder, limit, usage, cache in (
        (cgroup, "memory.max", "memory.current", "inactive_file"),
        (
            cgroup / "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        words = _words(folder / limit)
        if words and words[0].isdecimal():
            used = int(_words(folder / usage)[0]) - _fields(folder / "memory.stat").get(cache, 0)
            return [int(words[0]) - used]
    return []


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.is_file() else []


def _fields(path: Path) -> dict[str, int]:
    """Lines of a name and a whole number, as the kernel writes them."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return {name: int(value) for name, value, *_ in map(str.split, lines)}
