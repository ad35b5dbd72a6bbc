"""Data of a report: what a job keeps in report.json, beside pandas' own summaries."""

import json

import numpy as np
import pandas as pd
import pytest
from trained import train_on

from gaussian_processes.training.report_data import learning_curve

ROWS = 520


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(21)
    x = rng.normal(size=ROWS).round(3)
    kind = np.array(list("abcdefg"))[rng.integers(0, 7, ROWS) * rng.integers(0, 2, ROWS)]
    frame = pd.DataFrame({"y": x + rng.normal(0, 0.1, ROWS), "x": x, "kind": kind})
    frame.loc[:4, "x"] = np.nan
    frame.loc[5:7, "kind"] = None
    return frame


def kept(base, lines, validation=None, **hyperparameters):
    own = {"noise": "0.1", "bias": "2", "ard": "false", "encoding": "none", **hyperparameters}
    train_on(base, lines, validation, **own)
    return json.loads((base / "model/report.json").read_text())


def lines_of(frame):
    return frame.to_csv(index=False).splitlines()


@pytest.fixture(scope="module")
def report(frame, tmp_path_factory):
    return kept(tmp_path_factory.mktemp("whole"), lines_of(frame))


def test_columns_are_described_as_pandas_describes_them(frame, report):
    target, x, kind = report["columns"]

    assert (target["name"], target["role"], target["missing"]) == ("y", "target", 0)
    np.testing.assert_allclose(x["quantiles"], frame["x"].quantile([0, 0.5, 1]), rtol=1e-5)
    assert (x["missing"], x["distinct"]) == (5, frame["x"].nunique())
    counts = frame["kind"].value_counts()
    assert kind["missing"] == 3
    assert kind["categories"]["number"] == len(counts)
    assert dict(kind["categories"]["most"]) == counts[:5].to_dict()


def test_of_many_rows_a_part_is_kept_with_all_that_is_drawn_of_each(frame, report):
    rows = report["held_out"]

    assert (rows["source"], rows["of_rows"]) == ("train", ROWS)
    assert {len(rows[name]) for name in ("target", "mean", "lower", "upper", "pit", "novelty")} == {
        500
    }
    assert {f"{value:.6g}" for (value,) in rows["target"]} <= {f"{y:.6g}" for y in frame["y"]}
    assert len(report["background"]) == 100


def test_which_rows_are_kept_does_not_depend_on_their_order(frame, report, tmp_path):
    shuffled = frame.sample(frac=1, random_state=1)

    again = kept(tmp_path, lines_of(shuffled))

    assert again["held_out"]["target"] == report["held_out"]["target"]
    np.testing.assert_array_equal(
        np.array(again["background"], float), np.array(report["background"], float)
    )


def test_without_leaving_one_out_the_validation_rows_are_predicted(frame, tmp_path):
    lines = lines_of(frame)

    own = kept(tmp_path, lines[:100], [lines[0], *lines[400:430]], leave_one_out="false")

    rows = own["held_out"]
    assert (rows["source"], rows["of_rows"]) == ("validation", 30)
    predicted = pd.read_csv(tmp_path / "output/data/validation_predictions.csv")
    by_target = predicted.set_index(predicted["target"].map("{:.6g}".format))
    found = [by_target.loc[f"{target:.6g}", "mean"] for (target,) in rows["target"]]
    np.testing.assert_allclose([mean for (mean,) in rows["mean"]], found, rtol=1e-5)


def test_a_wide_table_keeps_fewer_rows_to_average_over_and_describes_a_part_of_its_columns(
    tmp_path,
):
    cells = np.random.default_rng(22).normal(size=(90, 251))

    report = kept(tmp_path, lines_of(pd.DataFrame(cells)), leave_one_out="false")

    # 20,000 numbers at most.
    assert np.shape(report["background"]) == (80, 250)
    assert len(report["columns"]) == 100
    assert report["held_out"] is None


def test_a_learning_curve_ends_with_all_rows():
    stages = [{"rows": 20, "RMSE": 3.0, "R2": 0.1}, {"rows": 40, "RMSE": 2.0, "R2": 0.4}]
    scores = {"validation:RMSE": 1.0, "validation:R2": 0.8, "train:log_evidence": -7.0}

    curve = learning_curve(stages, 80, scores)

    assert curve == [*stages, {"rows": 80, "RMSE": 1.0, "R2": 0.8}]
    assert learning_curve([], 80, scores) == []
