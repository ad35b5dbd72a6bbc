"""Pages of reports, made of templates."""

import jinja2
import pytest

from gaussian_processes.report import page


def test_a_title_is_escaped_and_a_page_is_whole():
    text = page.render("report/page.html", title="<i>a</i> & b")

    assert "<title>&lt;i&gt;a&lt;/i&gt; &amp; b</title>" in text
    assert "<h1>&lt;i&gt;a&lt;/i&gt; &amp; b</h1>" in text
    assert text.startswith("<!DOCTYPE html>")
    # Of a phone, and of a dark screen.
    assert 'name="viewport" content="width=device-width' in text
    assert "@media (prefers-color-scheme: dark)" in text


def test_a_variable_that_is_missing_is_an_error_rather_than_a_gap():
    with pytest.raises(jinja2.UndefinedError, match="title"):
        page.render("report/page.html")
