"""Model selection: a dataset and hyperparameters in, a selection out."""

import itertools
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.gp import marginal_likelihood
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF, Kernel, Matern52
from gaussian_processes.gp.marginal_likelihood import KernelParameters
from gaussian_processes.linalg.parallel import WorkerPool
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
from gaussian_processes.training.preparation import Preparation

SCHEMA = Schema(False, 3, (Column("1", 1), Column("2", 2)), (Column("0", 0),))
FIXED = Hyperparameters(q=(1,), l=(0,), noise=0.1, bias=2.0)
KERNELS = Hyperparameters(
    q=(0, 1),
    l=(0, 1, 2),
    kernel="arc_cosine",
    ard=False,
    encoding="none",
    criterion="evidence",
    ensemble="none",
)
DEFAULTS = Hyperparameters(q=(0, 1), l=(0, 1, 2))
PLAIN = Preparation()


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
    degrees = len(y) - 2  # a row is left out, and the mean is taken off
    densities = []
    for row in range(len(y)):
        others = np.delete(np.arange(len(y)), row)
        solved = np.linalg.solve(matrix[np.ix_(others, others)], matrix[others, row])
        alpha = np.linalg.solve(matrix[np.ix_(others, others)], y[others])
        signal = y[others] @ alpha / degrees * (1 + 1 / len(others))
        variance = signal * (matrix[row, row] - matrix[row, others] @ solved)
        own = stats.t(degrees, solved @ y[others], np.sqrt(variance))
        densities.append(own.logpdf(y[row]))
    expected = -np.mean(densities) + np.log(rows.y.std())
    assert result.loo_nlpd == pytest.approx(expected, rel=1e-9)


def test_candidates_are_all_scalings_degrees_and_depths_the_best_first():
    found = select(dataset(), SCHEMA, replace(KERNELS, scaling="auto")).candidates

    described = {
        (r.preparation.scaling, r.parameters.kernel.q, r.parameters.kernel.l) for r in found
    }
    assert described == set(itertools.product(("columns", "overall"), (0, 1), (0, 1, 2)))
    scores = [result.log_marginal_likelihood for result in found]
    assert scores == sorted(scores, reverse=True)


def test_by_default_relevances_and_transforms_are_compared_as_well():
    found = select(dataset(), SCHEMA, DEFAULTS).candidates

    with_relevances = [r for r in found if r.ard and r.preparation == PLAIN]
    kernels = {r.parameters.kernel for r in with_relevances}
    assert len([kernel for kernel in kernels if isinstance(kernel, ArcCosine)]) == 6
    encodings = {r.preparation.encoding for r in found}
    assert encodings == {"none", "normal_scores"}


def test_by_default_the_best_of_each_degree_is_compared_with_a_gaussian_of_the_distance():
    found = select(dataset(), SCHEMA, DEFAULTS).candidates

    with_distance = [r for r in found if isinstance(r.parameters.kernel, ArcCosineRBF)]
    assert sorted(r.parameters.kernel.q for r in with_distance) == [0, 1]
    assert all(r.parameters.gamma > 0 for r in with_distance)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"kernel": "arc_cosine"}, {ArcCosine}),
        ({"kernel": "arc_cosine_rbf"}, {ArcCosineRBF}),
        ({"projection": "normalize"}, {ArcCosine}),
        ({"ensemble": "mean"}, {ArcCosine}),
    ],
)
def test_a_kernel_that_is_asked_for_is_alone(asked, expected):
    settings = replace(DEFAULTS, encoding="none", ard=False, **asked)

    found = select(dataset(), SCHEMA, settings).candidates

    assert {type(result.parameters.kernel) for result in found} == expected


def test_materns_kernel_is_one_candidate_of_each_preparation():
    found = select(dataset(), SCHEMA, Hyperparameters(kernel="matern52")).candidates

    assert {type(result.parameters.kernel) for result in found} == {Matern52}
    described = sorted((result.preparation.encoding, result.ard) for result in found)
    assert described == [("none", False), ("none", True), ("normal_scores", True)]


