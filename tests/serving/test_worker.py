"""Worker of gunicorn: how it reads bodies."""

import io

import gevent
import pytest

from gaussian_processes.serving import worker


@pytest.mark.parametrize(
    ("length", "switches"),
    [("10", False), (str(worker.INLINE_BODY_BYTES), False), ("65537", True), (None, True)],
)
def test_other_greenlets_run_before_each_piece_of_a_large_body(length, switches):
    turns = []

    def read(environ, start_response):
        environ["wsgi.input"].read(4)
        return [bool(turns)]

    environ = {"wsgi.input": io.BytesIO(b"body")}
    if length is not None:
        environ["CONTENT_LENGTH"] = length
    gevent.spawn(turns.append, "another")

    assert worker.cooperative_reads(read)(environ, None) == [switches]


def test_a_body_that_is_read_cooperatively_is_read_whole():
    body = worker.CooperativeInput(io.BytesIO(b"abcdef"))

    assert (body.read(4), body.read()) == (b"abcd", b"ef")
