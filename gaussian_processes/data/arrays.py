"""Tables of NumPy arrays and pandas data frames."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from gaussian_processes.data.cells import Cells, array_cells, dates_as_text
from gaussian_processes.data.frames import series_cells
from gaussian_processes.data.table import Table


def columns(x: Any) -> tuple[Cells, ...]:
    """Cells of every column of a data frame or of an array of shape (n, c).

    Parameters
    ----------
    x : pandas.DataFrame or ndarray
        Of numbers, words, truth values, dates, or objects that are any of these.

    Raises
    ------
    TypeError
        If an object is neither a word nor a number nor a date.

    Examples
    --------
    >>> columns(np.array([[1, "a"], [None, "b"]], object))
    (array([ 1., nan]), array(['a', 'b'], dtype=object))
    """
    if isinstance(x, pd.DataFrame):
        return tuple(cells(x.iloc[:, position]) for position in range(x.shape[1]))
    return tuple(map(cells, x.T))


def cells(column: Any) -> Cells:
    """Cells of one column: float64, NaN where one is missing, or words, None where one is missing.

    Truth values are words, as they are in files, so that a column of them is a category.
    """
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
        return array_cells(column)
    if isinstance(column, np.ndarray) and column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8")
    if isinstance(column, np.ndarray):
        column = dates_as_text(column)
    series = column if isinstance(column, pd.Series) else pd.Series(column.astype(object))
    if series.dtype == object:
        _check_scalars(series)
    return series_cells(series)


def without_datetimes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a data frame with its columns of dates as objects, which NumPy has beside numbers.

    Raises
    ------
    TypeError
        If a column holds durations, which are neither dates nor numbers of a known unit.
    """
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if pd.api.types.is_timedelta64_dtype(dtype):
            raise TypeError(f"column {name!r} of X holds durations: give hours or days as numbers")
    dated = [
        position
        for position, dtype in enumerate(frame.dtypes)
        if pd.api.types.is_datetime64_any_dtype(dtype)
    ]
    if not dated:
        return frame
    columns = [frame.iloc[:, position] for position in range(frame.shape[1])]
    for position in dated:
        columns[position] = columns[position].astype(object)
    return pd.concat(columns, axis=1)


def table(columns: Sequence[Cells], names: Sequence[str] | None, source: str) -> Table:
    """Table of columns in memory, which sentences about its cells call by `source`."""
    return Table(
        None if names is None else tuple(names), tuple(columns), [(source, len(columns[0]))]
    )


def _check_scalars(series: "pd.Series[Any]") -> None:
    """Refuse a cell that is no scalar, with Python's own sentence about what is no number."""
    present = series[series.notna()]
    for cell in present:
        if not isinstance(cell, str | bytes | Real | Decimal | np.bool_ | date | np.datetime64):
            float(cell)
