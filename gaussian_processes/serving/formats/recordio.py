"""RecordIO with Protocol Buffers: decoder of application/x-recordio-protobuf, SageMaker's format.

Records of RecordIO, each a message `aialgs.data.Record`. Only the fields that make a row are
read, which takes no library and no generated code.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAGIC = 0xCED7230A
# The upper three bits of a length number the parts of a divided record; SageMaker divides none.
LENGTH_BITS = 29
# Field numbers: of a record's map of features, of an entry of the map, and of a tensor.
FEATURES_FIELD, KEY_FIELD, VALUE_FIELD = 1, 1, 2
TENSOR_VALUES_FIELD, TENSOR_KEYS_FIELD, TENSOR_SHAPE_FIELD = 1, 2, 3
# Tensors by their field numbers in a `Value`: float32, float64 and int32.
TENSOR_DTYPES = {2: "<f4", 3: "<f8", 7: "varint"}
# A sparse record of a few bytes may claim any number of columns; nobody has trained on more.
MAX_COLUMNS = 1_000_000
# Wire types of Protocol Buffers.
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
# Field number, wire type and content.
Field = tuple[int, int, bytes]


def decode(body: bytes) -> Iterator[Array]:
    """Yield the values of every record, in their order.

    Raises
    ------
    ValueError
        If the body is cut off, or a record has no features under the name ``values``.
    """
    position = 0
    while position < len(body):
        if len(body) - position < 8 or struct.unpack_from("<I", body, position)[0] != MAGIC:
            raise ValueError(f"there is no record at byte {position}")
        length = struct.unpack_from("<I", body, position + 4)[0] & ((1 << LENGTH_BITS) - 1)
        position += 8
        if position + length > len(body):
            raise ValueError(f"the record at byte {position} is cut off")
        yield _decode_record(body[position : position + length])
        position += -(-length // 4) * 4  # records begin at multiples of four


def most_records(body: bytes) -> int:
    """Count the records of a body, at most, by their first bytes."""
    return body.count(struct.pack("<I", MAGIC))


def _decode_record(record: bytes) -> Array:
    """Values of a record, with the zeros of a sparse one."""
    for number, _, entry in _fields(record):
        if number != FEATURES_FIELD:
            continue
        parts = {part: content for part, _, content in _fields(entry)}
        if parts.get(KEY_FIELD) != b"values":
            continue
        for tensor_type, _, tensor in _fields(parts.get(VALUE_FIELD, b"")):
            if tensor_type in TENSOR_DTYPES:
                return _decode_tensor(list(_fields(tensor)), TENSOR_DTYPES[tensor_type])
    raise ValueError('a record has no features["values"] of numbers')


def _decode_tensor(tensor: list[Field], dtype: str) -> Array:
    """Values of a dense tensor, or of a sparse one with keys and a shape."""
    parts = [
        _decode_values(content, dtype)
        for number, _, content in tensor
        if number == TENSOR_VALUES_FIELD
    ]
    values = np.concatenate(parts or [np.empty(0)])
    keys = _integers(tensor, TENSOR_KEYS_FIELD)
    shape = _integers(tensor, TENSOR_SHAPE_FIELD)
    if not keys and (len(values) or not shape):
        return values
    check_sparse(len(values), keys, shape)
    dense = np.zeros(shape[-1])
    dense[keys] = values
    return dense


def check_sparse(value_count: int, keys: Sequence[int], shape: Sequence[int]) -> None:
    """Raise a ValueError unless keys are a column each of a shape, and as many as values."""
    fits = len(keys) == len(set(keys)) == value_count and bool(shape)
    if not fits or max(keys, default=-1) >= shape[-1] or shape[-1] > MAX_COLUMNS:
        raise ValueError("a record's keys do not fit its values and shape")


def _integers(tensor: list[Field], field: int) -> list[int]:
    """Integers of all packed fields of a number."""
    contents = [content for number, _, content in tensor if number == field]
    return [value for content in contents for value in _varints(content)]


def _decode_values(content: bytes, dtype: str) -> Array:
    if dtype == "varint":
        # A negative int32 is written with its sign extended to 64 bits.
        signed = [value - (1 << 64) if value >> 63 else value for value in _varints(content)]
        return np.array(signed, np.float64)
    return np.frombuffer(content, dtype).astype(np.float64)


def _fields(message: bytes) -> Iterator[Field]:
    """Yield number, wire type and content of every field of a message."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == LENGTH_DELIMITED:
            length, position = _varint(message, position)
            start, position = position, position + length
        elif wire_type == VARINT:
            start, position = position, _varint(message, position)[1]
        elif wire_type in {FIXED64, FIXED32}:
            start, position = position, position + (8 if wire_type == FIXED64 else 4)
        else:
            raise ValueError(f"a field has the wire type {wire_type}")
        if position > len(message):
            raise ValueError("a field is cut off")
        yield number, wire_type, message[start:position]


def _varints(content: bytes) -> Iterator[int]:
    position = 0
    while position < len(content):
        value, position = _varint(content, position)
        yield value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Integer of seven bits a byte, the lowest first; and the position behind it."""
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("a number is cut off")
        value |= (message[position] & 127) << shift
        position += 1
        if not message[position - 1] & 128:
            return value, position
        shift += 7
