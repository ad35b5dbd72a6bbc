"""Levels that training did not have, from the rows to what is predicted and kept."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from forged import fit_checksums

from gaussian_processes import GaussianProcessRegressor, load
from gaussian_processes.errors import UserError
from gaussian_processes.model import artifact
from gaussian_processes.report import main as describe

# One kernel, so that twenty fits take a second.
ONE_KERNEL = {"q": 1, "l": 0}


def draw(effects, rng, prefix, rows):
    """Rows of levels whose effects are random, beside a number with an effect of its own."""
    level = np.arange(rows) % len(effects)
    x = rng.uniform(-2, 2, rows)
    y = np.sin(x) + effects[level] + rng.normal(0, 0.5, rows)
    return pd.DataFrame({"x": x, "level": [f"{prefix}{number}" for number in level]}), y


def draw_and_fit(seed, levels=12, rows=120):
    rng = np.random.default_rng(seed)
    features, y = draw(rng.normal(0, 3, levels), rng, "old", rows)
    new = draw(rng.normal(0, 3, 20), rng, "new", 20)
    return GaussianProcessRegressor(**ONE_KERNEL).fit(features, y), features, new


def without_widening(model):
    """Return an estimator as its process says, whatever left-out levels have shown."""
    narrow = GaussianProcessRegressor(**ONE_KERNEL)
    narrow.__dict__.update(model.__dict__)
    members = [replace(member, unknown_widening=()) for member in model.model_.members]
    narrow.model_ = replace(model.model_, members=tuple(members))
    return narrow


def test_nine_tenths_of_new_levels_are_in_intervals_of_ninety_per_cent():
    covered = {"as the process says": [], "as left-out levels say": []}
    for seed in range(20):
        model, _, (rows, y) = draw_and_fit(seed)
        for name, own in zip(covered, (without_widening(model), model), strict=True):
            low, high = own.predict_interval(rows, 0.9).T
            covered[name].append(((low <= y) & (y <= high)).mean())

    # The mixed model, which is what the rows are drawn from, covers 92 per cent.
    assert 0.85 < np.mean(covered["as left-out levels say"]) < 0.95
    assert np.mean(covered["as the process says"]) < 0.85


def test_only_rows_of_unknown_and_missing_levels_are_less_sure():
    model, features, (rows, _) = draw_and_fit(0)
    narrow = without_widening(model)
    (widening,) = model.model_.members[0].unknown_widening
    missing = features.assign(level=None)

    for unknown in (rows, missing):
        mean, std = model.predict(unknown, return_std=True)
        own_mean, own_std = narrow.predict(unknown, return_std=True)
        np.testing.assert_array_equal(mean, own_mean)
        np.testing.assert_allclose(std, np.sqrt(widening) * own_std, rtol=1e-14)
    seen, narrow_seen = (own.predict(features, return_std=True) for own in (model, narrow))
    np.testing.assert_array_equal(seen, narrow_seen)


def test_a_row_of_several_unknown_levels_is_as_unsure_as_the_least_known_makes_it():
    rng = np.random.default_rng(7)
    features, y = draw(rng.normal(0, 3, 8), rng, "old", 64)
    features["other"] = np.array(["a", "b", "c", "d"])[np.arange(64) // 16]
    model = GaussianProcessRegressor(**ONE_KERNEL).fit(features, y)
    (member,) = model.model_.members
    one, both = features.assign(level="new"), features.assign(level="new", other="new")

    first, second = member.unknown_widening
    ratios = [
        model.predict(rows, return_std=True)[1]
        / without_widening(model).predict(rows, return_std=True)[1]
        for rows in (one, features.assign(other="new"), both)
    ]

    expected = np.sqrt([first, second, max(first, second)])
    np.testing.assert_allclose(ratios, np.tile(expected[:, np.newaxis], 64), rtol=1e-14)


def test_an_artifact_keeps_what_left_out_levels_have_shown(tmp_path, capsys):
    model, _, (rows, _) = draw_and_fit(1)
    model.save(tmp_path)

    loaded = load(tmp_path)
    assert describe.main([str(tmp_path)]) == 0

    (widening,) = model.model_.members[0].unknown_widening
    assert f"unknown levels of level: {widening**0.5:.4g} times as wide" in capsys.readouterr().out
    np.testing.assert_array_equal(
        loaded.predict(rows, return_std=True), model.predict(rows, return_std=True)
    )


@pytest.mark.parametrize(
    ("forged", "sentence"),
    [
        ([0.5], "unknown_widening is less than 1"),
        ([2, 2], r"unknown_widening has shape \(2,\) where \(1,\)"),
        (["wide"], "could not convert"),
        (3, "not iterable"),
    ],
)
def test_forged_widening_is_refused(tmp_path, forged, sentence):
    draw_and_fit(1)[0].save(tmp_path)
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    description["members"][0]["unknown_widening"] = forged
    path.write_text(json.dumps(description))
    fit_checksums(tmp_path)

    with pytest.raises(UserError, match=sentence):
        artifact.load(tmp_path)


def test_a_projection_to_the_letter_stays_so():
    rng = np.random.default_rng(2)
    features, y = draw(rng.normal(0, 3, 6), rng, "old", 40)

    model = GaussianProcessRegressor(**ONE_KERNEL, noise=0.1, projection="normalize").fit(
        features, y
    )

    assert model.model_.members[0].unknown_widening == ()
