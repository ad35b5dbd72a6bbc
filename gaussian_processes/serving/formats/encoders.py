"""Encoders of responses: the outputs of every row as CSV, JSON, JSON Lines or NPY.

They write a thousand rows at a time. One call into C for the whole of a large response would hold
the global interpreter lock for half a second, and with it every other request of the worker.
"""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.cells import Label

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StructuredOutput:
    """An output that is an object, or a list of objects, in JSON, and numbers elsewhere.

    Parameters
    ----------
    numbers : ndarray of shape (m, ...)
    objects : sequence
        As JSON can hold them, one a row.
    """

    numbers: Array
    objects: Sequence[object]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.objects)

    def __iter__(self) -> Iterator[object]:
        """Return the objects, row by row."""
        return iter(self.objects)


# One output of every row: a number, several numbers, a class, a list of classes or numbers, or
# what has names.
Output = Array | Sequence[Label] | Sequence[tuple[Label, ...]] | StructuredOutput

# Outputs of a block of rows, by name, each of as many rows.
Block = Mapping[str, Output]

# Rows that are written at once, which holds the interpreter's lock for 2 ms. More gain nothing.
WRITTEN_BLOCK_ROWS = 1_000


@dataclass(frozen=True)
class Encoder:
    """The encoder of a media type.

    Parameters
    ----------
    media_type : str
        `Content-Type` of the response.
    encode_blocks : callable
        Takes the outputs of successive blocks of rows, and returns the body.
    """

    media_type: str
    encode_blocks: Callable[[Iterable[Block]], bytes]

    def encode(self, outputs: Block) -> bytes:
        """Encode the outputs of all rows at once."""
        return self.encode_blocks([outputs])


def _encode_csv(blocks: Iterable[Block]) -> bytes:
    """Encode a line a row: a cell for each number, and one of JSON for a list."""
    return b"".join(
        "".join(f"{','.join(cells)}\n" for cells in _rows(_numbers(block), _csv_cells)).encode()
        for block in blocks
    )


def _encode_json(blocks: Iterable[Block]) -> bytes:
    objects = b", ".join(b", ".join(_json_objects(block)) for block in blocks)
    return b'{"predictions": [' + objects + b"]}"


def _encode_json_lines(blocks: Iterable[Block]) -> bytes:
    return b"".join(b"".join(line + b"\n" for line in _json_objects(block)) for block in blocks)


def _encode_npy(blocks: Iterable[Block]) -> bytes:
    """Encode an array of shape (m, outputs), of text where an output is a class."""
    body = io.BytesIO()
    np.save(body, np.concatenate([_npy_block(block) for block in blocks]), allow_pickle=False)
    return body.getvalue()


def _npy_block(block: Block) -> Any:
    columns = [np.asarray(values).reshape(len(values), -1) for values in _numbers(block).values()]
    return np.hstack(columns)


def _json_objects(outputs: Block) -> Iterator[bytes]:
    # SageMaker's own algorithms name a prediction "score".
    pattern = ", ".join(f'"{"score" if name == "mean" else name}": %s' for name in outputs)
    objects = {
        name: values.objects if isinstance(values, StructuredOutput) else values
        for name, values in outputs.items()
    }
    for values in _rows(objects, partial(json.dumps, ensure_ascii=False)):
        yield ("{" + pattern % values + "}").encode()


def _numbers(block: Block) -> Mapping[str, Any]:
    """Return outputs as numbers where they have names too."""
    return {
        name: values.numbers if isinstance(values, StructuredOutput) else values
        for name, values in block.items()
    }


def _rows(outputs: Mapping[str, Any], write: Callable[[object], str]) -> Iterator[tuple[str, ...]]:
    """Yield the outputs of each row as text; `repr` of a float reads back as the same float."""
    size = len(next(iter(outputs.values())))
    for start in range(0, size, WRITTEN_BLOCK_ROWS):
        columns = []
        for values in outputs.values():
            block = values[start : start + WRITTEN_BLOCK_ROWS]
            cells = block.tolist() if isinstance(block, np.ndarray) else block
            columns.append(map(repr if type(cells[0]) is float else write, cells))
        yield from zip(*columns, strict=True)


def _csv_cells(value: object) -> str:
    """Cells of one output: one of JSON for a tuple; for an array's row as many as its numbers."""
    if isinstance(value, list):
        return ",".join(map(repr, np.ravel(value).tolist()))
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else str(value)
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text


# Other names that media types go by.
ALIASES: Mapping[str, str] = {
    "application/x-ndjson": "application/jsonlines",
    "application/ndjson": "application/jsonlines",
    "application/jsonl": "application/jsonlines",
}
# In the order of preference.
ENCODERS: Mapping[str, Callable[[Iterable[Block]], bytes]] = {
    "text/csv": _encode_csv,
    "application/json": _encode_json,
    "application/jsonlines": _encode_json_lines,
    "application/x-npy": _encode_npy,
}
