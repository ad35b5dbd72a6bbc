"""Inference of a schema from the training table: roles, types and categories of its columns."""

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from gaussian_processes.data.cells import (
    Cells,
    Label,
    missing_mask,
    normalize_category,
    parse_number,
)
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError

# In fewer rows than these each may well be of a class of its own.
MIN_ROWS_FOR_CLASS_RATIO = 20
# A category of more values has hardly a row for each, and each is a coordinate of its own: such a
# column holds names.
MAX_CATEGORIES = 1_000


@dataclass(frozen=True)
class SchemaOptions:
    """What a person says about the columns; each is named by its name or its 0-based position.

    Parameters
    ----------
    target, features, ignore, categories, sample_weight : sequence of str
        Columns by their roles. Without `target`, the first columns are targets; without `features`,
        all columns that have no other role are.
    label_size : int, optional
        Number of targets, where they are the first columns; before what the content type says.
    task : str
        `regression`, `classification`, or `auto`: classification if the target is text.
    missing : str
        `error` or `mean`.
    handle_unknown : str
        `ignore` or `error`, for categories that training did not have.
    """

    target: Sequence[str] = ()
    features: Sequence[str] = ()
    ignore: Sequence[str] = ()
    categories: Sequence[str] = ()
    sample_weight: Sequence[str] = ()
    label_size: int | None = None
    task: str = "auto"
    missing: str = "error"
    handle_unknown: str = "ignore"

    @classmethod
    def from_attributes(cls, settings: object) -> "SchemaOptions":
        """Take the options from attributes of the same names, as the hyperparameters have them."""
        return cls(**{option.name: getattr(settings, option.name) for option in fields(cls)})


@dataclass(frozen=True)
class _Roles:
    """Positions of the columns by their roles."""

    targets: Sequence[int]
    features: Sequence[int]
    categories: Sequence[int]
    sample_weight: Sequence[int]


def infer_schema(table: Table, options: SchemaOptions) -> Schema:
    """Infer from the training table what each column holds.

    Raises
    ------
    UserError
        If a column does not exist or has two roles, no feature is left, a column holds numbers and
        text, or there are too many categories or classes.
    """
    roles = _assign_roles(table, options)
    used = {*roles.features, *roles.targets}
    weights = [_plain_column(table, position) for position in roles.sample_weight]
    return Schema(
        has_header=table.names is not None,
        width=table.width,
        features=tuple(
            _infer_feature(table, position, position in roles.categories)
            for position in roles.features
        ),
        targets=tuple(_plain_column(table, position) for position in roles.targets),
        classes=_infer_classes(table, roles.targets, options.task),
        ignored=tuple(
            table.column_name(position) for position in range(table.width) if position not in used
        ),
        sample_weight=weights[0] if weights else None,
        missing=options.missing,
        handle_unknown=options.handle_unknown,
    )


def _assign_roles(table: Table, options: SchemaOptions) -> _Roles:
    """Find the columns of every role."""
    first_columns = list(range(options.label_size or table.label_size or 1))
    targets = _find(table, options.target, "target") or first_columns
    taken = {
        "target": targets,
        "sample_weight": _find(table, options.sample_weight, "sample_weight"),
        "ignore": _find(table, options.ignore, "ignore"),
    }
    features = _find(table, options.features, "features")
    _check_one_role(table, {**taken, "features": features})
    if not features:
        others = {position for positions in taken.values() for position in positions}
        features = [position for position in range(table.width) if position not in others]
    if not features or max(targets) >= table.width:
        raise UserError(
            f"{table.source_label} has {table.width} column(s), but {len(targets)} are targets and"
            " at least one feature is needed: separate columns by commas"
        )
    categories = _find(table, options.categories, "categories")
    return _Roles(targets, features, categories, taken["sample_weight"])


def _find(table: Table, columns: Sequence[str], hyperparameter: str) -> list[int]:
    """Positions of the columns that a hyperparameter names."""
    return [_find_one(table, column, hyperparameter) for column in columns]


def _find_one(table: Table, column: str, hyperparameter: str) -> int:
    names = table.names or ()
    if column in names:
        return names.index(column)
    if column.isdecimal() and int(column) < table.width:
        return int(column)
    existing = ", ".join(names)[:300] or f"numbered from 0 to {table.width - 1}, without names"
    near = difflib.get_close_matches(column, names, n=1)
    remedy = f"correct it to {near[0]}" if near else "correct it to one of them"
    raise UserError(
        f"hyperparameter {hyperparameter} names column {reprlib.repr(column)}, but the columns are"
        f" {existing}: {remedy}"
    )


