"""The arrows between the rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gaussian_processes"
MATHEMATICS = {
    "blas",
    "cholesky",
    "compiled",
    "ensembles",
    "kernels",
    "machine",
    "narrow",
    "pairs",
    "parallel",
    "regression",
    "scores",
    "selection",
    "sphere",
}
FORMATS = {"artifact", "bodies", "checkpoints", "examples", "features", "model", "recordio", "schema", "storage", "tables"}
CONTRACT = {"contract", "errors", "hyperparameters"}
PROGRAMS = {
    "app",
    "describe",
    "evaluation",
    "learning",
    "metrics",
    "models",
    "openapi",
    "outputs",
    "serving",
    "training",
    "worker",
}
ROOMS = MATHEMATICS | FORMATS | CONTRACT | PROGRAMS

MAY_IMPORT = {
    **dict.fromkeys(MATHEMATICS, MATHEMATICS),
    **dict.fromkeys(CONTRACT, CONTRACT),
    **dict.fromkeys(FORMATS, MATHEMATICS | CONTRACT | FORMATS),
    **dict.fromkeys(PROGRAMS, ROOMS),
}
OWNERS = {
    "pandas": {"tables"},
    "flask": {"app"},
    "prometheus_client": {"metrics"},
    "gunicorn": {"worker"},
    "gevent": {"worker"},
    "ctypes": {"blas", "compiled"},
    "threadpoolctl": {"parallel"},
}


def imports(room):
    """Names of the modules that a room imports: the package's own by the room, others by their first part."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{room}.py").read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "gaussian_processes":
            names |= {f"gaussian_processes.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {
        name.removeprefix("gaussian_processes.") if name.startswith("gaussian_processes.") else name.split(".")[0]
        for name in names
    }


def test_every_room_is_on_the_map():
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == ROOMS


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_arrows_go_one_way(room):
    assert imports(room) & ROOMS <= MAY_IMPORT[room]


@pytest.mark.parametrize("room", sorted(MATHEMATICS - {"machine"}))
def test_mathematics_touches_no_file_clock_environment_or_log(room):
    assert not imports(room) & {"os", "sys", "io", "pathlib", "time", "datetime", "logging", "subprocess", "json"}
    assert "print(" not in (PACKAGE / f"{room}.py").read_text()


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_library_has_one_owner(room):
    for library, owners in OWNERS.items():
        assert library not in imports(room) or room in owners


def test_nothing_unpickles():
    for path in PACKAGE.glob("*.py"):
        assert "pickle" not in path.read_text().replace("never pickle", "").replace("allow_pickle=False", ""), path


def test_serving_starts_without_pandas():
    code = (
        "import sys, gaussian_processes.serving, gaussian_processes.worker;"
        " sys.exit(str(sorted(sys.modules.keys() & {'pandas', 'scipy.optimize', 'scipy.sparse'})))"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert answer.stderr.strip() == "[]"
