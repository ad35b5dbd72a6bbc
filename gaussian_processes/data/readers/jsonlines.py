"""JSON Lines reader: an object, or a list, in every line."""

import json
import reprlib
from collections.abc import Iterator, Sequence
from typing import Any

from gaussian_processes.data.cells import json_cells, parse_integer, unique_names
from gaussian_processes.data.readers.foreign import check_not_foreign, undecodable_reason
from gaussian_processes.data.readers.interface import GZIP_ERRORS, ReadOptions, Source, check_width
from gaussian_processes.data.readers.memory import JSON_RECORDS
from gaussian_processes.data.table import FileTable
from gaussian_processes.errors import UserError

# Cells of a row by the names, or else the positions, of their columns.
Record = dict[Any, float | str | None]


def read(source: Source, options: ReadOptions) -> FileTable:
    """Read the rows of a file; columns that a row lacks are missing there, if they have names."""
    check_not_foreign(source, "jsonlines")
    records: list[Record] = []
    try:
        for line in _lines(source):
            records.append(_parse_record(source.name, len(records) + 1, line))
    except (ValueError, *GZIP_ERRORS) as error:
        if isinstance(error, UnicodeDecodeError) and (fault := undecodable_reason(source)):
            raise UserError(fault) from error
        raise UserError(
            f"row {len(records) + 1} of {source.name} is not JSON ({error}):"
            " write one object, or list, a line"
        ) from error
    if records and "source-ref" in records[0]:
        raise UserError(
            f"{source.name} is an augmented manifest, which names files (source-ref) in place of"
            " rows: give the rows themselves, or name it in ignore_files"
        )
    names = tuple(dict.fromkeys(name for record in records for name in record))
    markers = options.missing_markers
    _check_one_kind(source.name, records)
    columns = tuple(json_cells((record.get(name) for record in records), markers) for name in names)
    if not all(isinstance(name, int) for name in names):
        return FileTable(tuple(map(str, names)), columns)
    _check_widths(source.name, records, len(names))
    return FileTable(None, columns)


def _lines(source: Source) -> Iterator[str]:
    """Lines that are not blank."""
    with source.open_text(JSON_RECORDS) as text:
        yield from filter(str.strip, text)


def _parse_record(file: str, row: int, line: str) -> Record:
    content = json.loads(line, parse_int=parse_integer, object_pairs_hook=unique_names)
    if not _is_flat_list(content) and not isinstance(content, dict):
        raise UserError(
            f"row {row} of {file} is {reprlib.repr(content)}: write one object, or list, a line"
        )
    record = content if isinstance(content, dict) else dict(enumerate(content))
    check_width(file, len(record))
    for name, cell in record.items():
        if isinstance(cell, dict | list):
            raise UserError(
                f"row {row} of {file} has {reprlib.repr(cell)} under {name}, but a cell is one"
                " number or string: write one number or string a column"
            )
    return record


def _is_flat_list(content: object) -> bool:
    return isinstance(content, list) and not any(isinstance(cell, dict | list) for cell in content)


def _check_one_kind(file: str, records: Sequence[Record]) -> None:
    """Refuse lists among objects, whose columns have names, and objects among lists."""
    have_names = [any(isinstance(name, str) for name in record) for record in records if record]
    if len(set(have_names)) < 2:
        return
    row = next(row for row, has_names in enumerate(have_names, 1) if has_names != have_names[0])
    kinds = ("a list", "an object") if have_names[0] else ("an object", "a list")
    raise UserError(
        f"row {row} of {file} is {kinds[0]}, but row 1 is {kinds[1]}: write all rows as objects, or"
        " all as lists"
    )


def _check_widths(file: str, records: Sequence[Record], width: int) -> None:
    """Refuse a list of fewer cells than others have."""
    for row, record in enumerate(records, 1):
        if len(record) != width:
            raise UserError(
                f"row {row} of {file} has {len(record)} column(s), but others have {width}:"
                " correct or remove it"
            )
