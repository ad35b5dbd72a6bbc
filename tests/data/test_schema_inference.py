"""Roles, types, categories and classes that a schema has for the columns of a table."""

import re
from dataclasses import replace

import numpy as np
import pytest
from example_tables import fitted, table

from gaussian_processes.data import schema_inference
from gaussian_processes.data.schema_inference import SchemaOptions, infer_schema
from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError


def names(columns):
    return [column.name for column in columns]


def test_the_first_column_is_the_target_and_all_others_are_features():
    schema, data = fitted()

    assert names(schema.targets) == ["y"]
    assert names(schema.features) == ["a", "kind", "w"]
    assert schema.features[1].categories == ("blue", "green", "red")
    assert data.y.tolist() == [[1], [2], [3], [4]]
    assert data.X.tolist() == [[0.5, 2, 1], [1, 1, 2], [2, 2, 1], [3, 0, 4]]
    assert data.sample_weight.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("given", [{"target": "a"}, {"target": "1"}, {"target": '["a"]'}])
def test_a_target_is_named_or_numbered(given):
    schema, data = fitted(**given)

    assert names(schema.targets) == ["a"]
    assert names(schema.features) == ["y", "kind", "w"]
    assert data.y[:, 0].tolist() == [0.5, 1, 2, 3]


@pytest.mark.parametrize("given", [{"target": "y,a"}, {"label_size": "2"}])
def test_there_may_be_several_targets(given):
    schema, data = fitted(**given)

    assert names(schema.targets) == ["y", "a"]
    assert data.y.tolist() == [[1, 0.5], [2, 1], [3, 2], [4, 3]]


def test_columns_are_ignored_chosen_or_sample_weights():
    schema, data = fitted(ignore="a", sample_weight="w")
    assert names(schema.features) == ["kind"]
    assert schema.ignored == ("a", "w")
    assert data.sample_weight.tolist() == [1, 2, 1, 4]

    schema, _ = fitted(features="w,a")
    assert names(schema.features) == ["w", "a"]
    assert schema.ignored == ("kind",)


def test_a_column_of_numbers_is_a_category_if_it_is_named_in_categories():
    schema, data = fitted(categories="w")

    assert schema.features[2].categories == ("1", "2", "4")
    assert data.X[:, 2].tolist() == [0, 1, 0, 2]


def test_a_target_of_text_has_classes_and_one_of_numbers_if_the_task_says_so():
    schema, data = fitted(target="kind")
    assert schema.classes == ("blue", "green", "red")
    assert data.y[:, 0].tolist() == [2, 1, 2, 0]

    schema, data = fitted(task="classification", target="w")
    assert schema.classes == (1, 2, 4)
    assert data.y[:, 0].tolist() == [0, 1, 0, 2]

    assert fitted(target="w")[0].classes == ()


