"""scikit-learn's own checks and regressor, and what `train` and `serve` say, of the estimators."""

import json
import pickle
import subprocess
import sys
from dataclasses import fields
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm, t
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.gaussian_process import GaussianProcessRegressor as Peer
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from trained import train

import gaussian_processes
from gaussian_processes import GaussianProcessClassifier, GaussianProcessRegressor, load
from gaussian_processes.estimators import ONLY_OF_JOBS
from gaussian_processes.model import artifact
from gaussian_processes.report import main as describe
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters, parse
from gaussian_processes.serving.app import create_app
from gaussian_processes.training import main

# Of nothing that is learned from how many rows there are, so that a row of weight 2 is two rows.
FIXED = {"q": 1, "l": 1, "noise": 0.1, "bias": 1, "scaling": "none", "normalize_y": False}
# w is how precise an observation is, σ²/w, not how many there were: means, scales, the marginal
# likelihood and leave-one-out scores count rows.
COUNTED = {
    "check_sample_weight_equivalence_on_dense_data": "weights are precisions; rows count",
}


def expected_failures(estimator):
    """The one check that scales, likelihoods and temperatures of counted rows fail."""
    fixed = isinstance(estimator, GaussianProcessRegressor) and estimator.scaling == "none"
    return {} if fixed else COUNTED


def name(parameter):
    """Name a check by its function, and an estimator by its parameters."""
    return getattr(getattr(parameter, "func", parameter), "__name__", str(parameter))


ESTIMATORS = (
    GaussianProcessRegressor(**FIXED),
    GaussianProcessRegressor(q=1, l=1),
    GaussianProcessClassifier(q=1, l=1),
)
CHECKS = [
    check
    for estimator in ESTIMATORS
    for check in estimator_checks_generator(
        estimator, expected_failed_checks=expected_failures(estimator), mark="xfail"
    )
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=name)
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


def test_the_parameters_are_the_hyperparameters_of_train():
    parameters = GaussianProcessRegressor().get_params()
    strings = {name: str(value) for name, value in parameters.items() if value != ()}

    assert parameters.keys() | ONLY_OF_JOBS.keys() == {
        each.name for each in fields(Hyperparameters)
    }
    assert not parameters.keys() & ONLY_OF_JOBS.keys()
    assert GaussianProcessClassifier().get_params() == parameters
    assert parse(strings) == Hyperparameters()


class ArcCosine(Kernel):
    """k_{1,0} of Cho & Saul of rows with a constant appended, as scikit-learn takes kernels."""

    def __init__(self, bias):
        self.bias = bias

    def __call__(self, x, y=None, eval_gradient=False):
        cosine = np.clip(self.points(x) @ self.points(x if y is None else y).T, -1, 1)
        return (np.sqrt(1 - cosine**2) + cosine * (np.pi - np.arccos(cosine))) / np.pi

    def points(self, x):
        wide = np.column_stack([x, np.full(len(x), self.bias)])
        return wide / np.linalg.norm(wide, axis=1, keepdims=True)

    def diag(self, x):
        return np.ones(len(x))

    def is_stationary(self):
        return False


