"""Decoders of requests: rows of numbers from CSV, JSON, JSON Lines, NPY, RecordIO and Parquet.

They work through a body in small pieces of Python. One call into C for a body of 25 MB would hold
the global interpreter lock for half a second, and with it every other request of the worker.
"""

import array
import codecs
import csv
import importlib.util
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes import npy
from gaussian_processes.data import parquet_size
from gaussian_processes.data.cells import (
    dates_as_text,
    first_true,
    has_inexact_integers,
    is_missing,
    name_columns,
    parse_integer,
    parse_number,
    unique_names,
)
from gaussian_processes.data.dates import DATE_EXAMPLE, parse_date
from gaussian_processes.data.schema import UNKNOWN_CATEGORY, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats import recordio
from gaussian_processes.serving.formats.negotiation import (
    UnsupportedMediaTypeError,
    alternatives,
    csv_header,
    parse_content_type,
    quoted,
)

Array = NDArray[np.float64]

# Characters that are parsed at once, which holds the interpreter's lock for 2 ms. Four times as
# many gain nothing.
BLOCK_CHARACTERS = 1 << 16
# Rows of an array that are Python's objects at once.
OBJECT_BLOCK_ROWS = 1_000
# Seconds that a core of 2020 takes to decode a byte: with NumPy, and cell by cell with Python.
NUMPY_SECONDS_PER_BYTE, PYTHON_SECONDS_PER_BYTE = 2e-8, 1e-6
# Bytes that a number of a row takes while rows are decoded: three copies.
NUMBER_BYTES = 24
# Copies of a body while it is decoded: itself, of CSV with other ends of lines, of JSON its text
# and of JSON Lines also its lines. Text outside of ASCII takes up to four bytes a character.
BODY_COPIES: Mapping[str, int] = {"text/csv": 3, "application/jsonlines": 3}
PARQUET_COPIES = 8
# Characters of a value of JSON, such as a row: these, and more for each feature, whose name may be
# as long. While it is read a character takes 45 bytes at most: `[[]],` and `"a":1,` are objects.
VALUE_CHARACTERS, FEATURE_CHARACTERS, CHARACTER_BYTES = 1 << 18, 1 << 10, 48
# Orders of names that are kept while a body is decoded: writers have one, or leave out a few.
MAX_MAPPINGS = 1_000
# Commas of a long line, in widths of a row, beyond which they are not all within quotes.
MAX_WIDTHS = 100
# The control characters that NumPy takes for white space; training refuses them too.
CONTROL_SEPARATORS = (b"\x1c", b"\x1d", b"\x1e", b"\x1f")
# Encodings of Unicode beside those charsets that write the delimiters as ASCII does: in a body of
# any other, such as EBCDIC, they could not be counted before it is decoded.
UTF = ("utf-8", "utf-16", "utf-32")
DELIMITERS = ',\n\r"[]{}:'
# Those that also write them otherwise, and one for names of hosts, which takes quadratic time.
NO_CHARSETS = ("idna", "raw-unicode-escape", "utf-7")
# The delimiters of JSON, and the white space around them.
DELIMITER = re.compile(r"\s*([\[\]{}:,])\s*")
# Characters before the end of a window where a word or a number of JSON may be cut off.
LONGEST_WORD = 10
JSON_EXAMPLE = '{"instances": [[1.5, 2.0], …]}'


def decode(body: bytes, content_type: str | None, schema: Schema) -> Array:
    """Decode the features of the rows of a request, as `decode_weighted` does."""
    return decode_weighted(body, content_type, schema)[0]


def decode_weighted(
    body: bytes, content_type: str | None, schema: Schema
) -> tuple[Array, Array | None]:
    """Decode the rows of a request, and their weights.

    Parameters
    ----------
    body : bytes
        Text, of UTF-8 unless the charset says otherwise, or an array of NPY. Rows are lists in the
        order of the training columns; where these had names, also objects, or CSV below a header,
        in any order.
    content_type : str or None
        One of `DECODERS`, perhaps with a charset and, of CSV, ``header=present`` or ``absent``;
        other parameters (``label_size=0``) are ignored.
    schema : Schema
        Columns of the training data.

    Returns
    -------
    rows : ndarray of shape (m, c)
        At least one: numbers, codes of categories, NaN where a value is missing and may be, and the
        indicators of missing numbers.
    sample_weight : ndarray of shape (m,), or None
        Of the observations to predict, where the request may name the column of weights that
        training had; 1 where a row leaves it out.

    Raises
    ------
    UnsupportedMediaTypeError
        If there is no decoder for the media type or its charset.
    UserError
        If the body can't be decoded. The message names the first wrong row and column, from 1.
    """
    media_type, charset = parse_content_type(content_type)
    if media_type not in DECODERS:
        given = (
            f"Content-Type is {quoted(content_type)}" if content_type else "Content-Type is missing"
        )
        raise UnsupportedMediaTypeError(f"{given}; send {alternatives(DECODERS)}")
    if charset and media_type in TEXT_MEDIA_TYPES:
        body = _transcode(body, charset)
    body = body.removeprefix(codecs.BOM_UTF8)
    if media_type == "text/csv":
        rows = _decode_csv(body, schema, csv_header(content_type))
    else:
        rows = DECODERS[media_type](body, schema)
    rows, sample_weight = _split_weight(rows, schema)
    rows = schema.mark_missing(rows)
    _check_finite(rows, schema)
    return schema.with_indicators(rows), sample_weight


