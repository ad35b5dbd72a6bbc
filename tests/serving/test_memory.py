"""Memory of requests: what they may take together, and what is refused for it."""

import contextlib
import io
import json
import os
import sys
import threading
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from trained import plain, train
from werkzeug.test import EnvironBuilder, run_wsgi_app

from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.model import artifact
from gaussian_processes.serving.app import create_app
from gaussian_processes.serving.formats.decoders import decode, estimated_bytes
from gaussian_processes.serving.invocations import AppConfig
from gaussian_processes.serving.memory import SMALL_BYTES, BusyError, MemoryBudget, TooLargeError

MB = 10**6


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artifact.load(train(tmp_path_factory.mktemp("base"), rows=30) / "model")


def invoke(client, body, **headers):
    headers = {"Content-Type": "text/csv", **headers}
    return client.post("/invocations", data=body, headers=headers, buffered=True)


def test_reservations_are_within_the_budget_and_given_back():
    budget = MemoryBudget(100 * MB)
    first, second, third = budget.reservation(), budget.reservation(), budget.reservation()

    first.grow(30 * MB, "it", "stop")
    first.grow(60 * MB, "it", "stop")
    with pytest.raises(BusyError, match=r"it takes about 50.0 MB of memory, which other requests"):
        second.grow(50 * MB, "it", "stop")
    with pytest.raises(TooLargeError, match=r"about 101.0 MB .* 100.0 MB are there for it; stop"):
        second.grow(101 * MB, "it", "stop")
    second.grow(SMALL_BYTES, "it", "stop")
    assert budget.reserved_bytes == 60 * MB
    first.release()
    first.release()
    third.grow(100 * MB, "it", "stop")
    second.grow(SMALL_BYTES, "it", "stop")

    assert budget.reserved_bytes == 100 * MB


