"""Columns of pandas data frames as cells."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from gaussian_processes.data.cells import (
    MISSING_MARKERS,
    Cells,
    has_inexact_integers,
    numbers_or_text,
    text_cells,
)


def frame_columns(
    frame: pd.DataFrame, markers: Collection[str] = MISSING_MARKERS
) -> tuple[Cells, ...]:
    """Convert the columns of a data frame to cells."""
    return tuple(series_cells(series, markers) for _, series in frame.items())


def series_cells(series: "pd.Series[Any]", markers: Collection[str] = MISSING_MARKERS) -> Cells:
    """Convert a column to cells: numbers, also where pandas holds them as objects, or else text."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    if pd.api.types.is_bool_dtype(series.dtype) or _has_inexact_integers(series):
        return _text(series, markers)
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy(np.float64, na_value=np.nan)
    if any(isinstance(cell, bool) for cell in series.to_numpy(object)):
        return _text(series, markers)
    # Decimals, and integers of more than 64 bits, are objects to pandas.
    return numbers_or_text(_text(series, markers))


def _has_inexact_integers(series: "pd.Series[Any]") -> bool:
    """Whether a column of integers, with or without missing ones, has one beyond float64's."""
    if not pd.api.types.is_integer_dtype(series.dtype):
        return False
    return has_inexact_integers(series.dropna().to_numpy())


def _text(series: "pd.Series[Any]", markers: Collection[str]) -> Cells:
    values, missing = series.to_numpy(object), series.isna().to_numpy()
    cells = (None if absent else str(cell) for cell, absent in zip(values, missing, strict=True))
    return text_cells(cells, markers)
