"""What do the bodies of a request and of its answer look like?

They are worked on in small pieces of Python. One call into C for a body of 25 MB would keep the interpreter's lock for half
a second, and with it everything else that the process should answer.
"""

import array
import codecs
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.errors import UserError

Array = NDArray[np.float64]

# Characters that are parsed at once, which keeps the lock for 2 ms. Four times as many gain nothing.
BLOCK = 1 << 16
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
        Takes the outputs by name, each of shape (m,), and returns the body.
    """

    media_type: str
    encode: Callable[[Mapping[str, Array]], bytes]


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
        raise NotAcceptableError(f"Accept is {_shown(accept)}, and the answers here are {' or '.join(ENCODERS)}")
    return Encoder(best, ENCODERS[best])


def decode(body: bytes, content_type: str | None, columns: int) -> Array:
    """Read the rows of a request.

    Parameters
    ----------
    body : bytes
        UTF-8: numbers in CSV without a header line, or JSON as ``{"instances": [[…], …]}`` or
        ``{"instances": [{"features": […]}, …]}``.
    content_type : str or None
        ``text/csv`` or ``application/json``. Parameters (``charset=utf-8``, ``label_size=0``) are not read.
    columns : int
        How many numbers a row has.

    Returns
    -------
    ndarray of shape (m, columns)
        At least one row of finite numbers.

    Raises
    ------
    UnsupportedMediaTypeError
        If the type is another one.
    UserError
        If the body isn't that. The message names the first row and column that is wrong, counted from 1.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type not in DECODERS:
        said = f"Content-Type is {_shown(content_type)}" if content_type else "the request has no Content-Type"
        raise UnsupportedMediaTypeError(f"{said}; send {' or '.join(DECODERS)}")
    rows = DECODERS[media_type](body.removeprefix(codecs.BOM_UTF8), columns)
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise _not_a_number(row + 1, column + 1, str(rows[row, column]))
    return rows


def _decode_csv(body: bytes, columns: int) -> Array:
    parts: list[Array] = []
    seen = 0
    for block in _blocks(body.rstrip()):
        # A byte that is no UTF-8 is no number either: it is shown with the row and the column that it spoils.
        lines = block.decode(errors="replace").replace("\r\n", "\n").split("\n")
        part = _numbers(lines, columns)
        if part is None:
            raise _fault(lines, columns, seen + 1)
        parts.append(part)
        seen += len(lines)
    return np.concatenate(parts)


def _blocks(body: bytes) -> Iterator[bytes]:
    """Cut a body at ends of lines."""
    start = 0
    while start <= len(body):
        end = body.find(b"\n", start + BLOCK)
        end = len(body) if end < 0 else end
        yield body[start:end]
        start = end + 1


def _numbers(lines: list[str], columns: int) -> Array | None:
    """Numbers of some lines; None if they are not `columns` numbers each."""
    if "" in lines:  # `loadtxt` would leave the line out, and the answer would be a line short
        return None
    try:
        numbers = np.loadtxt(lines, np.float64, comments=None, delimiter=",", quotechar='"', ndmin=2)
    except ValueError:
        return None
    return numbers if numbers.shape == (len(lines), columns) else None


def _fault(lines: list[str], columns: int, first: int) -> UserError:
    """Say what is wrong with the first wrong one of some lines, the first of which is row `first`."""
    row, line = next((row, line) for row, line in enumerate(lines, first) if _numbers([line], columns) is None)
    if not line.strip():
        return UserError(f"row {row} of the request is empty; send {columns} numbers in every line")
    cells = line.split(",")
    if len(cells) != columns:
        return _wrong_width(row, len(cells), columns)
    for column, cell in enumerate(cells, 1):
        if _numbers([cell], 1) is None:
            return _not_a_number(row, column, _shown(cell), ", and no header line" if row == 1 else "")
    return UserError(f"row {row} of the request is {_shown(line)}; send numbers with commas between them")


