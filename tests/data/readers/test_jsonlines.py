"""Columns of JSON Lines."""

import pytest
from channel_files import fill, read

from gaussian_processes.errors import UserError


def test_numbers_in_quotes_are_numbers_and_booleans_text(folder):
    fill(folder, {"a.jsonl": b'{"y": "1.5", "x": true}\n{"y": "2", "x": null}\n'})

    y, x = read(folder).columns
    assert y.tolist() == [1.5, 2]
    assert x.tolist() == ["True", None]


def test_a_json_document_of_one_list_is_refused_with_the_remedy(folder):
    fill(folder, {"a.json": b'[{"y": 1}, {"y": 2}]'})

    with pytest.raises(
        UserError, match=r"train/a\.json is one JSON document, .* write one object, or list, a line"
    ):
        read(folder)


def test_a_name_that_stands_twice_in_a_row_is_refused(folder):
    fill(folder, {"a.jsonl": b'{"y": 1, "a": 2}\n{"y": 1, "a": 2, "a": 3}\n'})

    with pytest.raises(UserError, match=r"row 2 of train/a\.jsonl .*the name 'a' stands twice"):
        read(folder)


@pytest.mark.parametrize("rows", [b'{"y": 1}\n[1]\n', b'[1]\n{"y": 1}\n'])
def test_rows_of_two_kinds_are_refused_with_the_first_that_differs(folder, rows):
    fill(folder, {"a.jsonl": rows})

    with pytest.raises(UserError, match=r"row 2 of train/a\.jsonl is an? \w+, but row 1 is an? "):
        read(folder)
