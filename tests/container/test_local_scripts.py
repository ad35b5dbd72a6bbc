"""The scripts of local_test/, as its README describes them."""

import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from container.engine import PATIENCE_SECONDS, ROOT, answers, docker, wait_for

SAMPLE = ROOT / "local_test/test_dir/input/data"


@pytest.fixture
def local_test(tmp_path) -> Path:
    """A copy of local_test, to train in without a trace."""
    return Path(
        shutil.copytree(
            ROOT / "local_test", tmp_path / "local_test", ignore=shutil.ignore_patterns(".venv")
        )
    )


def run(*command, status=0, **environment) -> str:
    """What a command prints, which ends with `status`."""
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def predictions(demo: str) -> list[list[float]]:
    """The table that the demo ends with: prediction, standard deviation, measured value."""
    assert "standard deviation" in demo
    return [
        list(map(float, line.split())) for line in demo.rpartition("measured\n")[2].splitlines()
    ]


def test_a_person_trains_serves_and_predicts(image, local_test, free_port):
    run(local_test / "train_local.sh", image)
    environment = os.environ | {"PORT": str(free_port)}
    server = subprocess.Popen(
        [local_test / "serve_local.sh", image], env=environment, start_new_session=True
    )
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{free_port}"), lambda: "it does not answer")
        answer = run(local_test / "predict.sh", local_test / "payload.csv", PORT=str(free_port))
        refused = run(
            local_test / "predict.sh",
            local_test / "payload.csv",
            "image/png",
            PORT=str(free_port),
            status=22,
        )
    finally:
        os.killpg(server.pid, signal.SIGINT)  # Ctrl-C

    assert len(answer.splitlines()) == 6
    assert "image/png" in refused
    assert server.wait(30) == 0


def test_training_here_replaces_the_last_results_and_touches_nothing_else(
    image, local_test, tmp_path
):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    (local_test / "test_dir/model").symlink_to(tmp_path / "precious")
    (local_test / "test_dir/output").mkdir()
    (local_test / "test_dir/output/failure").touch()

    run(local_test / "train_local.sh", image)

    assert (tmp_path / "precious/file").exists()
    assert not (local_test / "test_dir/output/failure").exists()
    results = [
        local_test / "test_dir/model/model.json",
        local_test / "test_dir/output/data/metrics.json",
    ]
    assert {result.stat().st_uid for result in results} == {os.getuid()}


def test_a_failed_training_here_says_where_the_reason_is(image, local_test):
    (local_test / "test_dir/input/config/hyperparameters.json").write_text('{"q": "-1"}')

    said = run(local_test / "train_local.sh", image, status=1)

    assert str(local_test / "test_dir/output/failure") in said
    assert "q" in (local_test / "test_dir/output/failure").read_text()


def test_the_demo_with_docker_predicts_and_leaves_nothing_running(image):
    before = containers()
    with socket.socket() as taken:
        with suppress(OSError):
            taken.bind(
                ("127.0.0.1", 8080)
            )  # unless somebody else has it: the demo finds another port
        said = run(ROOT / "local_test/demo.sh")

    assert said.startswith("With Docker")
    check_demo(said)
    assert containers() <= before


def containers() -> set[str]:
    """Those of the scripts, by the names that they give them."""
    return set(
        docker(
            "ps",
            "--all",
            "--filter=name=gaussian-processes-demo",
            "--filter=name=train-local",
            "--quiet",
        ).split()
    )


def test_the_demo_without_docker_runs_the_same_programs():
    said = run(ROOT / "local_test/demo.sh", DOCKER_HOST="tcp://127.0.0.1:1")

    assert said.startswith("Without Docker")
    check_demo(said)


def check_demo(said: str) -> None:
    rows = predictions(said)
    validation = [
        line.split(",") for line in (SAMPLE / "validation/diabetes.csv").read_text().splitlines()
    ]
    assert [measured for *_, measured in rows] == [float(row[0]) for row in validation[:6]]
    # The targets run from 25 to 346: predictions stay among them, and no model of these data is
    # sure to 20.
    assert all(25 < mean < 346 and 20 < deviation < 100 for mean, deviation, _ in rows)


def test_a_python_that_is_too_old_is_refused_in_one_sentence(tmp_path):
    for program in ("bash", "dirname"):
        (tmp_path / program).symlink_to(shutil.which(program))
    old = tmp_path / "python3"
    old.write_text(
        "#!/usr/bin/env bash\n[[ $1 != --version ]] || { echo Python 3.9.2; exit; }\nexit 1\n"
    )
    old.chmod(0o755)

    said = run(ROOT / "local_test/find_python.sh", status=1, PATH=str(tmp_path))

    assert "Python 3.11 or newer" in said
    assert "Python 3.9.2" in said
    assert said.count("\n") == 1
