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
from tuning.browser import browsing

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import report
from gaussian_processes.tuning.job import Objective
from gaussian_processes.tuning.results import Results, Row
from gaussian_processes.tuning.space import (
    LOGARITHMIC,
    REVERSE,
    CategoricalRange,
    NumericRange,
    Space,
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SPACE = Space(
    (
        CategoricalRange("projection", ("sphere", "normalize")),
        NumericRange("l", 0, 4, integer=True),
        NumericRange("noise", 1e-8, 1, scaling=LOGARITHMIC),
        NumericRange("q", 0, 4, integer=True),
        NumericRange("share", 0, 0.999, scaling=REVERSE),
    )
)


def row(number: int, status: str = "Completed") -> Row:
    begin = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    values = {
        "projection": ("sphere", "normalize")[number % 2],
        "l": number % 5,
        "noise": 10.0 ** -(number % 8),
        "q": number % 4,
        "share": 1 - 0.5 ** (number % 8),
    }
    metrics = {
        "validation:RMSE": 1 + (number * 7 % 11) / 10,
        "validation:NLPD": 2 - (number * 5 % 13) / 10,
    }
    failed = status == "Failed"
    return Row(
        values,
        f"job-{number}",
        status,
        {} if failed else metrics,
        begin,
        begin + timedelta(seconds=30),
        "too odd" * failed,
    )


def results(name: str, objectives: int = 1) -> Results:
    metrics = (
        Objective("validation:RMSE", maximize=False),
        Objective("validation:NLPD", maximize=False),
    )
    rows = [
        row(number, {3: "Failed", 5: "Stopped"}.get(number, "Completed")) for number in range(12)
    ]
    return Results(name, metrics[:objectives], SPACE, {}, tuple(rows))


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "there is no Chromium to open the report in"
        )
    return found