def _split_weight(rows: Array, schema: Schema) -> tuple[Array, Array | None]:
    """Features of encoded rows, and the weights behind them, which are positive."""
    width = len(schema.features)
    if rows.shape[1] == width:
        return rows, None
    sample_weight = rows[:, width].copy()
    # The noise is divided by it, so that the inverse must be finite too.
    with np.errstate(divide="ignore", over="ignore"):
        valid = (sample_weight > 0) & np.isfinite(sample_weight) & np.isfinite(1 / sample_weight)
    row = first_true(~valid)
    if row is not None:
        raise _invalid_cell_error(schema, row + 1, width, str(sample_weight[row]))
    return rows[:, :width], sample_weight


def _check_finite(rows: Array, schema: Schema) -> None:
    """Refuse infinity, and NaN unless it stands for a missing value that may be."""
    valid = np.isfinite(rows)
    if valid.all():
        return
    invalid = ~valid & ~(np.isnan(rows) & schema.accepts_missing)
    row = first_true(np.asarray(invalid.any(axis=1)))
    if row is not None:
        column = int(invalid[row].argmax())
        raise _invalid_cell_error(schema, row + 1, column, str(rows[row, column]))


def estimated_decode_seconds(body: bytes, content_type: str | None, schema: Schema) -> float:
    """Estimate how long `decode` takes, on a core of 2020."""
    media_type, _ = parse_content_type(content_type)
    # Some kilobytes of Parquet can decompress to a million rows.
    if media_type == "application/x-parquet":
        return math.inf
    vectorized = schema.finite_numbers_only and media_type in {"text/csv", "application/x-npy"}
    if media_type == "text/csv" and b'"' in body:
        vectorized = False  # a cell may go over the end of a line
    return len(body) * (NUMPY_SECONDS_PER_BYTE if vectorized else PYTHON_SECONDS_PER_BYTE)


def estimated_bytes(body: bytes, content_type: str | None, schema: Schema) -> int:
    """Estimate how much memory `decode` takes at most, that of the body included."""
    media_type, _ = parse_content_type(content_type)
    if media_type == "application/x-parquet":
        return PARQUET_COPIES * len(body) + parquet_size.estimated_bytes(body)
    size = BODY_COPIES.get(media_type, 2) * len(body)
    if media_type in JSON_MEDIA_TYPES:
        size += 0 if body.isascii() else 3 * len(body)
        size += CHARACTER_BYTES * min(len(body), _max_characters(schema))
    width = len(schema.category_counts) + (schema.weight_name is not None)
    return size + NUMBER_BYTES * width * _most_rows(body, media_type, len(schema.features))


def _most_rows(body: bytes, media_type: str, columns: int) -> int:
    """Rows of a body at most, each of a cell for every column where it can't leave any out."""
    if media_type == "application/x-recordio-protobuf":
        return recordio.most_records(body)
    if media_type == "application/x-npy":
        return npy.count_values(body) // columns + 1
    if media_type == "text/csv":
        return sum(map(body.count, (b",", b"\n", b"\r"))) // columns + 1
    separator = b"\n" if media_type == "application/jsonlines" else b","
    return min(body.count(b"[") + body.count(b"{"), body.count(separator) + 1)


def _max_characters(schema: Schema) -> int:
    """Characters of a value of JSON at most."""
    return VALUE_CHARACTERS + FEATURE_CHARACTERS * len(schema.features)


def _transcode(body: bytes, charset: str) -> bytes:
    """Text of a body in UTF-8."""
    try:
        codec = codecs.lookup(charset).name
        is_counted = codec.startswith(UTF) or DELIMITERS.encode(codec) == DELIMITERS.encode()
        if codec in NO_CHARSETS or not is_counted:
            raise LookupError(charset)
        return body if codec == "utf-8" else body.decode(codec).encode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"the request is not in {charset}, as its Content-Type says ({error}); send it in UTF-8"
        ) from error
    except (LookupError, ValueError) as error:
        raise UnsupportedMediaTypeError(
            f"Content-Type has the charset {quoted(charset)}; send UTF-8"
        ) from error


