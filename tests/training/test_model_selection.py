"""Model selection: a dataset and hyperparameters in, a selection out."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp import marginal_likelihood
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.marginal_likelihood import KernelParameters
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training import model_selection
from gaussian_processes.training.model_selection import (
    CRITERIA,
    CandidateResult,
    ModelSelection,
    draw_sample,
    evaluate_path,
    select,
)

SCHEMA = Schema(False, 3, (Column("1", 1), Column("2", 2)), (Column("0", 0),))
FIXED = Hyperparameters(q=(1,), l=(0,), noise=0.1, bias=2.0)
KERNELS = Hyperparameters(q=(0, 1), l=(0, 1, 2))


def dataset(rows=40, seed=81):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    y = np.sin(2 * x[:, [0]]) + 0.1 * rng.normal(size=(rows, 1))
    return Dataset(x, y, np.ones(rows), lambda row: f"row {row + 1}")


def standardized(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)


def order_one(a, b):
    """The arc-cosine kernel of degree 1, as Cho & Saul write it (2009, table 1)."""
    cosine = np.clip(a @ b.T, -1, 1)
    angle = np.arccos(cosine)
    return (np.sin(angle) + (np.pi - angle) * cosine) / np.pi


def test_the_leave_one_out_density_is_that_of_leaving_one_out():
    rows = dataset()

    (result,) = select(rows, SCHEMA, FIXED).candidates

    points = np.column_stack([standardized(rows.X), np.full(len(rows), 2.0)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    y = standardized(rows.y)[:, 0]
    matrix = order_one(points, points) + 0.1 * np.eye(len(y))
    signal = y @ np.linalg.solve(matrix, y) / len(y)
    densities = []
    for row in range(len(y)):
        others = np.delete(np.arange(len(y)), row)
        solved = np.linalg.solve(matrix[np.ix_(others, others)], matrix[others, row])
        variance = signal * (matrix[row, row] - matrix[row, others] @ solved)
        error = y[row] - solved @ y[others]
        densities.append(-0.5 * (np.log(2 * np.pi * variance) + error**2 / variance))
    expected = -np.mean(densities) + np.log(rows.y.std())
    assert result.loo_nlpd == pytest.approx(expected, rel=1e-9)


def test_candidates_are_all_scalings_degrees_and_depths_in_order():
    found = select(dataset(), SCHEMA, replace(KERNELS, scaling="auto")).candidates

    assert [(r.scaling, r.parameters.kernel.q, r.parameters.kernel.l) for r in found] == [
        (scaling, q, depth)
        for scaling in ("columns", "overall")
        for q in (0, 1)
        for depth in (0, 1, 2)
    ]


def test_paths_of_candidates_can_be_evaluated_by_another_process():
    sample = draw_sample(dataset(), SCHEMA, KERNELS, None)
    paths = list(model_selection.candidate_paths(KERNELS))

    there = pickle.loads(pickle.dumps((sample, paths)))  # noqa: S301  it is our own
    found = [fit.result for path in reversed(there[1]) for fit in evaluate_path(path, there[0])]

    expected = select(dataset(), SCHEMA, KERNELS).candidates
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


RESULTS = {
    "evidence": CandidateResult("columns", None, -1.0, 3.0, 3.0),
    "loo": CandidateResult("columns", None, -2.0, 1.0, 2.0),
    "validation": CandidateResult("columns", None, -3.0, 2.0, 1.0),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_scores_by_its_own_quantity(name):
    assert max(RESULTS.values(), key=CRITERIA[name].score) is RESULTS[name]


def test_candidates_without_a_validation_error_are_not_compared_by_it():
    with pytest.raises(ValueError, match="without validation rows"):
        CRITERIA["validation"].score(CandidateResult("columns", None, -1.0, 1.0, None))


@pytest.mark.parametrize("ensemble", ["none", "mean", "stack"])
def test_weights_sum_to_one(ensemble):
    weights = select(dataset(), SCHEMA, replace(KERNELS, ensemble=ensemble)).weights

    assert sum(weights) == pytest.approx(1, rel=1e-12)
    assert min(weights) >= 0
    if ensemble != "stack":
        assert (max(weights) == 1) == (ensemble == "none")


def test_only_the_validation_criterion_looks_at_the_validation_rows():
    rows, validation = dataset(), dataset(20, seed=82)

    by_evidence = select(rows, SCHEMA, KERNELS, validation)
    by_validation = select(rows, SCHEMA, replace(KERNELS, criterion="validation"), validation)

    assert all(result.validation_error is None for result in by_evidence.candidates)
    errors = [result.validation_error for result in by_validation.candidates]
    assert by_validation.weights[int(np.argmin(errors))] == 1


def test_the_best_candidates_are_refined_on_all_rows_of_the_sample(monkeypatch):
    rows = dataset(90)
    monkeypatch.setattr(marginal_likelihood, "SUBSET_ROWS", 30)
    refined = select(rows, SCHEMA, KERNELS)
    monkeypatch.setattr(model_selection, "REFINED_CANDIDATES", 0)
    rough = select(rows, SCHEMA, KERNELS)

    gains = [
        after.log_marginal_likelihood - before.log_marginal_likelihood
        for after, before in zip(refined.candidates, rough.candidates, strict=True)
    ]
    assert sum(gain > 0 for gain in gains) == 3
    assert sum(gain == 0 for gain in gains) == 3


def test_a_selection_survives_json_to_the_last_bit():
    selection = select(dataset(), SCHEMA, replace(KERNELS, ard="auto", ensemble="stack"))

    again = ModelSelection.from_json(json.loads(json.dumps(selection.to_json())))

    assert repr(again) == repr(selection)
    for one, other in zip(again.candidates, selection.candidates, strict=True):
        np.testing.assert_array_equal(one.parameters.relevance, other.parameters.relevance)
        assert isinstance(one.parameters, KernelParameters)
        assert isinstance(one.parameters.kernel, ArcCosine)


def test_targets_of_which_nothing_can_be_learned_are_refused(monkeypatch):
    rows = dataset(4)
    rows.y[:] = [[0.0], [1.0], [0.0], [-1.0]]
    monkeypatch.setattr(marginal_likelihood, "SUBSET_ROWS", 2)

    with pytest.raises(UserError, match="drawn are all 0; set another seed, or noise"):
        select(rows, SCHEMA, KERNELS)
