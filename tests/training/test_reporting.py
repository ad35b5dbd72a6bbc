"""What a job prints, logs and writes of its results."""

import logging

import numpy as np
import pytest

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF
from gaussian_processes.gp.marginal_likelihood import KernelParameters
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training import reporting
from gaussian_processes.training.model_selection import CandidateResult, ModelSelection
from gaussian_processes.training.preparation import Preparation

FEATURES = (Column("a", 1), Column("b", 2))


def remarks(rows, y=None, features=FEATURES, classes=()):
    rows = np.array(rows, float)
    y = np.arange(len(rows), dtype=float)[:, np.newaxis] if y is None else np.array(y, float)
    schema = Schema(True, 3, features, (Column("y", 0),), classes)
    return list(reporting.remarks(schema, Dataset(rows, y, np.ones(len(rows)), str)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"rows": [[1, 2], [3, 4], [5, 6]]}, []),
        (
            {"rows": [[1, 2], [3, 2], [5, 2]]},
            ["feature column 3 (b) is constant, so it does not matter to predictions"],
        ),
        (
            {"rows": [[1, 2], [3, 4], [1, 2]]},
            ["1 training rows have the features of another, which flatters leave-one-out scores"],
        ),
        (
            {"rows": [[1, 2], [3, 4], [5, 6]], "y": [[0], [1], [0]], "classes": ("no", "yes")},
            ["class yes has one row: is it a mistake in writing another?"],
        ),
        (
            {
                "rows": [[0, 2], [1, 4], [2, 6]],
                "features": (Column("a", 1, ("p", "q", "r")), Column("b", 2)),
            },
            [
                "column 2 (a) has hardly a row a category: if it is a name or a date, put it into"
                " ignore, or make numbers of it"
            ],
        ),
    ],
)
def test_what_may_not_be_meant_is_a_remark(given, expected):
    assert remarks(**given) == expected


def test_an_outlying_cell_is_named_with_file_row_and_column():
    rows = np.random.default_rng(18).normal(size=(30, 2))
    rows[3, 1] = -9999
    y = np.random.default_rng(19).normal(size=(30, 1))
    schema = Schema(True, 3, FEATURES, (Column("y", 0),))
    data = Dataset(rows, y, np.ones(30), lambda row: f"row {row + 1} of train/a.csv")

    (remark,) = reporting.remarks(schema, data)

    assert remark.startswith("row 4, column 3 (b) of train/a.csv is -9999, ")
    assert remark.endswith("correct it, or name it in missing_values if it means missing")


def test_cells_of_the_candidates_table_stand_apart_below_their_names(caplog, tmp_path):
    found = [
        CandidateResult(
            Preparation(), True, KernelParameters(kernel, 0.1, 1.0, np.ones(2)), 9, 1, 2, 3
        )
        for kernel in (ArcCosineRBF(1, 0, 0.5), ArcCosine(10, 20))
    ]
    selection = ModelSelection(found, [0.25, 0.75])

    with caplog.at_level(logging.INFO):
        reporting.report_selection(selection, Hyperparameters(), 9, tmp_path)

    names, *lines = (line for line in caplog.messages if "columns" in line or "scaling" in line)
    end = names.index("kernel") + len("kernel")
    assert [line[:end].split()[-1] for line in lines] == ["arc_cosine_rbf", "arc_cosine"]
    assert {len(line) for line in lines} == {len(names)}


def test_metrics_are_printed_and_returned(capsys):
    found = {"validation:RMSE": 0.5, "validation:R2": -0.25}

    assert reporting.report_metrics(found) == found
    assert capsys.readouterr().out == "validation:RMSE=0.5;\nvalidation:R2=-0.25;\n"
