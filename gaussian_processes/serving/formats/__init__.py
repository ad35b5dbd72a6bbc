"""What do the bodies of a request and of its answer look like?

They are worked on in small pieces of Python. One call into C for a body of 25 MB would keep the interpreter's lock for half
a second, and with it everything else that the process should answer.
"""

import array
import codecs
import csv
import io
import json
import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.lib.format import read_array
from numpy.typing import NDArray

from gaussian_processes.data.schema import UNKNOWN, Label, Schema, number
from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats import recordio

Array = NDArray[np.float64]
# What one output says of every row: a number, or several, a word, or a list.
Output = Array | Sequence[Label] | Sequence[tuple[Label, ...]]

# Characters that are parsed at once, which keeps the lock for 2 ms. Four times as many gain nothing.
BLOCK = 1 << 16
# Rows of an answer that are written at once: as few, for the same reason.
ROWS = 1_000
# What a core of 2020 takes to read a byte of numbers, which NumPy does, and of everything else, whose cells Python looks at.
QUICK_SECONDS, BYTE_SECONDS = 2e-8, 1e-6
# Characters of a value that a message shows, so that the sentence stays one.
SHOWN = 60
# What JSON has between its values.
SIGN = re.compile(r"\s*([\[\]{}:,])\s*")


class UnsupportedMediaTypeError(UserError):
    """The request's body is of a type that nobody here reads: HTTP 415."""


class NotAcceptableError(UserError):
    """The request accepts no type that is written here: HTTP 406."""


@dataclass(frozen=True)
class Encoder:
    """How an answer is written.

    Parameters
    ----------
    media_type : str
        What the answer calls itself.
    encode : callable
        Takes the outputs by name, each of m rows, and returns the body.
    """

    media_type: str
    encode: Callable[[Mapping[str, Output]], bytes]


@lru_cache
def encoder(accept: str | None) -> Encoder:
    """Choose how to answer a request with this `Accept` header; CSV where it leaves the choice.

    Raises
    ------
    NotAcceptableError
        If the header excludes every type there is.

    Examples
    --------
    >>> encoder("application/json, text/csv;q=0.5").media_type
    'application/json'
    """
    ranges = dict(map(_media_range, (accept or "*/*").split(",")))
    best = max(ENCODERS, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) == 0:
        raise NotAcceptableError(
            f"Accept is {_shown(accept)}, and the answers here are {_either(ENCODERS)}"
        )
    return Encoder(best, ENCODERS[best])


def decode(body: bytes, content_type: str | None, schema: Schema) -> Array:
    """Read the rows of a request.

    Parameters
    ----------
    body : bytes
        In UTF-8, or an array of NPY. Rows are lists in the order of training, or, where training had names, objects, or CSV
        below a line of names, in any order.
    content_type : str or None
        One of `DECODERS`, perhaps with a charset; other parameters (``label_size=0``) are not read.
    schema : Schema
        What a row has to be.

    Returns
    -------
    ndarray of shape (m, c)
        At least one row: numbers, and positions of levels; NaN where a value is missing and may be.

    Raises
    ------
    UnsupportedMediaTypeError
        If the type is another one.
    UserError
        If the body isn't that. The message names the first row and column that is wrong, counted from 1.
    """
    media_type, charset = _media_type_and_charset(content_type)
    if media_type not in DECODERS:
        said = (
            f"Content-Type is {_shown(content_type)}"
            if content_type
            else "the request has no Content-Type"
        )
        raise UnsupportedMediaTypeError(f"{said}; send {_either(DECODERS)}")
    if charset and media_type in TEXTS:
        body = _in_utf8(body, charset)
    rows = DECODERS[media_type](body.removeprefix(codecs.BOM_UTF8), schema)
    wrong = np.isinf(rows) if schema.missing == "mean" else ~np.isfinite(rows)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise _not_a_number(schema, row + 1, column, str(rows[row, column]))
    return rows


