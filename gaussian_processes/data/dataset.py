"""Datasets: the rows of a table as arrays of features, targets and sample weights."""

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.cells import (
    Cells,
    Label,
    as_numbers,
    first_true,
    missing_mask,
    normalize_category,
)
from gaussian_processes.data.column_types import check_dates, check_not_mixed
from gaussian_processes.data.dates import parse_dates
from gaussian_processes.data.schema import UNKNOWN_CATEGORY, Column, Schema
from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError

Array = NDArray[np.float64]

# Greatest sample weight, and the inverse of the least: their squares are numbers, too.
MAX_WEIGHT = 1e100


@dataclass(frozen=True)
class Dataset:
    """Rows of features with their targets.

    Parameters
    ----------
    X : ndarray of shape (n, c)
        Numbers, and codes of categories; NaN where a value is missing. The indicators of missing
        numbers are the last columns.
    y : ndarray of shape (n, t)
        Targets; in classification the codes of the classes.
    sample_weight : ndarray of shape (n,)
        w; the noise variance of a row is σ²/w.
    locate_row : callable
        Location of row i in its file, for messages.
    warnings : sequence of str
        One sentence for every kind of value that another stands for.
    robustness_weight : ndarray of shape (n,), optional
        Factor of the weight with which a model learns from a row: below 1 where all others
        contradict its targets; 1 unless it is given.
    """

    X: Array
    y: Array
    sample_weight: Array
    locate_row: Callable[[int], str]
    warnings: Sequence[str] = field(default=())
    robustness_weight: Array | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.X)

    @property
    def robustness(self) -> Array:
        """Robustness weights, of shape (n,)."""
        return np.ones(len(self)) if self.robustness_weight is None else self.robustness_weight

    @property
    def is_rejected(self) -> NDArray[np.bool_]:
        """Whether all others contradict a row, of shape (n,)."""
        return self.robustness < 1

    def subset(self, indices: NDArray[np.intp]) -> "Dataset":
        """Return the rows of some indices."""
        return Dataset(
            self.X[indices],
            self.y[indices],
            self.sample_weight[indices],
            lambda row: self.locate_row(int(indices[row])),
            robustness_weight=self.robustness[indices],
        )


def canonical_order(dataset: Dataset) -> NDArray[np.intp]:
    """Order of the rows that does not depend on the order in which they came, of shape (n,).

    Rows are sorted by their features, targets and weights, so that what is drawn by a seed is the
    same whatever the order of the files and their rows.
    """
    columns = [*dataset.X.T, *dataset.y.T, dataset.sample_weight]
    order: NDArray[np.intp] = np.lexsort(columns[::-1])
    return order


def from_table(table: Table, schema: Schema) -> Dataset:
    """Make a dataset of a table by the schema of the training table.

    Parameters
    ----------
    table : Table
        Its columns are found by their names or, where it or the schema has none, by their
        positions.
    schema : Schema

    Raises
    ------
    UserError
        With file, row and column, if a column does not exist, or a cell is not what its column
        holds.
    """
    if not (schema.has_header and table.names) and table.width != schema.width:
        raise UserError(
            f"{table.source_label} has {table.width} columns, but training has {schema.width}: give"
            " all channels the same columns"
        )
    positions = [_position(table, schema, column) for column in schema.features]
    encoded, warnings = encode_features(table, schema, positions)
    for index, (column, position) in enumerate(zip(schema.features, positions, strict=True)):
        if column.categories is not None:
            _check_some_known(table, position, encoded[:, index])
    warnings += _superfluous_warnings(table, schema)
    if schema.has_header != (table.names is not None):
        warnings.append(
            f"either the training files or {table.source_label} name their columns, not both: they"
            " are matched by position"
        )
    y, sample_weight = _targets(table, schema), _sample_weight(table, schema)
    return Dataset(encoded, y, sample_weight, table.locate_row, warnings)


