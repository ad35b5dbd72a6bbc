import os

import pytest

from gaussian_processes.resources import (
    available_cpus,
    available_memory,
    available_processes,
    process_limit,
)


@pytest.fixture
def affinity_of_64_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def fake_root(folder, files):
    """Write files of a root folder, by their paths in it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("max 100000", 64),
        ("6400000 50000", 64),
    ],
)
def test_cores_follow_the_quota_of_the_control_group(tmp_path, affinity_of_64_cores, quota, cores):
    root = fake_root(tmp_path, {"sys/fs/cgroup/cpu.max": quota})

    assert available_cpus(root) == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 64)])
def test_cores_follow_the_quota_of_a_version_1_control_group(
    tmp_path, affinity_of_64_cores, quota, cores
):
    files = {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": "100000"}
    root = fake_root(tmp_path, {f"sys/fs/cgroup/cpu/{name}": text for name, text in files.items()})

    assert available_cpus(root) == cores


@pytest.mark.parametrize(("threads", "cores"), [("3", 3), ("100", 64), ("0", 1), ("many", 64)])
def test_cores_follow_omp_num_threads(tmp_path, affinity_of_64_cores, monkeypatch, threads, cores):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)

    assert available_cpus(tmp_path) == cores


def test_without_an_affinity_as_on_macos_the_cores_are_the_machine_s(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    assert available_cpus(tmp_path) == os.cpu_count()


MEMINFO = {"proc/meminfo": "MemTotal: 99999999 kB\nMemAvailable: 1000 kB\nHugePages_Total: 0\n"}


def test_memory_is_what_the_kernel_has_left_where_there_is_no_limit(tmp_path):
    root = fake_root(tmp_path, MEMINFO | {"sys/fs/cgroup/memory.max": "max\n"})

    assert available_memory(root) == 1_024_000


def test_memory_is_what_the_control_group_leaves_and_page_cache_gives_way(tmp_path):
    files = {
        "sys/fs/cgroup/memory.max": "1000000",
        "sys/fs/cgroup/memory.current": "700000",
        "sys/fs/cgroup/memory.stat": "anon 400000\ninactive_file 300000\n",
    }

    assert available_memory(fake_root(tmp_path, MEMINFO | files)) == 600_000


def test_memory_of_a_version_1_control_group(tmp_path):
    files = {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "700000",
        "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 100000\n",
    }

    assert available_memory(fake_root(tmp_path, MEMINFO | files)) == 400_000


def test_without_proc_as_on_macos_memory_is_the_machine_s(tmp_path):
    expected = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    assert available_memory(tmp_path) == expected


def test_a_control_group_limits_memory_without_proc_too(tmp_path):
    files = {
        "sys/fs/cgroup/memory.max": "1000000",
        "sys/fs/cgroup/memory.current": "700000",
    }

    assert available_memory(fake_root(tmp_path, files)) == 300_000


def test_this_machine_has_cores_and_memory():
    assert 1 <= available_cpus() <= os.cpu_count()
    assert available_memory() > 1 << 20


# In version 1 the control group has a folder for processes.
@pytest.mark.parametrize("folder", ["sys/fs/cgroup", "sys/fs/cgroup/pids"])
@pytest.mark.parametrize(
    ("allowed", "limit", "left"), [("55", 55, 35), ("20", 20, 0), ("max", None, None)]
)
def test_processes_are_those_that_the_control_group_leaves(tmp_path, folder, allowed, limit, left):
    files = {f"{folder}/pids.max": f"{allowed}\n", f"{folder}/pids.current": "20\n"}
    root = fake_root(tmp_path, files)

    assert (process_limit(root), available_processes(root)) == (limit, left)


def test_processes_are_unlimited_without_control_groups(tmp_path):
    assert (process_limit(tmp_path), available_processes(tmp_path)) == (None, None)
