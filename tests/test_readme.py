"""README and the pages of docs/: what they say is so, and their commands run as they stand.

A block runs unless a comment ``<!-- not run: REASON -->`` stands on the line above it; then it is
only parsed.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from docs.pictures import PICTURES, scaling
from gaussian_processes.sagemaker.hyperparameters import table

ROOT = Path(__file__).parents[1]
PAGES = [
    Path("README.md"),
    Path("CONTRIBUTING.md"),
    *sorted(page.relative_to(ROOT) for page in ROOT.glob("docs/*.md")),
]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\((?P<target>[^)#:]+)(?:#(?P<anchor>[^)]+))?\)")
# A page installs the package, trains, tunes: minutes on a busy machine, and never as long as this.
PATIENCE_SECONDS = 1200
# What a person has in a terminal, and what tells pip which registry and certificates are theirs.
KEPT = re.compile(r"HOME|PATH|LANG|TMPDIR|PIP_.*|SSL_.*|REQUESTS_.*|OPENBLAS_CORETYPE")


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    language: str
    text: str
    runs: bool


def blocks(page: Path, language: str) -> Iterator[Block]:
    """Yield the blocks of a page in a language, in their order."""
    for found in BLOCK.finditer((ROOT / page).read_text()):
        if found["language"] == language:
            yield Block(language, found["text"], found["reason"] is None)


def script(page: Path) -> str:
    """Return the blocks of a page that run as one shell script: Python's are given to `python`."""
    # What runs in the background would hold the output open after a failure.
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for found in BLOCK.finditer((ROOT / page).read_text()):
        if found["reason"] is None and found["language"] == "bash":
            lines.append(found["text"])
        if found["reason"] is None and found["language"] == "python":
            lines.append(f"python - <<'END_OF_BLOCK'\n{found['text']}END_OF_BLOCK\n")
    return "\n".join(lines)


def test_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_table_of_hyperparameters_is_the_declaration():
    assert f"\n\n{table()}\n\n" in (ROOT / "docs/hyperparameters.md").read_text()


def test_every_folder_is_on_the_map():
    words = set((ROOT / "README.md").read_text().split("```")[-2].split())
    package = ROOT / "gaussian_processes"
    names = {path.name for path in package.glob("[!_]*.py")}
    names |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}

    assert names <= words


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_between_pages_leads_somewhere(page):
    for link in LINK.finditer((ROOT / page).read_text()):
        target = ROOT / page.parent / link["target"]

        assert target.exists(), link[0]
        if link["anchor"]:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert link["anchor"] in [heading.lower().replace(" ", "-") for heading in headings]


def test_every_picture_is_small_and_on_a_page():
    pictures = {path.name: path for path in ROOT.glob("docs/pictures/*")}
    shown = {
        Path(link["target"]).name
        for page in PAGES
        for link in LINK.finditer((ROOT / page).read_text())
        if "pictures/" in link["target"]
    }

    assert pictures.keys() == shown == {f"{draw.__name__}.svg" for draw in PICTURES}
    assert max(path.stat().st_size for path in pictures.values()) < 100_000


def test_the_picture_of_scaling_has_every_line_of_its_table():
    table = (ROOT / "benchmarks/RESULTS.md").read_text().split("## ")
    (section,) = [part for part in table if part.startswith("Scaling")]
    rows = [
        int(row.replace(",", "")) for row in re.findall(r"^\| ([\d,]+) \|", section, re.MULTILINE)
    ]

    points = scaling().to_dict()["data"]["values"]

    for panel in ("seconds", "memory, GB"):
        assert [point["rows"] for point in points if point["panel"] == panel] == rows


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_block_is_well_formed(page):
    for block in blocks(page, "bash"):
        subprocess.run(["bash", "-n"], input=block.text, check=True, text=True)
    for block in blocks(page, "python"):
        compile(block.text, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_script_that_a_page_calls_is_there(page):
    for block in blocks(page, "bash"):
        # Not what it writes itself.
        for name in re.findall(r"(?<![>\w./])[\w.]+(?:/[\w.]+)*\.(?:sh|json|csv)\b", block.text):
            assert (ROOT / name).exists(), name


@pytest.fixture(scope="module")
def virtualenv(tmp_path_factory) -> Path:
    """Make a virtualenv, as README does."""
    folder = tmp_path_factory.mktemp("pages") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if script(page).count("\n") > 1], ids=str)
def test_the_commands_of_a_page_run_in_a_fresh_clone(page, virtualenv, tmp_path):
    if " serve &\n" in script(page) and shutil.which("nginx") is None:
        pytest.skip("needs nginx")
    clone = tmp_path / "gaussian-processes"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    environment = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    environment["PATH"] = f"{virtualenv}/bin:{environment['PATH']}"

    answer = subprocess.run(
        ["bash"],
        input=script(page),
        cwd=clone,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert answer.returncode == 0, answer.stdout
    if "tune run" in script(page):
        assert "\nbest validation:RMSE=" in answer.stdout
