"""Every benchmark still runs, at the smallest size that it allows; its figures are not tested."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 300
COMMANDS = [
    "learning --rows 100 --job-rows 30 --repetitions 1",
    "fit --rows 200 --prediction-rows 200 --repetitions 1",
    "scaling --most 1000 --repetitions 1",
    "mixed 300 --repetitions 1",
    "cluster --rows 600 --hosts 2 --messages 4",
    "iterative --rows 300",
    "kernel --rows 256 --repetitions 1 --most-degree 0",
    "resume --rows 1600 --repetitions 1",
    "searches --problems 2 --restarts 2 --searches 2",
    "soak --minutes 0.05 --clients 2",
    "tuning_regret --seeds 1 --jobs 3 --parallel 1 --strategies Random --problems iris",
]
# Minutes at any size: peers, twenty jobs, five folds of three methods, and a load generator.
LONG = {"outliers", "selection", "quality", "serving"}
SUPPORT = {"datasets", "instances", "measuring", "methods", "reporting"}


def run(words: list[str]) -> str:
    """Return what a benchmark prints."""
    answer = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split()[0])
def test_a_benchmark_prints_its_table(command):
    if command.startswith("soak") and not shutil.which("nginx"):
        pytest.skip("nginx is not installed")

    printed = run(f"benchmarks.{command}".split())

    assert "| --- | ---: |" in printed


@pytest.mark.parametrize("name", sorted(LONG))
def test_a_long_benchmark_explains_itself(name):
    assert "usage: python -m benchmarks." in run([f"benchmarks.{name}", "--help"])


def test_every_benchmark_is_run_here_and_listed_in_the_readme():
    commands = {path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")} - SUPPORT
    listed = (ROOT / "benchmarks/README.md").read_text()

    assert commands == {command.split()[0] for command in COMMANDS} | LONG
    assert all(f"| `{name}` |" in listed for name in commands)
