"""Reading of NPY files against `numpy.load`, and of what no array was ever written as."""

import hashlib
import io
import os

import numpy as np
import pytest

from gaussian_processes import npy
from gaussian_processes.files import checksum

ARRAY = np.random.default_rng(5).normal(size=(7, 3))
READERS = [lambda path: npy.read(path)[0], npy.open_mapped]


@pytest.mark.parametrize("read", READERS, ids=["read", "mapped"])
@pytest.mark.parametrize("shape", [(7, 3), (21,), (0, 3), (1, 7, 3), (3, 0)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_numpy_saves_is_read_bit_for_bit(tmp_path, read, shape, dtype):
    array = np.resize(ARRAY, shape).astype(dtype)
    np.save(tmp_path / "a.npy", array)

    found = read(tmp_path / "a.npy")

    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, np.load(tmp_path / "a.npy"))


def test_the_checksum_is_that_of_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(npy, "BLOCK_BYTES", 16)
    path = tmp_path / "a.npy"
    np.save(path, ARRAY)

    expected = hashlib.sha256(path.read_bytes()).hexdigest()

    assert npy.read(path)[1] == checksum(path) == expected


def saved(array, **options):
    body = io.BytesIO()
    np.save(body, array, **options)
    return body.getvalue()


def header(text):
    """A file that holds a header and nothing else."""
    return npy.MAGIC + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("read", [*READERS], ids=["read", "mapped"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        saved(ARRAY)[:-1],
        saved(ARRAY) + b"\0",
        saved(ARRAY.astype(complex)),
        saved(ARRAY.astype(">f8")),
        saved(np.asfortranarray(ARRAY)),
        saved(np.array([None]), allow_pickle=True),
        saved(np.float64(1)),
        saved(np.zeros(3, [("a", float)])),
        saved(ARRAY).replace(b"NUMPY\x01", b"NUMPY\x03"),
        saved(ARRAY).replace(b"(7, 3)", b"(-7, 3)"),
        header(b"{" * 60_000),
        header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999999,), }\n"),
        header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"0, " * 9 + b"0), }\n"),
        header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (3" + b"9" * 60_000 + b",), }"),
    ],
)
def test_whatever_else_is_refused(tmp_path, read, content):
    (tmp_path / "a.npy").write_bytes(content)

    with pytest.raises(ValueError, match=r"^a\.npy "):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize("read", [*READERS, checksum], ids=["read", "mapped", "checksum"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, read):
    os.mkfifo(tmp_path / "fifo.npy")
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "zero.npy").symlink_to("/dev/zero")

    for name in ("fifo.npy", "folder.npy", "zero.npy"):
        with pytest.raises(ValueError, match=f"{name} is no regular file"):
            read(tmp_path / name)
