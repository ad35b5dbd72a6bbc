"""Inference of a schema from the training table: roles, types and categories of its columns."""

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from unicodedata import normalize

import numpy as np

from gaussian_processes.data.cells import (
    MAX_EXACT_INTEGER,
    NO_TEXT,
    Cells,
    Label,
    as_numbers,
    first_true,
    missing_mask,
)
from gaussian_processes.data.column_types import (
    MAX_CATEGORIES,
    UNNAMED,
    category_names,
    check_dates,
    check_not_mixed,
    counts_rows,
    decorated_number,
    holds_dates,
    is_id,
    is_mixed,
    is_unnamed_index,
    names_rows,
    unread_dates,
)
from gaussian_processes.data.dates import DATE_EXAMPLE
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError

# In fewer rows than these each may well be of a class of its own.
MIN_ROWS_FOR_CLASS_RATIO = 20


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
        `auto`, `mean` or `error`.
    missing_values : sequence of str, optional
        Words, and numbers, that mean missing.
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
    missing: str = "auto"
    handle_unknown: str = "ignore"
    missing_values: tuple[str, ...] | None = None

    @classmethod
    def from_attributes(cls, source: object) -> "SchemaOptions":
        """Take the options from attributes of the same names, as the hyperparameters have them."""
        return cls(**{option.name: getattr(source, option.name) for option in fields(cls)})


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
    _check_names(table)
    roles = _assign_roles(table, options)
    remarks = _target_remarks(table, roles.targets, options)
    features, feature_remarks = _infer_features(table, roles, options)
    used = {*roles.targets, *(column.position for column in features)}
    weights = [_plain_column(table, position) for position in roles.sample_weight]
    return Schema(
        has_header=table.names is not None,
        width=table.width,
        features=tuple(features),
        targets=tuple(_plain_column(table, position) for position in roles.targets),
        classes=_infer_classes(table, roles.targets, options.task),
        ignored=tuple(
            table.column_name(position) for position in range(table.width) if position not in used
        ),
        sample_weight=weights[0] if weights else None,
        missing=options.missing,
        handle_unknown=options.handle_unknown,
        missing_values=options.missing_values,
        remarks=(*remarks, *feature_remarks),
    )


def _check_names(table: Table) -> None:
    """Refuse names of columns that no log and no file can hold."""
    for position, name in enumerate(table.names or ()):
        if NO_TEXT.search(name):
            raise UserError(
                f"the name of column {position + 1} of {table.source_label} is {name!a}, but a name"
                " has neither control characters nor halves of surrogate pairs: correct it"
            )


def _check_text(table: Table, position: int) -> None:
    """Refuse categories that no log and no file can hold."""
    for row, cell in enumerate(table.columns[position].tolist()):
        if isinstance(cell, str) and NO_TEXT.search(cell):
            raise UserError(
                f"{table.locate_cell(row, position)} is {cell[:100]!a}, but words have neither"
                " control characters nor halves of surrogate pairs: correct it"
            )


def _assign_roles(table: Table, options: SchemaOptions) -> _Roles:
    """Find the columns of every role."""
    taken = {
        "target": _find(table, options.target, "target"),
        "sample_weight": _find(table, options.sample_weight, "sample_weight"),
        "ignore": _find(table, options.ignore, "ignore"),
    }
    target_count = options.label_size or table.label_size or 1
    others = {*taken["sample_weight"], *taken["ignore"]}
    first_columns = [position for position in range(table.width) if position not in others]
    taken["target"] = targets = taken["target"] or first_columns[:target_count]
    features = _find(table, options.features, "features")
    _check_one_role(table, {**taken, "features": features})
    if not features:
        others |= set(targets)
        features = [position for position in range(table.width) if position not in others]
    if not features:
        count = max(len(targets), target_count)
        raise UserError(
            f"{table.source_label} has {table.width} column(s), but {count} are targets and"
            " at least one feature is needed: separate columns by commas, and"
            " ignore fewer"
        )
    categories = _find(table, options.categories, "categories")
    return _Roles(targets, features, categories, taken["sample_weight"])


def _find(table: Table, columns: Sequence[str], hyperparameter: str) -> list[int]:
    """Positions of the columns that a hyperparameter names."""
    return [_find_one(table, column, hyperparameter) for column in columns]


def _find_one(table: Table, column: str, hyperparameter: str) -> int:
    names = table.names or ()
    if column in table.positions:
        return table.positions[column]
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


