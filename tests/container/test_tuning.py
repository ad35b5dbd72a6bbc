"""A search over training jobs in containers of the image, and the best model served."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import boto3
import numpy as np
import pytest
import requests
from container import post
from container.engine import ROOT, answers, docker, wait_for
from tuning.sagemaker import Server, Service, aws_at, storage
from tuning.toys import TUNE

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import __main__, deployment, jobfile, results
from gaussian_processes.tuning.backends.by_name import BACKENDS
from gaussian_processes.tuning.backends.docker import LABEL, DockerContainers
from gaussian_processes.tuning.backends.sagemaker import SageMakerJobs
from gaussian_processes.tuning.tuner import Tuner

POST = ROOT / "examples/tuning/gp_post.json"


@pytest.fixture
def job_file(image, tmp_path) -> Path:
    """The GP post's job, of the image that is tested."""
    asked = json.loads(POST.read_text())
    asked["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = image
    for channel in asked["TrainingJobDefinition"]["InputDataConfig"]:
        source = channel["DataSource"]["S3DataSource"]
        source["S3Uri"] = f"file://{POST.parent / source['S3Uri'].removeprefix('file://')}"
    path = tmp_path / "job.json"
    path.write_text(json.dumps(asked))
    return path


def left(folder: Path) -> str:
    """Containers of a search that are still there."""
    return docker(
        "ps", "--all", "--quiet", "--filter", f"label={LABEL}={folder.resolve() / 'trials'}"
    )


def test_containers_find_what_processes_find(job_file, tmp_path, capsys):
    command = ["run", str(job_file), "--jobs", "4", "--parallel", "2"]

    assert __main__.main([*command, "--on", "docker", "--out", str(tmp_path / "docker")]) == 0
    assert __main__.main([*command, "--on", "process", "--out", str(tmp_path / "process")]) == 0

    inside, outside = (results.read(tmp_path / backend).rows for backend in ("docker", "process"))
    assert [row.values for row in inside] == [row.values for row in outside]
    for a, b in zip(inside, outside, strict=True):
        assert a.status == "Completed"
        assert a.seconds > 0
        # Another processor's kernels of BLAS would round otherwise.
        assert a.metrics["validation:RMSE"] == pytest.approx(b.metrics["validation:RMSE"], rel=1e-6)
        assert (Path(a.model) / "model.json").stat().st_uid == os.getuid()
    assert not left(tmp_path / "docker")
    assert "best validation:RMSE=" in capsys.readouterr().out


def test_a_container_that_fails_is_a_row_with_the_programs_reason(job_file, tmp_path):
    job = jobfile.read(job_file, "docker", jobfile.Changes(jobs=1, parallel=1))
    backend = DockerContainers(job, tmp_path / "trials")

    backend.start(f"{tmp_path.name}-1", {"q": "-1"})
    while (
        report := backend.poll([f"{tmp_path.name}-1"])[f"{tmp_path.name}-1"]
    ).state == "InProgress":
        time.sleep(0.1)

    assert report.state == "Failed"
    assert report.failure.startswith("hyperparameter q is '-1'")
    assert not left(tmp_path)


def test_ctrl_c_stops_the_containers(job_file, tmp_path):
    out = tmp_path / "out"
    asked = json.loads(job_file.read_text())["TrainingJobDefinition"]
    # A hundred fits of 3,000 rows: a job that does not end before it is stopped.
    rows = tmp_path / "rows"
    rows.mkdir()
    np.savetxt(rows / "data.csv", post.table(3_000, seed=7), delimiter=",")
    asked["StaticHyperParameters"]["k_fold"] = "100"
    for channel in asked["InputDataConfig"]:
        channel["DataSource"]["S3DataSource"]["S3Uri"] = f"file://{rows}"
    whole = json.loads(job_file.read_text())
    job_file.write_text(json.dumps({**whole, "TrainingJobDefinition": asked}))
    command = [
        TUNE,
        "run",
        str(job_file),
        "--on",
        "docker",
        "--out",
        str(out),
    ]
    runner = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: bool(left(out)), lambda: "no container was started")

    runner.send_signal(signal.SIGINT)

    said = runner.communicate(timeout=60)[1]
    assert runner.returncode == 130, said
    assert "the same command goes on" in said
    assert {row.status for row in results.read(out).rows} == {"Stopped"}
    assert not left(out)


def test_what_a_killed_runner_leaves_is_taken_up(job_file, tmp_path):
    """One container ends by itself while nobody looks, and one with its engine, as it were."""
    out = tmp_path / "out"
    command = [
        "run",
        str(job_file),
        "--on",
        "docker",
        "--jobs",
        "2",
        "--parallel",
        "2",
        "--out",
        str(out),
    ]
    runner = subprocess.Popen([TUNE, *command])
    wait_for(lambda: len(left(out).split()) == 2, lambda: "two containers were not started")
    runner.kill()
    runner.wait()
    last, first = left(out).split()  # the latest comes first
    docker("kill", last)
    docker("wait", first)

    assert __main__.main(command) == 0

    found = results.read(out)
    assert [row.status for row in found.rows] == ["Completed"] * 2
    assert [row.name.split("-", 3)[3] for row in found.rows] == ["000", "001-2"]
    assert not left(out)


