"""Which rows of a table teach, or score, what?"""

import difflib
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.readers import Cells, Table
from gaussian_processes.data.schema import (
    UNKNOWN_CATEGORY,
    Column,
    Label,
    Schema,
    normalize_category,
    parse_number,
)
from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters

Array = NDArray[np.float64]

# In fewer rows than these each may well be of a class of its own.
FEW = 20
# A category of more levels has hardly a row for each, and each is a column of its own: it is a name, and no category.
LEVELS = 1_000


@dataclass(frozen=True)
class Dataset:
    """Rows with what is known about them.

    Parameters
    ----------
    X : ndarray of shape (n, c)
        Numbers, and positions of levels; NaN where a value is missing.
    y : ndarray of shape (n, t)
        What is to be predicted; in classification the positions of the labels.
    sample_weight : ndarray of shape (n,)
        w; the noise of a row is σ²/w.
    locate_row : callable
        What a person calls row i.
    warnings : sequence of str
        One sentence for everything that was put in the place of something else.
    """

    X: Array
    y: Array
    sample_weight: Array
    locate_row: Callable[[int], str]
    warnings: Sequence[str] = field(default=())

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.X)

    def subset(self, indices: NDArray[np.intp]) -> "Dataset":
        """Return some of them."""
        return Dataset(
            self.X[indices],
            self.y[indices],
            self.sample_weight[indices],
            lambda row: self.locate_row(int(indices[row])),
        )


def infer_schema(table: Table, settings: Hyperparameters) -> Schema:
    """Learn from the training table which column is what.

    Parameters
    ----------
    table : Table
    settings : Hyperparameters
        Of them `target`, `label_size`, `features`, `ignore`, `categories`, `sample_weight`, `task`, `missing`, `handle_unknown`.

    Raises
    ------
    UserError
        If a column is not there or is to be two things, nothing is left to predict from, a column holds numbers and words, or a
        category has too many levels.
    """
    targets = _find(table, settings.target, "target") or list(
        range(settings.label_size or table.label_size or 1)
    )
    weights, ignored = (
        _find(table, settings.sample_weight, "sample_weight"),
        _find(table, settings.ignore, "ignore"),
    )
    features = _find(table, settings.features, "features")
    categories = _find(table, settings.categories, "categories")
    taken = {"target": targets, "sample_weight": weights, "ignore": ignored}
    _check_roles(table, taken | {"features": features})
    spoken_for = {position for positions in taken.values() for position in positions}
    features = features or [
        position for position in range(table.width) if position not in spoken_for
    ]
    if not features or max(targets) >= table.width:
        raise UserError(
            f"{table.source_label} has {table.width} column(s), but {len(targets)} are targets and a feature at least is needed:"
            " separate columns by commas"
        )
    labels = _labels(table, targets, settings.task)
    return Schema(
        has_header=table.names is not None,
        width=table.width,
        features=tuple(_column(table, position, position in categories) for position in features),
        targets=tuple(Column(table.column_name(position), position) for position in targets),
        classes=labels,
        ignored=tuple(
            table.column_name(position)
            for position in range(table.width)
            if position not in {*features, *targets}
        ),
        sample_weight=Column(table.column_name(weights[0]), weights[0]) if weights else None,
        missing=settings.missing,
        handle_unknown=settings.handle_unknown,
    )


def from_table(table: Table, schema: Schema) -> Dataset:
    """Read the rows of a table as a schema says.

    Parameters
    ----------
    table : Table
        Its columns are found by their names, or, where it or the schema has none, by their positions.
    schema : Schema

    Raises
    ------
    UserError
        With file, row and column, if a column is not there, or a cell is none that the column may have.
    """
    positions = [_position(table, schema, column) for column in schema.features]
    rows, notes = encode_features(table, schema, positions)
    _check_same_categories(table, schema, positions, rows)
    if schema.has_header != (table.names is not None):
        notes.append(
            f"either the training files or {table.source_label} name their columns, not both:"
            " they are matched by position"
        )
    return Dataset(rows, _targets(table, schema), _weights(table, schema), table.locate_row, notes)