@pytest.mark.parametrize(
    ("given", "changed", "sentence"),
    [
        (
            {"target": "z"},
            {},
            "hyperparameter target names column 'z', but the columns are y, a, kind, w",
        ),
        (
            {"ignore": "kin"},
            {},
            "hyperparameter ignore names column 'kin', but the columns are y, a, kind, w:"
            " correct it to kind",
        ),
        ({"target": "9"}, {}, "hyperparameter target names column '9'"),
        (
            {"target": "a", "ignore": "a"},
            {},
            "column 2 (a) is named in target and in ignore: name it in one of them",
        ),
        ({"features": "y"}, {}, "column 1 (y) is named in target and in features"),
        (
            {"label_size": "4"},
            {},
            "train/a.csv has 4 column(s), but 4 are targets and at least one feature is needed",
        ),
        (
            {},
            {"a": [1, "2", "x", "3"]},
            "row 3, column 2 (a) of train/a.csv is 'x', but other cells of that column are numbers",
        ),
        (
            {"missing": "error"},
            {"a": [1, np.nan, 2, 3]},
            "row 2, column 2 (a) of train/a.csv is empty, but every row needs a value: correct",
        ),
        (
            {"missing": "error"},
            {"kind": ["a", None, "b", "c"]},
            "row 2, column 3 (kind) of train/a.csv is empty",
        ),
        (
            {},
            {"a": [1, np.inf, 2, 3]},
            "row 2, column 2 (a) of train/a.csv is inf, but cells of column 2 (a) are finite"
            " numbers",
        ),
        (
            {},
            {"y": [1, np.nan, 2, 3]},
            "row 2, column 1 (y) of train/a.csv is empty",
        ),
        (
            {"sample_weight": "w"},
            {"w": [1, 0, 2, 3]},
            "row 2, column 4 (w) of train/a.csv is 0, but sample weights are positive numbers",
        ),
        (
            {"target": "kind", "task": "regression"},
            {},
            "row 1, column 3 (kind) of train/a.csv is 'red', but targets are finite",
        ),
        ({"target": "kind,y"}, {}, "the targets are kind, y, but classification has one"),
        (
            {"target": "kind"},
            {"kind": ["a", "a", "a", "a"]},
            "column 3 (kind) has 1 classes, but classification takes 2 to 1,000",
        ),
    ],
)
def test_a_table_that_contradicts_the_options_is_refused_with_the_remedy(given, changed, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        fitted(table(**changed), **given)


def test_a_column_of_too_many_categories_is_refused():
    cells = [f"id-{number}" for number in range(1_001)]
    rows = Table(("y", "id"), (np.arange(1001.0), np.array(cells, object)), [("train/a.csv", 1001)])

    with pytest.raises(
        UserError,
        match=r"column 2 \(id\) has 1,001 different values, too many for a category .*: name it"
        " in ignore",
    ):
        fitted(rows, categories="id")


def test_a_target_with_a_class_for_nearly_every_row_is_refused():
    cells = np.array([f"1,{row:03}" for row in range(60)], object)
    rows = Table(("y", "a"), (cells, np.arange(60.0)), [("train/a.csv", 60)])

    with pytest.raises(
        UserError,
        match=r"column 1 \(y\) has 60 classes \(as '1,000'\) in 60 rows, too few of each to learn"
        " from: correct target",
    ):
        fitted(rows)


def column(*cells):
    """Table of 60 rows: a target, a number, and a column that repeats cells."""
    kept = np.resize(np.array(cells, object), 60)
    if not any(isinstance(cell, str) for cell in cells):
        kept = kept.astype(float)
    rng = np.random.default_rng(18)
    return Table(("y", "a", "z"), (*rng.normal(size=(2, 60)), kept), [("train/a.csv", 60)])


@pytest.mark.parametrize(
    ("cells", "categories"),
    [
        ("4fr", ("4", "f", "r")),
        (("1", "2", "3", "x"), ("1", "2", "3", "x")),
        (("1", "1.0", "x"), ("1", "x")),
    ],
)
def test_numbers_and_many_words_are_a_category_with_a_remark(cells, categories):
    schema, _ = fitted(column(*cells))

    assert schema.features[1].categories == categories
    assert schema.remarks == (
        "column 3 (z) has numbers and words, of which there are many, and is taken for a category:"
        " correct the words if it should hold numbers, or name it in categories",
    )
    assert fitted(column(*cells), categories="z")[0].remarks == ()


@pytest.mark.parametrize(
    "cells",
    [
        [*map(str, range(29)), "x"],
        [*map(str, range(50)), *(f"x{row}" for row in range(5)), *map(str, range(5))],
        ["1", "2", "?"],
        ["1", "n/a"],
        ["1", "l.5"],
        ["1", "2", "1,5"],
        ["1", "5%"],
        ["1", "(1,234.50)"],
        ["1", "3.50-"],
        ["1", "0.5D+02"],
        ["1", "2.5 b"],
    ],
)
def test_numbers_and_a_few_words_or_mistyped_numbers_are_a_mistake(cells):
    word = next(cell for cell in cells if not cell.isdecimal())
    where = f"row {cells.index(word) + 1}, column 3 (z) of train/a.csv is {word!r}"

    with pytest.raises(UserError, match=re.escape(where)) as refused:
        fitted(column(*cells))

    assert "missing_values if it means missing, or name the column in" in str(refused.value)


@pytest.mark.parametrize(
    "words", [[":"], ["x"], ["<0.5"], ["#NV"], ["-nan(ind)"], ["\N{EM DASH}"], ["c", "x"]]
)
@pytest.mark.parametrize("every", [2, 3, 9])
def test_words_that_recur_among_numbers_that_do_not_are_mistakes(words, every):
    numbers = np.random.default_rng(20).normal(size=60).tolist()
    marks = (word for _ in range(60) for word in words)
    cells = [repr(cell) if row % every else next(marks) for row, cell in enumerate(numbers)]

    where = f"row 1, column 3 (z) of train/a.csv is {words[0]!r} (and "
    with pytest.raises(UserError, match=re.escape(where)):
        fitted(column(*cells))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\x1f"])
@pytest.mark.parametrize("task", ["auto", "classification"])
def test_words_and_names_that_are_no_text_are_refused(text, task):
    words = column("red", text)
    with pytest.raises(
        UserError, match=re.escape(f"row 2, column 3 (z) of train/a.csv is {text!a}")
    ):
        fitted(words, target="z" if task == "classification" else "y")

    named = replace(words, names=("y", text, "z"))
    with pytest.raises(
        UserError, match=re.escape(f"the name of column 2 of train/a.csv is {text!a}")
    ):
        fitted(named)


@pytest.mark.parametrize(
    "cells",
    [
        [f"row {number}" for number in range(60)],
        [f"row {number}" for number in range(40)],
        [f"{number + 1}.4.2026" for number in range(31)],
        [f"A/{number}" if number % 2 else str(number) for number in range(60)],
    ],
)
def test_a_word_for_nearly_every_row_is_left_out_with_a_remark(cells):
    schema, data = fitted(column(*cells))

    assert names(schema.features) == ["a"]
    assert schema.ignored == ("z",)
    assert data.X.shape == (60, 1)
    (remark,) = schema.remarks
    assert remark.startswith(f"column 3 (z) has {len(cells)} different words in 60 rows, as names")
    is_date = cells[0].endswith(".2026")
    assert ("write dates as 2024-01-31" if is_date else "make numbers of it") in remark
    assert len(fitted(column(*cells), categories="z")[0].features[1].categories) == len(cells)


DECORATED = ["1,{:03}.5", "{}%", "${}.50", "{} €", "{} kg", "{}cm", "{} m³", "1'{:03}"]


@pytest.mark.parametrize("pattern", DECORATED)
@pytest.mark.parametrize(("count", "taken_for"), [(60, "is left out"), (20, "is taken for a cat")])
def test_numbers_with_separators_or_units_are_words_with_a_remark(pattern, count, taken_for):
    words = [pattern.format(number) for number in range(count)]

    schema, _ = fitted(column(*words))

    assert names(schema.features) == (["a"] if count == 60 else ["a", "z"])
    (remark,) = schema.remarks
    assert "column 3 (z) has numbers with separators, signs or units, as" in remark
    assert taken_for in remark
    assert "write plain numbers (1234.5)" in remark
    assert fitted(column(*words), categories="z")[0].remarks == ()


@pytest.mark.parametrize(
    "words",
    [["1st", "2nd", "3rd"], ["2026-01-05", "2026-02-05"], ["18-24", "25-34"], ["B1", "B2"]],
)
def test_other_words_with_digits_are_categories_without_a_remark(words):
    assert fitted(column(*words))[0].remarks == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("NO", "no"),
        ("red  car", "red car"),
        ("cafe\N{COMBINING ACUTE ACCENT}", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("STRASSE", "stra\N{LATIN SMALL LETTER SHARP S}e"),
        ("a", "\N{FULLWIDTH LATIN CAPITAL LETTER A}"),
    ],
)
@pytest.mark.parametrize("target", ["y", "z"])
def test_words_that_look_alike_are_two_with_a_remark(first, second, target):
    schema, _ = fitted(column("red", first, second), target=target)

    kind = "classes" if target == "z" else "categories"
    assert len(schema.classes or schema.features[1].categories) == 3
    assert schema.remarks == (
        f"column 3 (z) has {first!a} and {second!a}, which count as two {kind}:"
        " write one of them everywhere",
    )


