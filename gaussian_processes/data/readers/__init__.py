"""Readers of a channel's files: CSV, JSON Lines, NPY and Parquet, one module a format."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from gaussian_processes.data.cells import concatenate, mark_missing
from gaussian_processes.data.readers.headers import is_shared_header
from gaussian_processes.data.readers.interface import Reader, ReadOptions, Source
from gaussian_processes.data.readers.walking import check_is_file, ignoring_pattern, walk
from gaussian_processes.data.table import FileTable, Table
from gaussian_processes.errors import UserError

__all__ = ["ReadOptions", "Source", "read", "resolve"]

# Seconds between two looks for a FIFO: a start that much later, at most, for next to no work.
PIPE_POLL_SECONDS = 0.1
# Folders that people split their rows into.
TRAINING_NAMES = frozenset({"train", "training"})
OTHER_NAMES = frozenset(
    {"validation", "valid", "validate", "val", "eval", "dev", "test", "testing", "holdout"}
)
# Modules of this package, by the media types that they read.
FORMATS = {
    "text/csv": "csv",
    "csv": "csv",
    "application/jsonlines": "jsonlines",
    "application/x-npy": "npy",
    "application/x-parquet": "parquet",
    "parquet": "parquet",
}
# The same by the endings of files; CSV is what has none of them.
ENDINGS = {
    ".jsonl": "jsonlines",
    ".jsonlines": "jsonlines",
    ".ndjson": "jsonlines",
    ".json": "jsonlines",
    ".npy": "npy",
    ".parquet": "parquet",
}


def read(folder: Path, options: ReadOptions) -> Table:
    """Read every file of a channel, subfolders included, in the order of their names.

    Files without rows, and those whose name or folder matches a pattern of `ignore_files`, are
    skipped. Links are followed. Text may be compressed by gzip, whatever the names.

    Parameters
    ----------
    folder : Path
        Folder of the channel; in Pipe mode its FIFO is this path with ``_0`` appended.
    options : ReadOptions

    Raises
    ------
    UserError
        If there is no reader for the content type, there is nothing to read, a file is damaged, or
        rows or files differ in their columns. The sentence names the file and, from 1, the row.
    """
    reader_of, label_size = resolve(options)
    sources, notes = _find_sources(folder, options)
    options, remarks = _with_shared_header(sources, reader_of, options)
    tables = {source.name: reader_of(source.name)(source, options) for source in sources}
    tables = _without_lone_headers(tables)
    remarks += _shared_folder_remarks(sources, options.channel)
    if options.missing_values:
        tables = {name: _mark_missing(tables[name], options.missing_values) for name in tables}
    warnings = [f"{name} is skipped: it has no rows" for name in tables if not tables[name]]
    tables = {name: table for name, table in tables.items() if table}
    if not tables:
        reason = f"channel {options.channel} has no rows: put CSV files into it (here {folder})"
        raise UserError("; ".join([reason, *notes, *warnings]))
    _check_columns(tables)
    return replace(_join(tables, [*remarks, *warnings], label_size), notes=_notes(tables, notes))


def _with_shared_header(
    sources: Sequence[Source], reader_of: Callable[[str], Reader], options: ReadOptions
) -> tuple[ReadOptions, list[str]]:
    """Take the first line for a header where all files share it, and it is of whole numbers."""
    if options.header is not None or len(sources) < 2 or options.input_mode == "Pipe":
        return options, []
    if any(reader_of(source.name) is not _load("csv") for source in sources):
        return options, []
    first_cells = import_module(f"{__name__}.csv").first_cells
    if not is_shared_header(first_cells(source, options) for source in sources):
        return options, []
    remark = (
        f"the first line of all {len(sources)} files of channel {options.channel} is alike, and is"
        " taken for the names of the columns; header=false makes it a row"
    )
    return replace(options, header=True), [remark]


def _mark_missing(table: FileTable, words: Sequence[str]) -> FileTable:
    """Take what some words say for missing, in numbers as well."""
    return replace(table, columns=tuple(mark_missing(cells, words) for cells in table.columns))


def _without_lone_headers(tables: Mapping[str, FileTable]) -> dict[str, FileTable]:
    """Take a row that is another file's header for a header without rows below it."""
    headers = {table.names for table in tables.values() if table.names}
    found = {}
    for name, table in tables.items():
        is_lone = len(table) == 1 and tuple(cells[0] for cells in table.columns) in headers
        found[name] = FileTable(None, ()) if is_lone else table
    return found


def _notes(tables: Mapping[str, FileTable], skipped: Sequence[str]) -> list[str]:
    """Say how files were understood, once for all that were understood alike."""
    names_by_note: dict[str, list[str]] = {}
    for name, table in tables.items():
        if table.note:
            names_by_note.setdefault(table.note.replace(name, "{}"), []).append(name)
    notes = []
    for note, names in names_by_note.items():
        others = f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""
        notes.append(note.replace("{}", names[0] + others, 1))
    return [*notes, *skipped]


