"""Parquet reader, for files and for the bodies of requests."""

import io
from collections.abc import Collection

import pandas as pd

from gaussian_processes.data import parquet_size
from gaussian_processes.data.cells import MISSING_MARKERS
from gaussian_processes.data.frames import frame_columns
from gaussian_processes.data.readers.foreign import check_not_foreign
from gaussian_processes.data.readers.interface import ReadOptions, Source
from gaussian_processes.data.readers.memory import check_memory
from gaussian_processes.data.table import FileTable
from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes


def read(source: Source, options: ReadOptions) -> FileTable:
    """Read the columns of a Parquet file."""
    check_not_foreign(source, "parquet")
    content = source.read_bytes()
    size = parquet_size.estimated_bytes(content)
    check_memory(source.name, size, f"{format_bytes(len(content))} that unfold to more")
    return parse(content, source.name, options.missing_markers)


def parse(content: bytes, name: str, markers: Collection[str] = MISSING_MARKERS) -> FileTable:
    """Parse the columns of Parquet from bytes, which messages give the name `name`.

    Raises
    ------
    UserError
        If it is not Parquet, or pyarrow, which reads it, is not installed.
    """
    try:
        columns = parquet_size.text_columns(content)
        frame = pd.read_parquet(io.BytesIO(content), read_dictionary=columns)
    except ImportError as error:
        raise UserError(
            f"{name} is Parquet, which this installation can't read: build the image with"
            " --build-arg PARQUET=true (pip install 'gaussian-processes[parquet]'), or write CSV"
        ) from error
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name} is not Parquet ({reason}): write it again") from error
    if any(frame.index.names):  # pandas stores a column that it uses as the index apart
        frame = frame.reset_index()
    return FileTable(tuple(map(str, frame.columns)), frame_columns(frame, markers))
