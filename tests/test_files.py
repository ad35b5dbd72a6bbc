import errno
import io
import os
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write, create_memmap, format_bytes, unpack


def test_a_file_is_written_with_its_folder_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "new/folder/file.txt"
    atomic_write(path, lambda temporary: temporary.write_text("before"))

    atomic_write(path, lambda temporary: temporary.write_text("after"))

    assert path.read_text() == "after"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_keeps_the_file_before_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")

    def write(temporary):
        temporary.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        atomic_write(path, write)

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_disk_names_the_file_that_was_to_be_written(tmp_path):
    path = tmp_path / "file.txt"

    def write(temporary):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*/file\.txt'"):
        atomic_write(path, write)
    with pytest.raises(OSError, match=r"No such file or directory: '.*/file\.txt'"):
        atomic_write(path, lambda temporary: temporary.read_text())


def test_two_writers_at_once_do_not_share_a_temporary_file(tmp_path):
    path, both_have_begun = tmp_path / "file.txt", threading.Barrier(2, timeout=10)
    contents = ["a" * 1000, "b" * 2000]

    def write(temporary, content):
        with temporary.open("w") as file:
            file.write(content[:500])
            both_have_begun.wait()
            file.write(content[500:])

    def writer(content):
        atomic_write(path, lambda temporary: write(temporary, content))

    threads = [threading.Thread(target=writer, args=[content]) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert path.read_text() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_synced_before_the_name_changes_and_the_folder_after(tmp_path, monkeypatch):
    path, synced = tmp_path / "file.txt", []
    fsync = os.fsync

    def note(descriptor):
        synced.append((os.path.realpath(f"/proc/self/fd/{descriptor}"), path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)

    atomic_write(path, lambda temporary: temporary.write_text("content"))

    (content, named_before), (folder, named_after) = synced
    assert (Path(content).parent, named_before) == (tmp_path.resolve(), False)
    assert (Path(folder), named_after) == (tmp_path.resolve(), True)


def test_without_sync_nothing_waits_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: 1 / 0)

    atomic_write(tmp_path / "file.txt", lambda path: path.write_text("content"), sync=False)

    assert (tmp_path / "file.txt").read_text() == "content"


def test_the_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "other.txt").touch()

    atomic_write(tmp_path / "file.txt", lambda path: path.write_text("content"))

    assert (tmp_path / "file.txt").stat().st_mode == (tmp_path / "other.txt").stat().st_mode


@pytest.mark.parametrize("allocation", ["posix_fallocate", "writes, as on macOS"])
@pytest.mark.parametrize("shape", [(3,), (400, 1000)])
def test_a_mapped_array_is_zero_takes_its_room_at_once_and_keeps_what_is_written(
    tmp_path, monkeypatch, allocation, shape
):
    if allocation != "posix_fallocate":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    path = tmp_path / "array.npy"

    array = create_memmap(path, np.float64, shape)

    assert path.stat().st_blocks * 512 >= array.nbytes
    np.testing.assert_array_equal(array, np.zeros(shape))
    array[...] = 7
    array.flush()
    np.testing.assert_array_equal(np.load(path), np.full(shape, 7.0))


def test_a_full_disk_is_refused_with_size_and_remedy_and_the_file_goes(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)

    with pytest.raises(UserError, match=r"has no room for 8\.0 MB \(No space .*larger volume"):
        create_memmap(tmp_path / "array.npy", np.float64, (1000, 1000))

    assert not list(tmp_path.iterdir())


@given(st.integers(0, 10**15))
def test_a_formatted_size_is_right_to_its_last_digit(size):
    number, unit = format_bytes(size).split()

    factor = {"MB": 10**6, "GB": 10**9}[unit]
    # Half a digit of rounding, and what a float of 15 digits adds.
    assert abs(float(number) * factor - size) <= 0.0500001 * factor


@pytest.mark.parametrize("knows_filters", [True, False])
def test_what_was_packed_is_unpacked(tmp_path, monkeypatch, knows_filters):
    if not knows_filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    content = np.random.default_rng(0).bytes(10_000)
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as packed:
        entry = tarfile.TarInfo("inner/alpha.npy")
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))

    unpack(tmp_path / "model.tar.gz", tmp_path / "model")

    assert (tmp_path / "model/inner/alpha.npy").read_bytes() == content


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/etc/outside", tarfile.REGTYPE),
        ("inner/../../outside", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("fifo", tarfile.FIFOTYPE),
        ("device", tarfile.CHRTYPE),
    ],
)
def test_a_member_that_is_no_file_inside_is_refused_and_nothing_is_unpacked(tmp_path, name, kind):
    with tarfile.open(tmp_path / "model.tar", "w") as packed:
        packed.addfile(tarfile.TarInfo("first"))
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "/etc/passwd"
        packed.addfile(entry)

    with pytest.raises(UserError, match="no file or folder inside it; pack the files of the model"):
        unpack(tmp_path / "model.tar", tmp_path / "model")

    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("kept", [0, 100, 5_000])
def test_a_damaged_archive_is_refused_in_a_sentence(tmp_path, kept):
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as packed:
        entry = tarfile.TarInfo("alpha.npy")
        entry.size = 10_000
        packed.addfile(entry, io.BytesIO(np.random.default_rng(0).bytes(10_000)))
    whole = (tmp_path / "model.tar.gz").read_bytes()
    (tmp_path / "model.tar.gz").write_bytes(whole[:kept])

    with pytest.raises(UserError, match="is no whole tar archive"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")
