import hashlib
import json
import time
from dataclasses import fields, replace

import numpy as np
import pytest
from fitted import fitted
from forged import fit_checksums, fit_own_checksum

from gaussian_processes.errors import UserError
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.linalg.cholesky import PANEL_WIDTH
from gaussian_processes.model import artifact

NEW = np.random.default_rng(42).normal(size=(5, 3))


@pytest.mark.parametrize(
    "model",
    [
        fitted(rows=2),
        fitted(),
        fitted(rows=PANEL_WIDTH + 20),
        fitted(outputs=3),
        fitted(classes=("no", "yes")),
        fitted(kernels=[ArcCosine(0, 0), ArcCosine(2, 1)], weights=[0.25, 0.75]),
    ],
    ids=["tiny", "small", "of two panels", "of three targets", "of classes", "of two members"],
)
def test_a_model_that_was_saved_predicts_the_same_bits(tmp_path, model):
    artifact.save(model, tmp_path)

    loaded = artifact.load(tmp_path)

    assert loaded.schema == model.schema
    expected, answer = model.predict(NEW, variance=True), loaded.predict(NEW, variance=True)
    np.testing.assert_array_equal(answer.mean, expected.mean)
    np.testing.assert_array_equal(answer.variance, expected.variance)
    np.testing.assert_array_equal(answer.probabilities, expected.probabilities)


def test_rows_that_share_a_point_are_left_out_one_by_one_after_loading(tmp_path):
    model = fitted(rows=20, repeats=3)
    targets = np.random.default_rng(44).normal(size=(60, 1))
    artifact.save(model, tmp_path)

    loaded = artifact.load(tmp_path)

    assert loaded.members[0].process.points.shape == (20, 4)
    expected, answer = model.leave_one_out(targets), loaded.leave_one_out(targets)
    np.testing.assert_array_equal(answer.mean, expected.mean)
    np.testing.assert_array_equal(answer.variance, expected.variance)


@pytest.mark.parametrize(
    ("replicates", "sentence"),
    [
        (np.zeros(60), r"replicates has shape \(60,\) where \(n, 2\) belongs"),
        (np.full((60, 2), 0.5), r"replicates has 0\.5 where an index .* from 0 to 59"),
        (np.full((60, 2), np.nan), "replicates has nan where an index .* from 0 to 59"),
        (np.ones((60, 2)), "replicates are not of all points"),
        (np.column_stack([np.arange(60) % 20, np.zeros(60)]), "weights of replicates holds 0"),
        (np.column_stack([np.arange(40) % 20, np.ones(40)]), r"has shape \(40,\) where \(60,\)"),
    ],
)
def test_forged_replicates_are_refused(tmp_path, replicates, sentence):
    artifact.save(fitted(rows=20, repeats=3), tmp_path)
    np.save(tmp_path / "replicates-0.npy", replicates.astype(float))
    fit_checksums(tmp_path)

    with pytest.raises(UserError, match=sentence):
        artifact.load(tmp_path)


def test_a_model_without_its_factor_gives_means_and_says_what_a_deviation_needs(tmp_path):
    artifact.save(fitted().without_factors(), tmp_path)

    loaded = artifact.load(tmp_path)

    assert not loaded.has_variance
    assert loaded.predict(NEW).variance is None
    with pytest.raises(UserError, match="train again with keep_factor=true"):
        loaded.predict(NEW, variance=True)


def with_nearest_points(noise_scale):
    model = fitted().without_factors()
    (member,) = model.members
    process = member.process.with_nearest_points(512, noise_scale)
    return replace(model, members=(replace(member, process=process),))


def test_a_model_of_nearest_rows_predicts_their_deviations_again(tmp_path):
    model = with_nearest_points(np.linspace(0.5, 2, 40))
    artifact.save(model, tmp_path)

    loaded = artifact.load(tmp_path)

    assert loaded.has_variance
    assert not loaded.has_factor
    expected = model.predict(NEW, variance=True).variance
    np.testing.assert_array_equal(loaded.predict(NEW, variance=True).variance, expected)


def test_forged_noise_of_nearest_rows_is_refused(tmp_path):
    artifact.save(with_nearest_points(np.ones(40)), tmp_path)
    np.save(tmp_path / "noise_scale-0.npy", np.zeros(40))
    fit_checksums(tmp_path)

    with pytest.raises(UserError, match="noise_scale holds 0"):
        artifact.load(tmp_path)


