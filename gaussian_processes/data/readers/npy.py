"""NPY reader: arrays of rows and columns, or of records, written by numpy.save."""

import io

from numpy.lib.format import read_array

from gaussian_processes.data.cells import array_cells
from gaussian_processes.data.readers.interface import GZIP_ERRORS, ReadOptions, Source
from gaussian_processes.data.table import FileTable
from gaussian_processes.errors import UserError


def read(source: Source, options: ReadOptions) -> FileTable:
    """Read an array of shape (n, c), or of n records, whose fields are columns with names."""
    try:
        array = read_array(io.BytesIO(source.read_bytes()), allow_pickle=False)
    except (ValueError, *GZIP_ERRORS) as error:
        raise UserError(
            f"{source.name} is not an array ({error}): write it with numpy.save, without objects"
        ) from error
    if array.dtype.names:
        names = array.dtype.names
        return FileTable(
            names, tuple(array_cells(array[name], options.missing_markers) for name in names)
        )
    if array.ndim != 2:
        raise UserError(
            f"{source.name} is an array of shape {array.shape}, but a table has rows and columns:"
            " write 2 dimensions"
        )
    return FileTable(None, tuple(array_cells(array, options.missing_markers).T))