def test_a_container_that_can_not_start_is_not_left_behind(job_file, tmp_path):
    asked = json.loads(job_file.read_text())
    asked["TrainingJobDefinition"]["Environment"] = {"PATH": "/nowhere"}
    backend = DockerContainers(jobfile.check(asked, tmp_path, "docker"), tmp_path / "trials")

    with pytest.raises(UserError, match="docker run failed"):
        backend.start(f"{tmp_path.name}-1", {})

    assert not left(tmp_path)


def test_the_best_model_is_served_from_a_container(job_file, tmp_path, free_port):
    out = tmp_path / "out"
    job = jobfile.read(job_file, "docker", jobfile.Changes(jobs=1, parallel=1))
    Tuner(
        job,
        lambda: DockerContainers(job, out / "trials"),
        out,
        lambda _: pytest.fail("it has no parent"),
    ).run()
    command = [
        TUNE,
        "deploy",
        str(out),
        "--on",
        "docker",
        "--port",
        str(free_port),
    ]
    server = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{free_port}"
        wait_for(lambda: answers(url), lambda: "it does not answer")
        answer = requests.post(
            f"{url}/invocations", data="0.5,1\n", headers={"Content-Type": "text/csv"}, timeout=10
        )
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)

    # The post's function at this point is 1.5 * 0.5 + 5.2 * 1.
    assert float(answer.text) == pytest.approx(5.95, abs=1)


@pytest.fixture
def sagemaker(serve, tmp_path, monkeypatch) -> Iterator[Service]:
    """Start the loopback SageMaker, whose jobs and endpoints are containers, and moto's S3."""
    monkeypatch.setitem(BACKENDS, "sagemaker", partial(SageMakerJobs, interval_seconds=0.5))
    monkeypatch.setattr(deployment, "INTERVAL_SECONDS", 0.5)
    service = Service(
        tmp_path / "sagemaker",
        DockerContainers,
        lambda model, *options: serve(model, *options).url(),
    )
    server = Server(service)
    with (
        storage() as s3,
        aws_at(
            s3=s3, sagemaker=server.url, cloudwatch_logs=server.url, sagemaker_runtime=server.url
        ),
    ):
        boto3.client("s3").create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield service
        server.close()


def test_sagemaker_trains_and_serves_the_image(job_file, sagemaker, tmp_path, monkeypatch, capsys):
    """Data in S3, training jobs of the image, a table, and the best model behind an endpoint."""
    monkeypatch.chdir(tmp_path)
    asked = json.loads(job_file.read_text())
    definition = asked["TrainingJobDefinition"]
    for channel in definition["InputDataConfig"]:
        source, name = channel["DataSource"]["S3DataSource"], channel["ChannelName"]
        boto3.client("s3").upload_file(
            f"{source['S3Uri'].removeprefix('file://')}/rows.csv", "bucket", f"data/{name}/rows.csv"
        )
        source["S3Uri"] = f"s3://bucket/data/{name}"
    job_file.write_text(json.dumps(asked))

    assert (
        __main__.main(["run", str(job_file), "--on", "sagemaker", "--jobs", "3", "--parallel", "2"])
        == 0
    )
    assert __main__.main(["deploy", "gp-post", "--on", "sagemaker"]) == 0

    found = results.read(tmp_path / "tuning/gp-post")
    assert [row.status for row in found.rows] == ["Completed"] * 3
    for row in found.rows:
        printed = json.loads(
            (tmp_path / "sagemaker" / row.name / "output/data/metrics.json").read_text()
        )
        assert row.metrics["validation:RMSE"] == printed["validation:RMSE"]
        assert row.model == f"s3://bucket/gp-post/{row.name}/output/model.tar.gz"
    assert (
        sagemaker.endpoints["gp-post"]["model"]["Image"]
        == definition["AlgorithmSpecification"]["TrainingImage"]
    )
    assert sagemaker.endpoints["gp-post"]["model"]["ModelDataUrl"] == found.best.model
    assert f"endpoint gp-post serves the model of {found.best.name}" in capsys.readouterr().out
    answer = boto3.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="gp-post", ContentType="text/csv", Body=b"0.5,1\n"
    )
    # The post's function at this point is 1.5 * 0.5 + 5.2 * 1.
    assert float(answer["Body"].read()) == pytest.approx(5.95, abs=1)
    assert not docker(
        "ps", "--all", "--quiet", "--filter", f"label={LABEL}={tmp_path / 'sagemaker'}"
    )


def test_the_image_has_no_tuner(image):
    listed = docker(
        "run",
        "--rm",
        image,
        "python",
        "-c",
        "import gaussian_processes as g, os; print(*os.listdir(g.__path__[0]))",
    )

    assert "training" in listed.split()
    assert "tuning" not in listed.split()


def test_the_images_tune_says_in_a_sentence_that_there_is_no_tuner(image):
    answer = subprocess.run(
        ["docker", "run", "--rm", image, "tune", "run"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 1
    assert answer.stderr.startswith("this installation has no tuner (the image leaves it out); ")
    assert len(answer.stderr.splitlines()) == 1
