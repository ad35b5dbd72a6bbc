"""Columns of pandas data frames as cells."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gaussian_processes.data.cells import Cells, numbers_or_text, text_cells


def frame_columns(frame: pd.DataFrame) -> tuple[Cells, ...]:
    """Convert the columns of a data frame to cells."""
    return tuple(map(series_cells, _series(frame)))


def _series(frame: pd.DataFrame) -> "Iterator[pd.Series[Any]]":
    # By position, because several columns may have one name.
    return (frame.iloc[:, position] for position in range(frame.shape[1]))


def series_cells(series: "pd.Series[Any]") -> Cells:
    """Convert a column to cells: numbers, also where pandas holds them as objects, or else text."""
    if pd.api.types.is_bool_dtype(series.dtype):
        return _text(series)
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy(np.float64, na_value=np.nan)
    if series.map(lambda cell: isinstance(cell, bool)).any():
        return _text(series)
    # Decimals, and integers of more than 64 bits, are objects to pandas.
    return numbers_or_text(_text(series))


def _text(series: "pd.Series[Any]") -> Cells:
    missing = series.isna()
    return text_cells(
        None if absent else str(cell) for cell, absent in zip(series, missing, strict=True)
    )
