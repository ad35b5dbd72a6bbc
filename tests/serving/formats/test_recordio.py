"""SageMaker's own format, written by Google's library from the published description."""

import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st
from trained import plain

from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats import recordio
from gaussian_processes.serving.formats.decoders import decode

KIND = descriptor_pb2.FieldDescriptorProto
TENSORS = {
    "Float32Tensor": (KIND.TYPE_FLOAT, 2),
    "Float64Tensor": (KIND.TYPE_DOUBLE, 3),
    "Int32Tensor": (KIND.TYPE_INT32, 7),
}


def described():
    """Class of aialgs.data.Record: maps of names to tensors with packed values and keys."""
    file = descriptor_pb2.FileDescriptorProto(
        name="record.proto", package="aialgs.data", syntax="proto2"
    )
    add_tensors(file)
    add_record(file)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


def add_tensors(file):
    """Add the three kinds of tensors, and Value, which is one of them."""
    value = descriptor_pb2.DescriptorProto(name="Value")
    for name, (kind, number) in TENSORS.items():
        tensor = file.message_type.add(name=name)
        for field, (type_, position) in {
            "values": (kind, 1),
            "keys": (KIND.TYPE_UINT64, 2),
            "shape": (KIND.TYPE_UINT64, 3),
        }.items():
            added = tensor.field.add(
                name=field, number=position, type=type_, label=KIND.LABEL_REPEATED
            )
            added.options.packed = True
        value.field.add(
            name=name.lower(),
            number=number,
            type=KIND.TYPE_MESSAGE,
            type_name=f".aialgs.data.{name}",
            label=KIND.LABEL_OPTIONAL,
        )
    file.message_type.append(value)


def add_record(file):
    """Add Record: features and labels by name, and an identifier."""
    record = file.message_type.add(name="Record")
    for field, number in {"features": 1, "label": 2}.items():
        entry = record.nested_type.add(name=f"{field.title()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=KIND.TYPE_STRING, label=KIND.LABEL_OPTIONAL)
        entry.field.add(
            name="value",
            number=2,
            type=KIND.TYPE_MESSAGE,
            type_name=".aialgs.data.Value",
            label=KIND.LABEL_OPTIONAL,
        )
        record.field.add(
            name=field,
            number=number,
            type=KIND.TYPE_MESSAGE,
            type_name=f".aialgs.data.Record.{field.title()}Entry",
            label=KIND.LABEL_REPEATED,
        )
    record.field.add(name="uid", number=3, type=KIND.TYPE_STRING, label=KIND.LABEL_OPTIONAL)


Record = described()


def framed(*records):
    """RecordIO of some messages."""
    parts = [record.SerializeToString() for record in records]
    return b"".join(
        struct.pack("<II", 0xCED7230A, len(part)) + part + b"\0" * (-len(part) % 4)
        for part in parts
    )


def dense(row, kind="float64tensor"):
    record = Record(uid="a row")
    getattr(record.features["values"], kind).values.extend(row)
    record.label["values"].float32tensor.values.append(7)
    return record


@given(
    st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
        max_size=10,
    )
)
def test_rows_are_read_to_the_last_digit(table):
    np.testing.assert_array_equal(
        decode(framed(*map(dense, table)), "application/x-recordio-protobuf", plain(3)), table
    )


@pytest.mark.parametrize("kind", ["float32tensor", "int32tensor"])
def test_other_tensors_are_read(kind):
    assert [row.tolist() for row in recordio.decode(framed(dense([1, -2, 300], kind)))] == [
        [1, -2, 300]
    ]


def test_sparse_rows_have_zeros_between_their_keys():
    record = dense([1.5, 2.5])
    record.features["values"].float64tensor.keys.extend([0, 3])
    record.features["values"].float64tensor.shape.append(5)

    assert [row.tolist() for row in recordio.decode(framed(record))] == [[1.5, 0, 0, 2.5, 0]]


def test_a_sparse_row_of_zeros_alone_has_its_width():
    record = dense([])
    record.features["values"].float64tensor.shape.append(3)

    assert [row.tolist() for row in recordio.decode(framed(record))] == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"no record", "there is no record at byte 0"),
        (framed(dense([1, 2]))[:-4], "the record at byte 8 is cut off"),
        (framed(Record(uid="x")), 'a record has no features["values"] of numbers'),
        (
            framed(dense([1])),
            "row 1 of the request has 1 columns and the model was trained on 2",
        ),
    ],
)
def test_what_is_no_row_is_refused(body, sentence):
    with pytest.raises(UserError) as refused:
        decode(body, "application/x-recordio-protobuf", plain(2))

    assert sentence in str(refused.value)


def test_a_sparse_row_of_any_width_is_refused_without_memory():
    record = dense([1.5])
    record.features["values"].float64tensor.keys.append(0)
    record.features["values"].float64tensor.shape.append(2**60)

    with pytest.raises(ValueError, match="a record's keys do not fit"):
        list(recordio.decode(framed(record)))


@given(st.binary(max_size=100))
def test_no_message_is_a_surprise(content):
    try:
        assert all(
            row.ndim == 1
            for row in recordio.decode(
                struct.pack("<II", 0xCED7230A, len(content)) + content + b"\0" * 3
            )
        )
    except ValueError as error:
        sentence = str(error)
        assert "\n" not in sentence
