"""A training job of the image, as SageMaker runs it."""

import re

import numpy as np
import pytest
from container import post
from container.engine import wait_for


def test_the_posts_job_prints_what_its_regex_finds(post_job, train):
    folder = post_job()

    container = train(folder)

    assert container.status() == 0, container.log()
    (found,) = re.findall("validation:RMSE=(.*?);", container.log())
    # Oracle: the predictions that were left in the output, and the measured values that they are
    # for.
    left = np.genfromtxt(
        folder / "output/data/validation_predictions.csv", delimiter=",", names=True
    )
    measured = post.table(50, seed=2)[:, 0]
    assert float(found) == pytest.approx(np.sqrt(np.mean((left["mean"] - measured) ** 2)), rel=1e-9)


def test_the_posts_formulas_give_the_posts_predictions(post_job, train):
    container = train(post_job(projection="normalize"))

    (found,) = re.findall("validation:RMSE=(.*?);", container.log())
    validation = post.table(50, seed=2)
    error = post.predictions(post.table(100, seed=1), validation[:, 1:]) - validation[:, 0]
    assert float(found) == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-9)


def test_without_a_command_the_image_trains(post_job, train):
    folder = post_job()

    container = train(folder, command=[])

    assert container.status() == 0, container.log()
    assert (folder / "model/model.json").is_file()


def test_a_job_needs_neither_network_nor_a_writable_root(post_job, train):
    container = train(post_job(), "--network", "none", "--read-only", "--tmpfs=/tmp")

    assert container.status() == 0, container.log()


def test_a_mistake_ends_the_job_with_its_sentence_in_the_failure_file(post_job, train):
    folder = post_job(nois="0.1")

    container = train(folder)

    reason = (folder / "output/failure").read_text()
    assert container.status() == 1
    assert "nois" in reason
    assert "noise" in reason
    assert "Traceback" not in reason
    assert reason in container.log()


def test_sigterm_ends_a_long_fit_at_once_and_leaves_no_model(job, start):
    rows = post.table(12_000, seed=3)
    folder = job({"q": "1", "noise": "0.1", "bias": "1", "leave_one_out": "false"}, train=rows)
    container = start("train", options=["--volume", f"{folder}:/opt/ml"])
    wait_for(lambda: "kernel" in container.log(), container.log)

    status, seconds = container.stop(seconds=120)

    # 143 is SIGTERM's, as a shell says it; 137 would be SIGKILL's.
    assert status == 143, container.log()
    assert seconds < 5
    assert "SIGTERM" in (folder / "output/failure").read_text()
    assert list((folder / "model").glob("*")) == []
