"""Files of a channel, written and read by the tests of the readers."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gaussian_processes.data import readers
from gaussian_processes.data.readers import ReadOptions

FINITE = st.floats(allow_nan=False, allow_infinity=False)

TABLES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=2), elements=FINITE)


def read(folder, **options):
    """Read the folder of the channel train."""
    return readers.read(folder, ReadOptions("train", **options))


def fill(folder, files):
    """Write files, by their paths in the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def numbers(table):
    """All cells as one array."""
    return np.ascontiguousarray(np.column_stack(table.columns))


def csv_lines(values):
    """Write an array as CSV, as Python writes numbers."""
    return "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())