def encode_features(
    table: Table, schema: Schema, positions: Sequence[int]
) -> tuple[Array, list[str]]:
    """Encode the features of a table, and warn of what stands in for something else.

    Parameters
    ----------
    table : Table
    schema : Schema
    positions : sequence of int
        Where the table has each feature of the schema.

    Returns
    -------
    rows : ndarray of shape (n, c)
        Numbers, and positions of categories; NaN where a value is missing.
    warnings : list of str

    Raises
    ------
    UserError
        With file, row and column, if a cell is none that the column may have.
    """
    notes: list[str] = []
    rows = np.empty((len(table), len(schema.features)))
    for index, (column, position) in enumerate(zip(schema.features, positions, strict=True)):
        if schema.missing == "error":
            _check_present(table, position, "correct or remove the row, or set missing=mean")
        if column.categories is None:
            rule = f"but cells of {table.column_label(position)} are finite numbers"
            rows[:, index] = _numbers(table, position, rule)
        else:
            rows[:, index] = _codes(table, position, column, schema, notes)
    counts = np.isnan(rows).sum(axis=0).tolist()
    if any(counts):
        where = ", ".join(
            f"{count:,} of {schema.column_label(index)}"
            for index, count in enumerate(counts)
            if count
        )
        notes.append(
            f"missing cells of {table.source_label} are filled in, numbers by the mean, categories by no level: {where[:300]}"
        )
    return rows, notes


def _find(table: Table, asked: Sequence[str], hyperparameter: str) -> list[int]:
    """Positions of the columns that a hyperparameter names, by name or by 0-based position."""
    return [_position_of(table, one, hyperparameter) for one in asked]


def _position_of(table: Table, asked: str, hyperparameter: str) -> int:
    names = table.names or ()
    if asked in names:
        return names.index(asked)
    if asked.isdecimal() and int(asked) < table.width:
        return int(asked)
    near = difflib.get_close_matches(asked, names, n=1)
    guess = f": correct it to {near[0]}" if near else ""
    there = (
        ", ".join(names)[:300]
        if names
        else f"numbered from 0 to {table.width - 1}, without names"
    )
    raise UserError(
        f"hyperparameter {hyperparameter} names column {reprlib.repr(asked)}, but the columns are {there}{guess}"
    )


def _check_roles(table: Table, roles: dict[str, list[int]]) -> None:
    names = list(roles)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            for position in sorted({*roles[one]} & {*roles[other]}):
                raise UserError(
                    f"{table.column_label(position)} is named in {one} and in {other}: name it in one of them"
                )


def _column(table: Table, position: int, category: bool) -> Column:
    """Describe a feature, with the levels if it is a category."""
    cells = table.columns[position]
    if cells.dtype != object and not category:
        return Column(table.column_name(position), position)
    if not category:
        _check_mixture(table, position)
    levels = sorted({normalize_category(cell) for cell in _known(cells)})
    if len(levels) > LEVELS:
        raise UserError(
            f"{table.column_label(position)} has {len(levels):,} different words, too many for a category (at most {LEVELS:,}):"
            " name it in ignore"
        )
    return Column(table.column_name(position), position, tuple(levels))


def _check_mixture(table: Table, position: int) -> None:
    """Refuse a column of numbers in which a word was written by mistake."""
    cells = [None if cell is None else str(cell) for cell in table.columns[position]]
    numeric = [
        row for row, cell in enumerate(cells) if cell is not None and parse_number(cell) is not None
    ]
    if numeric and len(numeric) < sum(cell is not None for cell in cells):
        row = next(
            row for row, cell in enumerate(cells) if cell is not None and parse_number(cell) is None
        )
        raise UserError(
            f"{table.locate_cell(row, position)} is {reprlib.repr(cells[row])}, but other cells of that column are numbers (as"
            f" {cells[numeric[0]]} in {table.locate_row(numeric[0])}): correct or remove the row, or name the column in categories"
        )


def _labels(table: Table, targets: Sequence[int], task: str) -> tuple[Label, ...]:
    """Classes; none in regression."""
    words = [position for position in targets if table.columns[position].dtype == object]
    if task == "regression" or (task == "auto" and not words):
        return ()
    if len(targets) > 1:
        called = ", ".join(map(table.column_name, targets))
        raise UserError(
            f"the targets are {called}, but classification has one: name one in target, or set task=regression"
        )
    cells = table.columns[targets[0]]
    for row in np.flatnonzero(np.isinf(cells))[:1] if not words else ():
        raise UserError(
            f"{table.locate_cell(row, targets[0])} is {cells[row]}, but classes are finite numbers or words: correct it"
        )
    if words:
        if task == "auto":
            _check_mixture(table, targets[0])
        labels: list[Label] = sorted({normalize_category(cell) for cell in _known(cells)})
    else:
        labels = [_plain(value) for value in np.unique(_known(cells)).tolist()]
    if len(labels) > len(cells) / 2 and len(cells) > FEW:
        raise UserError(
            f"{table.column_label(targets[0])} has {len(labels):,} classes in {len(cells):,} rows, too few of each to learn from:"
            " correct target, write its numbers without separators, or set task=regression"
        )
    if not 2 <= len(labels) <= LEVELS:
        raise UserError(
            f"{table.column_label(targets[0])} has {len(labels):,} classes, but classification takes 2 to {LEVELS:,}:"
            " correct target, or set task=regression"
        )
    return tuple(labels)


