"""Damaged bodies of every content type: answered, or refused in a sentence, and never an error."""

import io
import json
import struct

import numpy as np
import pandas as pd
import pytest

from gaussian_processes.model import artifact
from gaussian_processes.serving.app import create_app
from gaussian_processes.training import main

BRIEF = 1_200
LONG = 20_000
ROWS = [[31.5, "red", 2.25], [-4.0, "blue", 0.5], [7.0, "red", -1e-3]]
# What damages more than a random byte does.
TOKENS = [
    *[b'"', b",", b"\n", b"\r", b"\0", b"[", b"]", b"{", b"}", b":", b"null", b"NaN", b"1e999"],
    *[b"\xff", b"\xef\xbb\xbf", b"\x1c", b"-", b"(", b")", b"'", b"\\ud800", b"9" * 400, b"true"],
    *[b"\xff\xff\xff\x7f", b"\x80" * 12, b"[" * 2000, b"age", b'"instances":', b"\x93NUMPY"],
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Client of a model of numbers, with gaps, and a category, all with names."""
    base = tmp_path_factory.mktemp("base")
    for folder in ("input/data/train", "input/config"):
        (base / folder).mkdir(parents=True)
    rng = np.random.default_rng(5)
    ages, colours, heights = rng.normal(size=20), rng.choice(["red", "blue"], 20), rng.random(20)
    lines = [f"{a + h},{a},{c},{h}" for a, c, h in zip(ages, colours, heights, strict=True)]
    (base / "input/data/train/a.csv").write_text(
        "\n".join(["price,age,colour,height", *lines, "1,,red,0.5"])
    )
    settings = {"q": "1", "l": "1", "noise": "0.1", "bias": "1", "missing": "mean"}
    (base / "input/config/hyperparameters.json").write_text(json.dumps(settings))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAGEMAKER_BASE_DIR", str(base))
        assert main.main([]) == 0
    return create_app(artifact.load(base / "model")).test_client()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def recordio(rows):
    """Records of dense float32 tensors, as SageMaker's SDK writes them."""
    body = b""
    for row in rows:
        tensor = struct.pack(f"<{len(row)}f", *row)
        value = field(2, field(1, tensor))
        record = field(1, field(1, b"values") + field(2, value))
        body += struct.pack("<II", 0xCED7230A, len(record)) + record + b"\0" * (-len(record) % 4)
    return body


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def parquet(frame):
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def bodies():
    """Valid bodies, with their content types."""
    names = ["age", "colour", "height"]
    objects = [dict(zip(names, row, strict=True)) for row in ROWS]
    lines = "\n".join(",".join(map(str, row)) for row in ROWS)
    numbers = [[row[0], 1.0, row[2]] for row in ROWS]
    fields = [(name, "<f8") for name in names]
    dense = [{"data": {"features": {"values": row}}} for row in ROWS]
    return [
        ("text/csv", lines.encode()),
        ("text/csv", f"height,age,colour\n1,2,red\n3,,{'x' * 20}\n".encode()),
        ("text/csv; header=present", b'"age","colour","height"\r\n1,"r""e\nd",3\r\n'),
        ("text/csv; charset=utf-16", lines.encode("utf-16")),
        ("application/json", json.dumps({"instances": ROWS}).encode()),
        ("application/json", json.dumps({"instances": objects, "id": 7}).encode()),
        ("application/json", json.dumps(dense).encode()),
        ("application/json", json.dumps(ROWS[0]).encode()),
        ("application/jsonlines", "\n".join(map(json.dumps, objects)).encode()),
        ("application/jsonlines", "\n".join(map(json.dumps, [*ROWS, *dense])).encode()),
        ("application/x-npy", npy(np.array(numbers))),
        ("application/x-npy", npy(np.array(ROWS, str))),
        ("application/x-npy", npy(np.array(numbers[0], ">f2"))),
        ("application/x-npy", npy(np.array([tuple(row) for row in numbers], fields))),
        ("application/x-recordio-protobuf", recordio(numbers)),
        ("application/x-parquet", parquet(pd.DataFrame(objects))),
    ]


def damage(body, rng):
    """Replace, insert, delete, repeat or cut off a few bytes."""
    mutated = bytearray(body)
    for _ in range(rng.integers(1, 5)):
        position = int(rng.integers(len(mutated) + 1))
        length = int(rng.integers(1, 9))
        match rng.integers(6):
            case 0:
                mutated[position : position + 1] = rng.bytes(1)
            case 1:
                mutated[position:position] = TOKENS[rng.integers(len(TOKENS))]
            case 2:
                del mutated[position : position + length]
            case 3:
                mutated[position:position] = mutated[position : position + 8 * length]
            case 4:
                mutated[position : position + length] = TOKENS[rng.integers(len(TOKENS))]
            case _:
                del mutated[max(position, 1) :]
    return bytes(mutated)


@pytest.mark.parametrize("count", [BRIEF, pytest.param(LONG, marks=pytest.mark.slow)])
def test_damaged_bodies_are_answered_or_refused_in_a_sentence(client, count):
    rng = np.random.default_rng(count)
    valid = bodies()
    statuses = []

    for index in range(count):
        content_type, body = valid[index % len(valid)]
        damaged = damage(body, rng)
        response = client.post("/invocations", data=damaged, content_type=content_type)
        statuses.append(response.status_code)
        assert response.status_code < 500, (content_type, damaged)
        if response.status_code >= 400:
            assert response.text.count("\n") == 1, (content_type, damaged)
            assert len(response.text) < 2048

    assert {200, 400} <= set(statuses)


@pytest.mark.parametrize(("content_type", "body"), bodies())
def test_the_undamaged_bodies_are_answered(client, content_type, body):
    response = client.post("/invocations", data=body, content_type=content_type)

    # A category that is a number, or a quote within one, is none of the model's.
    assert response.status_code == 200 or "not a category" in response.text, response.text
