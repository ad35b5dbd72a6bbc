"""The interface of all readers: a source and options in, the table of one file out."""

import gzip
import io
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gaussian_processes.data.cells import missing_markers
from gaussian_processes.data.readers.memory import (
    BUFFER_BYTES,
    ROW_BY_ROW,
    WHOLE_FILE,
    Costs,
    Meter,
    MeteredStream,
)
from gaussian_processes.data.table import FileTable
from gaussian_processes.errors import UserError

# Errors of reading a damaged gzip file.
GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)
# Hidden files, those of Hadoop and Spark that hold no rows, SageMaker's manifests and metadata.
IGNORED_FILES = (".*", "_*", "*.manifest", "*manifest.json", "*.metadata")
GZIP_MAGIC = b"\x1f\x8b"
# Columns of a text at most. Each is looked at by itself, which takes about a millisecond; a file of
# more has lost the ends of its lines.
MAX_COLUMNS = 1_000_000
# Seconds that a FIFO may take to appear: SageMaker makes it about when the container starts. A job
# that never gets one waits that long, and is paid for it.
PIPE_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class ReadOptions:
    """Options of reading the files of one channel.

    Parameters
    ----------
    channel : str
        Its name, which messages put before the names of files.
    content_type : str, optional
        Format of all files; without it, the ending of each file's name tells.
    input_mode : str
        In ``Pipe`` mode the rows come through a FIFO, else from a folder.
    header : bool, optional
        Whether CSV files begin with the names of their columns; None: found from the cells.
    delimiter, decimal : str, optional
        Of CSV files: what is between cells, and the decimal mark; None: found from the first lines.
    column_names : collection of str
        Names of columns that are asked for: a first row that has one of them is a header.
    missing_values : sequence of str, optional
        Words, and numbers, that mean missing; None: the usual.
    ignore_files : sequence of str, optional
        Patterns of the names of files and folders that are skipped; None: the usual.
    pipe_timeout_seconds : float
        How long the FIFO may take to appear.
    """

    channel: str
    content_type: str | None = None
    input_mode: str = "File"
    header: bool | None = None
    delimiter: str | None = None
    decimal: str | None = None
    column_names: Collection[str] = ()
    missing_values: Sequence[str] | None = None
    ignore_files: Sequence[str] | None = None
    pipe_timeout_seconds: float = PIPE_TIMEOUT_SECONDS

    @property
    def ignored_patterns(self) -> Sequence[str]:
        """Patterns of the names of files and folders that are skipped."""
        return IGNORED_FILES if self.ignore_files is None else self.ignore_files

    @property
    def missing_markers(self) -> Collection[str]:
        """Text of cells that are missing."""
        return missing_markers(self.missing_values)


@dataclass(frozen=True)
class Source:
    """Name and content of a file: its path or, of a FIFO, which is read once, its bytes.

    `skipped_bytes` of the decompressed content, at its start, are no part of the table.
    """

    name: str
    content: Path | bytes
    skipped_bytes: int = 0

    @contextmanager
    def open(
        self, costs: Costs = ROW_BY_ROW, delimiter: str = ","
    ) -> "Iterator[io.BufferedReader[Any]]":
        """Open at the start, decompressed; only read forward, which FastFile mode needs.

        Reading raises a `UserError` where what has been read takes more memory, by its costs, than
        there is.
        """
        with self._open_raw() as raw:
            compressed = raw.peek(2).startswith(GZIP_MAGIC)
            content = gzip.GzipFile(fileobj=raw) if compressed else raw
            meter = Meter(self.name, costs, delimiter.encode(), self._disk_bytes())
            stream = io.BufferedReader(MeteredStream(content, raw, meter), BUFFER_BYTES)
            stream.read(self.skipped_bytes)
            yield stream

    @contextmanager
    def open_text(
        self, costs: Costs = ROW_BY_ROW, delimiter: str = ","
    ) -> Iterator[io.TextIOWrapper]:
        """Open as text in UTF-8, without a byte order mark, and with its ends of lines."""
        with (
            self.open(costs, delimiter) as content,
            io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text,
        ):
            yield text

    def read_bytes(self) -> bytes:
        """Read the content, decompressed."""
        with self.open(WHOLE_FILE) as content:
            return content.read()

    def _disk_bytes(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def _open_raw(self) -> "io.BufferedReader[Any]":
        if isinstance(self.content, Path):
            return self.content.open("rb")
        return io.BufferedReader(io.BytesIO(self.content))


def check_width(name: str, width: int) -> None:
    """Refuse a text of more columns than can be looked at one by one."""
    if width > MAX_COLUMNS:
        raise UserError(
            f"a row of {name} has {width:,} columns, and at most {MAX_COLUMNS:,} are read:"
            " break its lines, or give fewer columns"
        )


class Reader(Protocol):
    """A reader of one format."""

    def __call__(self, source: Source, options: ReadOptions) -> FileTable:
        """Read a file; raise a `UserError` that names file and row if it is not of the format."""
