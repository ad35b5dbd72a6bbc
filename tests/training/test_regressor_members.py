"""Members of an ensemble that are no processes: weights, blend, artifact, endpoint and refusals."""

import json
import os
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from forged import fit_checksums, fit_own_checksum
from ridge_member import Ridge
from scipy import stats
from scipy.optimize import minimize_scalar
from trained import train_on

from gaussian_processes import GaussianProcessClassifier, GaussianProcessRegressor
from gaussian_processes.data.dataset import Dataset
from gaussian_processes.errors import UserError
from gaussian_processes.model import artifact, describe, explanations
from gaussian_processes.model.regressors import REGRESSORS_VARIABLE
from gaussian_processes.report import partial_dependence
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.serving.app import create_app
from gaussian_processes.training import regressor_members

RIDGE = "ridge_member:Ridge"
GENERATOR = np.random.default_rng(93)
# A line, under a kernel that leaves it rough, and a step that no line follows.
X = GENERATOR.normal(size=(70, 2))
Y = 2 * X[:, 0] - X[:, 1] + 2 * (X[:, 0] > 0) + GENERATOR.normal(scale=0.2, size=70)
NEW = GENERATOR.normal(size=(9, 2))


@pytest.fixture(scope="module", autouse=True)
def allowed():
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(REGRESSORS_VARIABLE, RIDGE)
        yield


def fit(members, y=Y, **parameters):
    return GaussianProcessRegressor(q=0, l=0, noise=0.1, bias=1, members=members, **parameters).fit(
        X, y
    )


@pytest.fixture(scope="module")
def alone():
    return fit("gp")


@pytest.fixture(scope="module")
def blend():
    return fit(("gp", RIDGE))


def log_densities(prediction, y):
    """Log density of shape (m,), of a location-scale t distribution written out by SciPy."""
    scale = np.sqrt(prediction.squared_scale[:, 0])
    return stats.t.logpdf(y, prediction.degrees_of_freedom, prediction.mean[:, 0], scale)


def test_the_weight_is_that_of_the_highest_left_out_density(alone, blend):
    process, ridge = blend.model_.members
    own = log_densities(alone.model_.members[0].leave_one_out(Y[:, np.newaxis]), Y)
    other = log_densities(ridge.leave_one_out(Y[:, np.newaxis]), Y)

    def loss(weight):
        return -np.logaddexp(np.log1p(-weight) + own, np.log(weight) + other).sum()

    best = minimize_scalar(loss, bounds=(1e-6, 1 - 1e-6), method="bounded").x
    assert 0.05 < best < 0.95
    assert ridge.weight == pytest.approx(best, abs=0.01)
    assert process.weight + ridge.weight == pytest.approx(1)


def test_the_distribution_is_the_mixture_of_both(blend):
    process, ridge = blend.model_.members
    truth = np.linspace(-3, 3, len(NEW))

    predicted = blend.predict_distribution(NEW)

    parts = [log_densities(own.predict(NEW), truth) for own in (process, ridge)]
    weights = np.log([process.weight, ridge.weight])[:, np.newaxis]
    np.testing.assert_allclose(
        predicted.log_density(truth[:, np.newaxis])[:, 0],
        np.logaddexp.reduce(parts + weights),
        rtol=1e-9,
    )
    means = process.weight * process.mean(NEW) + ridge.weight * ridge.mean(NEW)
    np.testing.assert_allclose(predicted.mean, means, rtol=1e-12)
    np.testing.assert_allclose(blend.predict(NEW), means[:, 0], rtol=1e-12)


def test_novelty_and_evidence_are_the_processes(alone, blend):
    expected = alone.model_.predict(NEW, variance=True).novelty

    np.testing.assert_allclose(blend.model_.predict(NEW, variance=True).novelty, expected)
    assert blend.log_marginal_likelihood_ == pytest.approx(alone.log_marginal_likelihood_)


def test_left_out_rows_are_predicted_by_regressors_without_their_fold(blend):
    ridge = blend.model_.members[1]
    left_out = ridge.leave_one_out(Y[:, np.newaxis])

    fitted = ridge.predict(X)

    # Seen rows are predicted better than left-out ones.
    assert np.mean((Y - left_out.mean[:, 0]) ** 2) > np.mean((Y - fitted.mean[:, 0]) ** 2)
    assert blend.model_.leave_one_out(Y[:, np.newaxis]).mean.shape == (70, 1)