def _decode_json(body: bytes, columns: int) -> Array:
    numbers = array.array("d")
    try:
        for row, instance in enumerate(_instances(body.decode()), 1):
            numbers.extend(_checked(instance, row, columns))
    except (ValueError, RecursionError) as error:
        raise UserError(f'the request does not read as {{"instances": [[1.5, 2.0], …]}}: {error}') from error
    if not numbers:
        raise UserError('the request has no "instances"; send {"instances": [[1.5, 2.0], …]}')
    return np.frombuffer(numbers).reshape(-1, columns)


def _instances(text: str) -> Iterator[object]:
    """Read the instances one by one, and whatever else is in the request.

    All at once they would be a million lists, which take ten times the memory of the text, and which the garbage collector
    goes through with the lock in its hand.
    """
    decode = json.JSONDecoder(parse_int=float).raw_decode
    sign, at = _sign("{", text, 0)
    while sign != "}":
        key, at = decode(text, at)
        _, at = _sign(":", text, at)
        if key == "instances":
            sign, at = _sign("[", text, at)
            if text.startswith("]", at):
                sign, at = _sign("]", text, at)
            while sign != "]":
                instance, at = decode(text, at)
                yield instance
                sign, at = _sign(",]", text, at)
        else:
            _, at = decode(text, at)
        sign, at = _sign(",}", text, at)
    if at < len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _sign(signs: str, text: str, at: int) -> tuple[str, int]:
    """Read one of some signs, and the space around it; return it, and where the text goes on."""
    found = SIGN.match(text, at)
    if not found or found[1] not in signs:
        raise json.JSONDecodeError(f"Expecting {' or '.join(signs)}", text, at)
    return found[1], found.end()


def _checked(instance: object, row: int, columns: int) -> list[float]:
    """Numbers of one instance."""
    cells = instance.get("features") if isinstance(instance, dict) else instance
    if not isinstance(cells, list):
        raise UserError(f'row {row} of the request is {_shown(instance)}; send [1.5, 2.0] or {{"features": [1.5, 2.0]}}')
    if len(cells) != columns:
        raise _wrong_width(row, len(cells), columns)
    for column, cell in enumerate(cells, 1):
        if type(cell) is not float:
            raise _not_a_number(row, column, _shown(cell))
    return cells


def _not_a_number(row: int, column: int, shown: str, hint: str = "") -> UserError:
    return UserError(f"row {row}, column {column} of the request is {shown}, not a finite number; send numbers only{hint}")


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
        raise NotAcceptableError(f"Accept has the weight q={_shown(text)}; write a number from 0 to 1") from None


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    """Weight of a media type: of the most specific range that names it, or 0."""
    names = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((ranges[name] for name in names if name in ranges), 0.0)


def _encode_csv(outputs: Mapping[str, Array]) -> bytes:
    body = io.BytesIO()
    body.writelines(_records(",".join("%r" for _ in outputs) + "\n", outputs))
    return body.getvalue()


def _encode_json(outputs: Mapping[str, Array]) -> bytes:
    body = io.BytesIO(b'{"predictions": [')
    body.seek(0, io.SEEK_END)
    body.writelines(_records("{" + ", ".join(f'"{name}": %r' for name in outputs) + "}, ", outputs))
    body.seek(-len(", "), io.SEEK_END)
    body.write(b"]}")
    return body.getvalue()


def _records(pattern: str, outputs: Mapping[str, Array]) -> Iterator[bytes]:
    """Write the outputs of each row; Python's `repr` of a number reads back as the same number."""
    template = pattern.encode()
    return (template % tuple(row.tolist()) for row in np.column_stack(list(outputs.values())))


DECODERS: Mapping[str, Callable[[bytes, int], Array]] = {"text/csv": _decode_csv, "application/json": _decode_json}
# In the order of preference.
ENCODERS: Mapping[str, Callable[[Mapping[str, Array]], bytes]] = {"text/csv": _encode_csv, "application/json": _encode_json}
