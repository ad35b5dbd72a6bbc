"""The arrows between the folders, and what no contract of import-linter can say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gaussian_processes"
LINTER = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]


def test_the_contracts_between_the_folders_are_kept():
    answer = subprocess.run(
        [*LINTER, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "0 broken" in answer.stdout


def test_nothing_unpickles():
    for path in PACKAGE.rglob("*.py"):
        assert "pickle" not in path.read_text().replace("never pickle", "").replace(
            "allow_pickle=False", ""
        ), path


def test_serving_starts_without_pandas():
    code = (
        "import sys, gaussian_processes.serving.main, gaussian_processes.serving.worker;"
        " sys.exit(str(sorted(sys.modules.keys() & {'pandas', 'scipy.optimize', 'scipy.sparse'})))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )

    assert answer.stderr.strip() == "[]"
