"""Artifacts with one place changed, as a disk, a copy or a person may leave them.

Each is loaded as it is, or with checksums that were fitted to the change. It must be refused in one
sentence or predict: the same where no checksum was fitted, and finite numbers in any case.
"""

import json
import os
import shutil
import signal
import warnings

import numpy as np
import pytest
from fitted import fitted
from forged import fit_checksums

from gaussian_processes.errors import UserError
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.model import artifact
from gaussian_processes.model.explanations import with_background
from gaussian_processes.serving import outputs

NEW = np.random.default_rng(43).normal(size=(4, 3))
# No load of these small models takes a tenth of this.
TIMEOUT_SECONDS = 20
WORDS = [
    b"-1",
    b"0",
    b"1e400",
    b"NaN",
    b"-Infinity",
    b"null",
    b"true",
    b'"a"',
    b"[]",
    b"{}",
    b"999999999",
    b"1e-320",
    b"9" * 5000,
    b"[" * 100_000,
]
MODELS = {
    "regression": lambda: with_background(fitted(rows=12, outputs=2, repeats=2), NEW),
    "classes": lambda: fitted(rows=12, classes=("no", "yes")),
    "ensemble": lambda: fitted(
        rows=12, kernels=[ArcCosine(0, 0), ArcCosine(2, 1)], weights=[0.25, 0.75]
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    """Folder of a model, and what it predicts."""
    folder = tmp_path_factory.mktemp("saved")
    artifact.save(MODELS[request.param](), folder, {"scores": {"validation:RMSE": 1.5}})
    return folder, numbers(artifact.load(folder))


def numbers(model):
    """Every output of a model that is a number, as the server would answer it."""
    names = "probabilities" if model.schema.classes else "mean,std"
    with np.errstate(over="ignore", invalid="ignore"):
        prediction = model.predict(NEW, variance=True)
        requested = outputs.default_outputs(names, model)
        found = outputs.compute_outputs(requested, model, NEW, prediction)
    return np.hstack([np.asarray(values, float) for values in found.values()])


def mutate(content, rng):
    """Change one place: a bit, a byte, a piece that is lost, repeated, or another word."""
    at = int(rng.integers(len(content)))
    end = min(len(content), at + int(rng.integers(1, 9)))
    word = WORDS[int(rng.integers(len(WORDS)))]
    changed = [
        bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :],
        bytes([int(rng.integers(256))]) + content[at + 1 :],
        str(rng.integers(10)).encode() + content[at + 1 :],
        content[end:],
        content[at:end] + content[at:],
        b"",
        word + content[end:],
    ]
    return content[:at] + changed[int(rng.integers(len(changed)))]


def mutate_value(content, rng):
    """Put another word in the place of one value of JSON, which stays JSON."""
    document = json.loads(content)
    places = list(iterate_places(document))
    holder, key = places[int(rng.integers(len(places)))]
    # Half the changes are to numbers that are nearly right.
    old = holder[key]
    if type(old) in (int, float) and rng.integers(2):
        holder[key] = old * float(rng.choice([-1, 0, 1.5, 1e300])) + int(rng.integers(-1, 2))
        return json.dumps(document).encode()
    holder[key] = "\0place\0"
    word = WORDS[int(rng.integers(len(WORDS)))]
    return json.dumps(document).encode().replace(json.dumps("\0place\0").encode(), word)


def iterate_places(document):
    """Every place of a document: what holds it, and its key."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in pairs:
        yield document, key
        if isinstance(value, dict | list):
            yield from iterate_places(value)


def interrupt(*_):
    raise AssertionError("loading and predicting took longer than it may")


@pytest.fixture
def time_limit():
    """Fail a test that waits or computes for ever."""
    before = signal.signal(signal.SIGALRM, interrupt)
    yield lambda: signal.alarm(TIMEOUT_SECONDS)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("fitted_checksums", [False, True], ids=["as it is", "checksums fitted"])
@pytest.mark.parametrize(
    "count", [60, pytest.param(700, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_change_in_one_place_is_refused_in_a_sentence_or_changes_nothing(
    saved, tmp_path, time_limit, count, fitted_checksums
):
    folder, expected = saved
    rng = np.random.default_rng([count, fitted_checksums])
    names = sorted(path.name for path in folder.iterdir())
    refused = 0
    for _ in range(count):
        time_limit()
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        # Half of all changes are to the description, which holds the most meaning.
        name = "model.json" if rng.integers(2) else names[int(rng.integers(len(names)))]
        change = mutate_value if name == "model.json" and rng.integers(2) else mutate
        content = change((folder / name).read_bytes(), rng)
        (copy / name).write_bytes(content)
        if fitted_checksums:
            fit_checksums(copy)
        refused += is_refused(copy, expected, fitted_checksums, content)
        shutil.rmtree(copy)

    assert refused > count / 3


def is_refused(folder, expected, fitted_checksums, content):
    """Load a model, check its sentence or its predictions; return whether it was refused."""
    sentence = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = numbers(artifact.load(folder))
        except UserError as error:
            sentence = str(error)
    if sentence:
        assert len(sentence.splitlines()) == 1
        assert len(sentence) < 2_000
    elif fitted_checksums:
        assert np.isfinite(found).all(), content
    else:
        np.testing.assert_array_equal(found, expected, err_msg=repr(content))
    return bool(sentence)


@pytest.mark.parametrize("name", ["model.json", "alpha-0.npy", "factor-0.npy", "points-0.npy"])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "dangling link", "huge"])
def test_what_is_no_file_is_refused_at_once(tmp_path, time_limit, name, kind):
    artifact.save(fitted(rows=12), tmp_path)
    path = tmp_path / name
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nothing")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 42)
    time_limit()

    with pytest.raises(UserError) as refusal:
        artifact.load(tmp_path)

    assert len(str(refusal.value).splitlines()) == 1
    assert name in str(refusal.value)
