import os

import pytest

from gaussian_processes.resources import available_cpus, available_memory


@pytest.fixture
def everything_else_allows_64_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
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
def test_cores_follow_the_quota_of_the_control_group(
    tmp_path, everything_else_allows_64_cores, quota, cores
):
    assert available_cpus(write(tmp_path, cpu_dot_max=quota)) == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 64)])
def test_cores_follow_the_quota_of_a_version_1_control_group(
    tmp_path, everything_else_allows_64_cores, quota, cores
):
    folder = write(tmp_path, cpu__cpu_dot_cfs_quota_us=quota, cpu__cpu_dot_cfs_period_us="100000")

    assert available_cpus(folder) == cores


@pytest.mark.parametrize(("wanted", "cores"), [("3", 3), ("100", 64), ("0", 1), ("many", 64)])
def test_cores_follow_the_usual_variable(
    tmp_path, everything_else_allows_64_cores, monkeypatch, wanted, cores
):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)

    assert available_cpus(tmp_path) == cores


def meminfo(folder, kibibytes):
    return (
        write(
            folder,
            meminfo=f"MemTotal: 99999999 kB\nMemAvailable: {kibibytes} kB\nHugePages_Total: 0\n",
        )
        / "meminfo"
    )


def test_memory_is_what_the_kernel_has_left_where_there_is_no_limit(tmp_path):
    folder = write(tmp_path, memory_dot_max="max\n")

    assert available_memory(folder, meminfo(tmp_path, 1000)) == 1_024_000


def test_memory_is_what_the_control_group_leaves_and_page_cache_gives_way(tmp_path):
    folder = write(
        tmp_path,
        memory_dot_max="1000000",
        memory_dot_current="700000",
        memory_dot_stat="anon 400000\ninactive_file 300000\n",
    )

    assert available_memory(folder, meminfo(tmp_path, 1000)) == 600_000


def test_memory_of_a_version_1_control_group(tmp_path):
    folder = write(
        tmp_path,
        memory__memory_dot_limit_in_bytes="1000000",
        memory__memory_dot_usage_in_bytes="700000",
        memory__memory_dot_stat="total_inactive_file 100000\n",
    )

    assert available_memory(folder, meminfo(tmp_path, 1000)) == 400_000


def test_this_machine_has_cores_and_memory():
    assert 1 <= available_cpus() <= os.cpu_count()
    assert available_memory() > 1 << 20
