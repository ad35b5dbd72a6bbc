"""What a person types."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests
from botocore.validate import ParamValidator
from tuning.toys import TUNE, request

from gaussian_processes.sagemaker.hyperparameters import HYPERPARAMETERS
from gaussian_processes.tuning import __main__, algorithm_specification, jobfile, results, shapes

ROOT = Path(__file__).parents[2]
POST = ROOT / "examples/tuning/gp_post.json"


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    """The GP post's tuning job, by the one command of README, on the real program."""
    folder = tmp_path_factory.mktemp("searched")
    assert __main__.main(["run", str(POST), "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_the_gp_posts_job_beats_the_posts_own_hyperparameters(searched, tmp_path):
    job = json.loads(POST.read_text())
    job["HyperParameterTuningJobConfig"]["Strategy"] = "Grid"
    job["HyperParameterTuningJobConfig"]["ResourceLimits"] = {"MaxParallelTrainingJobs": 1}
    job["HyperParameterTuningJobConfig"]["ParameterRanges"] = {
        "CategoricalParameterRanges": [
            {"Name": "q", "Values": ["0"]},
            {"Name": "l", "Values": ["2"]},
        ]
    }
    for channel in job["TrainingJobDefinition"]["InputDataConfig"]:
        source = channel["DataSource"]["S3DataSource"]
        source["S3Uri"] = f"file://{POST.parent / source['S3Uri'].removeprefix('file://')}"
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert (
        __main__.main(["run", str(tmp_path / "job.json"), "--out", str(tmp_path / "defaults")]) == 0
    )

    ours, theirs = (
        results.read(folder).best.metrics["validation:RMSE"]
        for folder in (searched, tmp_path / "defaults")
    )

    assert ours < 0.95 * theirs


def test_a_search_ends_in_a_table_and_pictures(searched, capsys):
    assert {path.name for path in searched.iterdir()} >= {
        "trials.csv",
        "report.html",
        "report.png",
        "job.json",
        "journal.log",
    }
    assert __main__.main(["table", str(searched)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith(
        "l,q,TrainingJobName,TrainingJobStatus,FinalObjectiveValue,TrainingStartTime,TrainingEndTime,"
    )
    assert len(lines) == 10


def test_a_comparison_leaves_the_page_of_each_search_alone(searched, tmp_path, monkeypatch):
    other = shutil.copytree(searched, tmp_path / "other", ignore=shutil.ignore_patterns("trials"))
    pages = [(folder / "report.html").read_bytes() for folder in (searched, other)]
    monkeypatch.chdir(tmp_path)

    assert __main__.main(["report", str(searched), str(other)]) == 0

    assert [(folder / "report.html").read_bytes() for folder in (searched, other)] == pages
    page = tmp_path / f"tuning/comparisons/{searched.name}-other/report.html"
    assert "other (Random)" in page.read_text()


def test_a_run_that_is_refused_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert __main__.main(["run", str(POST), "--strategy", "Simplex"]) == 1
    (tmp_path / "job.json").write_text(POST.read_text())  # its data are not beside it
    assert __main__.main(["run", "job.json"]) == 1

    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_the_best_hyperparameters_are_a_training_jobs(searched, capsys):
    assert __main__.main(["best", str(searched)]) == 0

    said = capsys.readouterr()
    best = json.loads(said.out)
    found = results.read(searched).best
    assert said.err == (
        f"best validation:RMSE={found.metrics['validation:RMSE']:.6g} with"
        f" l={found.values['l']} q={found.values['q']} ({found.name})\n"
    )
    assert best.keys() == {"q", "l", "noise"}
    assert all(isinstance(value, str) for value in best.values())


@pytest.mark.parametrize("options", [(), ("--train",)])
def test_the_best_model_is_served_to_this_machine_alone(searched, options):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [
        TUNE,
        "deploy",
        str(searched),
        "--port",
        str(port),
        *options,
    ]
    server = subprocess.Popen(command, start_new_session=True)
    try:
        answer = _answer(f"http://127.0.0.1:{port}/invocations")
        listening = _listening(port)
    finally:
        os.killpg(server.pid, signal.SIGINT)  # as a terminal sends it
        status = server.wait(30)

    # The post's function at this point is 1.5 * 0.5 + 5.2 * 1.
    assert float(answer) == pytest.approx(5.95, abs=1)
    assert listening == {"127.0.0.1"}
    assert status == 0
    anew = list(searched.glob("trials/gp-post-best-*"))
    assert len(anew) == len(options)
    for folder in anew:  # the same hyperparameters and rows make the same model
        best = Path(results.read(searched).best.model)
        arrays = sorted(path.name for path in best.glob("*.npy"))
        assert arrays
        assert all(
            (folder / "model" / name).read_bytes() == (best / name).read_bytes() for name in arrays
        )


def test_ctrl_c_ends_the_training_that_precedes_a_deployment(searched, tmp_path):
    """What it would have trained is stopped, and nothing is served."""
    folder = shutil.copytree(
        searched, tmp_path / "copy", ignore=shutil.ignore_patterns("gp-post-best-*")
    )
    command = [TUNE, "deploy", str(folder), "--train"]
    deploying = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(folder.glob("trials/gp-post-best-*/log")):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    os.killpg(deploying.pid, signal.SIGINT)

    assert deploying.communicate(timeout=30)[1] == "stopped\n"
    assert deploying.returncode == 130
    assert not list(folder.glob("trials/gp-post-best-*/model/*"))


def _listening(port: int) -> set[str]:
    """Addresses that something listens on at a port, as the kernel's tables have them."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        number, _, at = address.partition(":")
        if int(at, 16) == port and state == "0A":
            found.add(socket.inet_ntoa(bytes.fromhex(number)[::-1]))
    return found


def _answer(url: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            return requests.post(
                url, data="0.5,1\n", headers={"Content-Type": "text/csv"}, timeout=10
            ).text
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_models_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert __main__.main(["run", str(POST), "--out", "out", "--jobs", "1", "--parallel", "1"]) == 0

    monkeypatch.chdir("/")
    assert (Path(results.read(tmp_path / "out").best.model) / "model.json").is_file()


@pytest.mark.parametrize("command", ["table", "best", "report"])
def test_a_search_that_is_nowhere_is_said_in_a_sentence(monkeypatch, capsys, command):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    assert __main__.main([command, "gp-pots"]) == 1

    sentence = capsys.readouterr().err
    assert sentence.startswith(
        "there is no search gp-pots: no folder gp-pots or tuning/gp-pots, and no tuning job of this"
        " name at SageMaker (no AWS region is configured"
    )
    assert sentence.endswith("); name a folder of --out or a tuning job\n")


def test_the_algorithm_is_what_create_algorithm_takes(capsys):
    assert (
        __main__.main(
            [
                "algorithm",
                "--image",
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com/gpsagemaker:latest",
            ]
        )
        == 0
    )

    found = json.loads(capsys.readouterr().out)
    shape = shapes.request_shape("sagemaker", "CreateAlgorithm")
    assert not list(shapes.violations(shape, found))
    assert not ParamValidator().validate(found, shape).has_errors()
    assert found["AlgorithmName"] == "gaussian-processes"
    assert found["InferenceSpecification"]["Containers"][0]["Image"].endswith("gpsagemaker:latest")
    supported = {
        entry["Name"]: entry for entry in found["TrainingSpecification"]["SupportedHyperParameters"]
    }
    assert list(supported) == [entry.name for entry in HYPERPARAMETERS]
    assert {name for name, entry in supported.items() if entry["IsTunable"]} == {
        e.name for e in HYPERPARAMETERS if e.tuning_range
    }


def test_the_ranges_of_a_tuning_job_are_printed(capsys):
    assert __main__.main(["algorithm", "--ranges"]) == 0

    assert json.loads(capsys.readouterr().out) == algorithm_specification.parameter_ranges()


def test_the_declared_ranges_are_a_tuning_jobs(tmp_path):
    asked = request(ParameterRanges=algorithm_specification.parameter_ranges())
    asked["TrainingJobDefinition"]["StaticHyperParameters"] = {}

    job = jobfile.check(asked, tmp_path, "amt")

    declared = {entry.name: entry.tuning_range for entry in HYPERPARAMETERS if entry.tuning_range}
    assert {entry.name for entry in job.space} == declared.keys()
    for entry in job.space:
        expected = declared[entry.name]
        assert (entry.min_value, entry.max_value, entry.scaling) == (
            expected.min_value,
            expected.max_value,
            expected.scaling_type,
        )


@pytest.mark.parametrize("command", [["table"], ["best"], ["report"]])
def test_what_is_no_search_is_said_in_a_sentence(tmp_path, command, capsys):
    assert __main__.main([*command, str(tmp_path)]) == 1

    assert "holds no search" in capsys.readouterr().err


def test_a_wrong_job_is_said_in_a_sentence(tmp_path, capsys):
    (tmp_path / "job.json").write_text(json.dumps(request(Strategy="Simplex")))

    assert __main__.main(["run", str(tmp_path / "job.json"), "--out", str(tmp_path / "out")]) == 1

    assert capsys.readouterr().err == (
        "strategy Simplex is unknown; name one of random, grid, bayesian, hyperband, genetic,"
        " particleswarm, paes, or one's own as module:Class or module:Class(name=value)\n"
    )