def _superfluous_warnings(table: Table, schema: Schema) -> list[str]:
    """Warn of columns that training did not have."""
    if not schema.has_header or table.names is None:
        return []
    used = {*(column.name for column in (*schema.features, *schema.targets)), *schema.ignored}
    others = [name for name in table.names if name not in used]
    if not others:
        return []
    return [
        f"{table.source_label} has {len(others):,} column(s) that training did not have, which are"
        f" ignored: {', '.join(others)[:200]}"
    ]


def encode_features(
    table: Table, schema: Schema, positions: Sequence[int]
) -> tuple[Array, list[str]]:
    """Encode the columns at some positions of a table as the features of a schema.

    Returns
    -------
    X : ndarray of shape (n, c)
        Numbers, days of dates, and codes of categories; NaN where a value is missing; indicators of
        missing numbers.
    warnings : list of str

    Raises
    ------
    UserError
        With file, row and column, if a cell is not what its column holds.
    """
    warnings: list[str] = []
    encoded = np.empty((len(table), len(schema.features)))
    for index, (column, position) in enumerate(zip(schema.features, positions, strict=True)):
        if schema.missing == "error":
            _check_present(table, position, "correct or remove the row, or set missing=auto")
        if column.is_date:
            check_dates(table, position)
            encoded[:, index] = parse_dates(table.columns[position].tolist())
        elif column.categories is None:
            label = table.column_label(position)
            encoded[:, index] = _numbers(
                table, position, f"but cells of {label} are finite numbers"
            )
        else:
            encoded[:, index] = _encode_categories(table, position, column)
            warnings += _unknown_warnings(table, position, encoded[:, index], schema)
    warnings += _missing_warnings(table, schema, positions)
    return schema.with_indicators(encoded), warnings


def _missing_warnings(table: Table, schema: Schema, positions: Sequence[int]) -> list[str]:
    """Count the missing cells of each column, in one sentence for each way of encoding them."""
    counts_by_encoding: dict[str, list[str]] = {}
    for index, position in enumerate(positions):
        count = int(missing_mask(table.columns[position]).sum())
        if count:
            encoding = _describe_missing(schema, schema.features[index])
            counts = counts_by_encoding.setdefault(encoding, [])
            counts.append(f"{count:,} of {table.column_label(position)}")
    return [
        f"missing cells of {table.source_label} {encoding}: {', '.join(counts)[:300]}"
        for encoding, counts in counts_by_encoding.items()
    ]


def _describe_missing(schema: Schema, column: Column) -> str:
    """Describe how missing cells of a column are encoded."""
    if column.missing_indicator and column.categories is not None:
        return "are a level of their own"
    if column.missing_indicator:
        return "are imputed by the mean, beside an indicator column"
    reason = ", since training had none there" if schema.missing == "auto" else ""
    return f"are imputed, numbers by the mean, categories by no category{reason}"


def _position(table: Table, schema: Schema, column: Column) -> int:
    """Position of a training column in a table: by name if both have names."""
    if not schema.has_header or table.names is None:
        return column.position
    if column.name not in table.positions:
        raise UserError(
            f"{table.source_label} has no column {reprlib.repr(column.name)}, which training had:"
            " give it the same columns"
        )
    return table.positions[column.name]


def _numbers(table: Table, position: int, rule: str) -> Array:
    """Cells of a column of numbers; NaN where they are missing."""
    cells = as_numbers(table.columns[position])
    if cells.dtype == object:
        check_not_mixed(table, position)
        rows = np.flatnonzero(~missing_mask(cells))
        if not len(rows):
            return np.full(len(cells), np.nan)
        raise _cell_error(table, int(rows[0]), position, reprlib.repr(cells[rows[0]]), rule)
    row = first_true(np.isinf(cells))
    if row is not None:
        raise _cell_error(table, row, position, str(cells[row]), rule)
    return np.asarray(cells, float)


