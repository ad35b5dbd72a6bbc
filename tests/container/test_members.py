"""An image derived from this one, with a member of its own: built, tuned, described and served."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from container.engine import ROOT, Container, answers, docker, wait_for

from gaussian_processes.tuning import __main__, results

EXAMPLE, POST = ROOT / "examples/members", ROOT / "examples/tuning/gp_post.json"
MEMBER = "catboost_member:CatBoost"


def steps(seed: int) -> np.ndarray:
    """Target and features: steps, which trees follow and a smooth function does not."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100, 2))
    y = 3 * (x[:, 0] > 0) - 2 * (x[:, 1] > 0.5) + 0.1 * rng.normal(size=100)
    return np.column_stack([y, x])


@pytest.fixture(scope="module")
def derived(image: str) -> str:
    tag = f"{image}-members"
    docker("build", "--build-arg", f"IMAGE={image}", "--tag", tag, str(EXAMPLE))
    return tag


@pytest.fixture(scope="module")
def best(derived: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The best model of a search over two jobs in containers of the derived image."""
    folder = tmp_path_factory.mktemp("members")
    asked = json.loads(POST.read_text())
    definition = asked["TrainingJobDefinition"]
    definition["AlgorithmSpecification"]["TrainingImage"] = derived
    definition["StaticHyperParameters"]["members"] = f"gp,{MEMBER}"
    for seed, channel in enumerate(definition["InputDataConfig"]):
        path = folder / channel["ChannelName"] / "rows.csv"
        path.parent.mkdir()
        np.savetxt(path, steps(seed), delimiter=",")
        channel["DataSource"]["S3DataSource"]["S3Uri"] = f"file://{path.parent}"
    (folder / "job.json").write_text(json.dumps(asked))

    options = ["--jobs", "2", "--parallel", "2", "--on", "docker", "--out", str(folder / "out")]
    assert __main__.main(["run", str(folder / "job.json"), *options]) == 0

    rows = results.read(folder / "out").rows
    assert [row.status for row in rows] == ["Completed", "Completed"]
    return Path(min(rows, key=lambda row: row.metrics["validation:RMSE"]).model)


def mounted(model: Path) -> list[str]:
    return ["--mount", f"type=bind,source={model},target=/opt/ml/model,readonly"]


@pytest.fixture(scope="module")
def endpoint(derived: str, best: Path) -> Iterator[Container]:
    published = ["--detach", "--publish", "127.0.0.1::8080"]
    container = Container(docker("run", *published, *mounted(best), derived, "serve"))
    wait_for(lambda: answers(container.url()), container.log)
    yield container
    docker("rm", "--force", container.name)


def test_the_model_of_a_search_has_the_member_and_is_served(derived, best, endpoint):
    described = docker("run", "--rm", *mounted(best), derived, "describe", "/opt/ml/model")
    assert f"{MEMBER}, " in described
    assert [path.name for path in (best / "regressor-1").iterdir()] == ["trees.cbm"]

    answer = requests.post(
        f"{endpoint.url()}/invocations",
        "0.5,-0.5\n",
        headers={"Content-Type": "text/csv"},
        timeout=60,
    )

    assert answer.status_code == 200, answer.text
    assert float(answer.text) == pytest.approx(3, abs=0.5)


def test_the_image_without_the_member_says_what_it_lacks(image, best):
    container = Container(docker("run", "--detach", *mounted(best), image, "serve"))

    sentence = f"{MEMBER} is not among the members that this image allows"
    wait_for(lambda: sentence in container.log(), container.log)
    assert container.status() == 1
    docker("rm", "--force", container.name)
