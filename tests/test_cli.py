"""Console scripts where their libraries are missing."""

import os
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


@pytest.mark.parametrize("script", ["tune", "describe"])
def test_an_interrupt_while_libraries_are_loaded_is_one_sentence(script):
    program = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'numpy': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        f"from gaussian_processes import cli; sys.exit(cli.{script}())"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert answer.returncode == 130
    assert answer.stderr.startswith("interrupted as the libraries were loaded, by Ctrl-C ")
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


def run_with_addresses(name, megabytes, base):
    """Run a console script under a limit of addresses."""
    limit = f"ulimit -v {megabytes * 1024}; exec {Path(sys.executable).with_name(name)}"
    return subprocess.run(
        ["/bin/bash", "-c", limit],
        env=os.environ | {"SAGEMAKER_BASE_DIR": str(base)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["train", "serve", "describe"])
@pytest.mark.parametrize("megabytes", [150, 200, 250])
def test_too_few_addresses_to_load_the_libraries_are_refused_at_once(tmp_path, name, megabytes):
    answer = run_with_addresses(name, megabytes, tmp_path)

    assert answer.returncode == 1
    assert answer.stderr.startswith("the libraries can't be loaded (MemoryError: ")
    assert "ulimit -v" in answer.stderr
    assert answer.stderr.count("\n") == 1
    if name == "train":
        assert (tmp_path / "output/failure").read_text() == answer.stderr.rstrip()


def test_a_library_that_is_missing_is_said_in_a_sentence():
    program = "import sys; sys.modules['numpy'] = None; "
    program += "from gaussian_processes import cli; sys.exit(cli.describe())"

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert answer.returncode == 1
    assert answer.stderr.startswith("the libraries can't be loaded (ModuleNotFoundError: ")
    assert answer.stderr.count("\n") == 1


PIP = "import sys; from gaussian_processes.cli import pip; sys.exit(pip())"


def run_pip(base, *words):
    """Run what stands in for pip in the image."""
    return subprocess.run(
        [sys.executable, "-c", PIP, *words],
        env=os.environ | {"SAGEMAKER_BASE_DIR": str(base)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("content", ["", "\n# nothing but a comment\n\n"])
@pytest.mark.parametrize("option", ["-r", "--requirement"])
def test_the_images_pip_installs_an_empty_list(tmp_path, content, option):
    (tmp_path / "requirements.txt").write_text(content)

    answer = run_pip(tmp_path, "install", "--quiet", option, str(tmp_path / "requirements.txt"))

    assert (answer.returncode, answer.stdout + answer.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("install", "-r", "requirements.txt"), "seaborn>=0.13"),
        (("install", "--upgrade", "seaborn"), "seaborn"),
        (("install", "-r", "nowhere.txt"), "nowhere.txt"),
        (("list",), "list"),
        ((), "nothing"),
    ],
)
def test_the_images_pip_says_in_a_sentence_that_packages_cannot_be_added(tmp_path, words, named):
    (tmp_path / "requirements.txt").write_text("seaborn>=0.13  # pictures\n")
    (tmp_path / "output").mkdir()
    paths = [str(tmp_path / word) if word.endswith(".txt") else word for word in words]

    answer = run_pip(tmp_path, *paths)

    assert answer.returncode == 1
    assert named in answer.stderr
    assert "this is the image of gaussian-processes" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert (tmp_path / "output/failure").read_text() == answer.stderr.rstrip()
