import re
from collections import namedtuple

import numpy as np
import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.linalg.cholesky import InMemoryPanels
from gaussian_processes.training import storage
from gaussian_processes.training.checkpoints import Checkpoint, PanelFiles

Usage = namedtuple("Usage", "free")
SHAPE = (10_000, 8)
# Bytes of the factor of 10,000 rows, by hand: half of a square, and the upper halves of its
# diagonal blocks.
FLOAT64 = 8 * (10_000**2 / 2 + 384 * 10_000)
# Besides, the columns of each of two cores, and the rows' own eight columns seven times over.
WORKING = 8 * 10_000 * (2 * 256 + 7 * 8)


@pytest.fixture
def machine(monkeypatch):
    """Set what memory and disk have left."""

    def set_free(memory, disk=10**15):
        monkeypatch.setattr(storage, "available_memory", lambda: int(memory))
        monkeypatch.setattr(storage, "available_cpus", lambda: 2)
        monkeypatch.setattr(storage.shutil, "disk_usage", lambda folder: Usage(int(disk)))

    return set_free


@pytest.mark.parametrize(
    ("memory", "precision", "dtype", "in_files"),
    [
        (1.1 * FLOAT64 + WORKING, "auto", "float64", False),
        (0.9 * FLOAT64 + WORKING, "auto", "float32", False),
        (0.4 * FLOAT64 + WORKING, "auto", "float32", True),
        (0.9 * FLOAT64 + WORKING, "float64", "float64", True),
        (1.1 * FLOAT64 + WORKING, "mixed", "float32", False),
        (0.4 * FLOAT64 + WORKING, "mixed", "float32", True),
    ],
)
def test_the_best_precision_that_fits_is_taken_and_what_does_not_fit_goes_into_files(
    tmp_path, machine, memory, precision, dtype, in_files
):
    machine(memory)

    chosen = storage.plan_storage(SHAPE, precision, Checkpoint(tmp_path))

    assert (chosen.dtype, chosen.in_files) == (dtype, in_files)
    assert isinstance(chosen(0.1), PanelFiles if in_files else InMemoryPanels)
    assert chosen(0.1).dtype == np.dtype(dtype)
    assert chosen.size == pytest.approx(FLOAT64 * (0.5 if dtype == "float32" else 1), rel=0.02)


def test_a_persistent_checkpoint_is_used_although_memory_would_do(tmp_path, machine):
    machine(1e15)

    chosen = storage.plan_storage(SHAPE, "auto", Checkpoint(tmp_path, persistent=True))

    assert chosen.in_files
    assert str(chosen) == f"the factor takes 430.7 MB of float64, in files in {tmp_path}"


def refusal(precision, checkpoint):
    with pytest.raises(UserError) as caught:
        storage.plan_storage(SHAPE, precision, checkpoint)
    return str(caught.value)


def test_landmarks_take_half_of_the_memory_that_the_rows_leave(machine):
    rows_bytes = 8 * 10_000 * (5 * 8 + 12)

    machine(rows_bytes + 2 * 8 * 10_000 * 300)

    assert storage.plan_landmarks(SHAPE) == 300
    assert storage.plan_landmarks(SHAPE, hosts=2) == 600


def test_rows_that_do_not_fit_into_memory_are_refused_without_a_factor_too(machine):
    machine(4e6)

    with pytest.raises(UserError, match=r"10,000 rows need 4\.2 MB of memory and 4\.0 MB are free"):
        storage.plan_landmarks(SHAPE)


def test_too_little_memory_to_work_in_is_refused_with_the_rows_that_fit(tmp_path, machine):
    machine(WORKING / 2)

    sentence = refusal("auto", Checkpoint(tmp_path))

    assert (
        "10,000 rows need 45.4 MB of memory to work in and 22.7 MB are free; use an instance with"
        " more memory" in sentence
    )
    fitting = int(re.search(r"or ([\d,]+) rows", sentence)[1].replace(",", ""))
    assert storage.plan_storage((fitting, 8), "auto", Checkpoint(tmp_path))
    with pytest.raises(UserError):
        storage.plan_storage((fitting + 1, 8), "auto", Checkpoint(tmp_path))


def test_too_small_a_disk_is_refused_with_the_rows_that_fit(tmp_path, machine):
    machine(WORKING * 1.05, disk=1e8)

    sentence = refusal("float64", Checkpoint(tmp_path))

    assert (
        f"needs 430.7 MB in float64 and {tmp_path} has room for 100.0 MB; use an instance with more"
        " memory or" in sentence
    )
    fitting = int(re.search(r"or ([\d,]+) rows", sentence)[1].replace(",", ""))
    assert storage.packed_bytes(fitting) <= 1e8 < storage.packed_bytes(fitting + 1)


def test_what_is_on_the_disk_already_needs_no_room(tmp_path, machine):
    machine(WORKING * 1.05, disk=4e8)
    for name in ("float64-0.1", "float32-0.1"):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "00000.npy").open("wb") as file:
            file.truncate(int(5e7))

    assert storage.plan_storage(SHAPE, "float64", Checkpoint(tmp_path)).in_files
    machine(WORKING * 1.05, disk=3.3e8)
    assert "has room for 380.0 MB" in refusal("float64", Checkpoint(tmp_path))


def test_of_a_factor_that_hosts_share_the_size_is_that_of_each(tmp_path, machine):
    machine(WORKING * 1.05, disk=1e8)

    with pytest.raises(UserError, match=r"needs 215\.3 MB in float64 on each of 2 hosts and"):
        storage.plan_storage(SHAPE, "float64", Checkpoint(tmp_path), 2)

    plan = storage.plan_storage(SHAPE, "float64", Checkpoint(tmp_path), 5)
    assert str(plan).startswith("the factor takes 86.1 MB of float64 on each of 5 hosts, in files")
