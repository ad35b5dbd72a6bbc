"""Encoders of responses: the outputs of every row as CSV, JSON, JSON Lines or NPY.

They write a thousand rows at a time. One call into C for the whole of a large response would hold
the global interpreter lock for half a second, and with it every other request of the worker.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.cells import Label

Array = NDArray[np.float64]
# One output of every row: a number, several numbers, a class, or a list of classes or numbers.
Output = Array | Sequence[Label] | Sequence[tuple[Label, ...]]

# Rows that are written at once, which holds the interpreter's lock for 2 ms. More gain nothing.
BLOCK_ROWS = 1_000


@dataclass(frozen=True)
class Encoder:
    """The encoder of a media type.

    Parameters
    ----------
    media_type : str
        `Content-Type` of the response.
    encode : callable
        Takes the outputs by name, each of m rows, and returns the body.
    """

    media_type: str
    encode: Callable[[Mapping[str, Output]], bytes]


def _encode_csv(outputs: Mapping[str, Output]) -> bytes:
    """Encode a line a row: a cell for each number, and one of JSON for a list."""
    return "".join(f"{','.join(cells)}\n" for cells in _rows(outputs, _csv_cells)).encode()


def _encode_json(outputs: Mapping[str, Output]) -> bytes:
    return b'{"predictions": [' + b", ".join(_json_objects(outputs)) + b"]}"


def _encode_json_lines(outputs: Mapping[str, Output]) -> bytes:
    return b"".join(line + b"\n" for line in _json_objects(outputs))


def _encode_npy(outputs: Mapping[str, Output]) -> bytes:
    """Encode an array of shape (m, outputs), of text where an output is a class."""
    columns = [np.asarray(values).reshape(len(values), -1) for values in outputs.values()]
    body = io.BytesIO()
    np.save(body, np.hstack(columns), allow_pickle=False)
    return body.getvalue()


def _json_objects(outputs: Mapping[str, Output]) -> Iterator[bytes]:
    # SageMaker's own algorithms name a prediction "score".
    pattern = ", ".join(f'"{"score" if name == "mean" else name}": %s' for name in outputs)
    for values in _rows(outputs, partial(json.dumps, ensure_ascii=False)):
        yield ("{" + pattern % values + "}").encode()


def _rows(
    outputs: Mapping[str, Output], write: Callable[[object], str]
) -> Iterator[tuple[str, ...]]:
    """Yield the outputs of each row as text; `repr` of a float reads back as the same float."""
    size = len(next(iter(outputs.values())))
    for start in range(0, size, BLOCK_ROWS):
        columns = []
        for values in outputs.values():
            block = values[start : start + BLOCK_ROWS]
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
ENCODERS: Mapping[str, Callable[[Mapping[str, Output]], bytes]] = {
    "text/csv": _encode_csv,
    "application/json": _encode_json,
    "application/jsonlines": _encode_json_lines,
    "application/x-npy": _encode_npy,
}
