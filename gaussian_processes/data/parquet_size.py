"""Size of a Parquet file in memory, by what its end announces, before its columns are read.

A few bytes of it may hold millions of cells, or a dictionary's one long text a million times.
"""

import importlib.util
import io
from typing import Any

# Bytes that a number and a cell of text take: in the frame, as an object, and encoded; and copies
# of what the pages unfold to.
NUMBER_BYTES, TEXT_BYTES, PAGE_COPIES = 110, 200, 2


def read_metadata(content: bytes) -> Any:
    """Read the metadata at the end of a file; None if it has none, or pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        return None
    from pyarrow import parquet  # type: ignore[import-untyped]  # noqa: PLC0415  optional

    try:
        return parquet.read_metadata(io.BytesIO(content))
    except (ValueError, OSError):
        return None  # reading it says what is wrong with it


def estimated_bytes(content: bytes) -> int:
    """Estimate how much memory the columns take; 0 if the file has no metadata."""
    metadata = read_metadata(content)
    if metadata is None:
        return 0
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    chunks = (group.column(index) for group in groups for index in range(group.num_columns))
    return sum(
        chunk.num_values * (TEXT_BYTES if "BYTE_ARRAY" in chunk.physical_type else NUMBER_BYTES)
        + chunk.total_uncompressed_size * PAGE_COPIES
        for chunk in chunks
    )


def text_columns(content: bytes) -> list[str]:
    """Columns of text, which are read as dictionaries: each of its texts is in memory once."""
    metadata = read_metadata(content)
    if metadata is None:
        return []
    columns = map(metadata.schema.column, range(metadata.num_columns))
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
