"""The distribution: its metadata, its licence and the version that every program prints."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

import gaussian_processes

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Inner parts of these are used, and a major version may move them.
USED_INSIDE = {"gevent", "gunicorn", "optuna"}


def requirements() -> list[str]:
    """Return the requirements of the package and of all its extras."""
    extras = PROJECT["optional-dependencies"].values()
    return PROJECT["dependencies"] + [line for extra in extras for line in extra]


def test_the_distribution_has_the_version_of_the_package():
    assert metadata("gaussian-processes")["Version"] == gaussian_processes.__version__


def test_the_licence_is_named_and_is_there():
    assert metadata("gaussian-processes")["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("program", sorted(PROJECT["scripts"]))
def test_every_program_prints_its_version(program):
    module, function = PROJECT["scripts"][program].split(":")
    code = f"import sys, {module} as module; sys.exit(module.{function}())"

    answer = subprocess.run(
        [sys.executable, "-c", code, "--version"], check=True, capture_output=True, text=True
    )

    assert answer.stdout == f"{program} {gaussian_processes.__version__}\n"


def test_what_is_used_inside_has_an_upper_bound():
    bounded = {re.split(r"\W", line)[0] for line in requirements() if ",<" in line and ">=" in line}

    assert bounded == USED_INSIDE


def test_the_annotations_are_offered_to_type_checkers():
    assert (Path(gaussian_processes.__file__).parent / "py.typed").exists()
