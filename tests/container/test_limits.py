"""Limits of the platform: each ends `train` or `serve` with one sentence and exit code 1."""

import json
import shutil

import pytest
from container.engine import ROOT, docker

STRANGER = "12345"


def spoil_hyperparameters(folder):
    """Put a folder where the file belongs."""
    path = folder / "input/config/hyperparameters.json"
    path.unlink()
    path.mkdir()


def close_input(folder):
    (folder / "input/config").chmod(0o700)


def close_model(folder):
    (folder / "model").chmod(0o700)


@pytest.fixture
def limited(model, tmp_path):
    """A job's folder, with a model."""
    (tmp_path / "input/config").mkdir(parents=True)
    (tmp_path / "input/data/train").mkdir(parents=True)
    rows = "".join(f"{row},{row % 7},{row % 5}\n" for row in range(40))
    (tmp_path / "input/data/train/train.csv").write_text(rows)
    values = {"q": "1", "l": "1", "noise": "0.1"}
    (tmp_path / "input/config/hyperparameters.json").write_text(json.dumps(values))
    shutil.copytree(model, tmp_path / "model")
    yield tmp_path
    for folder in ("input/config", "model"):
        (tmp_path / folder).chmod(0o755)


def nothing(folder):
    """Leave the folder as it is."""


@pytest.mark.parametrize(
    ("command", "options", "spoil", "sentence"),
    [
        ("train", ["--pids-limit=3"], nothing, "the limit is 3: ulimit -u, docker run --pids"),
        ("serve", ["--pids-limit=5"], nothing, "3 of 5 are left (docker run --pids-limit)"),
        ("train", ["--read-only"], nothing, "there is no folder for temporary files"),
        ("serve", ["--read-only"], nothing, "there is no folder for temporary files"),
        ("train", ["--ulimit=fsize=1000"], nothing, "1,000 bytes are allowed: ulimit -f"),
        ("serve", ["--ulimit=fsize=1000"], nothing, "files of 1,000 bytes are allowed"),
        ("train", ["--memory=60m"], nothing, "are needed: docker run --memory"),
        ("serve", ["--memory=60m"], nothing, "are needed: docker run --memory"),
        ("train", [f"--user={STRANGER}"], close_input, "can't be accessed by user 12345"),
        ("serve", [f"--user={STRANGER}"], close_model, "can't be accessed by user 12345"),
        ("train", [], spoil_hyperparameters, "hyperparameters.json can't be used (Is a directory)"),
    ],
)
def test_a_limit_ends_it_with_a_sentence(limited, start, command, options, spoil, sentence):
    spoil(limited)

    container = start(command, options=[f"--volume={limited}:/opt/ml", *options])

    assert container.status() == 1
    log = container.log()
    assert sentence in log
    assert "Traceback" not in log
    assert "likely a bug" not in log


def test_two_builds_have_equal_layers(image):
    def layers(tag):
        return docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", tag)

    again = f"{image}-again"
    stages = "--no-cache-filter=system,package,program"
    docker("buildx", "build", "--load", stages, "--tag", again, str(ROOT))
    built = layers(again)
    docker("image", "rm", again)

    assert built == layers(image)