def estimated_decode_seconds(body: bytes, content_type: str | None, schema: Schema) -> float:
    """Roughly how long `decode` takes, on a core of 2020."""
    media_type, _ = _media_type_and_charset(content_type)
    # Some kilobytes of Parquet can unfold to a million rows.
    if media_type == "application/x-parquet":
        return math.inf
    quick = schema.plain and media_type in {"text/csv", "application/x-npy"}
    return len(body) * (QUICK_SECONDS if quick else BYTE_SECONDS)


@lru_cache
def _media_type_and_charset(content_type: str | None) -> tuple[str, str]:
    """What a header says; an empty charset if it says none."""
    media_type, *parameters = (part.strip().lower() for part in (content_type or "").split(";"))
    charsets = [
        parameter.removeprefix("charset=")
        for parameter in parameters
        if parameter.startswith("charset=")
    ]
    return media_type, charsets[-1].strip("\"' ") if charsets else ""


def _in_utf8(body: bytes, charset: str) -> bytes:
    """Text of a body in another charset."""
    try:
        return body if codecs.lookup(charset).name == "utf-8" else body.decode(charset).encode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"the request is not in {charset}, as its Content-Type says ({error}); send it in UTF-8"
        ) from error
    except (LookupError, ValueError) as error:
        raise UnsupportedMediaTypeError(
            f"Content-Type has the charset {_shown(charset)}; send UTF-8"
        ) from error