@dataclass(frozen=True)
class _ColumnMapping:
    """Mapping of a row's cells to features: feature i is cell `positions[i]` of `width` cells.

    Behind the features stands the weight of the row, where the cells have it.
    """

    schema: Schema
    positions: Sequence[int]
    width: int

    @classmethod
    def identity(cls, schema: Schema) -> "_ColumnMapping":
        """Map the cells of a row without names, which are the features one by one."""
        return cls(schema, range(len(schema.features)), len(schema.features))

    @classmethod
    def by_name(cls, schema: Schema, names: Sequence[str]) -> "_ColumnMapping":
        """Map cells by the names of their columns."""
        positions = schema.column_order(names)
        if schema.weight_name in names:
            positions.append(names.index(schema.weight_name))
        return cls(schema, positions, len(names))

    @property
    def is_identity(self) -> bool:
        """Whether the cells are the features, one by one."""
        features = list(range(len(self.schema.features)))
        return list(self.positions) == features and self.width == len(features)

    def encode(self, cells: Sequence[object], row: int) -> list[float]:
        """Encode the cells of one row as the numbers of its features, and its weight."""
        if len(cells) != self.width:
            raise _width_error(row, len(cells), self.width)
        return [
            _encode_cell(self.schema, row, index, cells[position])
            for index, position in enumerate(self.positions)
        ]


def _encode_cell(schema: Schema, row: int, index: int, cell: object) -> float:
    """Encode a cell: a number as itself, a category as its code, a missing value as NaN."""
    if index == len(schema.features):
        return _encode_weight(schema, row, cell)
    feature = schema.features[index]
    if isinstance(cell, str) and is_missing(cell, schema.missing_markers):
        cell = None
    if isinstance(cell, float) and cell in schema.missing_numbers:
        cell = None
    if feature.is_date and cell is not None and cell == cell:  # noqa: PLR0124  NaN is missing
        return _encode_date(schema, row, index, cell)
    if isinstance(cell, str) and feature.categories is None:
        cell = _parse_cell(cell)  # numbers in quotes are numbers, as in training
    if type(cell) is float and feature.categories is None:
        return cell  # `decode` refuses what is not finite
    if feature.categories is not None and isinstance(cell, float | str | bool):
        code = feature.encode(str(cell) if isinstance(cell, bool) else cell)
        if code == UNKNOWN_CATEGORY and schema.handle_unknown == "error":
            categories = ", ".join(feature.categories)[:200]
            raise UserError(
                f"row {row}, {schema.column_label(index)} of the request is {quoted(cell)};"
                f" send one of {categories}"
            )
        if not math.isnan(code):
            return code
        cell = None
    if cell is None and schema.accepts_missing[index]:
        return feature.missing_code
    raise _invalid_cell_error(schema, row, index, quoted(cell))


def _encode_weight(schema: Schema, row: int, cell: object) -> float:
    weight = parse_number(cell, ()) if isinstance(cell, str) else cell
    if not isinstance(weight, float):
        raise _invalid_cell_error(schema, row, len(schema.features), quoted(cell))
    return weight  # `_split_weight` refuses what is not positive


def _encode_date(schema: Schema, row: int, index: int, cell: object) -> float:
    days = parse_date(cell) if isinstance(cell, str) else None
    if days is None:
        raise _invalid_cell_error(schema, row, index, quoted(cell))
    return days


def _decode_csv(body: bytes, schema: Schema, has_header: bool | None = None) -> Array:
    if not body.strip():
        return _decode_csv_body(body, schema, has_header)
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in body else body
    if _has_quoted_line_break(lines):
        return _decode_quoted_csv(body, schema, has_header)
    return _decode_csv_body(lines, schema, has_header)


def _has_quoted_line_break(body: bytes) -> bool:
    """Whether a cell in quotes, all of which are closed, goes over the end of a line."""
    if body.count(b'"') % 2 or b'"' not in body:
        return False
    return any(line.count(b'"') % 2 for line in io.BytesIO(body))


def _decode_quoted_csv(body: bytes, schema: Schema, has_header: bool | None) -> Array:
    """Decode CSV row by row, whose cells may hold ends of lines."""
    _check_no_separators(body, 1)
    mapping = _ColumnMapping.identity(schema)
    numbers = array.array("d")
    row = 0
    try:
        for index, cells in enumerate(_iterate_csv_rows(body, schema)):
            if index == 0 and (header := _header(cells, schema, has_header)):
                mapping = _ColumnMapping.by_name(schema, header)
            elif index > 0 or not has_header:
                row += 1
                if mapping.width > 1 and not any(map(str.strip, cells)) and len(cells) < 2:
                    raise _empty_row_error(row, mapping.width)
                numbers.extend(mapping.encode(cells or [""], row))
    except csv.Error as error:
        raise _csv_syntax_error(error) from error
    return np.frombuffer(numbers).reshape(row, -1) if row else _refuse_header_alone()


