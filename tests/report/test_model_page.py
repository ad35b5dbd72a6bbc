"""`describe --html`, on models that `train` has left."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from fitted import fitted
from trained import train_on

from gaussian_processes import report
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.model import artifact
from gaussian_processes.report import main as describe
from gaussian_processes.report import model_page

HEADINGS = [
    "Data",
    "Predictions of rows that were left out",
    "Novelty",
    "Relevance",
    "Partial dependence",
    "Candidates and blend",
]
MAX_BYTES = 1_000_000


def table(seed, rows, header):
    rng = np.random.default_rng(seed)
    lines = [header]
    for x, z in rng.normal(size=(rows, 2)).tolist():
        cell = "" if x > 1.5 else repr(x)
        place = ("north", "south", '"<script>alert(1)</script>"')[int(3 * abs(z)) % 3]
        day = f"2026-{1 + len(lines) % 12:02}-{1 + len(lines) % 28:02}"
        lines.append(f"{2 * x + z!r},{cell},{z!r},{place},{day}")
    return lines


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    base = tmp_path_factory.mktemp("regression")
    header = "price,size,<b>noise</b>,place,day"
    base = train_on(base, table(1, 60, header), table(2, 30, header), stages="3")
    return base / "model"


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    rng = np.random.default_rng(3)
    lines = [
        f"{'yes' if x > z else 'no'},{x!r},{z!r}" for x, z in rng.normal(size=(50, 2)).tolist()
    ]
    base = train_on(tmp_path_factory.mktemp("classes"), ["bought,age,income", *lines])
    return base / "model"


def page(folder, tmp_path):
    out = tmp_path / "pages/report.html"
    assert describe.main([str(folder), "--html", "--out", str(out)]) == 0
    return out.read_text()


def headings(text):
    return re.findall("<h2>(.*?)</h2>", text)


def test_the_page_of_a_regression_says_what_was_taken_for_what_and_how_good_it_is(
    regression, tmp_path
):
    text = page(regression, tmp_path)

    assert headings(text) == [*HEADINGS, "Learning curve", "The model"]
    for title in ("Predicted and actual", "Residuals", "Calibration (PIT)", "Learning curve"):
        assert f">{title}</text>" in text
    assert "60 of 60 train rows, each predicted by a model of all others." in text
    assert "3 categories" in text
    assert re.search("<td>dates</td><td>2026-01-.. to 2026-12-.., median 2026-", text)
    assert len(text.encode()) < MAX_BYTES


def test_the_page_needs_no_network_and_runs_nothing_of_the_data(regression, tmp_path):
    text = page(regression, tmp_path)

    # Namespaces of SVG are names alone.
    assert set(re.findall(r"https?://[^\"' <]*", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<script" not in text
    assert "<b>" not in text
    # Two pictures can't take each other's.
    assert not re.search(r'\bid="', text)


def test_the_page_of_classes_has_their_reliability_and_confusion(classes, tmp_path):
    text = page(classes, tmp_path)

    assert headings(text) == [*HEADINGS, "The model"]
    for title in ("Reliability", "Confusion matrix", "age", "probability of yes"):
        assert f">{title}</text>" in text


def test_what_is_drawn_is_what_leaving_one_out_has_scored(regression):
    rows, description = (
        artifact.load_report(regression)["held_out"],
        artifact.load_description(regression),
    )

    residuals = np.array(rows["target"]) - np.array(rows["mean"])
    rmse = np.sqrt(np.square(residuals).mean())
    assert rmse == pytest.approx(description["scores"]["train:LOO_RMSE"], rel=1e-5)
    inside = (np.array(rows["lower"]) < rows["target"]) & (np.array(rows["target"]) < rows["upper"])
    np.testing.assert_array_equal(inside, np.abs(2 * np.array(rows["pit"]) - 1) < 0.9)


def test_the_novelty_that_is_drawn_is_what_describe_prints_in_bins(regression, tmp_path):
    novelty = artifact.load_report(regression)["held_out"]["novelty"]

    bins = [sum(low <= 10 * value < low + 1 for value in novelty) / 60 for low in range(10)]
    assert artifact.load_description(regression)["scores"]["novelty"] == pytest.approx(bins)
    text = page(regression, tmp_path)
    assert f"Of 95 % of these rows it is {sorted(novelty)[56]:.2g} at most." in text
    assert ">Novelty of rows that were left out</text>" in text


def test_the_learning_curve_ends_with_the_model_itself(regression):
    curve = artifact.load_report(regression)["learning_curve"]

    scores = artifact.load_description(regression)["scores"]
    assert [point["rows"] for point in curve] == [20, 30, 60]
    assert curve[-1]["RMSE"] == scores["validation:RMSE"]


def test_of_many_columns_a_part_is_shown_and_said_to_be_one(tmp_path):
    rows = np.random.default_rng(5).normal(size=(20, 251)).tolist()
    lines = [",".join(map(repr, row)) for row in rows]

    base = train_on(tmp_path / "job", lines, ard="false", leave_one_out="false")
    text = page(base / "model", tmp_path)

    assert "151 more columns are not shown." in text
    assert "Of 250 columns these are the 30 most relevant." in text
    assert "lines are left out)" in text
    assert "There are none: train with leave_one_out=true" in text
    assert text.count("<svg") == 1 + 6
    assert len(text.encode()) < MAX_BYTES


def test_what_is_drawn_of_many_classes_is_said(tmp_path):
    lines = [f"kind {row % 13},{row % 13 + row / 100},1" for row in range(39)]

    base = train_on(tmp_path / "job", lines, noise="0.1", bias="1")
    text = page(base / "model", tmp_path)

    assert "The confusion matrix is drawn of at most 12 classes." in text
    assert "Of 13 classes the first 3 are drawn." in text
    assert ">Confusion matrix</text>" not in text


def test_of_constant_columns_there_is_no_empty_picture(tmp_path):
    base = train_on(tmp_path / "job", ["1,5", "2,5", "4,5", "3,5"], noise="0.1", bias="1")

    text = page(base / "model", tmp_path)

    assert text.count("There is none: every column is constant in training.") == 2
    assert text.count("<svg") == 4 + 1


def test_relevances_are_means_also_where_each_target_has_a_process_of_its_own():
    model = fitted(kernels=[ArcCosine(0, 0), ArcCosine(2, 1)], weights=[1.0, 1.0], outputs=2)
    members = [
        replace(member, preprocessor=replace(member.preprocessor, relevance=np.array(relevance)))
        for member, relevance in zip(model.members, [[4.0, 2.0, 0.0], [0.5, 1.0, 0.5]], strict=True)
    ]

    found = model_page.relevances(replace(model, members=tuple(members)))

    assert found == pytest.approx({0: 0.75, 1: 0.75, 2: 0.25})


def test_a_model_without_the_data_of_its_report_says_so(tmp_path):
    base = train_on(tmp_path / "job", table(4, 30, "y,a,b,place,day"), report="false")
    folder = base / "model"

    text = page(folder, tmp_path)

    assert not (folder / "report.json").exists()
    assert headings(text) == ["No pictures of rows", "Relevance", "The model"]


def test_a_report_that_is_not_what_was_saved_is_refused(tmp_path, capsys):
    artifact.save(fitted(), tmp_path, report={"columns": []})
    (tmp_path / "report.json").write_text('{"columns": [0]}')

    assert describe.main([str(tmp_path), "--html"]) == 1

    assert "report.json is not what was saved: its checksum differs" in capsys.readouterr().err
    artifact.save(fitted(), tmp_path)
    assert artifact.load_report(tmp_path) is None


def test_without_altair_the_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "altair", None)
    for name in ("drawing", "model_page"):
        monkeypatch.delitem(sys.modules, f"gaussian_processes.report.{name}", raising=False)
        monkeypatch.delattr(report, name, raising=False)

    assert describe.main([str(tmp_path), "--html"]) == 1

    assert "describe --html needs altair" in capsys.readouterr().err
