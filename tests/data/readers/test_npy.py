"""Columns of NumPy's arrays."""

import io

import numpy as np
import pytest
from channel_files import fill, read

from gaussian_processes.errors import UserError


def test_arrays_of_bytes_are_text(folder):
    buffer = io.BytesIO()
    np.save(buffer, np.array([(1.0, b"red")], dtype=[("y", "f8"), ("c", "S4")]))
    fill(folder, {"a.npy": buffer.getvalue()})

    assert read(folder).columns[1].tolist() == ["red"]


def test_an_array_of_objects_is_refused(folder):
    buffer = io.BytesIO()
    np.save(buffer, np.array([[1, "a"]], object), allow_pickle=True)
    fill(folder, {"a.npy": buffer.getvalue()})

    with pytest.raises(
        UserError, match=r"train/a\.npy is not an array \(it holds objects of Python"
    ):
        read(folder)
