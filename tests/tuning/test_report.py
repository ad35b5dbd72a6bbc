"""The pictures of a search, in a real browser."""

import json
import os
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import report
from gaussian_processes.tuning.jobfile import Objective
from gaussian_processes.tuning.results import Results, Row
from gaussian_processes.tuning.space import LOGARITHMIC, REVERSE, Numbers, Space, Words

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SPACE = Space(
    (
        Words("inputs", ("sphere", "normalize")),
        Numbers("l", 0, 4, whole=True),
        Numbers("noise", 1e-8, 1, scaling=LOGARITHMIC),
        Numbers("q", 0, 4, whole=True),
        Numbers("share", 0, 0.999, scaling=REVERSE),
    )
)


def row(number: int, status: str = "Completed") -> Row:
    begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    values = {
        "inputs": ("sphere", "normalize")[number % 2],
        "l": number % 5,
        "noise": 10.0 ** -(number % 8),
        "q": number % 4,
        "share": 1 - 0.5 ** (number % 8),
    }
    metrics = {"validation:RMSE": 1 + (number * 7 % 11) / 10, "validation:NLPD": 2 - (number * 5 % 13) / 10}
    failed = status == "Failed"
    return Row(
        values, f"job-{number}", status, {} if failed else metrics, begin, begin + timedelta(seconds=30), "too odd" * failed
    )


def results(name: str, objectives: int = 1) -> Results:
    metrics = (Objective("validation:RMSE", maximize=False), Objective("validation:NLPD", maximize=False))
    rows = [row(number, {3: "Failed", 5: "Stopped"}.get(number, "Completed")) for number in range(12)]
    return Results(name, metrics[:objectives], SPACE, {}, tuple(rows))


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no Chromium to open the report in")
    return found


def opened(browser: str, page: Path, profile: Path) -> tuple[str, str]:
    """The document as it is once its scripts have run, and what they said; there is no network to help."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=20000"]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--dump-dom"]
    done = subprocess.run([browser, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("objectives", [1, 2])
def test_the_page_draws_itself_without_a_network(browser, tmp_path, objectives):
    page, picture = report.write([results("first", objectives), results("second", objectives)], tmp_path)

    assert "cdn." not in re.sub(r"data-[a-z]+=.*", "", page.read_text()[:20_000])
    assert not re.search(r'<(script|link)[^>]+(src|href)="https?:', page.read_text())
    drawn, said = opened(browser, page, tmp_path / "profile")
    assert "error" not in said.lower(), said
    assert re.search(r"<canvas|<svg", drawn)
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    assert min(width, height) > 1000


def test_every_picture_is_there():
    one, two = (
        json.dumps(report.chart([results("search", objectives)]).to_dict(), ensure_ascii=False) for objectives in (1, 2)
    )

    for title in (
        "Over time",
        "Density",
        "Against q",
        "Against noise",
        "Against inputs",
        "Best of q × l",
        "Parallel coordinates",
    ):
        assert title in one
    assert "Pareto front" in two
    assert "Pareto front" not in one


def test_axes_have_the_declared_scales():
    charts = {}

    def walk(part):
        if isinstance(part, dict):
            if str(part.get("title", "")).startswith("Against"):
                charts[part["title"].split()[-1]] = part["encoding"]["x"]
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(report.chart([results("search")]).to_dict())

    assert charts["noise"]["scale"]["type"] == "log"
    assert (charts["share"]["scale"]["type"], charts["share"]["title"]) == ("log", "1 - share")
    assert "type" not in charts["q"]["scale"]
    assert charts["inputs"]["type"] == "nominal"


def test_the_best_so_far_only_falls_and_failures_are_marked():
    page = report.chart([results("search")]).to_dict()
    rows = next(iter(page["datasets"].values())) if "datasets" in page else page["data"]["values"]

    best = [entry["best_so_far"] for entry in rows]
    losses = [entry["validation_RMSE"] for entry in rows]
    assert best == [min(loss for loss in losses[: at + 1] if loss is not None) for at in range(len(rows))]
    assert [entry["name"] for entry in rows if entry["status"] == "Failed"] == ["job-3"]


def test_searches_for_different_objectives_are_not_compared(tmp_path):
    other = replace(results("other"), objectives=(Objective("validation:R2", maximize=True),))

    with pytest.raises(UserError, match="different objectives"):
        report.write([results("one"), other], tmp_path)


def test_a_search_without_jobs_has_no_pictures(tmp_path):
    with pytest.raises(UserError, match="no training job to show"):
        report.write([replace(results("one"), rows=())], tmp_path)
