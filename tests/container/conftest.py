"""Fixtures: jobs and endpoints in containers of the image."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from fcntl import LOCK_EX, flock
from pathlib import Path

import numpy as np
import pytest
from container import post
from container.engine import ROOT, Container, answers, docker, wait_for


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as slow."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def engine() -> None:
    """Skip without a Docker engine; in CI that is a failure."""
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "version"], capture_output=True, check=False).returncode
    ):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Docker engine answers")


@pytest.fixture(scope="session")
def image(engine: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    tag = os.environ.get("TESTS_IMAGE", "gaussian-processes:tests")
    # Of several processes that run tests one builds, and the others find every layer built.
    with (tmp_path_factory.getbasetemp().parent / "image.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        docker("build", "--tag", tag, str(ROOT))
    return tag


@pytest.fixture(scope="session")
def start(image: str) -> Iterator[Callable[..., Container]]:
    """Start a container; all are removed in the end."""
    started: list[str] = []

    def start(*command: str, options: Sequence[str] = ()) -> Container:
        started.append(docker("run", "--detach", *options, image, *command))
        return Container(started[-1])

    yield start
    if started:
        docker("rm", "--force", "--volumes", *started)


@pytest.fixture(scope="session")
def train(start: Callable[..., Container]) -> Callable[..., Container]:
    """Run a training job to its end."""

    def train(folder: Path, *options: str, command: Sequence[str] = ("train",)) -> Container:
        container = start(*command, options=["--volume", f"{folder}:/opt/ml", *options])
        container.status()
        return container

    return train


@pytest.fixture(scope="session")
def serve(start: Callable[..., Container]) -> Callable[..., Container]:
    """Start an endpoint on a port that is free here, and wait until it answers."""

    def serve(model: Path, *options: str, port: int = 8080) -> Container:
        mount = f"type=bind,source={model},target=/opt/ml/model,readonly"
        container = start(
            "serve", options=["--publish", f"127.0.0.1::{port}", "--mount", mount, *options]
        )
        wait_for(lambda: answers(container.url(port)), container.log)
        return container

    return serve


@pytest.fixture(scope="session")
def job(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Make a folder to mount at /opt/ml: hyperparameters, and a table for each channel."""
    made: list[Path] = []

    def make(hyperparameters: Mapping[str, str], **channels: np.ndarray) -> Path:
        folder = tmp_path_factory.mktemp("opt_ml")
        made.append(folder)
        (folder / "input/config").mkdir(parents=True)
        (folder / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
        for name, table in channels.items():
            (folder / "input/data" / name).mkdir(parents=True)
            np.savetxt(folder / "input/data" / name / "rows.csv", table, delimiter=",", fmt="%.17g")
        return folder

    yield make
    # The user who runs the tests may then remove what root wrote in a container.
    for folder in made:
        docker(
            "run",
            "--rm",
            "--volume",
            f"{folder}:/opt/ml",
            image,
            "chmod",
            "--recursive",
            "a+rwX",
            "/opt/ml",
        )


@pytest.fixture(scope="session")
def post_job(job: Callable[..., Path]) -> Callable[..., Path]:
    """Make the post's training job, with what else a test asks of it."""

    def make(**more: str) -> Path:
        hyperparameters = {"q": "0", "l": "2", "noise": "0.1"} | more
        return job(
            hyperparameters, train=post.table(100, seed=1), validation=post.table(50, seed=2)
        )

    return make


@pytest.fixture(scope="session")
def trained(
    post_job: Callable[..., Path],
    train: Callable[..., Container],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """What the post's job leaves in /opt/ml, as a copy that is not root's."""
    folder = post_job()
    container = train(folder)
    assert container.status() == 0, container.log()
    return Path(shutil.copytree(folder, tmp_path_factory.mktemp("trained") / "opt_ml"))


@pytest.fixture(scope="session")
def model(trained: Path) -> Path:
    return trained / "model"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