def _either(names: Mapping[str, object]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"


@dataclass(frozen=True)
class _Layout:
    """Which features the cells of a row are: feature i is cell `order[i]` of `width`."""

    schema: Schema
    order: Sequence[int]
    width: int

    @property
    def in_order(self) -> bool:
        """Whether the cells are the features, one by one."""
        return list(self.order) == list(range(self.width))

    def cells(self, cells: Sequence[object], row: int) -> list[float]:
        """Numbers of one row's cells."""
        if len(cells) != self.width:
            raise _wrong_width(row, len(cells), self.width)
        return [
            _number(self.schema, row, index, cells[position])
            for index, position in enumerate(self.order)
        ]


def _in_order(schema: Schema) -> _Layout:
    """Layout of rows without names."""
    return _Layout(schema, range(len(schema.features)), len(schema.features))


def _number(schema: Schema, row: int, index: int, cell: object) -> float:
    """Number that stands for one cell."""
    column = schema.features[index]
    if type(cell) is float and column.levels is None:
        return cell  # looked at again when all are there
    if column.levels is not None and isinstance(cell, float | str | bool):
        code = column.code(str(cell) if isinstance(cell, bool) else cell)
        if code == UNKNOWN and schema.handle_unknown == "error":
            levels = ", ".join(column.levels)[:200]
            raise UserError(
                f"row {row}, {schema.describe(index)} of the request is {_shown(cell)}; send one of {levels}"
            )
        if not math.isnan(code):
            return code
        cell = None
    if cell is None and schema.missing == "mean":
        return math.nan
    raise _not_a_number(schema, row, index, _shown(cell))


def _decode_csv(body: bytes, schema: Schema) -> Array:
    parts: list[Array] = []
    seen, layout = 0, _in_order(schema)
    for index, block in enumerate(_blocks(body.rstrip())):
        # A byte that is no UTF-8 is no number either: it is shown with the row and the column that it spoils.
        lines = block.decode(errors="replace").replace("\r\n", "\n").split("\n")
        if index == 0 and (names := _names(lines[0], schema)):
            layout, lines = _Layout(schema, schema.order(names), len(names)), lines[1:]
        if lines:
            parts.append(_csv_rows(lines, layout, seen + 1))
        seen += len(lines)
    if not seen:
        raise UserError("the request has a line of names and no rows; send a row at least")
    return np.concatenate(parts)


def _blocks(body: bytes) -> Iterator[bytes]:
    """Cut a body at ends of lines."""
    start = 0
    while start <= len(body):
        end = body.find(b"\n", start + BLOCK)
        end = len(body) if end < 0 else end
        yield body[start:end]
        start = end + 1


def _names(line: str, schema: Schema) -> list[str]:
    """Names of the columns, if a first line holds any of them."""
    if not schema.named:
        return []
    cells = [cell.strip() for cell in _split(line)]
    known = {
        column.name.lower() for column in schema.features
    }  # in another case they are no row, and will be refused as names
    return (
        cells
        if known.intersection(map(str.lower, cells))
        and not all(number(cell) is not None for cell in cells)
        else []
    )


def _csv_rows(lines: list[str], layout: _Layout, first: int) -> Array:
    """Rows of some lines, the first of which is row `first`."""
    if not any(layout.schema.levels):
        numbers = _numbers(lines, layout.width)
        if numbers is not None:
            return numbers if layout.in_order else numbers[:, layout.order]
    if layout.schema.plain and layout.in_order:
        raise _fault(lines, layout.schema, first)
    rows = []
    for row, line in enumerate(lines, first):
        if not line.strip() and layout.width > 1:
            raise _empty(row, layout.width)
        rows.append(layout.cells([_typed(cell) for cell in _split(line)], row))
    return np.array(rows)


def _typed(cell: str) -> float | str | None:
    """What a cell of CSV would be in JSON."""
    value = number(cell)
    return cell if value is None else None if math.isnan(value) else value


def _split(line: str) -> list[str]:
    """Cells of a line."""
    try:
        return next(csv.reader([line], skipinitialspace=True), None) or [""]
    except csv.Error as error:  # a cell that is too long for it
        raise UserError(
            f"a line of the request is no CSV ({error}); send cells of a few characters"
        ) from error


def _numbers(lines: list[str], columns: int) -> Array | None:
    """Numbers of some lines; None if they are not `columns` numbers each."""
    if "" in lines:  # `loadtxt` would leave the line out, and the answer would be a line short
        return None
    try:
        numbers = np.loadtxt(
            lines, np.float64, comments=None, delimiter=",", quotechar='"', ndmin=2
        )
    except ValueError:
        return None
    return numbers if numbers.shape == (len(lines), columns) else None


def _fault(lines: list[str], schema: Schema, first: int) -> UserError:
    """Say what is wrong with the first wrong one of some lines of numbers, the first of which is row `first`."""
    columns = len(schema.features)
    wrong = [
        (row, line) for row, line in enumerate(lines, first) if _numbers([line], columns) is None
    ]
    if not wrong:
        return UserError(
            f"a quote that begins in row {first} of the request, or below, is not closed; send numbers without quotes"
        )
    row, line = wrong[0]
    if not line.strip():
        return _empty(row, columns)
    cells = line.split(",")
    if len(cells) != columns:
        return _wrong_width(row, len(cells), columns)
    for index, cell in enumerate(cells):
        if _numbers([cell], 1) is None:
            hint = ", and no header line" if row == 1 and not schema.named else ""
            return _not_a_number(schema, row, index, _shown(cell), hint)
    return UserError(
        f"row {row} of the request is {_shown(line)}; send numbers with commas between them"
    )


def _decode_json(body: bytes, schema: Schema) -> Array:
    form = '{"instances": [[1.5, 2.0], …]}'
    try:
        rows = _rows(_instances(body.decode()), schema)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the request does not read as {form}: {error}") from error
    if not len(rows):
        raise UserError(f'the request has no "instances"; send {form}')
    return rows


def _decode_json_lines(body: bytes, schema: Schema) -> Array:
    return _rows(_read_lines(body), schema)


def _read_lines(body: bytes) -> Iterator[object]:
    decode = json.JSONDecoder(parse_int=float).decode
    for row, line in enumerate(body.rstrip().split(b"\n"), 1):
        try:
            yield decode(line.decode())
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"row {row} of the request does not read as [1.5, 2.0] or an object: {error}"
            ) from error