def test_the_folder_holds_words_and_arrays_and_nothing_half_written(tmp_path):
    artifact.save(fitted(), tmp_path, {"scores": {"RMSE": 1.5}})

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "alpha-0.npy",
        "factor-0.npy",
        "model.json",
        "points-0.npy",
    ]
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["format"] == artifact.FORMAT
    assert description["scores"] == {"RMSE": 1.5}
    assert description["libraries"]["numpy"] == np.__version__


def test_saving_replaces_a_model_and_an_interrupted_saving_leaves_none(tmp_path, monkeypatch):
    artifact.save(fitted(), tmp_path)
    monkeypatch.setattr(artifact, "checksum", lambda path: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        artifact.save(fitted(), tmp_path)

    with pytest.raises(UserError, match=r"model\.json is missing"):
        artifact.load(tmp_path)


def test_what_a_stopped_job_has_left_is_said_as_it_is(tmp_path):
    began = time.time() - 1

    before = artifact.outcome(tmp_path, began)
    artifact.save(fitted(), tmp_path)

    assert before == "no model is left; start the job again"
    assert artifact.outcome(tmp_path, began) == (
        f"the model in {tmp_path} is whole all the same, and can be used"
    )
    assert "is not of this job" in artifact.outcome(tmp_path, began + 1000)


def test_the_folder_comes_to_hold_a_model_within_the_critical_section(tmp_path):
    seen = []

    class Recorded:
        def __enter__(self):
            seen.append((tmp_path / "model.json").exists())

        def __exit__(self, *_):
            seen.append((tmp_path / "model.json").exists())

    artifact.save(fitted(), tmp_path, critical_section=Recorded())

    assert seen == [False, True]


def test_a_model_larger_than_the_memory_that_is_free_is_refused(tmp_path, monkeypatch):
    artifact.save(fitted(), tmp_path)
    monkeypatch.setattr(artifact, "available_memory", lambda: 1_000)

    with pytest.raises(UserError, match=r"take .* and 0\.0 MB of memory are free; use an instance"):
        artifact.load(tmp_path)


def test_a_model_that_would_not_be_loaded_is_not_saved(tmp_path):
    model = fitted()
    (member,) = model.members
    process = replace(member.process, signal_variance=np.array([-1.0]))

    with pytest.raises(ValueError, match="signal_variance holds -1; it must be positive"):
        artifact.save(replace(model, members=(replace(member, process=process),)), tmp_path)

    assert not list(tmp_path.iterdir())


def test_strangers_in_the_folder_do_not_matter(tmp_path):
    artifact.save(fitted(), tmp_path)
    (tmp_path / "model.tar.gz").write_bytes(b"not ours")
    tmp_path.chmod(0o555)

    assert artifact.load(tmp_path).schema.output_count == 1


@pytest.mark.parametrize("older", [1, 2, 3, 4, 5])
def test_an_artifact_of_an_earlier_format_is_refused_in_a_sentence(tmp_path, older):
    artifact.save(fitted(), tmp_path)
    edit(tmp_path, format=older)

    sentence = rf"model\.json is of format {older} and this program reads 6; train again$"
    with pytest.raises(UserError, match=sentence):
        artifact.load(tmp_path)


def test_the_keys_of_the_description_are_the_attributes(tmp_path):
    model = fitted()
    artifact.save(model, tmp_path)

    description = artifact.load_description(tmp_path)

    (member,) = description["members"]
    for described, subject in (
        (description["schema"], model.schema),
        (member["preprocessor"], model.members[0].preprocessor),
        (member["process"], model.members[0].process),
    ):
        attributes = {field.name for field in fields(subject)}
        assert described.keys() <= attributes
    assert member["process"]["kernel"] == {"name": "arc_cosine", "q": 1, "l": 1}
    arrays = {"points", "alpha", "factor", "replicates", "noise_scale"}
    # The number of observations is that of the training rows; the others are training's alone.
    elsewhere = {"observations", "varies"}
    assert {field.name for field in fields(model.members[0].process)} == (
        member["process"].keys() | arrays | elsewhere
    )


def edit(folder, **changes):
    """Replace keys of model.json, with a checksum that is theirs."""
    path = folder / "model.json"
    description = json.loads(path.read_text()) | changes
    fit_own_checksum(description)
    path.write_text(json.dumps(description))


def flip_the_last_bit(folder):
    path = folder / "alpha-0.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def drop_the_members(folder):
    description = json.loads((folder / "model.json").read_text())
    del description["members"]
    fit_own_checksum(description)
    (folder / "model.json").write_text(json.dumps(description))


def change_the_member(folder, part, **changes):
    (member,) = json.loads((folder / "model.json").read_text())["members"]
    edit(folder, members=[member | {part: member[part] | changes}])


def exchange_alpha(folder):
    """Take the coefficients of another model, with a checksum that is theirs."""
    np.save(folder / "alpha-0.npy", np.zeros((7, 1)))
    checksum = hashlib.sha256((folder / "alpha-0.npy").read_bytes()).hexdigest()
    checksums = json.loads((folder / "model.json").read_text())["sha256"]
    edit(folder, sha256=checksums | {"alpha-0.npy": checksum})


# What a person, another version or a failing disk may have made of the folder.
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (flip_the_last_bit, r"alpha-0\.npy is not what was saved: its checksum differs"),
        (lambda folder: edit(folder, format=99), "is of format 99 and this program reads 6"),
        (
            lambda folder: (folder / "model.json").write_text('{"format": 6, "noi'),
            r"model\.json can't be used \(JSONDecodeError",
        ),
        (
            lambda folder: (folder / "model.json").write_text("[" * 100_000),
            r"model\.json can't be used \((RecursionError|JSONDecodeError)",
        ),
        (lambda folder: (folder / "model.json").write_bytes(b"\xff"), "UnicodeDecodeError"),
        (lambda folder: (folder / "model.json").write_text("[]"), "TypeError"),
        (
            drop_the_members,
            r"model\.json can't be used \(KeyError: 'members'\); train the model again",
        ),
        (lambda folder: edit(folder, members=[]), "it has no Gaussian process"),
        (
            lambda folder: edit(folder, sha256={"../factor-0.npy": ""}),
            r"\.\./factor-0\.npy is no file of a model",
        ),
        (lambda folder: edit(folder, sha256=["points-0.npy"]), r"can't be used \(AttributeError"),
        (lambda folder: edit(folder, sha256={}), r"KeyError: 'points-0\.npy'"),
        (
            lambda folder: edit(
                folder, calibration={"inverse_temperature": 10**400, "offsets": [], "floor": []}
            ),
            "OverflowError",
        ),
        (
            lambda folder: change_the_member(
                folder, "process", kernel={"name": "arc_cosine", "q": -1, "l": 1}
            ),
            r"q is -1, but it must be a whole number, 0 or more",
        ),
        (
            lambda folder: change_the_member(folder, "process", signal_variance=[1.0, 2.0]),
            r"signal_variance has shape \(2,\) where \(1,\) belongs",
        ),
        (
            lambda folder: change_the_member(folder, "preprocessor", center=[0.0]),
            r"center has shape \(1,\) where \(3,\) belongs",
        ),
        (
            lambda folder: change_the_member(folder, "preprocessor", circle=["", "", "month, cos"]),
            r"circle is of a column that is no date",
        ),
        (
            lambda folder: change_the_member(folder, "preprocessor", circle=["", "", "month"]),
            r"circle has no such place",
        ),
        (exchange_alpha, r"alpha has shape \(7, 1\) where \(40, 1\) belongs"),
        (
            lambda folder: edit(folder, panel_width=512),
            r"its factor has panels of 512 columns, and this program's have 768",
        ),
        (
            lambda folder: (folder / "model.json").unlink(),
            r"model\.json is missing; .* must hold what `train` has written there",
        ),
        (lambda folder: (folder / "points-0.npy").unlink(), r"points-0\.npy is missing"),
    ],
)
def test_a_folder_that_holds_no_whole_model_is_refused_in_one_sentence(tmp_path, spoil, sentence):
    artifact.save(fitted(), tmp_path)
    spoil(tmp_path)

    with pytest.raises(UserError, match=sentence) as refusal:
        artifact.load(tmp_path)

    assert len(str(refusal.value).splitlines()) == 1