def _iterate_csv_rows(body: bytes, schema: Schema) -> Iterator[list[str]]:
    """Parse rows of CSV one by one, and refuse one of many widths before it is parsed."""
    text = io.TextIOWrapper(io.BytesIO(body.rstrip()), "utf-8", "replace", newline="")
    parsed = characters = commas = 0

    def lines() -> Iterator[str]:
        nonlocal characters, commas
        for line in text:
            characters, commas = characters + len(line), commas + line.count(",")
            if characters > BLOCK_CHARACTERS:
                _check_cell_count(commas + 1, parsed + 1, len(schema.features))
            yield line

    for cells in csv.reader(lines(), skipinitialspace=True):
        parsed, characters, commas = parsed + 1, 0, 0
        yield cells


def _decode_csv_body(body: bytes, schema: Schema, has_header: bool | None) -> Array:
    """Decode CSV whose rows are lines."""
    blocks: list[Array] = []
    row_count, mapping = 0, _ColumnMapping.identity(schema)
    for index, block in enumerate(_split_blocks(body.rstrip())):
        # A byte that is not UTF-8 is no number either: the error quotes it with row and column.
        _check_no_separators(block, row_count + 1)
        lines = block.decode(errors="replace").split("\n")
        if index == 0 and (header := _first_line_header(lines[0], schema, has_header)):
            mapping, lines = _ColumnMapping.by_name(schema, header), lines[1:]
        elif index == 0 and has_header:
            lines = lines[1:]
        if lines:
            blocks.append(_decode_csv_lines(lines, mapping, row_count + 1))
        row_count += len(lines)
    return np.concatenate(blocks) if row_count else _refuse_header_alone()


def _refuse_header_alone() -> Array:
    raise UserError(
        "the request has a header and no rows; send at least one row, or header=absent in"
        " Content-Type if its first line is one"
    )


def _split_blocks(body: bytes) -> Iterator[bytes]:
    """Split a body at ends of lines."""
    start = 0
    while start <= len(body):
        end = body.find(b"\n", start + BLOCK_CHARACTERS)
        end = len(body) if end < 0 else end
        yield body[start:end]
        start = end + 1


def _check_no_separators(block: bytes, first_row: int) -> None:
    """Refuse the control characters that NumPy takes for white space."""
    for separator in CONTROL_SEPARATORS:
        position = block.find(separator)
        if position >= 0:
            row = first_row + block.count(b"\n", 0, position)
            raise UserError(
                f"row {row} of the request has the control character {separator!r}; send text"
            )


def _first_line_header(line: str, schema: Schema, has_header: bool | None) -> Sequence[str]:
    """Column names in a first line; none if it is a row."""
    if not schema.has_header or has_header is False:
        return []
    if len(line) > BLOCK_CHARACTERS:
        _check_cell_count(line.count(",") + 1, 1, len(schema.features))
    return _header(_split_cells(line), schema, has_header)


def _header(cells: Sequence[str], schema: Schema, has_header: bool | None) -> Sequence[str]:
    """Column names in the cells of a first line; none if they are a row.

    They are the names where they are the features in any order; they are a row where they could be
    one, or hold none of the names. What is left is a header with a mistake, such as names in
    another case, which is then refused for it.
    """
    if not schema.has_header or has_header is False:
        return []
    cells = [cell.strip() for cell in cells]
    columns = name_columns(cells)
    features = {feature.name for feature in schema.features}
    is_order = features <= set(columns) <= {*features, *schema.ignored}
    if has_header or (is_order and any(cells)):  # empty cells alone are missing values
        return columns
    names = {feature.name.lower() for feature in schema.features}
    if names.isdisjoint(map(str.lower, cells)) or _could_be_row(cells, schema):
        return ()
    return columns


def _could_be_row(cells: Sequence[str], schema: Schema) -> bool:
    """Whether every cell is a number, or one is and all have the number of the features."""
    numbers = [parse_number(cell) is not None for cell in cells]
    if all(numbers):
        return True
    if len(cells) != len(schema.features):
        return False
    if any(numbers):
        return True
    # A row of words: each would be one of the categories of its column.
    return all(
        feature.categories is not None and feature.encode(cell) != UNKNOWN_CATEGORY
        for feature, cell in zip(schema.features, cells, strict=True)
    )