def _cell_error(table: Table, row: int, position: int, value: str, rule: str) -> UserError:
    where = table.locate_cell(row, position)
    return UserError(f"{where} is {value}, {rule}: correct or remove the row")


def _check_present(table: Table, position: int, remedy: str) -> None:
    """Refuse a missing cell."""
    row = first_true(missing_mask(table.columns[position]))
    if row is not None:
        raise UserError(
            f"{table.locate_cell(row, position)} is empty, but every row needs a value:"
            f" {remedy}, or, if it holds a word, such as None, that does not mean missing, set"
            " missing_values"
        )


def _encode_categories(table: Table, position: int, column: Column) -> Array:
    """Codes of the categories of a column."""
    cells = table.columns[position].tolist()
    codes = [column.missing_code if cell is None else column.encode(cell) for cell in cells]
    return np.array(codes, float)


def _unknown_warnings(table: Table, position: int, codes: Array, schema: Schema) -> list[str]:
    """Warn of categories that training did not have, or refuse them."""
    unknown = np.flatnonzero(codes == UNKNOWN_CATEGORY)
    if not len(unknown):
        return []
    sentence = _unknown_sentence(table, int(unknown[0]), position)
    if schema.handle_unknown == "error":
        raise UserError(f"{sentence}: correct or remove the row, or set handle_unknown=ignore")
    return [f"{sentence}; it and {len(unknown) - 1} more such cells count as no category"]


def _check_some_known(table: Table, position: int, codes: Array) -> None:
    """Refuse a column of several rows that has none of training's categories: it is another one."""
    if len(codes) > 1 and (codes == UNKNOWN_CATEGORY).all():
        raise UserError(
            f"{_unknown_sentence(table, 0, position)}, and so are all cells of that column: check"
            " that it is the column of training"
        )


def _unknown_sentence(table: Table, row: int, position: int) -> str:
    cell = table.columns[position][row]
    value = reprlib.repr(cell) if isinstance(cell, str) else normalize_category(cell)
    return f"{table.locate_cell(row, position)} is {value}, which training did not have"


def _targets(table: Table, schema: Schema) -> Array:
    """Targets as numbers or, in classification, as codes of the classes."""
    positions = [_position(table, schema, column) for column in schema.targets]
    for position in positions:
        _check_present(table, position, "correct or remove the row")
    if not schema.classes:
        rule = "but targets are finite numbers (or text, under task=classification)"
        return np.column_stack([_numbers(table, position, rule) for position in positions])
    return _encode_classes(table, positions[0], schema.classes)


def _encode_classes(table: Table, position: int, classes: Sequence[Label]) -> Array:
    """Codes of the classes of a column, of shape (n, 1)."""
    code_of = {normalize_category(label): code for code, label in enumerate(classes)}
    cells: Cells = table.columns[position]
    names = [normalize_category(cell) for cell in cells]
    for row, name in enumerate(names):
        if name not in code_of:
            raise UserError(
                f"{table.locate_cell(row, position)} is {reprlib.repr(cells[row])}, a class that"
                " training did not have: remove the row, or give training rows of that class"
            )
    return np.array([[code_of[name]] for name in names], float)


def _sample_weight(table: Table, schema: Schema) -> Array:
    """Sample weight of every row: 1 where there is no such column."""
    column = schema.sample_weight
    if column is None:
        return np.ones(len(table))
    if schema.has_header and table.names is not None and column.name not in table.names:
        return np.ones(len(table))
    position = _position(table, schema, column)
    _check_present(table, position, "correct or remove the row")
    rule = f"but sample weights are positive numbers from {1 / MAX_WEIGHT:g} to {MAX_WEIGHT:g}"
    weights = _numbers(table, position, rule)
    row = first_true((weights < 1 / MAX_WEIGHT) | (weights > MAX_WEIGHT))
    if row is not None:
        raise _cell_error(table, row, position, f"{weights[row]:g}", rule)
    return weights
