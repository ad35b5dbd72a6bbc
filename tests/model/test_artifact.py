import json
from dataclasses import replace

import numpy as np
import pytest

from gaussian_processes.data.preprocessing import PreprocessingOptions
from gaussian_processes.data.preprocessing import fit as fit_preprocessor
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix, fit
from gaussian_processes.linalg.cholesky import PANEL_WIDTH
from gaussian_processes.model import artifact
from gaussian_processes.model.model import EnsembleMember, Model


def trained(rows=40, variance=True):
    rng = np.random.default_rng(41)
    x, y = rng.normal(size=(rows, 3)), rng.normal(7, 2, size=(rows, 1))
    features = fit_preprocessor(x, y, [0, 0, 0], PreprocessingOptions(bias=2.0))
    process = fit(
        GramMatrix(ArcCosine(1, 1), features.points(x), 0.1), features.standardized_targets(y)
    )
    columns = tuple(Column(name, position) for position, name in enumerate("yabc"))
    member = EnsembleMember(features, process if variance else replace(process, factor=None))
    return Model(Schema(True, 4, columns[1:], columns[:1]), (member,))


NEW = np.random.default_rng(42).normal(size=(5, 3))


@pytest.mark.parametrize("rows", [1, 40, PANEL_WIDTH + 20])
def test_a_model_that_was_saved_predicts_the_same_bits(tmp_path, rows):
    model = trained(max(rows, 2))
    artifact.save(model, tmp_path, {})

    loaded = artifact.load(tmp_path)

    assert loaded.schema.output_count == 1
    expected, answer = model.predict(NEW, variance=True), loaded.predict(NEW, variance=True)
    np.testing.assert_array_equal(answer.mean, expected.mean)
    np.testing.assert_array_equal(answer.variance, expected.variance)


def test_a_model_without_its_factor_gives_means_and_says_what_a_deviation_needs(tmp_path):
    artifact.save(trained(variance=False), tmp_path, {})

    loaded = artifact.load(tmp_path)

    assert not loaded.has_variance
    assert loaded.predict(NEW).variance is None
    with pytest.raises(UserError, match="train again with keep_factor=true"):
        loaded.predict(NEW, variance=True)


def test_predictions_are_in_the_units_of_the_target():
    model = trained()
    member, learned = model.members[0], model.members[0].preprocessor
    larger = replace(
        learned,
        target_center=learned.target_center * 1000,
        target_scale=learned.target_scale * 1000,
    )
    kilo = replace(model, members=(replace(member, preprocessor=larger),))

    answer, thousandfold = model.predict(NEW, variance=True), kilo.predict(NEW, variance=True)

    np.testing.assert_allclose(thousandfold.mean, 1000 * answer.mean, rtol=1e-13)
    np.testing.assert_allclose(thousandfold.variance, 1e6 * answer.variance, rtol=1e-13)


def test_the_folder_holds_words_and_arrays_and_nothing_half_written(tmp_path):
    artifact.save(trained(), tmp_path, {"scores": {"RMSE": 1.5}})

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "alpha-0.npy",
        "factor-0.npy",
        "model.json",
        "points-0.npy",
    ]
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["format"] == 3
    assert description["scores"] == {"RMSE": 1.5}
    assert description["libraries"]["numpy"] == np.__version__


def test_saving_replaces_a_model_and_an_interrupted_saving_leaves_none(tmp_path, monkeypatch):
    artifact.save(trained(), tmp_path, {})
    monkeypatch.setattr(artifact, "_checksum", lambda path: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        artifact.save(trained(), tmp_path, {})

    with pytest.raises(UserError, match=r"model\.json is missing"):
        artifact.load(tmp_path)


def test_strangers_in_the_folder_do_not_matter(tmp_path):
    artifact.save(trained(), tmp_path, {})
    (tmp_path / "model.tar.gz").write_bytes(b"not ours")
    tmp_path.chmod(0o555)

    assert artifact.load(tmp_path).schema.output_count == 1


# What a person, or another version, may have written into model.json.
CHANGES = {
    "names": {"sha256": {"../factor-0.npy": ""}},
    "list": {"sha256": ["points-0.npy"]},
    "degree": {"members": [{"kernel": {"q": -1, "l": 1}}]},
    "width": {"panel_width": 512},
}


def spoil(folder, how):
    description = json.loads((folder / "model.json").read_text())
    if how == "array":
        content = bytearray((folder / "alpha-0.npy").read_bytes())
        content[-1] ^= 1
        (folder / "alpha-0.npy").write_bytes(content)
    elif how == "format":
        (folder / "model.json").write_text(json.dumps(description | {"format": 99}))
    elif how == "half":
        (folder / "model.json").write_text('{"format": 1, "noi')
    elif how in CHANGES:
        (folder / "model.json").write_text(json.dumps(description | CHANGES[how]))
    elif how == "key":
        del description["members"]
        (folder / "model.json").write_text(json.dumps(description))
    else:
        (folder / how).unlink()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("array", r"alpha-0\.npy is not what was saved: its checksum differs"),
        ("format", "is of format 99 and this program reads 3"),
        ("half", r"model\.json can't be used \(JSONDecodeError"),
        ("key", r"model\.json can't be used \(KeyError: 'members'\); train the model again"),
        ("names", r"factor-0\.npy is not what was saved"),
        ("list", r"model\.json can't be used \(AttributeError"),
        ("degree", r"q is -1, but it must be a whole number, 0 or more"),
        ("width", r"its factor has panels of 512 columns, and this program's have 768"),
        ("model.json", r"model\.json is missing; .* must hold what `train` has written there"),
        ("points-0.npy", r"points-0\.npy is missing"),
    ],
)
def test_a_folder_that_holds_no_whole_model_is_refused_in_one_sentence(tmp_path, how, sentence):
    artifact.save(trained(), tmp_path, {})
    spoil(tmp_path, how)

    with pytest.raises(UserError, match=sentence):
        artifact.load(tmp_path)
