"""Explanations of predictions, by the definitions evaluated slowly."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from fitted import fitted
from trained import train_on

from gaussian_processes.errors import UserError
from gaussian_processes.gp.kernels import ArcCosine, Matern52
from gaussian_processes.model import artifact, explanations
from gaussian_processes.serving import outputs
from gaussian_processes.serving.app import AppConfig, create_app
from gaussian_processes.serving.memory import MemoryBudget, TooLargeError

NEW = np.random.default_rng(43).normal(size=(2, 3))
MODELS = {
    "regression": fitted,
    "targets": lambda: fitted(outputs=2),
    "classes": lambda: fitted(classes=("no", "yes")),
    "ensemble": lambda: fitted(kernels=[ArcCosine(0, 0), Matern52(0.5)], weights=[0.25, 0.75]),
}


@pytest.fixture(params=MODELS)
def model(request):
    return explanations.with_background(MODELS[request.param](), training_rows())


def training_rows():
    return np.random.default_rng(41).normal(size=(40, 3))


def predicted(model, rows):
    prediction = model.predict(rows)
    return prediction.mean if prediction.probabilities is None else prediction.probabilities


def shapley_by_all_orders(model, row):
    """Mean gain of every column over all orders and all background rows."""
    total = np.zeros((3, model.schema.output_count))
    for other in model.background:
        for order in itertools.permutations(range(3)):
            mixed = other.copy()
            for column in order:
                before = predicted(model, mixed[np.newaxis])[0]
                mixed[column] = row[column]
                total[column] += predicted(model, mixed[np.newaxis])[0] - before
    return total / (len(model.background) * math.factorial(3))


def test_shapley_values_are_the_mean_gains_over_all_orders_and_sum_to_the_prediction(model):
    found = explanations.explain(model, NEW[0])

    np.testing.assert_allclose(found.values, shapley_by_all_orders(model, NEW[0]), atol=1e-11)
    gained = predicted(model, NEW[:1])[0] - predicted(model, model.background).mean(axis=0)
    np.testing.assert_allclose(found.values.sum(axis=0), gained, atol=1e-9)
    assert not found.standard_errors.any()


def test_shapley_values_are_those_of_the_package_shap(model):
    shap = pytest.importorskip("shap", reason="the lowest versions are tested without it")
    explainer = shap.KernelExplainer(lambda rows: predicted(model, rows), model.background)

    # Of three columns it enumerates all coalitions; its regression without a penalty is exact.
    expected = explainer.shap_values(NEW[0], l1_reg=False, silent=True)

    found = explanations.explain(model, NEW[0])
    np.testing.assert_allclose(found.values, expected.reshape(found.values.shape), atol=1e-9)
    np.testing.assert_allclose(found.baseline, np.ravel(explainer.expected_value), atol=1e-12)


def test_neighbours_have_the_largest_terms_of_the_mean(model):
    found = explanations.neighbours(model, NEW[0])

    terms = np.zeros((40, model.schema.output_count))
    for member in model.members:
        point = member.preprocessor.points(NEW[:1])
        kernel = member.process.kernel(point, member.process.points)[0]
        scaled = member.process.alpha * member.preprocessor.target_scale
        terms += member.weight * kernel[:, np.newaxis] * scaled
    strength = np.linalg.norm(terms / model.members[0].preprocessor.target_scale, axis=1)
    assert found.rows == (np.argsort(-strength)[:5] + 1).tolist()
    np.testing.assert_allclose(found.influences, terms[np.array(found.rows) - 1], atol=1e-12)
    center = model.members[0].preprocessor.target_center
    np.testing.assert_allclose(terms.sum(axis=0) + center, model.predict(NEW).mean[0], atol=1e-9)


def test_of_rows_that_are_alike_the_first_is_named():
    model = fitted(rows=20, repeats=3)

    found = explanations.neighbours(model, NEW[0])

    assert max(found.rows) <= 20
    assert len(found.rows) == 5


def test_an_artifact_keeps_the_background(model, tmp_path):
    artifact.save(model, tmp_path)

    loaded = artifact.load(tmp_path)

    assert 4 <= len(loaded.background) <= 16
    rows = training_rows().tolist()
    assert all(row in rows for row in loaded.background.tolist())
    expected = explanations.explain(model, NEW[0]).values
    np.testing.assert_allclose(explanations.explain(loaded, NEW[0]).values, expected, atol=1e-12)


def test_shap_and_neighbours_are_answered_by_name(model):
    client = create_app(model, AppConfig()).test_client()
    names = {"a", "b", "c"}
    label = "predicted_label" if model.schema.classes else "mean"

    def ask(accept):
        answer = client.post(
            "/invocations",
            data="0.5,1,-1\n",
            content_type="text/csv",
            headers={
                "Accept": accept,
                "X-Amzn-SageMaker-Custom-Attributes": f"output={label},shap,neighbours",
            },
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    (answered,) = json.loads(ask("application/json"))["predictions"]
    assert set(answered["shap"]) == {"baseline", "values"}
    assert set(answered["shap"]["values"]) == names
    assert [set(entry) for entry in answered["neighbours"]] == [{"row", "influence"}] * 5
    count = model.schema.output_count
    labels = 1 if model.schema.classes else count
    assert len(ask("text/csv").split(",")) == labels + 3 * count + 5 * (1 + count)
    if not model.schema.classes and count == 1:
        total = sum(answered["shap"]["values"].values()) + answered["shap"]["baseline"]
        assert total == pytest.approx(answered["score"], abs=1e-9)


def test_a_model_without_a_background_says_so_and_a_long_explanation_is_refused():
    model = fitted()

    with pytest.raises(UserError, match="keeps no background rows for shap; train again"):
        explanations.explain(model, NEW[0])
    requested = outputs.default_outputs("mean,shap", model)
    memory = MemoryBudget(1 << 30).reservation()
    with pytest.raises(TooLargeError, match="rows at a time, or leave shap out"):
        outputs.reserve_explanations(requested, model, 10**7, memory)


def test_a_forged_background_is_refused(tmp_path):
    model = explanations.with_background(fitted(), training_rows())

    with pytest.raises(ValueError, match="background has not 3 columns"):
        artifact.save(replace(model, background=model.background[:, :2]), tmp_path)


def test_a_category_and_a_number_with_its_indicator_are_one_column_each(mixed):
    row = np.array([np.nan, 1.0, 0.5, 1.0])  # size is missing, as its indicator says

    found = explanations.explain(mixed, row)

    parts, total = [[0, 3], [1], [2]], np.zeros(3)
    for other in mixed.background:
        for order in itertools.permutations(range(3)):
            mixture = other.copy()
            for player in order:
                before = predicted(mixed, mixture[np.newaxis])[0, 0]
                mixture[parts[player]] = row[parts[player]]
                total[player] += predicted(mixed, mixture[np.newaxis])[0, 0] - before
    expected = total / (len(mixed.background) * math.factorial(3))
    assert [column.name for column in mixed.schema.features] == ["size", "place", "age"]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=1e-10)
    assert (np.abs(expected[:2]) > 1e-3).all()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Model of a number that may be missing, a category and another number."""
    base, rng = tmp_path_factory.mktemp("mixed"), np.random.default_rng(46)
    lines = ["price,size,place,age"]
    for size, age in rng.normal(size=(40, 2)).tolist():
        place = ("north", "south", "west")[int(rng.integers(3))]
        price = size + 2 * (place == "west") - age
        lines.append(f"{price!r},{'' if size < -0.8 else repr(size)},{place},{age!r}")
    return artifact.load(train_on(base, lines, q="1", l="1") / "model")