def example(rows=40, columns=3, seed=401):
    """Rows, and targets of a curve and noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    return x, np.sin(2 * x[:, 0]) + x[:, 1] + 0.1 * rng.normal(size=rows)


def test_means_deviations_and_likelihood_are_those_of_scikit_learn_s_regressor():
    x, y = example()
    new = np.random.default_rng(402).normal(size=(7, 3))
    settings = {"noise": 0.1, "bias": 2, "scaling": "none", "normalize_y": False}
    ours = GaussianProcessRegressor(q=1, l=0, **settings).fit(x, y)
    unit = Peer(ArcCosine(2), alpha=0.1, optimizer=None).fit(x, y)
    # The signal variance of the highest likelihood, which scikit-learn has no closed form for.
    signal = float(y @ unit.alpha_ / len(y))
    peer = Peer(ConstantKernel(signal) * ArcCosine(2), alpha=0.1 * signal, optimizer=None).fit(x, y)

    mean, std = ours.predict(new, return_std=True)

    expected, function_std = peer.predict(new, return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-10)
    # Student-t of as many degrees of freedom as rows, for the signal variance is integrated out.
    ratio = len(y) / (len(y) - 2)
    np.testing.assert_allclose(std, np.sqrt(ratio * (function_std**2 + 0.1 * signal)), rtol=1e-8)
    assert ours.log_marginal_likelihood_ == pytest.approx(
        peer.log_marginal_likelihood_value_, rel=1e-10
    )


@cache
def predicted_in_units(scale, shift):
    x, y = example(rows=25)
    process = GaussianProcessRegressor(q=(0, 1), l=1, noise=0.1, bias=1)
    return process.fit(x, scale * y + shift).predict(x[:5], return_std=True)


@given(
    st.floats(1e-3, 1e3).flatmap(lambda size: st.sampled_from([size, -size])),
    st.floats(-1e3, 1e3),
)
def test_predictions_follow_the_units_of_the_target(scale, shift):
    mean, std = predicted_in_units(scale, shift)

    expected, deviation = predicted_in_units(1.0, 0.0)
    # What the shift leaves of the digits of the target.
    tolerance = 1e-9 * (1 + abs(shift / scale))
    np.testing.assert_allclose((mean - shift) / scale, expected, atol=tolerance)
    np.testing.assert_allclose(std / abs(scale), deviation, rtol=10 * tolerance)


def served(folder, body, **headers):
    """Answer of the serving app to rows of CSV, as lists of cells."""
    client = create_app(artifact.load(folder)).test_client()
    answer = client.post("/invocations", data=body, headers={"Content-Type": "text/csv", **headers})
    assert answer.status_code == 200, answer.text
    return [line.split(",") for line in answer.text.splitlines()]


def csv(rows):
    """Rows as CSV that loses no digit."""
    return "".join(",".join(map(repr, row)) + "\n" for row in np.asarray(rows).tolist())


OUTPUTS = {"X-Amzn-SageMaker-Custom-Attributes": "output=mean,std,interval;interval=0.8"}


def test_a_saved_regressor_is_served_with_the_same_predictions(tmp_path, capsys):
    x, y = example()
    process = GaussianProcessRegressor(q=(0, 1), l=(0, 1), ensemble="stack").fit(x[:30], y[:30])

    process.save(tmp_path)

    mean, std = process.predict(x[30:], return_std=True)
    expected = np.column_stack([mean, std, process.predict_interval(x[30:], 0.8)])
    answered = np.array(served(tmp_path, csv(x[30:]), **OUTPUTS), float)
    np.testing.assert_allclose(answered, expected, rtol=1e-13)
    assert describe.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"train:log_evidence: {process.log_marginal_likelihood_:.6g}" in said


def test_a_model_that_train_has_written_opens_as_a_regressor(tmp_path):
    folder = train(tmp_path, rows=30, ard="true") / "model"
    rows = np.random.default_rng(403).normal(size=(5, 3))

    process = load(folder)

    assert isinstance(process, GaussianProcessRegressor)
    assert process.get_params() | {"q": 1, "l": 1, "noise": 0.1, "ard": True} == (
        process.get_params()
    )
    answered = np.array(served(folder, csv(rows)), float)
    np.testing.assert_array_equal(process.predict(rows), answered[:, 0])
    metrics = json.loads((tmp_path / "output/data/metrics.json").read_text())
    assert process.log_marginal_likelihood_ == metrics["train:log_evidence"]


def table(rows=60):
    """A data frame of numbers, words and truth values with gaps, and a target."""
    rng = np.random.default_rng(404)
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=rows),
            "colour": rng.choice(["red", "green", "blue"], rows),
            "open": rng.choice([True, False], rows),
            "code": rng.choice([10, 20, 30], rows),
        }
    )
    price = frame["size"] + 2 * (frame["colour"] == "red") + rng.normal(size=rows) / 10
    frame.loc[3, "size"] = np.nan
    frame.loc[5, "colour"] = None
    return frame, price.rename("price")


def job(base, frame, **hyperparameters):
    """Train on a data frame that is written as a file; return the folder of the model."""
    path, config = base / "input/data/train/data.csv", base / "input/config/hyperparameters.json"
    for each in (path, config):
        each.parent.mkdir(parents=True)
    frame.to_csv(path, index=False)
    config.write_text(json.dumps(hyperparameters))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAGEMAKER_BASE_DIR", str(base))
        assert main.main([]) == 0
    return base / "model"


def test_a_data_frame_is_read_as_train_reads_its_file(tmp_path):
    frame, price = table()
    settings = {"q": 1, "l": 1, "missing": "mean"}
    process = GaussianProcessRegressor(**settings, categories=["code"]).fit(frame, price)
    whole = pd.concat([price, frame], axis=1)
    words = {name: str(value) for name, value in settings.items()}
    folder = job(tmp_path, whole, **words, target="price", categories="code")

    opened = load(folder)

    assert [*opened.feature_names_in_] == [*process.feature_names_in_] == [*frame.columns]
    assert opened.model_.schema.features[1].categories == ("blue", "green", "red")
    assert opened.get_params()["categories"] == ("colour", "open", "code")
    assert opened.log_marginal_likelihood_ == pytest.approx(
        process.log_marginal_likelihood_, rel=1e-9
    )
    np.testing.assert_allclose(opened.predict(frame), process.predict(frame), rtol=1e-9)
    again = clone(opened).fit(frame, price)
    np.testing.assert_allclose(again.predict(frame), process.predict(frame), rtol=1e-9)


def test_an_unknown_category_is_answered_as_it_is_served(tmp_path):
    frame, price = table()
    process = GaussianProcessRegressor(q=1, l=1, missing="mean").fit(frame, price)
    new = frame[:2].assign(colour="violet")

    process.save(tmp_path)

    answered = served(tmp_path, new.to_csv(index=False))
    np.testing.assert_allclose(np.array(answered, float)[:, 0], process.predict(new), rtol=1e-13)
    strict = GaussianProcessRegressor(q=1, l=1, missing="mean", handle_unknown="error")
    with pytest.raises(ValueError, match=r"row 1, column 2 \(colour\) of X is 'violet'"):
        strict.fit(frame, price).predict(new)


def test_a_gap_that_is_refused_names_its_row_and_column():
    frame, price = table()

    with pytest.raises(ValueError, match=r"row 4, column 1 \(size\) of X is empty"):
        GaussianProcessRegressor(missing="error").fit(frame, price)


def test_gaps_are_learned_from_and_predicted_as_they_are_served(tmp_path):
    frame, price = table()
    process = GaussianProcessRegressor(q=1, l=1).fit(frame, price)

    process.save(tmp_path)

    assert process.model_.schema.indicated_features == [0]
    answered = served(tmp_path, frame.to_csv(index=False))
    np.testing.assert_allclose(np.array(answered, float)[:, 0], process.predict(frame), rtol=1e-13)
    again = load(tmp_path)
    np.testing.assert_array_equal(again.predict(frame), process.predict(frame))


def test_no_column_of_a_data_frame_is_left_out():
    rng = np.random.default_rng(198)
    frame = pd.DataFrame({"a": rng.normal(size=40), "id": [f"row {row}" for row in range(40)]})
    frame.insert(0, "Unnamed: 0", range(40))

    process = GaussianProcessRegressor(q=1, l=1).fit(frame, frame["a"] ** 2)

    assert process.n_features_in_ == 3
    assert np.isfinite(process.predict(frame)).all()


def test_a_saved_classifier_is_served_and_opens_again(tmp_path):
    x, species = load_iris(return_X_y=True, as_frame=True)
    names = load_iris().target_names[species]
    process = GaussianProcessClassifier(q=1, l=1).fit(x[::3], names[::3])

    process.save(tmp_path)

    outputs = {"X-Amzn-SageMaker-Custom-Attributes": "output=predicted_label,probabilities"}
    answered = served(tmp_path, x[1::30].to_csv(index=False), **outputs)
    assert [line[0] for line in answered] == process.predict(x[1::30]).tolist()
    opened = load(tmp_path)
    assert isinstance(opened, GaussianProcessClassifier)
    np.testing.assert_array_equal(opened.classes_, ["setosa", "versicolor", "virginica"])
    np.testing.assert_array_equal(opened.predict_proba(x), process.predict_proba(x))
    assert opened.score(x, names) > 0.9


@pytest.mark.parametrize(
    "labels",
    [[10, 9, 2], [True, False], ["10", "9", "2"], ["b", "a"], [1.0, -1.0]],
    ids=str,
)
def test_classes_of_any_kind_keep_their_kind_and_order(labels):
    x = np.linspace(0, 1, 12)[:, np.newaxis]
    y = np.array(labels)[(x[:, 0] * len(labels) * 0.999).astype(int)]

    process = GaussianProcessClassifier(q=1, l=1).fit(x, y)

    np.testing.assert_array_equal(process.classes_, np.unique(y))
    assert process.classes_.dtype == process.predict(x).dtype == y.dtype
    np.testing.assert_array_equal(process.predict(x), y)
    np.testing.assert_allclose(process.predict_proba(x).sum(axis=1), 1)


def test_classes_that_are_written_alike_are_refused():
    x = np.arange(8.0)[:, np.newaxis]

    with pytest.raises(ValueError, match="written alike"):
        GaussianProcessClassifier(q=1, l=1).fit(x, ["a", " a", "b", "b"] * 2)


def test_several_targets_are_predicted_each_as_by_itself():
    x, y = example()
    both = np.column_stack([y, 3 - 2 * y**2])
    process = GaussianProcessRegressor(q=1, l=1, noise=0.1, bias=1).fit(x, both)

    mean, std = process.predict(x[:6], return_std=True)

    assert process.predict_interval(x[:6]).shape == (6, 2, 2)
    for column in range(2):
        alone = clone(process).fit(x, both[:, column])
        expected = alone.predict(x[:6], return_std=True)
        np.testing.assert_allclose((mean[:, column], std[:, column]), expected, rtol=1e-12)


def test_an_interval_holds_its_share_of_the_student_t_distribution():
    x, y = example()
    process = GaussianProcessRegressor(q=1, l=1).fit(x, y)

    interval = process.predict_interval(x, coverage=0.6)

    mean, std = process.predict(x, return_std=True)
    degrees = len(x) - 1
    expected = t(degrees, mean, std * np.sqrt((degrees - 2) / degrees)).interval(0.6)
    np.testing.assert_allclose(interval.T, expected, rtol=1e-9)
    density = process.predict_distribution(x).log_density(y[:, np.newaxis])
    own = t(degrees, mean, std * np.sqrt((degrees - 2) / degrees)).logpdf(y)
    np.testing.assert_allclose(density[:, 0], own, rtol=1e-9)
    with pytest.raises(ValueError, match="give one between 0 and 1"):
        process.predict_interval(x, coverage=95)


@pytest.mark.parametrize("likelihood", ["normal", "student"])
@pytest.mark.parametrize("ensemble", ["none", "mean"])
def test_what_is_answered_of_a_distribution_agrees_when_it_is_integrated(ensemble, likelihood):
    rng = np.random.default_rng(14)
    x = rng.normal(size=(40, 2))
    y = np.sin(2 * x[:, 0]) + 0.2 * rng.standard_t(3, 40)
    process = GaussianProcessRegressor(
        q=(0, 2), l=0, ensemble=ensemble, likelihood=likelihood, ard=False, encoding="none"
    ).fit(x, y)

    distribution = process.predict_distribution([[0.3, 2.0]])
    mean, deviation = process.predict([[0.3, 2.0]], return_std=True)
    low, high = process.predict_interval([[0.3, 2.0]], coverage=0.8)[0]

    def integrated(values, end=np.inf):
        def density(value):
            return np.exp(distribution.log_density(np.array([[value]]))[0, 0])

        parts = [(-np.inf, -5), (-5, 0), (0, min(end, 5)), *([(5, end)] if end > 5 else [])]
        return sum(integrate.quad(lambda at: values(at) * density(at), *part)[0] for part in parts)

    assert integrated(lambda _: 1.0, low) == pytest.approx(0.1, abs=1e-6)
    assert integrated(lambda _: 1.0, high) == pytest.approx(0.9, abs=1e-6)
    assert distribution.cdf(np.array([[high]]))[0, 0] == pytest.approx(0.9, abs=1e-9)
    assert integrated(lambda at: at) == pytest.approx(mean[0], abs=1e-6)
    squares = integrated(lambda at: (at - mean[0]) ** 2)
    assert squares == pytest.approx(deviation[0] ** 2, rel=1e-5)


def test_rows_of_weight_zero_are_left_out():
    x, y = example()
    weight = np.arange(len(x)) % 3.0

    process = GaussianProcessRegressor(q=1, l=1).fit(x, y, sample_weight=weight)

    kept = weight > 0
    same = GaussianProcessRegressor(q=1, l=1).fit(x[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_array_equal(process.predict(x), same.predict(x))


def test_what_scikit_learn_composes_takes_the_estimators():
    x, y = example()
    pipeline = make_pipeline(StandardScaler(), GaussianProcessRegressor(noise=0.1, bias=1))
    grid = {"gaussianprocessregressor__q": [0, 1], "gaussianprocessregressor__l": [0, (0, 1)]}

    search = GridSearchCV(pipeline, grid, cv=3).fit(x, y)

    scores = cross_val_score(search.best_estimator_, x, y, cv=3)
    assert scores.mean() == pytest.approx(search.best_score_)
    best = search.best_estimator_[-1]
    again = pickle.loads(pickle.dumps(best))  # noqa: S301  it is ours
    np.testing.assert_array_equal(again.predict(x), best.predict(x))
    assert clone(best).get_params() == best.get_params()


def test_without_its_factor_a_model_predicts_means_alone():
    x, y = example()
    process = GaussianProcessRegressor(q=1, l=1, keep_factor=False).fit(x, y)

    kept = GaussianProcessRegressor(q=1, l=1).fit(x, y)
    np.testing.assert_array_equal(process.predict(x), kept.predict(x))
    with pytest.raises(ValueError, match="keep_factor=true"):
        process.predict(x, return_std=True)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"q": 11}, "hyperparameter q is '11', but it must be"),
        ({"noise": True}, "hyperparameter noise is 'True', but it must be"),
        ({"criterion": "validation"}, "fit is given no validation rows"),
        ({"categories": [3]}, "names column '3'"),
        ({"projection": "unit", "bias": 2}, "leave bias out"),
    ],
    ids=str,
)
def test_a_parameter_is_refused_with_the_rule_and_the_remedy(parameters, sentence):
    x, y = example()

    with pytest.raises(ValueError, match=sentence):
        GaussianProcessRegressor(**parameters).fit(x[:, :2], y)


@pytest.mark.parametrize("constant", [4.0, 0.0])
def test_a_target_that_never_changes_is_predicted_with_a_warning(constant, caplog):
    x, _ = example(rows=10)

    process = GaussianProcessRegressor(q=1, l=0).fit(x, np.full((10, 2), constant))

    mean, deviation = process.predict(x, return_std=True)
    np.testing.assert_array_equal(mean, constant)
    assert (deviation > 0).all()
    assert f"is {constant:g} in all 10 rows of training" in caplog.text


def test_a_fold_of_scikit_learn_whose_targets_are_alike_has_a_score():
    x, y = example(rows=12)
    y = np.where(np.arange(12) == 0, 5.0, 4.0)

    scores = cross_val_score(
        GaussianProcessRegressor(q=1, l=0), x, y, cv=3, scoring="neg_mean_absolute_error"
    )

    # Of the first four rows, three are the constant and one is off by 1.
    assert scores[0] == pytest.approx(-0.25, rel=1e-12)
    assert np.isfinite(scores).all()


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"model\.json is missing"):
        load(tmp_path)


def test_a_model_of_the_formulas_to_the_letter_opens_and_fits_again(tmp_path):
    x, y = example()
    process = GaussianProcessRegressor(q=1, l=1, projection="normalize").fit(x, y)
    process.save(tmp_path)

    opened = load(tmp_path)

    assert opened.get_params() == process.get_params()
    np.testing.assert_array_equal(clone(opened).fit(x, y).predict(x), process.predict(x))


def test_importing_the_package_imports_nothing_that_a_program_may_not_need():
    code = (
        "import sys, gaussian_processes; names = dir(gaussian_processes);"
        " print({'load', '__version__', 'GaussianProcessRegressor'} <= set(names),"
        " sorted({'sklearn', 'numpy', 'pandas'} & sys.modules.keys()))"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert answer.stdout == "True []\n"


def test_a_missing_scikit_learn_is_said_in_a_sentence():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import gaussian_processes\n"
        "try: gaussian_processes.load\n"
        "except ImportError as error: print(error)"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert "pip install 'gaussian-processes[sklearn]'" in answer.stdout


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gaussian_processes.nothing


def test_replicates_cost_one_row_and_answer_as_rows_that_hardly_differ(tmp_path):
    rng = np.random.default_rng(5)
    x = rng.permutation(np.repeat(rng.normal(size=(20, 2)), 4, axis=0))
    y = np.sin(2 * x[:, :1]) + rng.normal(scale=[0.1, 0.4], size=(80, 2))
    weight, new = rng.uniform(0.5, 2, 80), rng.normal(size=(9, 2))
    merged, apart = (GaussianProcessRegressor(q=1, l=1) for _ in range(2))

    merged.fit(x, y, weight).save(tmp_path)
    # Rows that differ in the last digits are not merged.
    apart.fit(x * (1 + 1e-13 * rng.normal(size=x.shape)), y, weight)

    assert len(merged.model_.members[0].process.points) == 20
    assert len(apart.model_.members[0].process.points) == 80
    for found, expected in zip(
        (*merged.predict(new, return_std=True), merged.predict_interval(new)),
        (*apart.predict(new, return_std=True), apart.predict_interval(new)),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    saved = load(tmp_path)
    assert artifact.load_description(tmp_path)["training_rows"] == 80
    np.testing.assert_array_equal(saved.predict_interval(new), merged.predict_interval(new))


def test_targets_unlike_the_others_are_predicted_as_if_alone(tmp_path):
    rng = np.random.default_rng(6)
    x, new = rng.normal(size=(60, 2)), rng.normal(size=(7, 2))
    wave = np.sin(3 * x[:, 0]) + 0.1 * rng.normal(size=60)
    y = np.column_stack([wave, np.ones(60), rng.normal(size=60), 2 * wave + 1])
    kernels = {"q": (1, 2), "l": 0, "ard": False, "encoding": "none"}

    together = GaussianProcessRegressor(**kernels).fit(x, y)
    apart = GaussianProcessRegressor(**kernels, per_target=True).fit(x, y)

    alone = [GaussianProcessRegressor(**kernels).fit(x, y[:, k]) for k in (0, 2, 3)]
    interval = apart.predict_interval(new)
    mean, deviation = apart.predict(new, return_std=True)
    for k, own in zip((0, 2, 3), alone, strict=True):
        own_mean, own_deviation = own.predict(new, return_std=True)
        np.testing.assert_allclose(mean[:, k], own_mean, rtol=1e-12)
        np.testing.assert_allclose(deviation[:, k], own_deviation, rtol=1e-12)
        np.testing.assert_allclose(interval[:, k], own.predict_interval(new), rtol=1e-9)
    np.testing.assert_array_equal(mean[:, 1], 1)
    np.testing.assert_array_equal(apart.predict(new), mean)
    groups = {member.targets for member in together.model_.members}
    assert {target for group in groups for target in group} == {0, 1, 2, 3}
    assert (2,) in groups or any(0 not in group for group in groups if 2 in group)
    together.save(tmp_path)
    answer = load(tmp_path).predict_interval(new)
    np.testing.assert_array_equal(answer, together.predict_interval(new))


def test_deviations_cover_the_effects_of_levels_that_training_did_not_have():
    covered, losses = [], []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        effects = generator.normal(0, 3, 36)
        level = np.concatenate([np.arange(120) % 12, np.arange(12, 36)])
        x = generator.normal(size=len(level))
        y = effects[level] + x + generator.normal(size=len(level))
        table = pd.DataFrame({"level": [f"l{number}" for number in level], "x": x})
        mean, deviation = (
            GaussianProcessRegressor()
            .fit(table[:120], y[:120])
            .predict(table[120:], return_std=True)
        )
        covered.append(np.abs(y[120:] - mean) < 1.645 * deviation)
        losses.append(-norm.logpdf(y[120:], mean, deviation))

    # Without a coordinate of their own they are covered in 45 of 100 cases, with a loss of 4.3.
    assert np.mean(covered) > 0.75
    assert np.mean(losses) < 2.9


@pytest.mark.parametrize("value", [-9999.0, 1e300])
def test_five_far_cells_cost_no_more_than_their_rows(value):
    generator = np.random.default_rng(2)
    x, new = generator.normal(size=(200, 3)), generator.normal(size=(500, 3))
    y = np.sin(2 * x[:, 0]) + x[:, 1] + generator.normal(0, 0.1, 200)
    truth = np.sin(2 * new[:, 0]) + new[:, 1]
    far = x.copy()
    far[:4, 0] = far[4, 1] = value

    errors = [
        np.sqrt(np.square(GaussianProcessRegressor(q=1).fit(rows, y).predict(new) - truth).mean())
        for rows in (x, far)
    ]

    assert errors[1] < 1.3 * errors[0]


def test_intervals_of_few_rows_of_noise_cover_it():
    coverages = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        x, y = generator.normal(size=(5, 2)), generator.normal(size=5)

        process = GaussianProcessRegressor().fit(x, y)
        interval = process.predict_interval(generator.normal(size=(30, 2)), coverage=0.9)

        coverages.append(np.diff(norm.cdf(interval)).mean())

    # The best of thirty candidates covers 0.73; of more data sets the blend covers 0.85.
    assert np.mean(coverages) > 0.8


def test_an_exact_line_of_few_rows_is_predicted_as_one():
    x, new = np.linspace(-1, 1, 20)[:, np.newaxis], np.linspace(-0.9, 0.9, 57)[:, np.newaxis]

    process = GaussianProcessRegressor().fit(x, 3 * x[:, 0] + 1)

    # A blend in which rough kernels have a share that luck alone would give them is .004 off.
    np.testing.assert_allclose(process.predict(new), 3 * new[:, 0] + 1, atol=1e-3)


def test_new_observations_of_training_rows_are_covered_beside_one_outlier():
    covered = []
    for seed in range(3):
        generator = np.random.default_rng(seed)
        x = generator.uniform(-1, 1, size=(100, 2))
        function = np.sin(5 * x[:, 0]) + x[:, 1]
        y = function + generator.normal(0, 0.1, 100)
        y[0] += 2.5
        again = function + generator.normal(0, 0.1, 100)

        mean, deviation = GaussianProcessRegressor().fit(x, y).predict(x, return_std=True)

        covered.append(np.abs(again - mean) < 1.645 * deviation)
    assert np.mean(covered) >= 0.8


def test_repeated_incomes_of_engels_households_are_not_thought_known():
    engel = pytest.importorskip("statsmodels.api").datasets.engel.load_pandas().data
    losses = []
    for seed in range(10):
        train_rows, test_rows = train_test_split(engel, test_size=0.25, random_state=seed)
        regressor = GaussianProcessRegressor().fit(train_rows[["income"]], train_rows["foodexp"])
        mean, deviation = regressor.predict(test_rows[["income"]], return_std=True)
        losses.append(-norm.logpdf(test_rows["foodexp"], mean, deviation).mean())

    # scikit-learn's process has 6.17, a straight line 6.43; without a prior of the noise the mean
    # was in the thousands.
    assert np.mean(losses) <= 6.25


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_dates_of_pandas_are_learned_with_their_periods_and_served_as_iso_dates(tmp_path, zone):
    when = pd.date_range("2023-01-01", periods=120, freq="1D", tz=zone)
    frame = pd.DataFrame({"when": when, "x": np.random.default_rng(5).normal(size=120)})
    sold = np.where(when.day_of_week >= 5, 3.0, 1.0) + 0.01 * frame["x"]
    process = GaussianProcessRegressor(q=1, l=1, ard="true").fit(frame[:90], sold[:90])

    process.save(tmp_path)

    predicted = process.predict(frame[90:])
    np.testing.assert_allclose(predicted, sold[90:], atol=0.3)
    answered = served(tmp_path, frame[90:].to_csv(index=False))
    np.testing.assert_allclose(np.array(answered, float)[:, 0], predicted, rtol=1e-12)
    np.testing.assert_array_equal(load(tmp_path).predict(frame[90:]), predicted)


def test_arrays_of_dates_are_dates():
    when = np.arange("2023-01-01", "2023-03-01", dtype="M8[D]")
    objects = np.array([[day.item(), 1.5] for day in when], object)

    process = GaussianProcessRegressor(q=1, l=1).fit(objects, np.arange(59.0))

    assert process.model_.schema.dates == [0]
    only_dates = when[:, np.newaxis].astype("M8[ns]")
    assert GaussianProcessRegressor(q=1, l=1).fit(only_dates, np.arange(59.0)).predict(
        only_dates[:1]
    ) == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    "values", [pd.date_range("2020", periods=30), pd.to_timedelta(range(30), "h")]
)
def test_targets_that_are_dates_or_durations_are_refused(values):
    with pytest.raises(ValueError, match="y holds dates or durations, but targets are numbers"):
        GaussianProcessRegressor(q=1, l=1).fit(np.arange(30.0)[:, None], values)


def test_a_column_of_durations_is_refused_by_its_name():
    frame = pd.DataFrame({"a": np.arange(30.0), "wait": pd.to_timedelta(range(30), "h")})

    with pytest.raises(TypeError, match="column 'wait' of X holds durations: give hours or days"):
        GaussianProcessRegressor(q=1, l=1).fit(frame, np.arange(30.0))


def test_classes_that_look_alike_are_remarked_on(caplog):
    frame = pd.DataFrame({"a": np.arange(30.0)})

    GaussianProcessClassifier(q=1, l=1).fit(frame, ["NO", "no", "yes"] * 10)

    assert "(target) has 'NO' and 'no', which count as two classes" in caplog.text