def fork_and_reserve(budget, size, end):
    """Reserve in a forked process, which then reads until a pipe's end and ends as if killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        budget.reservation().grow(size, "it", "stop")
        os.write(write, b"x")
        os.close(write)
        os.read(end, 1)
        os._exit(9)
    os.close(write)
    assert os.read(read, 1) == b"x"
    os.close(read)
    return child


def test_processes_share_the_budget_and_a_dead_one_holds_nothing():
    budget = MemoryBudget(100 * MB)
    end, release = os.pipe()
    child = fork_and_reserve(budget, 70 * MB, end)

    with pytest.raises(BusyError):
        budget.reservation().grow(40 * MB, "it", "stop")
    os.close(release)
    os.write(os.open(f"/proc/self/fd/{end}", os.O_WRONLY), b"x")
    os.waitpid(child, 0)
    budget.reservation().grow(100 * MB, "it", "stop")

    assert budget.reserved_bytes == 100 * MB
    os.close(end)


def test_threads_never_reserve_more_than_there_is():
    budget = MemoryBudget(10 * MB)
    most = []

    def reserve():
        for _ in range(200):
            reservation = budget.reservation()
            try:
                reservation.grow(4 * MB, "it", "stop")
            except BusyError:
                continue
            most.append(budget.reserved_bytes)
            reservation.release()

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) <= 10 * MB
    assert budget.reserved_bytes == 0


def test_a_request_that_others_leave_no_memory_is_asked_to_come_again(model):
    budget = MemoryBudget(100 * MB)
    client = create_app(model, AppConfig(memory=budget)).test_client()
    held = budget.reservation()
    held.grow(99 * MB, "it", "stop")
    body = b"0.5,1,2\n" * 100_000

    refused = invoke(client, body)
    small = invoke(client, b"0.5,1,2\n")
    held.release()
    served = invoke(client, body)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.text.endswith("which other requests hold; send it again in a second\n")
    assert (small.status_code, served.status_code) == (200, 200)
    assert budget.reserved_bytes == 0


def test_what_memory_can_never_hold_is_refused_with_the_rows_that_would_do(model):
    budget = MemoryBudget(50 * MB)
    client = create_app(model, AppConfig(memory=budget)).test_client()
    levels = ",".join(f"0.{level:02d}" for level in range(1, 100))
    header = {"X-Amzn-SageMaker-Custom-Attributes": f"quantiles={levels}"}

    refused = invoke(client, b"1,2,3\n" * 30_000, **header)
    words = refused.text.split("send ")[1].split()
    served = invoke(client, b"1,2,3\n" * int(words[0].replace(",", "")), **header)

    assert refused.status_code == 413
    assert refused.text.startswith("the answer to 30,000 rows takes about ")
    assert words[1:4] == ["rows", "at", "a"]
    assert served.status_code == 200
    assert budget.reserved_bytes == 0


def test_a_body_that_memory_can_never_hold_is_refused_unread(model):
    client = create_app(model, AppConfig(memory=MemoryBudget(5 * MB))).test_client()

    refused = invoke(client, b"1,2,3\n" * 500_000)

    assert refused.status_code == 413
    assert refused.text.startswith("a body of 3.0 MB takes about 6.0 MB of memory, and 5.0 MB are")
    assert refused.text.endswith("there for it; send 2.5 MB at a time\n")


READ = {
    "text/csv": lambda text: list(map(float, text.split())),
    "application/json": lambda text: [row["score"] for row in json.loads(text)["predictions"]],
    "application/jsonlines": lambda text: [json.loads(row)["score"] for row in text.splitlines()],
}


@pytest.mark.parametrize("media_type", READ)
def test_an_answer_of_many_blocks_is_that_of_its_rows(model, media_type):
    rows = np.random.default_rng(3).normal(size=(20_000, 3))
    body = "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())

    whole = invoke(create_app(model).test_client(), body, Accept=media_type)

    means = model.predict(rows).mean[:, 0]
    # Blocks of other sizes sum in another order.
    np.testing.assert_allclose(READ[media_type](whole.text), means, rtol=1e-9)


def test_a_fault_behind_many_blocks_is_named_by_its_row(model):
    body = b"1,2,3\n" * 10_000 + b"1e300,1e300,1e300\n" + b"1,2,3\n" * 10_000

    refused = invoke(create_app(model).test_client(), body)

    assert refused.status_code == 400
    assert "row 10001" in refused.text


# A category, numbers, and a name for each of them, any of which may be missing.
GAPS = Schema(
    True,
    41,
    (
        Column("colour", 1, ("blue", "red"), True),
        *(Column(f"x{i}", i + 2, None, True) for i in range(39)),
    ),
    (Column("price", 0),),
    missing="auto",
)
# A sparse one of 40 zeros.
RECORD = b"\x0a\x23\xd7\xce\x12\0\0\0\n\x10\n\x06values\x12\x06\x12\x04\x1a\x02\x28\0\0\0"


def peak_bytes(body, content_type, schema):
    """Most memory that a body takes until its rows are there, or it is refused."""
    tracemalloc.start()
    try:
        with contextlib.suppress(UserError):
            decode(body, content_type, schema)
        return tracemalloc.get_traced_memory()[1] + len(body)
    finally:
        tracemalloc.stop()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content_type", "body", "schema"),
    [
        ("text/csv", b"1,2\n" * 200_000, plain(2)),
        ("application/json", b'{"instances": [' + b"[1,2]," * 40_000 + b"[1,2]]}", plain(2)),
        ("application/jsonlines", b"[1,2]\n" * 40_000, plain(2)),
        # What is left out is as large as what is there.
        ("application/jsonlines", b"{}\n" * 8_000, GAPS),
        ("application/json", b"[" + b"{}," * 8_000 + b"{}]", GAPS),
        ("application/json", b"[" + b'{"features":{"keys":[]}},' * 8_000 + b"{}]", GAPS),
        ("text/csv", (b"," * 39 + b"\n") * 2_000, GAPS),
        ("text/csv", b'"\n"' + (b"," * 39 + b"\n") * 2_000, GAPS),
        ("application/x-recordio-protobuf", RECORD * 8_000, GAPS),
        ("application/x-npy", npy(np.zeros((2_000, 40), "i1")), GAPS),
        ("application/x-npy", npy(np.zeros((2_000, 40), "S1")), GAPS),
        ("application/x-npy", npy(np.zeros(2_000, [(c.name, "i1") for c in GAPS.features])), GAPS),
    ],
)
def test_the_estimate_covers_what_decoding_takes(content_type, body, schema):
    assert peak_bytes(body, content_type, schema) <= estimated_bytes(body, content_type, schema)
    assert sys.getsizeof(body) <= estimated_bytes(body, content_type, schema)


@pytest.mark.parametrize("content_type", ["text/csv", "application/json", "application/jsonlines"])
@pytest.mark.parametrize(
    "pattern",
    [b";", b'"', b"1", b" ", b"\t", b"\n", b"[", b"{", b",", b'""', b"{}\n", b"[],", b"[1]", b"1,"],
)
def test_the_estimate_covers_one_pattern_without_end(content_type, pattern):
    body = pattern * (MB // len(pattern))

    peak = peak_bytes(body, content_type, plain(2))

    assert peak <= estimated_bytes(body, content_type, plain(2)) + MB // 4


@pytest.mark.parametrize(
    ("content_type", "head", "pattern", "tail"),
    [
        ("application/json", "[[", "[],", "1]]"),
        ("application/json", "[[", "[[[]]],", "1]]"),
        ("application/json", "[[", "{{}},", "1]]"),
        ("application/json", '[{{"a":', '{{"{0}":1}},"{0}":', "1}}]"),
        ("application/json", "[{{", '"{0}":1,', '"a":1}}]'),
        ("application/json", '{{"x":[', "[[]],", '1],"instances":[[1]]}}'),
        ("application/json", "{{", '"{0}":[],', '"instances":[[1]]}}'),
        ("application/json", "[", '"{0}",', "1]"),
        ("application/jsonlines", "[", "[[]],", "1]"),
        ("application/jsonlines", "{{", '"{0}":[],', '"a":1}}'),
        ("text/csv", "x1,", "{0},", "a\n1\n"),
        ("text/csv; header=present", "", "{0},", "a\n1\n"),
        ("text/csv", '"x\n1",', "{0},", "a\n1\n"),
        ("text/csv", '"x\n1",', ",", "a\n1\n"),
    ],
)
def test_the_estimate_covers_one_row_without_end(content_type, head, pattern, tail):
    cells = "".join(pattern.format(f"{number:x}") for number in range(400_000 // len(pattern)))
    body = (head.format() + cells + tail.format()).encode()

    peak = peak_bytes(body, content_type, GAPS)

    assert peak <= estimated_bytes(body, content_type, GAPS) + MB // 4


@pytest.mark.parametrize("filling", [" ", "-1e5,", '"\\ud83d\\ude00",', "null,", "[[]],"])
def test_a_row_of_json_is_read_wherever_a_window_ends(filling):
    names = ["colour", *(f"x{i}" for i in range(39))]
    row = dict(zip(names, ["red", *range(39)], strict=True))
    member = f'{{"x": [{filling * (200_000 // len(filling))}1], "instances": ['
    rows = [json.dumps(row)] * 300
    text = member + ", ".join(rows) + "]}"

    decoded = decode(text.encode(), "application/json", GAPS)

    assert decoded.shape == (300, 79)
    assert (decoded[:, 1:40] == np.arange(39)).all()


@pytest.mark.parametrize("number", ["0.5", "-1e-5", "123456", "1E+5", "null", "-Infinity"])
def test_a_member_behind_the_instances_is_read_wherever_a_window_ends(number):
    for cut in range(len(number) + 2):
        spaces = " " * ((1 << 18) + 2 * (1 << 10) - len('{"instances": [[1, 2]], "a": ') - cut)
        text = f'{{"instances": [[1, 2]], {spaces}"a": {number}, "b": {number}}}'

        assert decode(text.encode(), "application/json", plain(2)).tolist() == [[1, 2]]


def test_a_row_of_json_that_is_too_long_is_refused_and_a_wrong_one_is_explained():
    def refusal(text, content_type="application/json"):
        with pytest.raises(UserError) as refused:
            decode(text.encode(), content_type, plain(2))
        return str(refused.value)

    long = "[" + "1," * 300_000 + "1]"
    wrong = "[[1, 2], [1 2], " + "[1, 2], " * 100_000 + "[1, 2]]"

    assert "the value at character 1 has more than 264,192 characters" in refusal(f"[{long}]")
    assert "row 1 of the request has more than 200 columns" in refusal(long)
    assert "Expecting ',' delimiter: line 1 column 13" in refusal(wrong)
    assert "it has more than 264,192 characters" in refusal(long, "application/jsonlines")


def test_more_than_a_hundred_levels_are_refused(model):
    levels = ",".join(["0.5"] * 101)
    header = {"X-Amzn-SageMaker-Custom-Attributes": f"quantiles={levels}"}

    refused = invoke(create_app(model).test_client(), b"1,2,3\n", **header)

    assert (refused.status_code, refused.text) == (
        400,
        "quantiles has 101 levels; send 100 at most\n",
    )


def test_a_body_of_unknown_length_is_reserved_as_it_grows(model):
    budget = MemoryBudget(5 * MB)
    application = create_app(model, AppConfig(memory=budget)).test_client().application

    def post(body):
        # A body in chunks, as gunicorn hands it over.
        stream = {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}
        environ = EnvironBuilder("/invocations", method="POST", content_type="text/csv")
        variables = {**environ.get_environ(), **stream}
        variables.pop("CONTENT_LENGTH", None)
        return run_wsgi_app(application, variables, buffered=True)

    small, large = post(b"1,2,3\n"), post(b"1,2,3\n" * 500_000)

    assert small[1] == "200 OK"
    assert large[1].startswith("413 ")
    assert budget.reserved_bytes == 0


def test_parquet_of_few_bytes_and_many_rows_is_refused_before_it_is_read(model):
    file = io.BytesIO()
    pd.DataFrame(dict.fromkeys("abc", np.zeros(2_000_000))).to_parquet(file)
    client = create_app(model, AppConfig(memory=MemoryBudget(100 * MB))).test_client()

    refused = client.post(
        "/invocations", data=file.getvalue(), content_type="application/x-parquet", buffered=True
    )

    assert len(file.getvalue()) < MB
    assert refused.status_code == 413