def _decode_npy(body: bytes, schema: Schema) -> Array:
    try:
        rows = read_array(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise UserError(
            f"the request is no array ({error}); write it with numpy.save, without objects"
        ) from error
    if rows.ndim != 2 or rows.dtype.kind not in "iufb" or not len(rows):
        raise UserError(
            f"the request is an array of {rows.dtype} and shape {rows.shape}; send numbers, a row for every row to predict"
        )
    if rows.shape[1] != len(schema.features):
        raise _wrong_width(1, rows.shape[1], len(schema.features))
    if schema.plain or rows.dtype.kind != "b":
        rows = rows.astype(np.float64)
    return rows if schema.plain else _rows(rows.tolist(), schema)


def _decode_recordio(body: bytes, schema: Schema) -> Array:
    try:
        return _rows((row.tolist() for row in recordio.rows(body)), schema)
    except ValueError as error:
        raise UserError(
            f"the request does not read as RecordIO with Protocol Buffers: {error}"
        ) from error


def _decode_parquet(body: bytes, schema: Schema) -> Array:
    from gaussian_processes.data import readers  # noqa: PLC0415  it loads pandas, which starting does not wait for

    names, columns = readers.parquet(body, "the request")
    layout = _Layout(schema, schema.order(names), len(names)) if schema.named else _in_order(schema)
    cells = (list(row) for row in zip(*(column.tolist() for column in columns), strict=True))
    rows = [
        layout.cells([None if cell != cell else cell for cell in row], number)  # noqa: PLR0124
        for number, row in enumerate(cells, 1)
    ]
    if not rows:
        raise UserError("the request has no rows; send one at least")
    return np.array(rows)


def _rows(instances: Iterator[object] | Sequence[object], schema: Schema) -> Array:
    """Rows of instances: lists, or objects, one by one."""
    numbers = array.array("d")
    positional = _in_order(schema)
    layouts: dict[tuple[str, ...], _Layout] = {}
    for row, instance in enumerate(instances, 1):
        layout, cells = positional, instance
        if isinstance(instance, dict):
            cells = instance.get("features")
            if not isinstance(cells, list) and schema.named:
                names = tuple(instance)
                layout = layouts.get(names) or layouts.setdefault(
                    names, _Layout(schema, schema.order(names), len(names))
                )
                cells = list(instance.values())
        if not isinstance(cells, list):
            raise UserError(
                f'row {row} of the request is {_shown(instance)}; send [1.5, 2.0] or {{"features": [1.5, 2.0]}}'
            )
        numbers.extend(layout.cells(cells, row))
    return np.frombuffer(numbers).reshape(-1, len(schema.features))


def _instances(text: str) -> Iterator[object]:
    """Read the instances one by one, and whatever else is in the request; a list alone is the list of the instances.

    All at once they would be a million lists, which take ten times the memory of the text, and which the garbage collector
    goes through with the lock in its hand.
    """
    decode = json.JSONDecoder(parse_int=float).raw_decode
    sign, at = _sign("{[", text, 0)
    if sign == "[":
        at = yield from _items(text, at, decode)
        sign = "}"
    while sign != "}":
        if text.startswith("}", at):
            _, at = _sign("}", text, at)
            break
        key, at = decode(text, at)
        _, at = _sign(":", text, at)
        if key == "instances":
            _, at = _sign("[", text, at)
            at = yield from _items(text, at, decode)
        else:
            _, at = decode(text, at)
        sign, at = _sign(",}", text, at)
    if at < len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _items(
    text: str, at: int, decode: Callable[[str, int], tuple[object, int]]
) -> Generator[object, None, int]:
    """Read the items of a list whose bracket has been read; return where the text goes on."""
    sign = ","
    if text.startswith("]", at):
        sign, at = _sign("]", text, at)
    while sign != "]":
        instance, at = decode(text, at)
        yield instance
        sign, at = _sign(",]", text, at)
    return at


def _sign(signs: str, text: str, at: int) -> tuple[str, int]:
    """Read one of some signs, and the space around it; return it, and where the text goes on."""
    found = SIGN.match(text, at)
    if not found or found[1] not in signs:
        raise json.JSONDecodeError(f"Expecting {' or '.join(signs)}", text, at)
    return found[1], found.end()


def _not_a_number(schema: Schema, row: int, index: int, shown: str, hint: str = "") -> UserError:
    column = schema.describe(index)
    if schema.features[index].levels is not None:
        return UserError(
            f"row {row}, {column} of the request is {shown}, not a level of a category; send a word"
        )
    return UserError(
        f"row {row}, {column} of the request is {shown}, not a finite number; send numbers only{hint}"
    )


def _empty(row: int, columns: int) -> UserError:
    return UserError(f"row {row} of the request is empty; send {columns} numbers in every line")


def _wrong_width(row: int, width: int, columns: int) -> UserError:
    return UserError(
        f"row {row} of the request is {width} wide and the model was trained on {columns} columns; "
        "send exactly those, without the target"
    )


def _shown(value: object) -> str:
    """Write a value as JSON does, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _media_range(text: str) -> tuple[str, float]:
    """Media type (or ``text/*``, ``*/*``) and its weight, from one entry of an `Accept` header: RFC 9110, section 12.5.1."""
    media_type, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            return media_type, _weight(value)
    return media_type, 1.0


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise NotAcceptableError(
            f"Accept has the weight q={_shown(text)}; write a number from 0 to 1"
        ) from None


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    """Weight of a media type: of the most specific range that names it, or 0."""
    names = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((ranges[name] for name in names if name in ranges), 0.0)


def _encode_csv(outputs: Mapping[str, Output]) -> bytes:
    """One line a row; an output of several numbers has as many cells, and a list of labels is one cell of JSON."""
    return "".join(f"{','.join(cells)}\n" for cells in _cells(outputs, _csv_cells)).encode()


def _encode_json(outputs: Mapping[str, Output]) -> bytes:
    return b'{"predictions": [' + b", ".join(_objects(outputs)) + b"]}"


def _encode_json_lines(outputs: Mapping[str, Output]) -> bytes:
    return b"".join(line + b"\n" for line in _objects(outputs))


def _encode_npy(outputs: Mapping[str, Output]) -> bytes:
    """Array of shape (m, outputs), of text where an output is words."""
    columns = [np.asarray(values).reshape(len(values), -1) for values in outputs.values()]
    body = io.BytesIO()
    np.save(body, np.hstack(columns), allow_pickle=False)
    return body.getvalue()


def _objects(outputs: Mapping[str, Output]) -> Iterator[bytes]:
    # What SageMaker's own algorithms call a prediction is a score.
    pattern = ", ".join(f'"{"score" if name == "mean" else name}": %s' for name in outputs)
    for cells in _cells(outputs, partial(json.dumps, ensure_ascii=False)):
        yield ("{" + pattern % cells + "}").encode()


def _cells(
    outputs: Mapping[str, Output], write: Callable[[object], str]
) -> Iterator[tuple[str, ...]]:
    """Write the outputs of each row, a string each; Python's `repr` of a number reads back as the same number."""
    size = len(next(iter(outputs.values())))
    for start in range(0, size, ROWS):
        parts = [values[start : start + ROWS] for values in outputs.values()]
        lists = [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]
        yield from zip(
            *(map(repr if type(part[0]) is float else write, part) for part in lists), strict=True
        )


def _csv_cells(value: object) -> str:
    """One cell, of JSON for a tuple; for a row of an array as many as it has numbers."""
    if isinstance(value, list):
        return ",".join(map(repr, np.ravel(value).tolist()))
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, tuple) else str(value)
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text


DECODERS: Mapping[str, Callable[[bytes, Schema], Array]] = {
    "text/csv": _decode_csv,
    "application/json": _decode_json,
    "application/jsonlines": _decode_json_lines,
    "application/x-npy": _decode_npy,
    "application/x-recordio-protobuf": _decode_recordio,
    "application/x-parquet": _decode_parquet,
}
TEXTS = {"text/csv", "application/json", "application/jsonlines"}
# In the order of preference.
ENCODERS: Mapping[str, Callable[[Mapping[str, Output]], bytes]] = {
    "text/csv": _encode_csv,
    "application/json": _encode_json,
    "application/jsonlines": _encode_json_lines,
    "application/x-npy": _encode_npy,
}