def test_processes_keep_a_share_where_a_regressor_is_perfect():
    blend = fit(("gp", RIDGE), y=2 * X[:, 0] - X[:, 1])

    assert [own.weight for own in blend.model_.members] == pytest.approx([0.05, 0.95])


def test_a_regressor_of_no_use_has_no_part():
    y = np.cos(3 * X[:, 0])
    blend = GaussianProcessRegressor(q=2, l=1, noise=1e-3, members=("gp", RIDGE)).fit(X, y)

    assert len(blend.model_.members) == 1


def test_each_target_has_a_regressor_of_its_own():
    y = np.column_stack([Y, -3 * Y + 7])

    model = fit(("gp", RIDGE), y=y).model_

    process, *ridges = model.members
    assert [own.targets for own in ridges] == [(0,), (1,)]
    assert [process.weight + own.weight for own in ridges] == pytest.approx([1, 1])
    means = [process.weight * process.mean(NEW)[:, k] for k in range(2)]
    means = [
        mean + own.weight * own.mean(NEW)[:, 0] for mean, own in zip(means, ridges, strict=True)
    ]
    np.testing.assert_allclose(model.predict(NEW).mean, np.transpose(means), rtol=1e-12)
    # The second is a line of the first, and so is its partial dependence.
    curve = partial_dependence.curve(model, X[:10], 0)
    np.testing.assert_allclose(curve.mean[:, 1], -3 * curve.mean[:, 0] + 7, rtol=1e-6)


def test_weights_of_rows_are_those_of_their_noise(blend):
    ridge = blend.model_.members[1]

    one, four = (ridge.predict(NEW, sample_weight=np.full(9, weight)) for weight in (1.0, 4.0))

    np.testing.assert_allclose(one.squared_scale, 4 * four.squared_scale)


def test_classes_and_few_rows_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"which regresses, and the target is of classes"):
        GaussianProcessClassifier(members=("gp", "boosting")).fit(X, Y > 0)
    with pytest.raises(
        ValueError, match=r"takes 20 rows or more, and there are 19; set members=gp"
    ):
        GaussianProcessRegressor(members=("gp", "boosting")).fit(X[:19], Y[:19])


def test_processes_without_factors_are_refused_in_a_sentence(alone):
    rows = Dataset(X, Y[:, np.newaxis], np.ones(70), str)
    asked = Hyperparameters(members=("gp", RIDGE))

    with pytest.raises(UserError, match=r"members is gp,ridge_member:Ridge, whose weights need"):
        regressor_members.add(alone.model_.without_factors(), rows, asked, rows.sample_weight)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A job with trees and a class of one's own."""
    lines = [
        "y,a,b",
        *(f"{y!r},{a!r},{b!r}" for y, (a, b) in zip(Y.tolist(), X.tolist(), strict=True)),
    ]
    base = tmp_path_factory.mktemp("members")
    kernel = {"q": "0", "l": "0", "noise": "0.1", "bias": "1"}
    members = f"gp,boosting,{RIDGE}"
    return train_on(base, lines, lines[:11], target="y", members=members, **kernel)


def test_a_job_writes_members_that_load_describe_and_serve(job):
    folder = job / "model"
    model, description = artifact.load(folder), artifact.load_description(folder)
    names = {getattr(own, "name", "gp") for own in model.members}
    assert {"gp", RIDGE} <= names

    words = "\n".join(describe.lines(model, description))
    assert f"{RIDGE}, " in words
    scored = {entry.get("regressor") for entry in description["scores"]["members"]}
    assert RIDGE in scored

    client = create_app(model).test_client()
    header = {"X-Amzn-SageMaker-Custom-Attributes": "output=mean,std,novelty,interval,shap"}
    answer = client.post("/invocations", data="0.5,1\n", content_type="text/csv", headers=header)
    assert answer.status_code == 200, answer.text
    mean = float(answer.text.split(",")[0])
    assert mean == pytest.approx(model.predict(np.array([[0.5, 1.0]])).mean[0, 0])
    rows = explanations.neighbours(model, np.array([0.5, 1.0]))
    assert len(rows.rows) == len(rows.influences)


