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


def test_numbers_as_text_are_numbers(folder):
    buffer = io.BytesIO()
    np.save(buffer, np.array([["1.5", "red"], ["2", "9007199254740993"]]))
    fill(folder, {"a.npy": buffer.getvalue()})

    numbers, words = read(folder).columns
    assert numbers.tolist() == [1.5, 2]
    assert words.tolist() == ["red", "9007199254740993"]


@pytest.mark.parametrize("nested", [("f8", (2,)), [("u", "f8"), ("v", "f8")]])
def test_records_of_several_values_a_field_are_refused_by_its_name(folder, nested):
    buffer = io.BytesIO()
    field = ("a", *nested) if isinstance(nested, tuple) else ("a", nested)
    np.save(buffer, np.zeros(3, [("y", "f8"), field]))
    fill(folder, {"a.npy": buffer.getvalue()})

    with pytest.raises(
        UserError, match=r"a\.npy is not an array \(the field 'a' holds several val"
    ):
        read(folder)


def test_an_array_of_objects_is_refused(folder):
    buffer = io.BytesIO()
    np.save(buffer, np.array([[1, "a"]], object), allow_pickle=True)
    fill(folder, {"a.npy": buffer.getvalue()})

    with pytest.raises(
        UserError, match=r"train/a\.npy is not an array \(it holds objects of Python"
    ):
        read(folder)
