"""The tuner is a workshop: nothing of the image knows it, and its libraries have one owner each."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gaussian_processes"
TUNING = PACKAGE / "tuning"
OWNERS = {
    "boto3": {"aws"},
    "botocore": {"aws", "shapes"},
    "altair": {"report"},
    "inspyred": {"evolution"},
    "tqdm": {"progress"},
}


def imports(path: Path) -> set[str]:
    """Names of the modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_nothing_of_the_image_knows_the_tuner(path):
    assert not any(name.startswith("gaussian_processes.tuning") for name in imports(path))


@pytest.mark.parametrize("path", sorted(TUNING.rglob("*.py")), ids=lambda path: path.stem)
def test_every_library_has_one_owner(path):
    for library, owners in OWNERS.items():
        assert path.stem in owners or not any(name.split(".")[0] == library for name in imports(path))


def test_strategies_know_no_place_and_places_no_strategy():
    for path in (TUNING / "strategies").glob("*.py"):
        assert not any("tuning.places" in name or "tuning.runner" in name for name in imports(path))
    for path in (TUNING / "places").glob("*.py"):
        assert not any(
            "tuning.strategies" in name or "tuning.runner" in name or name.startswith("optuna") for name in imports(path)
        )