def test_truth_values_are_one_category_in_any_letters_without_a_remark():
    assert fitted(column("TRUE", "true", "False", "false"))[0].remarks == ()


@pytest.mark.parametrize("cells", [("1", "0", "TRUE"), ("1", "2", "3", "x")])
def test_numbers_and_many_words_are_classes_with_a_remark(cells):
    schema, _ = fitted(column(*cells), target="z")

    (remark,) = schema.remarks
    assert remark.startswith("column 3 (z) has numbers and words, of which there are many, and is")
    assert remark.endswith("or set task=classification")
    assert fitted(column(*cells), target="z", task="classification")[0].remarks == ()


def test_classes_that_are_numbers_with_a_sign_are_remarked_on():
    table = column("$1", "$2")
    columns = (table.columns[2], *table.columns[:2])

    schema, _ = fitted(replace(table, columns=columns))

    assert schema.classes == ("$1", "$2")
    assert "column 1 (y) has numbers with separators, signs or units" in schema.remarks[0]
    assert "set task=classification if words are meant" in schema.remarks[0]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("title", ["", "Unnamed: 2", None])
def test_empty_last_columns_without_a_name_are_left_out_with_a_remark_each(title, count):
    numbers = column(np.nan)
    columns = (*numbers.columns[:2], *[numbers.columns[2]] * count)
    titles = None if title is None else ("y", "a", *[title] * count)

    schema, data = fitted(replace(numbers, names=titles, columns=columns))

    assert data.X.shape == (60, 1)
    assert len(schema.remarks) == count
    for position, remark in enumerate(schema.remarks, 3):
        assert remark.startswith(f"column {position} has neither a name nor a value, as where ")