def test_single_values_of_q_and_l_take_the_kernel_that_is_asked_for():
    asked = Hyperparameters(q=(1,), l=(2,), kernel="arc_cosine_rbf")

    (result,) = select(dataset(), SCHEMA, asked).candidates

    assert isinstance(result.parameters.kernel, ArcCosineRBF)
    assert not result.ard


def test_columns_of_few_values_are_compared_as_categories_as_well():
    rows = dataset()
    rows.X[:, 1] = np.arange(len(rows)) % 5

    found = select(rows, SCHEMA, DEFAULTS).candidates

    encodings = {r.preparation.encoding for r in found}
    assert encodings == {"none", "categories", "normal_scores", "both"}


@pytest.mark.parametrize("asked", [{}, {"ard": True}, {"encoding": "normal_scores"}])
def test_single_values_of_q_and_l_name_the_kernel_and_nothing_else_is_compared(asked):
    selection = select(dataset(), SCHEMA, Hyperparameters(q=(1,), l=(2,), **asked))

    (result,) = selection.candidates
    assert selection.weights == [1.0]
    assert result.ard == asked.get("ard", False)
    assert result.preparation.encoding == asked.get("encoding", "none")


def test_paths_of_candidates_can_be_evaluated_by_another_process():
    sample = draw_sample(dataset(), SCHEMA, KERNELS, None)
    paths = list(model_selection.kernel_paths(KERNELS, sample))

    there = pickle.loads(pickle.dumps((sample, paths)))  # noqa: S301  it is our own
    found = [fit.result for path in reversed(there[1]) for fit in evaluate_path(path, there[0])]

    expected = select(dataset(), SCHEMA, KERNELS).candidates
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def test_the_selection_does_not_depend_on_the_number_of_cores():
    rows = dataset(510)
    hyperparameters = replace(DEFAULTS, l=(1,), encoding="none")

    with WorkerPool() as pool:
        together = select(rows, SCHEMA, hyperparameters, None, pool)

    alone = select(rows, SCHEMA, hyperparameters)
    assert together.to_json() == alone.to_json()