def resolve(options: ReadOptions) -> tuple[Callable[[str], Reader], int | None]:
    """Resolve the content type: a reader for each file name, and the number of targets.

    Raises
    ------
    UserError
        If there is no reader for the content type, or its label_size is no positive integer.
    """
    if not options.content_type:
        return lambda name: _load(_format_of(name)), None
    media_type, *parameters = (part.strip().lower() for part in options.content_type.split(";"))
    given = f"channel {options.channel} has the content type {options.content_type}"
    if media_type not in FORMATS:
        raise UserError(
            f"{given}, but only {', '.join(FORMATS)} are read: convert the files and set"
            " ContentType to one of them"
        )
    reader = _load(FORMATS[media_type])
    return lambda _: reader, _label_size(parameters, given)


def _label_size(parameters: Sequence[str], given: str) -> int | None:
    """Parse the number of targets from the parameters of a content type: ``label_size=1``."""
    for parameter in parameters:
        name, _, value = (part.strip() for part in parameter.partition("="))
        if name != "label_size":
            continue
        if not (value.isdecimal() and int(value) > 0):
            raise UserError(
                f"{given}, but training needs a target: set label_size to the number of targets, 1"
                " or more, or leave it out"
            )
        return int(value)
    return None


def _format_of(name: str) -> str:
    """Format of a file by the ending of its name, compressed or not."""
    plain = name.lower().removesuffix(".gz")
    return next((ENDINGS[ending] for ending in ENDINGS if plain.endswith(ending)), "csv")


def _load(format_name: str) -> Reader:
    """Load the reader of a format, and pandas only if the format needs it."""
    reader: Reader = import_module(f"{__name__}.{format_name}").read
    return reader


def _find_sources(folder: Path, options: ReadOptions) -> tuple[list[Source], list[str]]:
    """Find what to read, and say what is skipped."""
    if options.input_mode == "Pipe":
        return [_read_pipe(folder, options)], []
    sources, notes = [], []
    for relative, path in sorted(walk(folder, options)):
        name = f"{options.channel}/{relative}"
        if pattern := ignoring_pattern(relative, options.ignored_patterns):
            notes.append(
                f"{name} is skipped: its name, or its folder's, matches {pattern} of ignore_files"
            )
        else:
            check_is_file(name, path)
            sources.append(Source(name, path))
    return sources, notes


def _shared_folder_remarks(sources: Sequence[Source], channel: str) -> list[str]:
    """Remark on folders, or files, of training and of validation rows in one channel."""
    names: dict[str, str] = {}
    for source in sources:
        for part in source.name.split("/")[1:]:
            # Words of a name, such as those of "2024-train.csv" and "diabetes_test.csv.gz".
            names |= dict.fromkeys(re.split(r"[\W_]+", part.lower()), part)
    training, others = names.keys() & TRAINING_NAMES, names.keys() & OTHER_NAMES
    if not training or not others:
        return []
    return [
        f"channel {channel} has {names[min(training)]} and {names[min(others)]}, and all their rows"
        " are read alike: give each a channel of its own"
    ]


def _read_pipe(folder: Path, options: ReadOptions) -> Source:
    """Read all bytes of a channel's FIFO, which may not be there yet."""
    fifo = folder.with_name(f"{folder.name}_0")
    deadline = time.monotonic() + options.pipe_timeout_seconds
    while not fifo.exists():
        if time.monotonic() > deadline:
            raise UserError(
                f"channel {options.channel} is in Pipe mode, but {fifo} did not appear within"
                f" {options.pipe_timeout_seconds:g} seconds: start the job again, or use File or"
                " FastFile mode"
            )
        time.sleep(PIPE_POLL_SECONDS)
    return Source(fifo.name, fifo.read_bytes())


def _check_columns(tables: Mapping[str, FileTable]) -> None:
    """Refuse files that have other columns than the first, and columns of one name."""
    (first_name, first), *others = tables.items()
    for name, table in others:
        if len(table.columns) != len(first.columns):
            raise UserError(
                f"{name} has {len(table.columns)} columns, but {first_name} has"
                f" {len(first.columns)}: give all files of a channel the same columns"
            )
        if table.names != first.names:
            raise UserError(
                f"{name} {_describe_names(table)}, but {first_name} {_describe_names(first)}: give"
                " all files of a channel the same columns"
            )
    if first.names and len(set(first.names)) < len(first.names):
        raise UserError(
            f"two columns of {first_name} have one name ({', '.join(first.names)[:300]}): give each"
            " its own"
        )


def _describe_names(table: FileTable) -> str:
    if not table.names:
        return "does not name its columns"
    return f"names its columns {', '.join(table.names)[:200]}"


def _join(
    tables: Mapping[str, FileTable], warnings: Sequence[str], label_size: int | None
) -> Table:
    """Join the rows of files that have the same columns."""
    parts = list(tables.values())
    columns = zip(*(part.columns for part in parts), strict=True)
    return Table(
        names=parts[0].names,
        columns=tuple(concatenate(list(cells)) for cells in columns),
        sources=tuple((name, len(part)) for name, part in tables.items()),
        warnings=(*warnings, *(warning for part in parts for warning in part.warnings)),
        label_size=label_size,
    )
