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
from gaussian_processes.tuning import importance, report
from gaussian_processes.tuning.charts import CROSS, Charts
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
        json.dumps(report.page(Charts([results("search", objectives)])), ensure_ascii=False)
        for objectives in (1, 2)
    )

    for title in (
        "Over time",
        "Density",
        "Against q",
        "Against noise",
        "Against projection",
        "Best of q × l",
        "Importance",
        "Parallel coordinates",
    ):
        assert title in one
    assert "Pareto front" in two
    assert "Pareto front" not in one
    assert "Regret" not in one


def charts_of(page):
    """Every chart, by its title."""
    found = {}

    def walk(part):
        if isinstance(part, dict):
            if isinstance(part.get("title"), str) and "layer" in part:
                found[part["title"]] = part
            part = list(part.values())
        for value in part if isinstance(part, list) else []:
            walk(value)

    walk(page)
    return found


def test_the_best_job_has_a_star_in_every_picture_of_jobs():
    page = report.page(Charts([results("first", 2), results("second", 2)]))

    starred = {title for title, chart in charts_of(page).items() if "#ffc400" in json.dumps(chart)}
    assert starred == charts_of(page).keys()
    assert len(starred) == 11
    best = [entry for entry in rows_of(page) if entry["best"]]
    assert {entry["validation_RMSE"] for entry in best} == {1.0}
    assert len(best) == 2


def test_the_heat_map_has_every_pair_of_the_declared_ranges():
    heat_map = charts_of(report.page(Charts([results("search")])))["Best of q × l"]

    encoding = heat_map["layer"][1]["encoding"]
    assert sorted(encoding["x"]["scale"]["domain"]) == [0, 1, 2, 3, 4]
    assert encoding["y"]["scale"]["domain"] == [4, 3, 2, 1, 0]


def test_the_density_ends_where_the_metric_does():
    near_zero = replace(results("search"), rows=(*results("search").rows, row(0)))
    values = {"validation:RMSE": 0.01, "validation:NLPD": -3.0}
    near_zero = replace(near_zero, rows=(*near_zero.rows, replace(row(20), metrics=values)))

    text = json.dumps(report.page(Charts([near_zero])))

    low, high = json.loads(re.search(r'"extent": (\[[^]]*\])', text)[1])
    assert low == 0
    assert high > 2


def test_a_failure_has_one_symbol():
    text = json.dumps(report.page(Charts([results("search")])))

    shapes = list(re.findall(r'"range": \[("circle"[^]]*)\]', text))
    assert {entry.split(", ")[-1].strip('"') for entry in shapes} == {CROSS}
    assert f'"shape": "{CROSS}"' in text


def test_the_hyperparameter_that_decides_is_the_important_one():
    rows = tuple(
        replace(row(number), metrics={"validation:RMSE": float(number % 5)}) for number in range(30)
    )

    found = importance.importances(replace(results("search"), rows=rows))

    assert next(iter(found)) == "l"
    assert found["l"] > 0.9
    assert sum(found.values()) == pytest.approx(1)


def test_few_jobs_or_equal_ones_have_no_importance():
    few, same = results("search"), results("search")
    few = replace(few, rows=few.rows[:5])
    same = replace(
        same, rows=tuple(replace(row(n), metrics={"validation:RMSE": 1.0}) for n in range(12))
    )

    assert importance.importances(few) == importance.importances(same) == {}


def test_regret_is_the_distance_from_the_best_of_all_searches():
    better = replace(
        results("better"),
        rows=(replace(row(0), metrics={"validation:RMSE": 0.5, "validation:NLPD": 0.0}),),
    )

    records = rows_of(report.page(Charts([results("search"), better])))

    regrets = [entry["regret"] for entry in records if entry["run"] == "search"]
    assert regrets == pytest.approx([0.5] * 12)
    assert [entry["regret"] for entry in records if entry["run"] == "better"] == [0]


def test_the_page_has_a_line_for_the_search_and_a_row_for_every_job(tmp_path):
    search = replace(results("gp-post"), folder=tmp_path / "out")
    (tmp_path / "out/trials/job-1").mkdir(parents=True)

    page, _ = report.write([search], tmp_path / "pages")

    text = page.read_text()
    assert "12 training jobs (10 completed, 1 failed, 1 stopped) in 11 min 30 s" in text
    assert "best validation:RMSE=1 with" in text
    assert text.count("\n<tr>\n") == 12
    assert '<a href="../out/trials/job-1/">job-1</a>' in text
    assert "★ job-0" in text
    assert "too odd" in text
    assert 'name="viewport" content="width=device-width' in text


def test_a_click_on_a_head_sorts_the_table(page):
    page = page(results("search"))
    column = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[3].textContent)"
    heads = "document.querySelectorAll('th button')"

    page.value(f"{heads}[3].click()")

    numbers = [float(text) for text in page.value(column) if text]
    assert numbers == sorted(numbers)
    assert page.value(column)[-1] == ""
    page.value(f"{heads}[3].click()")
    assert [float(text) for text in page.value(column) if text] == numbers[::-1]


def test_the_page_is_as_wide_as_its_screen(page):
    page = page(results("search"), results("second"))
    drawn = "document.querySelector('#charts svg').clientWidth"

    for width in (390, 1280):
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        page("Emulation.setDeviceMetricsOverride", **screen)
        page.wait_for(lambda width=width: width - 100 < page.value(drawn) <= width)
        assert page.value("document.documentElement.scrollWidth") == page.value(
            "document.documentElement.clientWidth"
        )


def test_axes_have_the_declared_scales():
    charts = {}

    def walk(part):
        if isinstance(part, dict):
            if str(part.get("title", "")).startswith("Against"):
                charts[part["title"].split()[-1]] = part["layer"][0]["encoding"]["x"]
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(report.page(Charts([results("search")])))

    assert charts["noise"]["scale"]["type"] == "log"
    assert (charts["share"]["scale"]["type"], charts["share"]["title"]) == ("log", "1 - share")
    assert charts["q"]["scale"]["type"] == "linear"
    assert charts["q"]["axis"]["values"] == [0, 1, 2, 3, 4]
    assert charts["projection"]["type"] == "nominal"


def rows_of(page):
    return page["data"]["values"]


def test_the_best_so_far_only_falls_and_failures_are_marked():
    page = report.page(Charts([results("search")]))
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

    page = report.page(Charts(searches))

    assert page["title"]["text"] == "a (Random) · b (Bayesian)"
    assert {entry["run"] for entry in rows_of(page)} == {"a (Random)", "b (Bayesian)"}


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path):
    searches = [
        replace(results("gp-post"), strategy="Random", folder=tmp_path / part / "out")
        for part in ("a", "b")
    ]

    page = report.page(Charts(searches))

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