def opened(browser: str, page: Path, profile: Path) -> tuple[str, str]:
    """The document once its scripts have run without a network, and what they said."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
    ]
    options += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("objectives", [1, 2])
def test_the_page_draws_itself_without_a_network(browser, tmp_path, objectives):
    page, picture = report.write(
        [results("first", objectives), results("second", objectives)], tmp_path
    )

    assert "cdn." not in re.sub(r"data-[a-z]+=.*", "", page.read_text()[:20_000])
    assert not re.search(r'<(script|link)[^>]+(src|href)="https?:', page.read_text())
    drawn, said = opened(browser, page, tmp_path / "profile")
    assert "error" not in said.lower(), said
    assert re.search(r"<canvas|<svg", drawn)
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    assert min(width, height) > 1000


# Job and place of every point and line, by what its chart has for x, as Vega draws them in SVG;
# those that are faded are left out, as are the marks of failures, which have no objective to select
# them by.
MARKS = """
(() => {
  const charts = {};
  const marks = '.mark-symbol.role-mark path, .mark-line.role-mark path';
  for (const mark of document.querySelectorAll(marks)) {
    const box = mark.getBoundingClientRect();
    const label = mark.getAttribute('aria-label');
    const job = /name: ([^;]*)/.exec(label);
    if (job && !label.includes('status: Failed')) {
      const chart = charts[label.split(':')[0]] ??= [];
      if (mark.getAttribute('opacity') > 0.5) {
        chart.push([job[1], box.x + box.width / 2, box.y + box.height / 2]);
      }
    }
  }
  return charts;
})()
"""
LEGEND = """
[...document.querySelectorAll('.role-legend-label text')].map(name => {
  const box = name.getBoundingClientRect();
  return [name.textContent, box.x + box.width / 2, box.y + box.height / 2];
})
"""


@pytest.fixture
def page(browser, tmp_path):
    """Open the report of some searches."""
    with browsing(browser, tmp_path / "profile") as opened:

        def open_report(*searches):
            opened.open(report.write(searches, tmp_path)[0])
            opened.wait_for(
                lambda: opened.value(
                    "document.querySelectorAll('.mark-symbol.role-mark path').length"
                )
            )
            return opened

        yield open_report


def selected(page, jobs):
    """Wait until every chart shows these jobs, and fades the rest."""

    def settled():
        charts = page.value(MARKS)
        assert charts.keys() == {
            "training job",
            "projection",
            "l",
            "noise",
            "q",
            "1 - share",
            "axis",
        }
        return all(
            {name for name, *_ in points} == {f"job-{job}" for job in jobs}
            for points in charts.values()
        )

    page.wait_for(settled)


def test_what_is_dragged_over_in_one_chart_is_selected_in_all(page):
    page, everything = (
        page(results("search")),
        set(range(12)) - {3},
    )  # the one that failed has no objective to show
    selected(page, everything)

    points = sorted(page.value(MARKS)["training job"], key=lambda point: point[1])
    (_, left, top), (_, right, _) = points[0], points[4]
    page.drag((left - 5, top + 20), (right + 5, top + 40))
    selected(page, {0, 1, 2, 4, 5})

    points = [
        point for point in page.value(MARKS)["q"] if point[0] in {"job-0", "job-1"}
    ]  # of q = 0 and q = 1
    page.drag((points[0][1] - 8, points[0][2] - 30), (points[1][1] + 8, points[0][2] - 20))
    selected(page, {0, 1, 4, 5})


def test_a_click_on_a_name_in_the_legend_shows_one_search(page):
    page = page(results("first"), results("second"))
    assert {len(points) for points in page.value(MARKS).values()} == {22}
    second = next(place for name, *place in page.value(LEGEND) if name == "second")

    page.click(second)

    page.wait_for(lambda: {len(points) for points in page.value(MARKS).values()} == {11})


def test_every_picture_is_there():
    one, two = (
        json.dumps(report.page([results("search", objectives)]).to_dict(), ensure_ascii=False)
        for objectives in (1, 2)
    )

    for title in (
        "Over time",
        "Density",
        "Against q",
        "Against noise",
        "Against projection",
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

    walk(report.page([results("search")]).to_dict())

    assert charts["noise"]["scale"]["type"] == "log"
    assert (charts["share"]["scale"]["type"], charts["share"]["title"]) == ("log", "1 - share")
    assert "type" not in charts["q"]["scale"]
    assert charts["projection"]["type"] == "nominal"


def rows_of(page):
    return next(iter(page["datasets"].values())) if "datasets" in page else page["data"]["values"]


def test_the_best_so_far_only_falls_and_failures_are_marked():
    page = report.page([results("search")]).to_dict()
    rows = rows_of(page)

    best = [entry["best_so_far"] for entry in rows]
    losses = [entry["validation_RMSE"] for entry in rows]
    assert best == [
        min(loss for loss in losses[: at + 1] if loss is not None) for at in range(len(rows))
    ]
    assert [entry["name"] for entry in rows if entry["status"] == "Failed"] == ["job-3"]


def test_searches_of_one_job_are_told_apart_by_folder_and_strategy(tmp_path):
    one, two = results("gp-post"), results("gp-post")
    searches = [
        replace(one, strategy="Random", folder=tmp_path / "a"),
        replace(two, strategy="Bayesian", folder=tmp_path / "b"),
    ]

    page = report.page(searches).to_dict()

    assert page["title"]["text"] == "a (Random) · b (Bayesian)"
    assert {entry["run"] for entry in rows_of(page)} == {"a (Random)", "b (Bayesian)"}


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path):
    searches = [
        replace(results("gp-post"), strategy="Random", folder=tmp_path / part / "out")
        for part in ("a", "b")
    ]

    page = report.page(searches).to_dict()

    assert {entry["run"] for entry in rows_of(page)} == {
        f"{tmp_path}/a/out (Random)",
        f"{tmp_path}/b/out (Random)",
    }


def test_searches_for_different_objectives_are_not_compared(tmp_path):
    other = replace(results("other"), objectives=(Objective("validation:R2", maximize=True),))

    with pytest.raises(UserError, match="different objectives"):
        report.write([results("one"), other], tmp_path)


def test_a_search_without_jobs_has_no_pictures(tmp_path):
    with pytest.raises(UserError, match="no training job to show"):
        report.write([replace(results("one"), rows=())], tmp_path)