def _decode_csv_lines(lines: list[str], mapping: _ColumnMapping, first_row: int) -> Array:
    """Decode lines of CSV, the first of which is row `first_row`."""
    for row, line in enumerate(lines, first_row):
        if len(line) > BLOCK_CHARACTERS:
            _check_long_line(line, row, mapping.width)
    if not mapping.schema.has_text:
        rows = _parse_numbers(lines, mapping.width)
        if rows is not None:
            return rows if mapping.is_identity else rows[:, mapping.positions]
    if mapping.schema.finite_numbers_only and mapping.is_identity:
        raise _csv_error(lines, mapping.schema, first_row)
    encoded = []
    for row, line in enumerate(lines, first_row):
        if not line.strip() and mapping.width > 1:
            raise _empty_row_error(row, mapping.width)
        encoded.append(mapping.encode(_split_cells(line), row))
    return np.array(encoded)


def _check_long_line(line: str, row: int, width: int) -> None:
    """Refuse a line that would take many times the memory of its text, before it is parsed."""
    _check_cell_count(line.count(",") + 1, row, width)
    most = csv.field_size_limit()
    for column, cell in enumerate(line.split(","), 1):
        if len(cell) > most:
            raise UserError(
                f"row {row}, column {column} of the request has {len(cell):,} characters;"
                f" send {most:,} at most"
            )


def _check_cell_count(cells: int, row: int, width: int) -> None:
    if cells > MAX_WIDTHS * width:
        raise _width_error(row, cells, width)


def _parse_cell(cell: str) -> float | str:
    """Value of a cell that is not missing, as JSON would have it: a number or a string."""
    value = parse_number(cell, ())
    return cell if value is None else value


def _split_cells(line: str) -> list[str]:
    """Cells of a line of CSV."""
    try:
        return next(csv.reader([line], skipinitialspace=True), None) or [""]
    except csv.Error as error:
        raise _csv_syntax_error(error) from error


def _csv_syntax_error(error: csv.Error) -> UserError:
    """Explain a cell of more characters than the module takes."""
    return UserError(f"a line of the request is not CSV ({error}); send cells of a few characters")


def _parse_numbers(lines: list[str], columns: int) -> Array | None:
    """Numbers of some lines; None if they are not `columns` numbers each."""
    if "" in lines:  # `loadtxt` skips an empty line, and the response would be a line short
        return None
    try:
        numbers = np.loadtxt(
            lines, np.float64, comments=None, delimiter=",", quotechar='"', ndmin=2
        )
    except ValueError:
        return None
    return numbers if numbers.shape == (len(lines), columns) else None


def _csv_error(lines: list[str], schema: Schema, first_row: int) -> UserError:
    """Explain what is wrong with the first wrong one of some lines of numbers."""
    columns = len(schema.features)
    for row, line in enumerate(lines, first_row):
        if _parse_numbers([line], columns) is None:
            return _csv_line_error(line, schema, row)
    return UserError(
        f"a quote that begins in row {first_row} of the request, or below, is not closed;"
        " send numbers without quotes"
    )


def _csv_line_error(line: str, schema: Schema, row: int) -> UserError:
    """Explain what is wrong with a line that should be numbers."""
    columns = len(schema.features)
    if not line.strip():
        return _empty_row_error(row, columns)
    cells = line.split(",")
    if len(cells) != columns:
        return _width_error(row, len(cells), columns)
    for index, cell in enumerate(cells):
        if _parse_numbers([cell], 1) is None:
            hint = ", and no header" if row == 1 and not schema.has_header else ""
            return _invalid_cell_error(schema, row, index, quoted(cell), hint)
    return UserError(
        f"row {row} of the request is {quoted(line)}; send numbers with commas between them"
    )


def _decode_json(body: bytes, schema: Schema) -> Array:
    try:
        instances = _iterate_instances(body.decode(), _max_characters(schema))
        rows = _encode_instances(_gather_flat_row(instances, len(schema.features)), schema)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the request does not read as {JSON_EXAMPLE}: {error}") from error
    if not len(rows):
        raise UserError(f'the request has no "instances"; send {JSON_EXAMPLE}')
    return rows


def _decode_json_lines(body: bytes, schema: Schema) -> Array:
    return _encode_instances(_iterate_json_lines(body, _max_characters(schema)), schema)


def _iterate_json_lines(body: bytes, max_characters: int) -> Iterator[object]:
    """Parse a body line by line."""
    decode_line = json.JSONDecoder(parse_int=parse_integer, object_pairs_hook=unique_names).decode
    for row, line in enumerate(body.rstrip().split(b"\n"), 1):
        try:
            text = line.decode()
            if len(text) > max_characters:
                raise ValueError(f"it has more than {max_characters:,} characters")
            yield decode_line(text)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"row {row} of the request does not read as [1.5, 2.0] or an object: {error}"
            ) from error


