"""Choice of the response's media type by the `Accept` header."""

import pytest

from gaussian_processes.serving.formats.negotiation import NotAcceptableError, encoder


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
