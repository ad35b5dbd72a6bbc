"""Console scripts where their libraries are missing."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

TUNE = Path(sys.executable).with_name("tune")


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("gaussian_processes.tuning", "this installation has no tuner (the image leaves it out); "),
        ("optuna", "tune needs optuna, which is not installed; "),
        ("boto3", "tune needs boto3, which is not installed; "),
    ],
)
def test_tune_says_in_a_sentence_what_the_installation_lacks(missing, sentence):
    program = f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['tune', '--help']; "
    program += "from gaussian_processes import cli; sys.exit(cli.tune())"

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert answer.returncode == 1
    assert answer.stderr.startswith(sentence)
    assert "pip install '.[tuning]'" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_tune_says_its_version_even_where_the_installation_lacks_its_libraries():
    program = "import sys; sys.modules['boto3'] = None; sys.argv = ['tune', '--version']; "
    program += "from gaussian_processes import cli; sys.exit(cli.tune())"

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (answer.returncode, answer.stdout) == (0, f"tune {version('gaussian-processes')}\n")


@pytest.mark.parametrize(
    "command", [[str(TUNE)], [sys.executable, "-m", "gaussian_processes.tuning"]]
)
def test_tune_runs_by_its_name_and_as_a_module(command):
    answer = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)

    assert answer.stdout.startswith("usage: tune ")
