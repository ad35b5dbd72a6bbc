"""Choice of the response's media type by the `Accept` header."""

import numpy as np
import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats.negotiation import (
    NotAcceptableError,
    encoder,
    parse_content_type,
)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "text/csv"),
        ("", "text/csv"),
        ("*/*", "text/csv"),
        ("text/*", "text/csv"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("application/json;verbose=true", "application/json"),
        ("application/*", "application/json"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/csv; q=0.5, application/json; q=0.4", "text/csv"),
        ("text/csv;q=0, */*", "application/json"),
        ("image/png, */*;q=0.1", "text/csv"),
        ("application/json, text/csv", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("*/*, application/json", "application/json"),
        ("text/plain, */*", "text/csv"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/html, application/jsonl, */*", "application/jsonl"),
        ("application/*, text/csv", "text/csv"),
        ("application/*;q=0.1, application/jsonlines;q=0.1, image/png", "application/jsonlines"),
    ],
)
def test_of_the_highest_weight_the_media_type_that_accept_names_first_is_chosen(accept, media_type):
    assert encoder(accept).media_type == media_type


@pytest.mark.parametrize(
    "accept",
    ["image/png", "text/html, image/*", "text/csv;q=0", "csv", "text/csv;q=much", "*/*;q=0"],
)
def test_an_accept_that_leaves_nothing_is_not_acceptable(accept):
    with pytest.raises(NotAcceptableError, match="Accept"):
        encoder(accept)


@pytest.mark.parametrize(
    "alias", ["application/x-ndjson", "application/ndjson", "application/jsonl"]
)
def test_an_alias_of_json_lines_is_decoded_and_encoded_as_json_lines(alias):
    outputs = {"mean": np.array([1.5, 2.5])}

    assert parse_content_type(f"{alias}; charset=utf-8") == ("application/jsonlines", "utf-8")
    assert encoder(alias).encode(outputs) == b'{"score": 1.5}\n{"score": 2.5}\n'


def test_an_accept_beyond_sagemakers_limit_is_refused_with_the_limit():
    assert encoder("text/csv" + "," * 1016).media_type == "text/csv"
    with pytest.raises(UserError, match="Accept has 1,025 characters; send 1,024 at most"):
        encoder("text/csv" + "," * 1017)