def _decode_npy(body: bytes, schema: Schema) -> Array:
    try:
        rows = npy.parse(body)
    except ValueError as error:
        raise UserError(
            f"the request is no array ({error}); write it with numpy.save, without objects"
        ) from error
    if rows.ndim == 1 and rows.dtype.names is None:
        rows = rows.reshape(1, -1)
    if rows.ndim == 1 and len(rows):
        return _decode_records(rows, schema)
    kinds = "iufbUSM" if schema.dates else "iufbUS"
    if rows.ndim != 2 or rows.dtype.kind not in kinds or not len(rows):
        raise UserError(
            f"the request is an array of {rows.dtype} and shape {rows.shape};"
            " send numbers, a row for every row to predict"
        )
    if rows.shape[1] != len(schema.features):
        raise _width_error(1, rows.shape[1], len(schema.features))
    is_text = rows.dtype.kind in "USM"
    if is_text or (not schema.finite_numbers_only and has_inexact_integers(rows)):
        return _encode_instances(_iterate_rows(rows), schema)
    if schema.finite_numbers_only or rows.dtype.kind != "b":
        with np.errstate(over="ignore"):  # `decode` refuses what is not finite
            rows = rows.astype(np.float64)
    return rows if schema.finite_numbers_only else _encode_instances(_iterate_rows(rows), schema)


def _iterate_rows(rows: NDArray[Any]) -> Iterator[list[Any]]:
    """Yield rows as lists, of a block at a time: as objects they take a hundred times the bytes."""
    for start in range(0, len(rows), OBJECT_BLOCK_ROWS):
        yield from _text(rows[start : start + OBJECT_BLOCK_ROWS]).tolist()


def _decode_records(records: NDArray[Any], schema: Schema) -> Array:
    """Decode an array of records, whose fields are columns."""
    names = records.dtype.names or ()
    if any(records.dtype[name].shape for name in names):
        raise UserError("the request is an array of arrays in records; send a number a field")
    mapping = _ColumnMapping.identity(schema)
    if schema.has_header:
        mapping = _ColumnMapping.by_name(schema, names)
    numbers = array.array("d")
    for start in range(0, len(records), OBJECT_BLOCK_ROWS):
        block = records[start : start + OBJECT_BLOCK_ROWS]
        columns = [_text(block[name]).tolist() for name in names]
        for row, cells in enumerate(zip(*columns, strict=True), start + 1):
            numbers.extend(mapping.encode(list(map(_number_or_text, cells)), row))
    return np.frombuffer(numbers).reshape(-1, len(mapping.positions))


def _number_or_text(value: object) -> object:
    """Value as JSON has it: integers are floats."""
    return float(value) if type(value) is int else value


def _text(array: NDArray[Any]) -> NDArray[Any]:
    """Text of bytes, dates, and integers that float64 would merge; any other array as it is."""
    if has_inexact_integers(array):
        return array.astype(str)
    if array.dtype.kind != "S":
        return dates_as_text(array)
    return np.char.decode(array, "utf-8", "replace")


def _decode_recordio(body: bytes, schema: Schema) -> Array:
    try:
        return _encode_instances((row.tolist() for row in recordio.decode(body)), schema)
    except ValueError as error:
        raise UserError(
            f"the request does not read as RecordIO with Protocol Buffers: {error}"
        ) from error


def _decode_parquet(body: bytes, schema: Schema) -> Array:
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            "the request is Parquet, which this image can't read: send CSV, or build the image with"
            " --build-arg PARQUET=true (pip install 'gaussian-processes[parquet]')"
        )
    from gaussian_processes.data.readers import parquet  # noqa: PLC0415  it imports pandas

    table = parquet.parse(body, "the request")
    mapping = _ColumnMapping.identity(schema)
    if schema.has_header:
        mapping = _ColumnMapping.by_name(schema, table.names or ())
    encoded = []
    columns = [column.tolist() for column in table.columns]
    for row, values in enumerate(zip(*columns, strict=True), 1):
        cells = [None if cell != cell else cell for cell in values]  # noqa: PLR0124  NaN
        encoded.append(mapping.encode(cells, row))
    if not encoded:
        raise UserError("the request has no rows; send at least one row")
    return np.array(encoded)


def _encode_instances(instances: Iterator[object] | Sequence[object], schema: Schema) -> Array:
    """Encode instances, each a list or an object, as rows."""
    numbers = array.array("d")
    encoder = _InstanceEncoder(schema)
    for row, instance in enumerate(instances, 1):
        numbers.extend(encoder.encode(instance, row))
    return np.frombuffer(numbers).reshape(-1, encoder.width)