def _check_one_role(table: Table, roles: Mapping[str, Sequence[int]]) -> None:
    """Refuse a column of two roles."""
    role_of: dict[int, str] = {}
    for role, positions in roles.items():
        for position in positions:
            first = role_of.setdefault(position, role)
            if first != role:
                raise UserError(
                    f"{table.column_label(position)} is named in {first} and in {role}: name it in"
                    " one of them"
                )


def _plain_column(table: Table, position: int) -> Column:
    return Column(table.column_name(position), position)


def _infer_feature(table: Table, position: int, is_category: bool) -> Column:
    """Infer the type of a feature, and its categories if it has any."""
    cells = table.columns[position]
    if cells.dtype != object and not is_category:
        return _plain_column(table, position)
    if not is_category:
        check_not_mixed(table, position)
    categories = sorted({normalize_category(cell) for cell in _present(cells)})
    if len(categories) > MAX_CATEGORIES:
        raise UserError(
            f"{table.column_label(position)} has {len(categories):,} different values, too many for"
            f" a category (at most {MAX_CATEGORIES:,}): name it in ignore"
        )
    return Column(table.column_name(position), position, tuple(categories))


def check_not_mixed(table: Table, position: int) -> None:
    """Refuse a column of numbers in which a cell is text."""
    row_of_number = row_of_text = None
    for row, cell in enumerate(table.columns[position].tolist()):
        if cell is None:
            continue
        if parse_number(str(cell)) is None:
            row_of_text = row if row_of_text is None else row_of_text
        else:
            row_of_number = row if row_of_number is None else row_of_number
        if row_of_text is not None and row_of_number is not None:
            raise _mixed_error(table, position, row_of_text, row_of_number)


def _mixed_error(table: Table, position: int, row_of_text: int, row_of_number: int) -> UserError:
    cells = table.columns[position]
    return UserError(
        f"{table.locate_cell(row_of_text, position)} is {reprlib.repr(cells[row_of_text])}, but"
        f" other cells of that column are numbers (as {cells[row_of_number]} in"
        f" {table.locate_row(row_of_number)}): correct or remove the row, or name the column in"
        " categories"
    )


def _infer_classes(table: Table, targets: Sequence[int], task: str) -> tuple[Label, ...]:
    """Infer the classes, sorted; none in regression."""
    has_text = any(table.columns[position].dtype == object for position in targets)
    if task == "regression" or (task == "auto" and not has_text):
        return ()
    if len(targets) > 1:
        names = ", ".join(map(table.column_name, targets))
        raise UserError(
            f"the targets are {names}, but classification has one: name one in target, or set"
            " task=regression"
        )
    if has_text and task == "auto":
        check_not_mixed(table, targets[0])
    classes = _distinct_labels(table, targets[0])
    _check_class_count(table, targets[0], len(classes))
    return tuple(classes)


def _distinct_labels(table: Table, position: int) -> list[Label]:
    """Labels of a column, each once: text, or finite numbers, integers as such (3.0 is 3)."""
    cells = table.columns[position]
    present = _present(cells)
    if cells.dtype == object:
        return sorted({normalize_category(cell) for cell in present})
    for row in np.flatnonzero(np.isinf(cells))[:1]:
        raise UserError(
            f"{table.locate_cell(row, position)} is {cells[row]}, but classes are finite numbers or"
            " text: correct it"
        )
    values: list[float] = np.unique(present).tolist()
    return [int(value) if value.is_integer() else value for value in values]


def _check_class_count(table: Table, position: int, count: int) -> None:
    """Refuse a single class, too many classes, and classes that hardly any rows share."""
    rows, label = len(table), table.column_label(position)
    if count > rows / 2 and rows > MIN_ROWS_FOR_CLASS_RATIO:
        raise UserError(
            f"{label} has {count:,} classes in {rows:,} rows, too few of each to learn from:"
            " correct target, write its numbers without separators, or set task=regression"
        )
    if not 2 <= count <= MAX_CATEGORIES:
        raise UserError(
            f"{label} has {count:,} classes, but classification takes 2 to {MAX_CATEGORIES:,}:"
            " correct target, or set task=regression"
        )


def _present(cells: Cells) -> Cells:
    """Cells that are not missing."""
    return cells[~missing_mask(cells)]