def test_of_more_than_ten_columns_the_errors_stand_beside_the_values(tmp_path):
    rows = np.random.default_rng(47).normal(size=(30, 13))
    rows[:, 0] = rows[:, 1] * rows[:, 2] * rows[:, 3]
    lines = [",".join(map(repr, row)) for row in rows.tolist()]
    model = artifact.load(train_on(tmp_path, lines, q="2", l="1", ard="false") / "model")

    answer = (
        create_app(model, AppConfig())
        .test_client()
        .post(
            "/invocations",
            data=",".join(map(str, range(12))),
            content_type="text/csv",
            headers={
                "Accept": "application/json",
                "X-Amzn-SageMaker-Custom-Attributes": "output=mean,shap",
            },
        )
    )

    (found,) = answer.get_json()["predictions"]
    values, errors = found["shap"]["values"], found["shap"]["standard_errors"]
    assert values.keys() == errors.keys()
    assert all(error > 0 for error in errors.values())
    total = sum(values.values()) + found["shap"]["baseline"]
    assert total == pytest.approx(found["score"], abs=1e-9)


def test_rows_of_norm_1_are_not_mixed(tmp_path):
    rows = np.random.default_rng(48).normal(size=(20, 3))
    rows[:, 1:] /= np.linalg.norm(rows[:, 1:], axis=1, keepdims=True)
    lines = [",".join(map(repr, row)) for row in rows.tolist()]
    base = train_on(tmp_path, lines, q="1", l="1", projection="unit")

    with pytest.raises(UserError, match="projection=unit takes rows of norm 1 only; train"):
        explanations.explain(artifact.load(base / "model"), rows[0, 1:])
