"""NPY reader: arrays of rows and columns, or of records, written by numpy.save."""

from collections.abc import Collection

from gaussian_processes import npy
from gaussian_processes.data.cells import Cells, array_cells, numbers_or_text
from gaussian_processes.data.readers.foreign import check_not_foreign
from gaussian_processes.data.readers.interface import GZIP_ERRORS, ReadOptions, Source
from gaussian_processes.data.readers.memory import check_memory
from gaussian_processes.data.table import FileTable
from gaussian_processes.errors import UserError

# Bytes that a cell takes: as it is read, as float64 or text, and in a column of its own.
CELL_BYTES = 40


def read(source: Source, options: ReadOptions) -> FileTable:
    """Read an array of shape (n, c), or of n records, whose fields are columns with names."""
    check_not_foreign(source, "npy")
    try:
        array = npy.parse(source.read_bytes())
    except (ValueError, *GZIP_ERRORS) as error:
        raise UserError(
            f"{source.name} is not an array ({error}): write it with numpy.save, without objects"
        ) from error
    numbers = array.size * max(len(array.dtype.names or ()), 1)
    check_memory(source.name, numbers * CELL_BYTES, f"{numbers:,} numbers")
    if array.dtype.names:
        names = array.dtype.names
        return FileTable(
            names, tuple(_column(array[name], options.missing_markers) for name in names)
        )
    if array.ndim != 2:
        raise UserError(
            f"{source.name} is an array of shape {array.shape}, but a table has rows and columns:"
            " write 2 dimensions"
        )
    return FileTable(None, tuple(_column(cells, options.missing_markers) for cells in array.T))


def _column(array: Cells, markers: Collection[str]) -> Cells:
    """Cells of a column: numbers, also as text, as they are in any other file."""
    cells = array_cells(array, markers)
    return numbers_or_text(cells) if cells.dtype == object else cells