RESULTS = {
    "evidence": CandidateResult(PLAIN, False, None, 40, -1.0, 3.0, 3.0),
    "loo": CandidateResult(PLAIN, False, None, 40, -2.0, 1.0, 2.0),
    "validation": CandidateResult(PLAIN, False, None, 40, -3.0, 2.0, 1.0),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_scores_by_its_own_quantity(name):
    assert max(RESULTS.values(), key=CRITERIA[name].score) is RESULTS[name]


def test_candidates_without_a_validation_error_are_not_compared_by_it():
    with pytest.raises(ValueError, match="without validation rows"):
        CRITERIA["validation"].score(CandidateResult(PLAIN, False, None, 40, -1.0, 1.0, None))


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


def test_a_validation_row_of_weight_two_counts_as_two_rows():
    training, validation = dataset(40), dataset(10)
    hyperparameters = replace(KERNELS, criterion="validation")
    weighted = replace(validation, sample_weight=np.array([2.0, 2.0] + [1.0] * 8))
    doubled = validation.subset(np.array([0, 1, *range(10)]))

    by_weight = select(training, SCHEMA, hyperparameters, weighted)
    by_rows = select(training, SCHEMA, hyperparameters, doubled)

    errors = [found.candidates[0].validation_error for found in (by_weight, by_rows)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-12)


def test_ever_fewer_candidates_are_fitted_to_ever_more_rows(monkeypatch):
    monkeypatch.setattr(marginal_likelihood, "SUBSET_ROWS", 30)
    monkeypatch.setattr(model_selection, "HALVING", ((60, 3), (90, 2)))

    selection = select(dataset(120), SCHEMA, replace(KERNELS, ensemble="stack"))

    assert [result.rows for result in selection.candidates] == [90, 90, 60, 30, 30, 30]
    assert sum(selection.weights[:2]) == pytest.approx(1)
    assert list(selection.weights[2:]) == [0, 0, 0, 0]


def test_a_single_candidate_goes_from_few_rows_to_all_of_the_sample(monkeypatch):
    monkeypatch.setattr(marginal_likelihood, "SUBSET_ROWS", 30)
    learning = replace(FIXED, noise=None, bias=None)

    (result,) = select(dataset(120), SCHEMA, learning).candidates

    assert result.rows == 120


def test_a_stack_has_few_members_each_of_which_counts():
    selection = select(dataset(210), SCHEMA, DEFAULTS)

    weights = [weight for weight in selection.weights if weight]
    assert 1 <= len(weights) <= 4
    assert min(weights) >= 0.05


def test_of_few_rows_of_noise_nearly_all_candidates_have_a_weight_and_none_has_all():
    rows = dataset(12)
    rows.y[:] = np.random.default_rng(82).normal(size=rows.y.shape)

    selection = select(rows, SCHEMA, DEFAULTS)

    weights = np.array(selection.weights)
    assert (weights > 0).mean() > 0.9
    assert weights.max() < 0.9


def test_classes_are_compared_by_the_log_loss_of_rows_that_are_left_out():
    rows = dataset(60)
    rows.y[:] = rows.y > 0
    schema = replace(SCHEMA, classes=("no", "yes"))

    selection = select(rows, schema, DEFAULTS)

    best = min(result.loo_nlpd for result in selection.candidates)
    assert 0 < best < np.log(2)
    assert selection.calibration is not None
    assert len(selection.calibration.offsets) == 2
    # Akaike's criterion: beside the log loss a nat in all for each parameter that the rows taught.
    score = CRITERIA["loo"].score
    for result in selection.candidates:
        taught = result.ard * len(result.parameters.relevance)
        taught += len(result.parameters.kernel.learned)
        assert score(result) == pytest.approx(-result.loo_nlpd - taught / 60)
    assert max(map(score, selection.candidates)) == score(selection.candidates[0])


def test_a_selection_survives_json_to_the_last_bit():
    selection = select(dataset(), SCHEMA, DEFAULTS)

    again = ModelSelection.from_json(json.loads(json.dumps(selection.to_json())))

    assert repr(again) == repr(selection)
    for one, other in zip(again.candidates, selection.candidates, strict=True):
        np.testing.assert_array_equal(one.parameters.relevance, other.parameters.relevance)
        assert isinstance(one.parameters, KernelParameters)
        assert isinstance(one.parameters.kernel, Kernel)


def test_where_the_first_rows_are_all_alike_the_others_are_learned_from(monkeypatch):
    rows = dataset(4)
    rows.y[:] = [[0.0], [1.0], [-1.0], [0.0]]
    monkeypatch.setattr(marginal_likelihood, "SUBSET_ROWS", 2)

    selection = select(rows, SCHEMA, KERNELS)

    assert all(np.isfinite(candidate.loo_nlpd) for candidate in selection.candidates)


def test_a_constant_target_has_no_say_in_the_selection():
    rows = dataset(40)
    both = replace(rows, y=np.column_stack([rows.y, np.full(40, 7.0)]))
    schema = replace(SCHEMA, targets=(SCHEMA.targets[0], replace(SCHEMA.targets[0], name="b")))

    alone, beside = select(rows, SCHEMA, KERNELS), select(both, schema, KERNELS)

    np.testing.assert_allclose(
        [candidate.loo_nlpd for candidate in beside.candidates],
        [candidate.loo_nlpd for candidate in alone.candidates],
        rtol=1e-9,
    )


@pytest.mark.parametrize("most", [2_000, 30])
def test_the_order_of_the_rows_does_not_change_the_selection(most, monkeypatch):
    monkeypatch.setattr(marginal_likelihood, "MAX_ROWS", most)
    rows = dataset(60)
    shuffled = rows.subset(np.random.default_rng(4).permutation(60))

    first, second = select(rows, SCHEMA, KERNELS), select(shuffled, SCHEMA, KERNELS)

    assert first.to_json() == second.to_json()