def test_each_of_many_empty_last_columns_is_looked_at_once(monkeypatch):
    looked_at = []

    def count_and_look(cells):
        looked_at.append(cells)
        return np.isnan(cells)

    monkeypatch.setattr(schema_inference, "missing_mask", count_and_look)
    numbers, empty = np.random.default_rng(26).normal(size=(2, 5)), np.full(5, np.nan)
    rows = Table(None, (*numbers, *[empty] * 500), [("a.csv", 5)])

    infer_schema(rows, SchemaOptions())

    assert sum(cells is empty for cells in looked_at) == 500


def test_an_empty_last_column_with_a_name_is_a_feature_whose_values_are_to_come():
    assert names(fitted(column(np.nan))[0].features) == ["a", "z"]


def test_words_that_recur_in_two_rows_are_a_category():
    schema, _ = fitted(column(*(f"pair {number}" for number in range(30))))

    assert len(schema.features[1].categories) == 30
    assert schema.remarks == ()


@pytest.mark.parametrize(
    ("name", "position"),
    [
        *((name, 0) for name in ("unnamed 0", "Unnamed: 0", "Unnamed: 0.1", "...1", "")),
        ("Unnamed: 0", 1),
    ],
)
@pytest.mark.parametrize("written", [np.arange(60.0), 7 + 2 * np.arange(60.0), "words"])
def test_an_index_without_a_name_is_refused_with_the_remedy(name, position, written):
    rng = np.random.default_rng(13)
    index = np.array([f"car {row}" for row in range(60)], object)
    index = index if isinstance(written, str) else rng.permutation(written)
    columns, titles = [*rng.normal(size=(2, 60))], ["y", "a"]
    columns.insert(position, index)
    titles.insert(position, name)
    rows = Table(tuple(titles), tuple(columns), [("train/a.csv", 60)])

    with pytest.raises(
        UserError,
        match=rf"column {position + 1} of train/a\.csv has no name .* index=False \(R:"
        r" row\.names=FALSE\), or name the column in ignore",
    ):
        fitted(rows)

    assert names(fitted(rows, ignore=str(position))[0].features) == ["a"]


