"""Time of decoding and negotiation: proportional to the length of what a client sends."""

import contextlib
import time

import pytest
from trained import plain

from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.serving.formats.decoders import decode
from gaussian_processes.serving.formats.negotiation import encoder, parse_content_type

NAMED = Schema(
    True, 3, (Column("age", 1), Column("colour", 2, ("blue", "red"))), (Column("price", 0),)
)
NUMBERS = plain(2)
# 16 times the length: 16 times the time, and 256 times it if it were quadratic.
SHORT, LONG, MAX_RATIO = 4_000, 64_000, 80


def seconds(function, *arguments):
    """Least time of several calls of a function, which may refuse its arguments."""
    best = float("inf")
    for _ in range(3):
        start = time.thread_time()
        with contextlib.suppress(UserError):
            function(*arguments)
        best = min(best, time.thread_time() - start)
    return max(best, 1e-5)


def repeated(head, pattern, length, tail):
    return head + pattern * (length // len(pattern)) + tail


@pytest.mark.parametrize(
    ("head", "pattern", "tail"),
    [
        ("text/csv", ";", ""),
        ("text/csv", ";a=b", ""),
        ("text/csv;", " ", "x"),
        ('text/csv;a="', "\\", ""),
        ("text/csv", ";a*0=b", ""),
        ("text/csv;a*=utf-8''", "%", ""),
    ],
)
def test_a_content_type_is_parsed_in_linear_time(head, pattern, tail):
    def parse(length):
        return seconds(parse_content_type.__wrapped__, repeated(head, pattern, length, tail))

    assert parse(LONG) < MAX_RATIO * parse(SHORT)


@pytest.mark.parametrize("pattern", [",", "a/b,", "*/*,", ";", ";q=1", '"', "\\", " "])
def test_an_accept_up_to_its_limit_is_parsed_within_milliseconds(pattern):
    assert seconds(encoder.__wrapped__, repeated("text/csv", pattern, 1000, "")) < 0.05


@pytest.mark.parametrize(
    ("head", "pattern", "tail", "content_type", "schema"),
    [
        (b"age,", b"a,", b"", "text/csv", NAMED),
        (b"", b'"', b"", "text/csv", NUMBERS),
        (b"", b",", b"", "text/csv", NUMBERS),
        (b"", b"\n", b"1", "text/csv", NUMBERS),
        (b"1,", b" ", b"x", "text/csv", NAMED),
        (b"", b'"\n', b"", "text/csv", NAMED),
        (b"", b'"a\n",1\n', b"", "text/csv", NAMED),
        (b"", b"1,2\r", b"", "text/csv", NUMBERS),
        (b"", b"\r", b"1", "text/csv", NUMBERS),
        (b"{", b" ", b"", "application/json", NUMBERS),
        (b"[", b"1,", b"1]", "application/json", NUMBERS),
        (b"[", b"[],", b"1]", "application/json", NUMBERS),
        (b"", b'{"data":{}}\n', b"", "application/jsonlines", NAMED),
        (b"[[", b"1", b',"red"]]', "application/json", NAMED),
        (b'[[1,"', b" ", b'x"]]', "application/json", NAMED),
        (b"{", b'"a":1,', b'"instances":[]}', "application/json", NAMED),
        (b"1,", b"a", b"-", "text/csv; charset=punycode", NAMED),
        (b"xn--", b"a", b"", "text/csv; charset=idna", NAMED),
        (b"[", b'{"a":1},', b"]", "application/json", NAMED),
        (b"", b'[1,"red"]\n', b"", "application/jsonlines", NAMED),
        (b"", b"\n", b"[1]", "application/jsonlines", NAMED),
        (b"", b"\x0a\x23\xd7\xce\0\0\0\0", b"", "application/x-recordio-protobuf", NAMED),
        (b"\x93NUMPY\x01\x00\xff\xff", b" ", b"(", "application/x-npy", NUMBERS),
    ],
)
def test_a_body_is_decoded_in_linear_time(head, pattern, tail, content_type, schema):
    def decode_repeated(length):
        body = repeated(head, pattern, length, tail)
        return seconds(decode, body, content_type, schema)

    assert decode_repeated(LONG) < MAX_RATIO * decode_repeated(SHORT)


@pytest.mark.parametrize("content_type", ["application/json", "application/jsonlines"])
def test_a_last_name_that_stands_twice_is_found_in_linear_time(content_type):
    def decode_names(length):
        names = [*range(length // 8), length // 8 - 1]
        body = "{" + ",".join(f'"{name}":1' for name in names) + "}"
        if content_type == "application/json":
            body = f"[{body}]"
        return seconds(decode, body.encode(), content_type, NAMED)

    assert decode_names(LONG) < MAX_RATIO * decode_names(SHORT)