def _gather_flat_row(instances: Iterator[object], width: int) -> Iterator[object]:
    """Make one row of values that are neither lists nor objects, as a line of CSV is one."""
    for first in instances:
        if isinstance(first, list | dict):
            yield first
            yield from instances
        else:
            cells = [first, *itertools.islice(instances, MAX_WIDTHS * width)]
            if len(cells) > MAX_WIDTHS * width:
                raise _width_error(1, f"more than {MAX_WIDTHS * width:,}", width)
            yield cells


class _InstanceEncoder:
    """Encoder of instances of JSON: lists, objects of lists, and objects of named features.

    Parameters
    ----------
    schema : Schema
        Where it names a column of weights, every row has one behind its features: 1 where it is
        left out, as in lists.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._identity = _ColumnMapping.identity(schema)
        self._default_weight = [] if schema.weight_name is None else [1.0]
        self._mappings: dict[tuple[str, ...], tuple[_ColumnMapping, list[float | None]]] = {}

    @property
    def width(self) -> int:
        """Numbers of an encoded instance."""
        return self._identity.width + len(self._default_weight)

    def encode(self, instance: object, row: int) -> list[float]:
        """Encode one instance as the numbers of its features."""
        cells = _listed_cells(instance) if isinstance(instance, dict) else instance
        if isinstance(cells, list):
            return self._identity.encode(cells, row) + self._default_weight
        if not isinstance(instance, dict) or not self._schema.has_header:
            raise UserError(
                f"row {row} of the request is {quoted(instance)};"
                ' send [1.5, 2.0] or {"features": [1.5, 2.0]}'
            )
        mapping, left_out = self._by_name(tuple(instance))
        return mapping.encode([*instance.values(), *left_out], row)

    def _by_name(self, names: tuple[str, ...]) -> tuple[_ColumnMapping, list[float | None]]:
        """Map some names, with values of what is left out: missing ones, and the weight 1."""
        if names not in self._mappings:
            given = frozenset(names)
            if len(self._mappings) >= MAX_MAPPINGS:
                self._mappings.clear()
            given = frozenset(names)
            left_out = [
                feature.name
                for feature, accepted in zip(
                    self._schema.features, self._schema.accepts_missing, strict=True
                )
                if accepted and feature.name not in given
            ]
            values: list[float | None] = [None] * len(left_out)
            weight_name = self._schema.weight_name
            if weight_name is not None and weight_name not in names:
                left_out.append(weight_name)
                values += self._default_weight
            mapping = _ColumnMapping.by_name(self._schema, [*names, *left_out])
            self._mappings[names] = mapping, values
        return self._mappings[names]


def _listed_cells(instance: dict[str, object]) -> object:
    """List in an object: of ``features``, or where SageMaker's dense form has it."""
    features = instance.get("features")
    if isinstance(features, list):
        return features
    data = instance.get("data")
    features = data.get("features") if isinstance(data, dict) else None
    if not isinstance(features, dict) or "keys" not in features:
        return features.get("values") if isinstance(features, dict) else None
    return _sparse_cells(features)


def _sparse_cells(features: dict[str, object]) -> list[object]:
    """Cells of SageMaker's sparse form: values by keys, and zeros between them."""
    values = features.get("values")
    try:
        keys = _column_numbers(features["keys"])
        shape = _column_numbers(features.get("shape"))
        recordio.check_sparse(len(values) if isinstance(values, list) else -1, keys, shape)
    except ValueError as error:
        raise UserError(f"{quoted(features)} is no sparse row: {error}") from error
    cells: list[object] = [0.0] * shape[-1]
    for key, value in zip(keys, values if isinstance(values, list) else (), strict=True):
        cells[key] = value
    return cells


def _column_numbers(numbers: object) -> list[int]:
    """Whole numbers of a list, from 0; JSON's are floats here."""
    if not isinstance(numbers, list):
        raise ValueError(f"{quoted(numbers)} is no list")
    if not all(isinstance(number, float) and number >= 0 and number % 1 == 0 for number in numbers):
        raise ValueError(f"{quoted(numbers)} are no whole numbers")
    return list(map(int, numbers))


