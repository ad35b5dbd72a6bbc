"""Model quality and model card of a training job; the SDK reads them in tests/sdk.sh."""

import json

import numpy as np
import pytest
from fitted import fitted
from trained import plain

from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.gp.kernels import ArcCosine, Matern52
from gaussian_processes.training import model_card

SCORES = {
    "train:log_evidence": -12.5,
    "train:LOO_RMSE": 3.0,
    "cross_validation:RMSE": 2.5,
    "validation:RMSE": 2.0,
    "validation:MAE": 1.5,
    "validation:R2": 0.8,
    "validation:NLPD": 1.1,
    "members": [{"q": 0}],
}
FLOWERS = Schema(False, 2, (Column("1", 1),), (Column("0", 0),), ("setosa", "virginica"))


def test_the_quality_of_a_regression_is_that_of_the_validation_rows():
    quality = model_card.model_quality(plain(3), SCORES)

    values = {name: entry["value"] for name, entry in quality["regression_metrics"].items()}
    assert values == {"rmse": 2.0, "mse": 4.0, "mae": 1.5, "r2": 0.8}


@pytest.mark.parametrize(
    ("scores", "rmse"),
    [
        ({"test:RMSE": 1.0, **SCORES}, 1.0),
        ({"cross_validation:RMSE": 2.5, "train:LOO_RMSE": 3.0}, 2.5),
        ({"train:LOO_RMSE": 3.0}, 3.0),
    ],
)
def test_rows_that_nothing_was_chosen_by_judge_first(scores, rmse):
    quality = model_card.model_quality(plain(3), scores)

    assert quality["regression_metrics"]["rmse"]["value"] == rmse


def test_two_classes_are_binary_and_more_are_many():
    scores = {"validation:accuracy": 0.9, "validation:log_loss": 0.3}
    many = Schema(False, 2, FLOWERS.features, FLOWERS.targets, ("a", "b", "c"))

    assert list(model_card.model_quality(FLOWERS, scores)) == ["binary_classification_metrics"]
    assert list(model_card.model_quality(many, scores)) == ["multiclass_classification_metrics"]


def test_nothing_that_is_not_finite_is_written(tmp_path):
    scores = {"validation:RMSE": np.inf, "train:log_evidence": float("nan")}

    model_card.write(fitted(rows=30), {"q": "auto"}, scores, tmp_path)

    assert not (tmp_path / "evaluation.json").exists()
    card = json.loads((tmp_path / "model_card.json").read_text(), parse_constant=pytest.fail)
    assert card["training_details"]["training_observations"] == "30 rows of 3 columns"
    assert card["evaluation_details"] == []


def test_the_card_names_kernels_target_and_hyperparameters_as_a_job_does():
    model = fitted(kernels=[ArcCosine(0, 0), Matern52()], weights=[0.25, 0.75])

    card = model_card.model_card(model, {"q": (0, 1), "strict": False, "noise": "auto"}, {})

    assert card["model_overview"] == {
        "model_description": "Predicts y from 3 columns",
        "problem_type": "Regression",
        "algorithm_type": "Exact Gaussian process (kernel arc_cosine, matern52)",
    }
    given = card["training_details"]["training_job_details"]["user_provided_hyper_parameters"]
    values = {entry["name"]: entry["value"] for entry in given}
    assert values == {"q": "0,1", "strict": "false", "noise": "auto"}