def _plain(value: float) -> float:
    """Whole numbers as such: a label 3.0 is written 3."""
    return int(value) if float(value).is_integer() else value


def _known(cells: Cells) -> Cells:
    """Cells that are not missing."""
    return (
        cells[np.array([cell is not None for cell in cells], bool)]
        if cells.dtype == object
        else cells[~np.isnan(cells)]
    )


def _position(table: Table, schema: Schema, column: Column) -> int:
    if schema.has_header and table.names is not None:
        if column.name not in table.names:
            raise UserError(
                f"{table.source_label} has no column {reprlib.repr(column.name)}, which training had: give it the same columns"
            )
        return table.names.index(column.name)
    if schema.width != table.width:
        raise UserError(
            f"{table.source_label} has {table.width} columns, but training has {schema.width}: give all channels the same columns"
        )
    return column.position


def _numbers(table: Table, position: int, rule: str) -> Array:
    """Cells of a column of numbers; NaN where they are missing."""
    cells = table.columns[position]
    if cells.dtype == object:
        _check_mixture(table, position)
        row = next((row for row, cell in enumerate(cells) if cell is not None), 0)
        raise UserError(
            f"{table.locate_cell(row, position)} is {reprlib.repr(cells[row])}, {rule}: correct or remove the row"
        )
    for row in np.flatnonzero(np.isinf(cells))[:1]:
        raise UserError(
            f"{table.locate_cell(row, position)} is {cells[row]}, {rule}: correct or remove the row"
        )
    return np.asarray(cells, float)


def _check_present(table: Table, position: int, remedy: str) -> None:
    cells = table.columns[position]
    absent = (
        [row for row, cell in enumerate(cells) if cell is None]
        if cells.dtype == object
        else np.flatnonzero(np.isnan(cells))
    )
    for row in absent[:1]:
        raise UserError(
            f"{table.locate_cell(int(row), position)} is empty, but every row needs a value: {remedy}"
        )


def _codes(table: Table, position: int, column: Column, schema: Schema, notes: list[str]) -> Array:
    """Positions of the levels of a category."""
    cells = table.columns[position]
    codes = np.array(
        [np.nan if cell is None else column.encode(cell) for cell in cells.tolist()], float
    )
    unknown = np.flatnonzero(codes == UNKNOWN_CATEGORY)
    for row in unknown[:1]:
        sentence = f"{table.locate_cell(row, position)} is {_shown(cells[row])}, which training did not have"
        if schema.handle_unknown == "error":
            raise UserError(f"{sentence}: correct or remove the row, or set handle_unknown=ignore")
        notes.append(
            f"{sentence}; it and {len(unknown) - 1} more such cells count as none of the levels"
        )
    return codes


def _check_same_categories(
    table: Table, schema: Schema, positions: Sequence[int], rows: Array
) -> None:
    """Refuse a column without a single category of training's: it may be another column."""
    for index, position in enumerate(positions):
        unknown = rows[:, index] == UNKNOWN_CATEGORY
        if schema.category_counts[index] and len(rows) > 1 and unknown.all():
            raise UserError(
                f"{table.locate_cell(0, position)} is {_shown(table.columns[position][0])}, which"
                " training did not have, and so are all cells of that column: check that it is the"
                " column of training"
            )


def _shown(cell: Label) -> str:
    return reprlib.repr(cell) if isinstance(cell, str) else normalize_category(cell)


def _targets(table: Table, schema: Schema) -> Array:
    positions = [_position(table, schema, column) for column in schema.targets]
    for position in positions:
        _check_present(table, position, "correct or remove the row")
    if not schema.classes:
        rule = "but targets are finite numbers (or words, under task=classification)"
        return np.column_stack([_numbers(table, position, rule) for position in positions])
    known = {normalize_category(label): code for code, label in enumerate(schema.classes)}
    cells = table.columns[positions[0]]
    for row, cell in enumerate(cells):
        if normalize_category(cell) not in known:
            raise UserError(
                f"{table.locate_cell(row, positions[0])} is {reprlib.repr(cell)}, a class that training did not have: remove the row, or"
                " give training rows of that class"
            )
    return np.array([[known[normalize_category(cell)]] for cell in cells], float)


def _weights(table: Table, schema: Schema) -> Array:
    """w of every row: 1 where there is no such column."""
    column = schema.sample_weight
    if column is None or (
        schema.has_header and table.names is not None and column.name not in table.names
    ):
        return np.ones(len(table))
    position = _position(table, schema, column)
    _check_present(table, position, "correct or remove the row")
    weights = _numbers(table, position, "but weights are positive numbers")
    for row in np.flatnonzero(weights <= 0)[:1]:
        raise UserError(
            f"{table.locate_cell(row, position)} is {weights[row]:g}, but weights are positive numbers: correct or remove the row"
        )
    return weights