def _infer_features(
    table: Table, roles: _Roles, options: SchemaOptions
) -> tuple[list[Column], list[str]]:
    """Infer the types of the features that are kept, and remark on what may not be meant."""
    columns: list[Column] = []
    remarks: list[str] = []
    width = _width_before_last_delimiters(table)
    for position in roles.features:
        cells = as_numbers(table.columns[position])
        is_category = position in roles.categories
        asked_for = bool(options.features) or is_category
        if not asked_for:
            _check_no_index(table, position)
        if position >= width and not asked_for:
            remarks.append(_empty_remark(position))
            continue
        if holds_dates(cells) and not is_category:
            check_dates(table, position)
            columns.append(replace(_learned_column(table, position, options), is_date=True))
            continue
        example = None if asked_for else unread_dates(cells)
        if cells.dtype == object and not asked_for and names_rows(cells):
            remarks.append(_left_out_remark(table, position, example))
            continue
        if example:
            remarks.append(_unread_dates_remark(table, position, example))
        columns.append(_infer_feature(table, position, is_category, options))
        if not asked_for:
            remarks += _feature_remarks(table, position, columns[-1])
    if not columns:
        raise UserError("; ".join(["no feature is left: give columns to predict from", *remarks]))
    return columns, remarks


def _feature_remarks(table: Table, position: int, feature: Column) -> list[str]:
    """Remark on what may have been meant otherwise in a column that is kept."""
    cells = as_numbers(table.columns[position])
    if cells.dtype != table.columns[position].dtype and not np.isinf(cells).any():
        return [_rounding_remark(table, position)]
    if feature.categories is not None:
        remedy = "name it in categories"
        return [
            *_mixture_remarks(table, position, "a category", remedy),
            *_decoration_remarks(table, position, "a category", remedy),
            *_look_alike_remarks(table, position, "categories"),
        ]
    if counts_rows(table, position) or is_id(table, position):
        return [_counting_remark(table, position, "put it into ignore")]
    return []


def _rounding_remark(table: Table, position: int) -> str:
    """Remark on numbers that were kept as text, since float64 would merge some of them."""
    return (
        f"{table.column_label(position)} has whole numbers beyond {MAX_EXACT_INTEGER:,}, which are"
        " rounded as features: name it in categories if they are names, or put it into ignore"
    )


def _learned_column(table: Table, position: int, options: SchemaOptions) -> Column:
    """Column of a feature, which learns what missing cells mean if training has any."""
    is_learned = options.missing == "auto" and bool(missing_mask(table.columns[position]).any())
    return Column(table.column_name(position), position, missing_indicator=is_learned)


def _infer_feature(
    table: Table, position: int, is_category: bool, options: SchemaOptions
) -> Column:
    """Infer the type of a feature, and its categories if it has any."""
    cells, column = table.columns[position], _learned_column(table, position, options)
    if as_numbers(cells).dtype != object and not is_category:
        return column
    if not is_category:
        check_not_mixed(table, position)
    _check_text(table, position)
    categories = sorted(category_names(cells))
    if len(categories) > MAX_CATEGORIES:
        raise UserError(
            f"{table.column_label(position)} has {len(categories):,} different values, too many for"
            f" a category (at most {MAX_CATEGORIES:,}): name it in ignore"
        )
    return replace(column, categories=tuple(categories))


def _check_no_index(table: Table, position: int) -> None:
    """Refuse the index that pandas or R wrote, unless it is asked for."""
    if is_unnamed_index(table, position):
        name = table.names[position] if table.names else ""
        raise UserError(
            f"column {position + 1} of {table.source_label} has no name ({name}) and numbers or"
            " names rows, as the index does that pandas and R write: write the file with"
            " index=False (R: row.names=FALSE), or name the column in ignore (in target or features"
            " if it is none)"
        )


def _width_before_last_delimiters(table: Table) -> int:
    """Width without the last columns, which delimiters at the end of every line leave."""
    width = table.width
    while width > 1 and _is_empty(table, width - 1):
        width -= 1
    return width


def _is_empty(table: Table, position: int) -> bool:
    """Whether a column has neither a name nor a value."""
    is_unnamed = table.names is None or bool(UNNAMED.fullmatch(table.names[position]))
    return is_unnamed and bool(missing_mask(table.columns[position]).all())


def _empty_remark(position: int) -> str:
    return (
        f"column {position + 1} has neither a name nor a value, as where every line ends with a"
        " delimiter, and is left out: remove the delimiter at the end of the lines"
    )


def _mixture_remarks(table: Table, position: int, taken_for: str, remedy: str) -> list[str]:
    """Remark on numbers among words."""
    if not is_mixed(as_numbers(table.columns[position])):
        return []
    return [
        f"{table.column_label(position)} has numbers and words, of which there are many, and is"
        f" taken for {taken_for}: correct the words if it should hold numbers, or {remedy}"
    ]


def _look_alike_remarks(table: Table, position: int, kind: str) -> list[str]:
    """Remark on categories that a person may take for one: they differ in capitals alone."""
    names = sorted(category_names(table.columns[position]))
    first_of: dict[str, str] = {}
    for name in names:
        plain = " ".join(normalize("NFKC", name).casefold().split())
        first = first_of.setdefault(plain, name)
        if first != name:
            return [
                f"{table.column_label(position)} has {first[:50]!a} and {name[:50]!a}, which count"
                f" as two {kind}: write one of them everywhere"
            ]
    return []


