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


def test_the_estimate_covers_what_decoding_takes():
    bodies = {
        "text/csv": b"1,2\n" * 200_000,
        "application/json": b'{"instances": [' + b"[1,2]," * 200_000 + b"[1,2]]}",
        "application/jsonlines": b"[1,2]\n" * 200_000,
    }
    for content_type, body in bodies.items():
        tracemalloc.start()
        decode(body, content_type, plain(2))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak + len(body) <= estimated_bytes(body, content_type), content_type
        assert sys.getsizeof(body) <= estimated_bytes(body, content_type)


@pytest.mark.parametrize("content_type", ["text/csv", "application/json", "application/jsonlines"])
@pytest.mark.parametrize(
    "pattern",
    [b";", b'"', b"1", b" ", b"\t", b"\n", b"[", b"{", b",", b'""', b"{}\n", b"[],", b"[1]"],
)
def test_the_estimate_covers_one_pattern_without_end(content_type, pattern):
    body = pattern * (4 * MB // len(pattern))
    tracemalloc.start()

    with contextlib.suppress(UserError):
        decode(body, content_type, plain(2))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + len(body) <= estimated_bytes(body, content_type) + MB


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


def json_of_names(count, value, within="%s"):
    """Body with an object of so many names, each of the same value."""
    names = ",".join(f'"{number}":{value}' for number in range(count))
    return (within % f"{{{names}}}").encode()


@pytest.mark.parametrize("value", ["1", "{}", "[]", '{"a":1}'])
@pytest.mark.parametrize(
    ("content_type", "within"),
    [
        ("application/json", "%s"),
        ("application/json", '{"instances": [%s, {"a": 1}]}'),
        ("application/jsonlines", '{"a": 1}\n%s\n'),
    ],
)
def test_the_names_of_a_large_object_are_in_the_estimate(model, content_type, within, value):
    body = json_of_names(50_000, value, within)
    tracemalloc.start()

    with contextlib.suppress(UserError):
        decode(body, content_type, model.schema)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + len(body) <= estimated_bytes(body, content_type)


def test_names_that_recur_in_many_objects_are_not_counted_again():
    body = json.dumps({"instances": [{"a": 1.5, "b": 2.5}] * 20_000}).encode()
    text = body.replace(b"{", b" ").replace(b"}", b" ").replace(b":", b" ")

    assert estimated_bytes(body, "application/json") < 1.01 * (
        estimated_bytes(text, "application/json")
    )


def test_names_of_objects_that_are_nested_deeply_are_counted_in_one_pass():
    """As many calls of NumPy at any depth: each takes time in proportion to its block."""
    shallow, deep = b'{"a":}' * 100_000, b'{"a":' * 120_000
    assert len(shallow) == len(deep)

    assert count_calls(shallow) == count_calls(deep)


def count_calls(body):
    """Count the calls of functions of C that an estimate makes."""
    counted = []
    sys.setprofile(lambda frame, event, _: counted.append(1) if event == "c_call" else None)
    try:
        estimated_bytes(body, "application/json")
    finally:
        sys.setprofile(None)
    return len(counted)


@pytest.mark.parametrize("pattern", [b":", b"{", b"{:", b'{"a":'])
def test_the_estimate_itself_takes_less_memory_than_the_body(pattern):
    body = pattern * (30 * MB // len(pattern))
    tracemalloc.start()

    estimated_bytes(body, "application/json")

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(body)