def _iterate_instances(text: str, max_characters: int) -> Iterator[object]:
    """Parse instances one by one: the items of a list, or those of ``"instances"`` in an object.

    All at once they would be a million lists, which take ten times the memory of the text, and
    through which the garbage collector goes without releasing the interpreter's lock.
    """
    decode_value = _ValueDecoder(text, max_characters).decode
    found = False
    delimiter, position = _read_delimiter("{[", text, 0)
    if delimiter == "[":
        position = yield from _iterate_items(text, position, decode_value)
        delimiter = "}"
    while delimiter != "}":
        if text.startswith("}", position):
            _, position = _read_delimiter("}", text, position)
            break
        key, position = decode_value(position)
        _, position = _read_delimiter(":", text, position)
        if key == "instances" and found:
            raise ValueError('"instances" stands twice')
        if key == "instances":
            found = True
            _, position = _read_delimiter("[", text, position)
            position = yield from _iterate_items(text, position, decode_value)
        else:
            _, position = decode_value(position)
        delimiter, position = _read_delimiter(",}", text, position)
    if position < len(text):
        raise json.JSONDecodeError("Extra data", text, position)


class _ValueDecoder:
    """Decoder of the values of a text of JSON, none of which is longer than a window of it.

    A value is as many objects of Python as it has brackets and names, which take 45 times its
    characters; a text of 25 MB could be a single value.
    """

    def __init__(self, text: str, max_characters: int) -> None:
        self._text, self._size = text, max_characters
        self._start, self._window = 0, text[:max_characters]
        self._decode = json.JSONDecoder(
            parse_int=parse_integer, object_pairs_hook=unique_names
        ).raw_decode

    def decode(self, position: int) -> tuple[object, int]:
        """Parse the value at a position; return it and the position behind it."""
        for _ in range(2):
            is_cut = self._start + len(self._window) < len(self._text)
            try:
                value, end = self._decode(self._window, position - self._start)
            except json.JSONDecodeError as error:
                is_whole = self._start == position and not _is_at_end(error, self._window)
                if is_whole or not is_cut:
                    place = self._start + error.pos
                    raise json.JSONDecodeError(error.msg, self._text, place) from error
            else:
                if end < len(self._window) - LONGEST_WORD or not is_cut:
                    return value, self._start + end
            self._start, self._window = position, self._text[position : position + self._size]
        raise ValueError(
            f"the value at character {position:,} has more than {self._size:,} characters"
        )


def _is_at_end(error: json.JSONDecodeError, text: str) -> bool:
    """Whether an error of JSON may be that its text is cut off."""
    return error.msg.startswith("Unterminated") or error.pos >= len(text) - LONGEST_WORD


def _iterate_items(
    text: str, position: int, decode_value: Callable[[int], tuple[object, int]]
) -> Generator[object, None, int]:
    """Parse the items of a list behind its opening bracket; return the position behind the list."""
    delimiter = ","
    if text.startswith("]", position):
        delimiter, position = _read_delimiter("]", text, position)
    while delimiter != "]":
        instance, position = decode_value(position)
        yield instance
        delimiter, position = _read_delimiter(",]", text, position)
    return position


def _read_delimiter(expected: str, text: str, position: int) -> tuple[str, int]:
    """Read one of the expected delimiters; return it and the position behind it."""
    found = DELIMITER.match(text, position)
    if not found or found[1] not in expected:
        raise json.JSONDecodeError(f"Expecting {' or '.join(expected)}", text, position)
    return found[1], found.end()


def _invalid_cell_error(
    schema: Schema, row: int, index: int, value: str, hint: str = ""
) -> UserError:
    if index == len(schema.features):
        return UserError(
            f"row {row}, column {schema.weight_name} of the request is {value}, not a weight; send"
            " a positive number, or leave the column out"
        )
    cell = f"row {row}, {schema.column_label(index)} of the request is {value}"
    if schema.features[index].categories is not None:
        return UserError(f"{cell}, not a category; send a string")
    if schema.features[index].is_date:
        return UserError(f"{cell}, not a date; send one such as {DATE_EXAMPLE}")
    return UserError(f"{cell}, not a finite number; send numbers only{hint}")


def _empty_row_error(row: int, columns: int) -> UserError:
    return UserError(f"row {row} of the request is empty; send {columns} numbers in every line")


def _width_error(row: int, width: int | str, columns: int) -> UserError:
    return UserError(
        f"row {row} of the request has {width} columns and the model was trained on {columns};"
        " send exactly those, without the target"
    )


DECODERS: Mapping[str, Callable[[bytes, Schema], Array]] = {
    "text/csv": _decode_csv,
    "application/json": _decode_json,
    "application/jsonlines": _decode_json_lines,
    "application/x-npy": _decode_npy,
    "application/x-recordio-protobuf": _decode_recordio,
    "application/x-parquet": _decode_parquet,
}
JSON_MEDIA_TYPES = {"application/json", "application/jsonlines"}
TEXT_MEDIA_TYPES = {"text/csv", *JSON_MEDIA_TYPES}
