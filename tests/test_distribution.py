"""The source distribution builds without a network, and its wheel works in a fresh virtualenv."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
OFFLINE = ("--no-index", "--no-deps")


def run(*command: str | Path, **options: object) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution of a fresh clone, and a wheel of nothing but it."""
    folder = tmp_path_factory.mktemp("distribution")
    run("git", "clone", "--quiet", ROOT, folder / "clone")
    run(sys.executable, "-c", BUILD, folder, cwd=folder / "clone")
    shutil.rmtree(folder / "clone")
    (source,) = folder.glob("*.tar.gz")
    run(*PIP, "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_its_compiled_routines_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0].partition("-")[0] for name in names} == {"gaussian_processes"}
    assert [name for name in names if name.startswith("gaussian_processes/_native/_routines")] == [
        f"gaussian_processes/_native/_routines{sysconfig.get_config_var('EXT_SUFFIX')}"
    ]


@pytest.mark.slow
def test_a_fresh_virtualenv_trains_with_the_wheel(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    programs = tmp_path / "venv/bin"
    run(*PIP, "--python", programs / "python", "install", *OFFLINE, wheel)
    # The dependencies that the tests have, without the package, which is editable there.
    (packages,) = tmp_path.glob("venv/lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    shutil.copytree(ROOT / "local_test/test_dir/input", tmp_path / "job/input")

    # Not in the checkout, whose package `python -c` would import.
    run(programs / "train", cwd=tmp_path, env={**os.environ, "SAGEMAKER_BASE_DIR": "job"})

    model = json.loads((tmp_path / "job/model/model.json").read_text())
    code = "from gaussian_processes._native import _routines; print(_routines.__file__)"
    origin = run(programs / "python", "-c", code, cwd=tmp_path)
    assert model["training_rows"] == 353
    assert Path(origin.strip()).is_relative_to(packages)