@pytest.mark.parametrize(
    "index",
    [
        np.tile(np.arange(30.0), 2),
        np.random.default_rng(3).integers(0, 60, 60).astype(float),
        np.repeat(np.arange(6.0), 10),
    ],
    ids=["of two tables that were concatenated", "of rows that were drawn", "of two levels"],
)
@pytest.mark.parametrize("given", [{}, {"target": "y"}])
def test_a_first_column_of_whole_numbers_without_a_name_is_an_index_though_they_recur(index, given):
    values = np.arange(60) ** 0.5
    rows = Table(("unnamed 0", "y", "a"), (index, values, values), [("a.csv", 60)])

    with pytest.raises(UserError, match=r"column 1 of a\.csv has no name \(unnamed 0\)"):
        fitted(rows, **given)

    assert names(fitted(rows, target="y", features="0,a")[0].features) == ["unnamed 0", "a"]


def test_an_index_is_found_in_each_of_several_files():
    rng = np.random.default_rng(17)
    index = np.concatenate([rng.permutation(20), rng.permutation(40)]) * 1.0
    words = np.array([f"car {number:.0f}" for number in index], object)
    y, sources = rng.normal(size=60), [("a.csv", 20), ("b.csv", 0), ("c.csv", 40)]

    for cells in (index, words):
        with pytest.raises(UserError, match="has no name"):
            fitted(Table(("unnamed 0", "y"), (cells, y), sources))
    (remark,) = fitted(Table(None, (index, y), sources))[0].remarks

    assert "holds every whole number from 0 to 39 once in each file, as an index does" in remark


@pytest.mark.parametrize(("share", "is_index"), [(0.8, True), (0.3, True), (0.01, False)])
def test_the_index_of_a_table_that_was_split_is_remarked_on_as_the_target(share, is_index):
    rng = np.random.default_rng(18)
    index = rng.choice(int(100 / share), 100, replace=False) * 1.0

    remarks = fitted(Table(None, (index, rng.normal(size=100)), [("a.csv", 100)]))[0].remarks

    assert bool(remarks) == is_index
    assert all("column 1 (position 0) holds whole numbers from " in remark for remark in remarks)


def test_a_target_of_whole_numbers_that_recur_is_no_index():
    counts = np.random.default_rng(19).integers(0, 100, 100) * 1.0

    assert fitted(Table(None, (counts, np.arange(100.0) / 3), [("a.csv", 100)]))[0].remarks == ()


def test_integers_that_float64_merges_are_remarked_on_where_they_are_numbers():
    ids = np.array([str(10**18 + 7 * row) for row in range(60)], object)
    rows = Table(("y", "id"), (np.arange(60) ** 0.5, ids), [("a.csv", 60)])

    (remark,) = fitted(rows)[0].remarks

    assert remark.startswith("column 2 (id) has whole numbers beyond 9,007,199,254,740,992, which")


def test_integers_that_are_kept_as_text_may_count_the_rows():
    count = np.array([str(row) for row in range(60)], object)
    rows = Table(("y", "id"), (count, np.arange(60) ** 0.5), [("a.npy", 60)])

    assert "every whole number from 0 to 59 once" in fitted(rows)[0].remarks[0]


def test_a_column_without_a_name_whose_cells_are_no_whole_numbers_is_a_column():
    cells = np.random.default_rng(21).permutation(60) / 3
    rows = Table(("Unnamed: 0", "a"), (cells, np.arange(60.0) ** 2), [("a.csv", 60)])

    schema = fitted(rows)[0]

    assert names(schema.targets) == ["Unnamed: 0"]
    (remark,) = schema.remarks
    assert remark.startswith("the target, column 1 (Unnamed: 0), has no name, as an index has none")
    assert fitted(rows, target="Unnamed: 0")[0].remarks == ()


@pytest.mark.parametrize(
    "levels",
    [
        [np.arange(60.0) / 3],
        [np.repeat(list("abcdef"), 10).astype(object), np.tile(np.arange(10.0), 6)],
        [np.repeat(list("abcdef"), 10).astype(object), np.tile([*"ghijklmnop"], 6).astype(object)],
        [np.tile([*"ghijklmnop"], 6).astype(object), np.repeat(np.arange(6.0), 10)],
    ],
    ids=["of decimals", "of words and numbers", "of words", "the last level first"],
)
def test_an_index_of_other_kinds_is_refused(levels):
    columns = (*levels, *np.random.default_rng(22).normal(size=(2, 60)))
    titles = (*(f"unnamed {level}" for level in range(len(levels))), "y", "a")

    with pytest.raises(UserError, match=r"column 1 of a\.csv has no name \(unnamed 0\)"):
        fitted(Table(titles, columns, [("a.csv", 60)]), target="y")