def test_the_bits_are_the_same_after_loading(blend, tmp_path):
    artifact.save(blend.model_, tmp_path)

    loaded = artifact.load(tmp_path)

    before, after = (own.predict(NEW, variance=True) for own in (blend.model_, loaded))
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.variance, after.variance)
    targets = Y[:, np.newaxis]
    left_out = [own.leave_one_out(targets).mean for own in (blend.model_, loaded)]
    np.testing.assert_array_equal(*left_out)


def remove(folder):
    (folder / "regressor-1/ridge.json").unlink()


def flip(folder):
    path = folder / "regressor-1/ridge.json"
    path.write_text(path.read_text().replace("[", "[ ", 1))


def pipe(folder):
    remove(folder)
    os.mkfifo(folder / "regressor-1/ridge.json")


def edit(change):
    """Change `model.json`, and fit its checksum."""

    def damage(folder):
        path = folder / "model.json"
        description = json.loads(path.read_text())
        change(description)
        fit_own_checksum(description)
        path.write_text(json.dumps(description))

    return damage


def set_regressor(key, value):
    return edit(lambda description: description["members"][1]["regressor"].update({key: value}))


def escape(description):
    description["sha256"]["regressor-1/../../secret"] = "0"


def spoil_forged(folder):
    (folder / "regressor-1/ridge.json").write_text("{")
    fit_checksums(folder)


def widen_forged(folder):
    (folder / "regressor-1/ridge.json").write_text("[1, 2, 3, 4, 5]")
    fit_checksums(folder)


def unlist(description):
    description["sha256"].pop("regressor-1/ridge.json")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (edit(unlist), "the member ridge_member:Ridge can't be read"),
        (remove, "is missing"),
        (flip, "its checksum differs"),
        (pipe, "can't be"),
        (spoil_forged, "can't be used"),
        (widen_forged, "can't be read"),
        (set_regressor("name", "os:system"), "is not among the members that this image allows"),
        (set_regressor("residual_variance", -1.0), "residual_variance holds -1"),
        (edit(escape), "is no file of a model"),
    ],
)
def test_a_damaged_member_is_refused_in_a_sentence(blend, tmp_path, damage, sentence):
    artifact.save(blend.model_, tmp_path)
    damage(tmp_path)

    with pytest.raises(UserError, match=sentence):
        artifact.load(tmp_path)


def test_a_class_reads_the_bytes_whose_checksums_were_compared_and_no_other(
    blend, tmp_path, monkeypatch
):
    artifact.save(blend.model_, tmp_path)
    folder, load, seen = tmp_path / "regressor-1", Ridge.load, []
    (folder / "other.json").write_text("[]")

    def load_after_a_change(copy):
        (folder / "ridge.json").write_text("[9, 9, 9]")
        seen.extend(path.name for path in copy.iterdir())
        return load(copy)

    monkeypatch.setattr(Ridge, "load", load_after_a_change)

    loaded = artifact.load(tmp_path)

    assert seen == ["ridge.json"]
    np.testing.assert_array_equal(loaded.predict(NEW).mean, blend.model_.predict(NEW).mean)


def test_without_a_folder_for_a_copy_the_sentence_says_so(blend, tmp_path, monkeypatch):
    artifact.save(blend.model_, tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])

    with pytest.raises(UserError, match="there is no folder for temporary files"):
        artifact.load(tmp_path)


def test_saving_replaces_what_an_earlier_member_left(blend, tmp_path):
    artifact.save(blend.model_, tmp_path)
    (tmp_path / "regressor-1/old.txt").write_text("of another")
    (tmp_path / "regressor-7").mkdir()

    artifact.save(blend.model_, tmp_path)

    assert [path.name for path in tmp_path.glob("regressor-*/*")] == ["ridge.json"]
    assert not (tmp_path / "regressor-7").exists()


@pytest.mark.parametrize("name", ["a b", "folder/", ".hidden"])
def test_a_member_saves_plain_files_alone(blend, tmp_path, monkeypatch, name):
    def save(_, folder):
        path = folder / name
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text("")

    monkeypatch.setattr(Ridge, "save", save)

    with pytest.raises(ValueError, match="is no file of letters, digits"):
        artifact.save(blend.model_, tmp_path)


def test_a_model_without_a_process_is_not_saved(blend, tmp_path):
    ridge = replace(blend.model_.members[1], weight=1.0)

    assert isinstance(ridge.regressor, Ridge)
    with pytest.raises(ValueError, match="it has no Gaussian process"):
        artifact.save(replace(blend.model_, members=(ridge,)), tmp_path)
