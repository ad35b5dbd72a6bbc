"""What rows does a body of application/x-recordio-protobuf hold?

SageMaker's own format: records of RecordIO, each a message `aialgs.data.Record` of Protocol Buffers. Only what rows need of it
is read, so it takes no library and no generated code.
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAGIC = 0xCED7230A
# The upper three bits of a length tell parts of a record that is cut; SageMaker cuts none.
LENGTH_BITS = 29
# Numbers of fields: of a record's map of features, of a map's entry, and of a tensor; and the types of tensors by theirs.
FEATURES, KEY, VALUE = 1, 1, 2
VALUES, KEYS, SHAPE = 1, 2, 3
TENSORS = {2: "<f4", 3: "<f8", 7: "varint"}
# A sparse record of a few bytes may claim any number of columns; nobody has trained on more.
MOST_COLUMNS = 1_000_000
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
Field = tuple[int, int, bytes]


def rows(body: bytes) -> Iterator[Array]:
    """Values of every record, in their order.

    Raises
    ------
    ValueError
        If the body is cut off, or a record has no features under the name ``values``.
    """
    at = 0
    while at < len(body):
        if len(body) - at < 8 or struct.unpack_from("<I", body, at)[0] != MAGIC:
            raise ValueError(f"there is no record at byte {at}")
        length = struct.unpack_from("<I", body, at + 4)[0] & ((1 << LENGTH_BITS) - 1)
        at += 8
        if at + length > len(body):
            raise ValueError(f"the record at byte {at} is cut off")
        yield _values(body[at : at + length])
        at += -(-length // 4) * 4  # records begin at multiples of four


def _values(record: bytes) -> Array:
    """Values of a record, zeros among them where it is sparse."""
    for number, _, entry in _fields(record):
        parts = {part: content for part, _, content in _fields(entry)} if number == FEATURES else {}
        if parts.get(KEY) == b"values":
            for kind, _, tensor in _fields(parts.get(VALUE, b"")):
                if kind in TENSORS:
                    return _dense(list(_fields(tensor)), TENSORS[kind])
    raise ValueError('a record has no features["values"] of numbers')


def _dense(tensor: list[Field], kind: str) -> Array:
    values = np.concatenate(
        [_numbers(content, kind) for number, _, content in tensor if number == VALUES]
        or [np.empty(0)]
    )
    keys = [key for number, _, content in tensor if number == KEYS for key in _varints(content)]
    shape = [size for number, _, content in tensor if number == SHAPE for size in _varints(content)]
    if not keys and (len(values) or not shape):
        return values
    if (
        len(keys) != len(values)
        or not shape
        or max(keys, default=-1) >= shape[-1]
        or shape[-1] > MOST_COLUMNS
    ):
        raise ValueError("a record's keys do not fit its values and shape")
    dense = np.zeros(shape[-1])
    dense[keys] = values
    return dense


def _numbers(content: bytes, kind: str) -> Array:
    if kind == "varint":
        # A negative number of 32 bits is written with the sign in all 64.
        signed = [value - (1 << 64) if value >> 63 else value for value in _varints(content)]
        return np.array(signed, np.float64)
    return np.frombuffer(content, kind).astype(np.float64)


def _fields(message: bytes) -> Iterator[Field]:
    """Number, wire type and content of every field of a message; of a number its own bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == BYTES:
            length, at = _varint(message, at)
            start, at = at, at + length
        elif wire == VARINT:
            start, at = at, _varint(message, at)[1]
        elif wire in {EIGHT_BYTES, FOUR_BYTES}:
            start, at = at, at + (8 if wire == EIGHT_BYTES else 4)
        else:
            raise ValueError(f"a field has the wire type {wire}")
        if at > len(message):
            raise ValueError("a field is cut off")
        yield number, wire, message[start:at]


def _varints(content: bytes) -> Iterator[int]:
    at = 0
    while at < len(content):
        value, at = _varint(content, at)
        yield value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Whole number of seven bits a byte, the lowest first; and where the message goes on."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number is cut off")
        value |= (message[at] & 127) << shift
        at += 1
        if not message[at - 1] & 128:
            return value, at
        shift += 7