@pytest.mark.parametrize(
    "name",
    [
        *("id", "Id", "index", "level_0", "rowid", "row_number", "customer_id", "PassengerId", "#"),
        *("Sample No", "case.no", "obs", "n", "Nr", "uuid", "orderKey"),
    ],
)
@pytest.mark.parametrize("role", ["feature", "target"])
def test_a_number_for_every_row_by_the_name_of_an_id_is_remarked_on(name, role):
    ids = np.random.default_rng(23).choice(10**6, 60, replace=False) * 1.0
    columns, titles = (np.arange(60) ** 0.5, ids), ("y", name)
    if role == "target":
        columns, titles = columns[::-1], titles[::-1]

    (remark,) = fitted(Table(titles, columns, [("a.csv", 60)]))[0].remarks

    assert f"({name}) holds whole numbers from {ids.min():.0f} to {ids.max():.0f} once" in remark


@pytest.mark.parametrize(
    "name", ["width", "paid", "humidity", "valid", "lineage", "number of rooms"]
)
def test_a_number_for_every_row_by_another_name_is_a_number(name):
    numbers = np.random.default_rng(23).choice(10**6, 60, replace=False) * 1.0

    assert not fitted(Table(("y", name), (numbers**0.5, numbers), [("a.csv", 60)]))[0].remarks


def test_numbers_that_recur_are_numbers_whatever_their_name():
    numbers = np.random.default_rng(24).integers(0, 40, 60) * 1.0

    assert not fitted(Table(("y", "id"), (np.arange(60) ** 0.5, numbers), [("a", 60)]))[0].remarks


@pytest.mark.parametrize("share", [0.8, 0.3])
def test_the_index_of_a_table_that_was_split_is_remarked_on_as_the_first_feature(share):
    index = np.random.default_rng(25).choice(int(100 / share), 100, replace=False) * 1.0
    rows = Table(None, (index, np.arange(100) ** 0.5, np.arange(100) ** 0.3), [("a.csv", 100)])

    (remark,) = fitted(rows, target="1")[0].remarks

    assert remark.startswith("column 1 (position 0) holds whole numbers from")


def test_a_later_column_without_a_name_is_a_column_unless_it_counts_the_rows():
    numbers = np.random.default_rng(13).permutation(60)
    for cells, expected in ((numbers * 2.0, ["unnamed 1"]), (numbers * 1.0, None)):
        rows = Table(("y", "unnamed 1"), (np.arange(60) ** 0.5, cells), [("a.csv", 60)])
        if expected:
            assert names(fitted(rows)[0].features) == expected
        else:
            with pytest.raises(UserError, match=r"column 2 of a\.csv has no name"):
                fitted(rows)


def test_classes_that_are_taken_for_missing_are_said():
    rows = Table(("y", "a"), (np.array(["no", None] * 30, object), np.arange(60.0)), [("a", 60)])

    with pytest.raises(UserError, match="1 classes and 30 cells that missing_values takes for"):
        fitted(rows)


@pytest.mark.parametrize("first", [0, 1, 1000])
def test_a_column_that_counts_the_rows_is_remarked_on(first):
    rng = np.random.default_rng(14)
    count, other = rng.permutation(60) + float(first), rng.normal(size=60)
    text = f"holds every whole number from {first} to {first + 59} once, as an index does: "

    (target,) = fitted(Table(None, (count, other), [("a.csv", 60)]))[0].remarks
    (feature,) = fitted(Table(("y", "id"), (other, count), [("a.csv", 60)]))[0].remarks

    label = "the target, column 1 (position 0)"
    assert target.startswith(f"{label} {text}if it numbers the rows, write the file")
    assert feature.startswith(f"column 2 (id) {text}if it numbers the rows, put it into ignore")
    named = Table(("y", "id"), (other, count), [("a.csv", 60)])
    assert fitted(named, features="id")[0].remarks == ()