def _decoration_remarks(table: Table, position: int, taken_for: str, remedy: str) -> list[str]:
    """Remark on numbers with separators or units, which are words."""
    word = decorated_number(table.columns[position])
    if word is None or is_mixed(as_numbers(table.columns[position])):
        return []
    return [
        f"{table.column_label(position)} has numbers with separators, signs or units, as"
        f" {reprlib.repr(word)}, and is taken for {taken_for}: write plain numbers (1234.5), or"
        f" {remedy} if words are meant"
    ]


def _left_out_remark(table: Table, position: int, date: str | None) -> str:
    cells = table.columns[position]
    if not date and (word := decorated_number(cells)):
        return (
            f"{table.column_label(position)} has numbers with separators, signs or units, as"
            f" {reprlib.repr(word)}, and is left out as words are that hardly recur: write plain"
            " numbers (1234.5), put it into ignore, or name it in categories"
        )
    remedy = f"write dates as {DATE_EXAMPLE}" if date else "make numbers of it"
    rows = int((~missing_mask(cells)).sum())
    return (
        f"{table.column_label(position)} has {len(category_names(cells)):,} different words in"
        f" {rows:,} rows, as names have, and is left out: put it into ignore, {remedy}, or name it"
        " in categories"
    )


def _unread_dates_remark(table: Table, position: int, example: str) -> str:
    kind = "words" if table.columns[position].dtype == object else "numbers"
    return (
        f"{table.column_label(position)} looks like dates or times, such as {example}, which are"
        f" read as {kind}: write dates as {DATE_EXAMPLE}, and times alone as numbers of hours"
    )


def _counting_remark(table: Table, position: int, remedy: str) -> str:
    cells = as_numbers(table.columns[position])
    each = "" if len(np.unique(cells)) == len(cells) else " in each file"
    every = "every whole number" if counts_rows(table, position) else "whole numbers"
    return (
        f"{table.column_label(position)} holds {every} from {cells.min():.0f} to {cells.max():.0f}"
        f" once{each}, as an index does: if it numbers the rows, {remedy}, or else name it in"
        " target or features"
    )


def _target_remarks(table: Table, targets: Sequence[int], options: SchemaOptions) -> list[str]:
    """Refuse an index as the target, and remark on a target that may be meant otherwise."""
    remarks = []
    for position in targets:
        if options.task == "auto":
            remedy = "set task=classification"
            remarks += _mixture_remarks(table, position, "classes", remedy)
            remarks += _decoration_remarks(table, position, "classes", remedy)
        if options.task != "regression" and as_numbers(table.columns[position]).dtype == object:
            remarks += _look_alike_remarks(table, position, "classes")
    for position in () if options.target else targets:
        _check_no_index(table, position)
        if table.names and UNNAMED.fullmatch(table.names[position]):
            remarks.append(
                f"the target, {table.column_label(position)}, has no name, as an index has none:"
                " name the column to predict in target"
            )
        if counts_rows(table, position) or is_id(table, position):
            remedy = "write the file without it (index=False in pandas, row.names=FALSE in R)"
            remarks.append("the target, " + _counting_remark(table, position, remedy))
    return remarks


def _infer_classes(table: Table, targets: Sequence[int], task: str) -> tuple[Label, ...]:
    """Infer the classes, sorted; none in regression."""
    has_text = any(as_numbers(table.columns[position]).dtype == object for position in targets)
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
    _check_text(table, position)
    if as_numbers(cells).dtype == object:
        return sorted(category_names(cells))
    if cells.dtype == object:  # integers that float64 would merge
        return sorted(
            int(name) if name.lstrip("-").isdigit() else float(name)
            for name in category_names(cells)
        )
    row = first_true(np.isinf(cells))
    if row is not None:
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
        first = _present(table.columns[position]).tolist()[0]
        shown = reprlib.repr(first) if isinstance(first, str) else f"{first:g}"
        raise UserError(
            f"{label} has {count:,} classes (as {shown}) in {rows:,} rows, too few of each"
            " to learn from: correct target, write its numbers without separators and units, or"
            " set task=regression"
        )
    if not 2 <= count <= MAX_CATEGORIES:
        missing = int(missing_mask(table.columns[position]).sum())
        others = f" and {missing:,} cells that missing_values takes for missing" if missing else ""
        raise UserError(
            f"{label} has {count:,} classes{others}, but classification takes 2 to"
            f" {MAX_CATEGORIES:,}: correct target, or set task=regression"
        )


def _present(cells: Cells) -> Cells:
    """Cells that are not missing."""
    return cells[~missing_mask(cells)]
