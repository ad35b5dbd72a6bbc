"""Levels that training did not have, from the rows to what is predicted and kept."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from forged import fit_checksums
from scipy import stats

from gaussian_processes import GaussianProcessRegressor, load
from gaussian_processes.errors import UserError
from gaussian_processes.gp.levels import UnknownLevel
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
    members = [replace(member, unknown_levels=()) for member in model.model_.members]
    narrow.model_ = replace(model.model_, members=tuple(members))
    return narrow


def widening(level, rows):
    """Factor of the standard deviation, of which that of a Student-t distribution is a part."""
    ratios = [degrees / (degrees - 2) for degrees in (level.degrees_of_freedom, rows - 1)]
    return np.sqrt(level.squared_scale[0] * ratios[0] / ratios[1])


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
    (level,) = model.model_.members[0].unknown_levels
    missing = features.assign(level=None)

    for unknown in (rows, missing):
        mean, std = model.predict(unknown, return_std=True)
        own_mean, own_std = narrow.predict(unknown, return_std=True)
        np.testing.assert_array_equal(mean, own_mean)
        np.testing.assert_allclose(std, widening(level, 120) * own_std, rtol=1e-14)
    for answer in ("predict", "predict_interval"):
        seen, narrow_seen = (getattr(own, answer)(features) for own in (model, narrow))
        np.testing.assert_array_equal(seen, narrow_seen)


def test_known_levels_are_the_same_to_the_bit_beside_unknown_ones():
    model, features, (rows, _) = draw_and_fit(0)
    y = np.linspace(-5, 5, len(features))[:, np.newaxis]
    known, beside = (
        own.predict_distribution(pd.concat([rows, features])).subset(slice(len(rows), None))
        for own in (without_widening(model), model)
    )

    for answer in ("mean", "variance"):
        np.testing.assert_array_equal(getattr(beside, answer), getattr(known, answer))
    np.testing.assert_array_equal(beside.quantile(0.05), known.quantile(0.05))
    np.testing.assert_array_equal(beside.cdf(y), known.cdf(y))
    np.testing.assert_array_equal(beside.log_density(y), known.log_density(y))


def test_an_unknown_level_has_a_student_distribution_of_its_own_degrees_of_freedom():
    model, features, (rows, _) = draw_and_fit(3, levels=5, rows=60)
    (level,) = model.model_.members[0].unknown_levels
    answer = model.predict_distribution(pd.concat([rows, features]))
    mean, std = model.predict(rows, return_std=True)

    degrees = level.degrees_of_freedom
    # Five levels of ten noisy rows each: four degrees, and those of the prior and of the noise.
    assert 4 < degrees < 10
    own = stats.t(degrees, mean, std * np.sqrt((degrees - 2) / degrees))

    low, high = (answer.quantile(p)[: len(rows), 0] for p in (0.05, 0.95))
    np.testing.assert_allclose([low, high], [own.ppf(0.05), own.ppf(0.95)], rtol=1e-9)
    at = np.zeros((len(rows) + len(features), 1))
    np.testing.assert_allclose(answer.log_density(at)[: len(rows), 0], own.logpdf(0), rtol=1e-9)
    np.testing.assert_allclose(answer.cdf(at)[: len(rows), 0], own.cdf(0), rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(answer.variance[: len(rows), 0]), std, rtol=1e-12)


def test_a_row_of_several_unknown_levels_is_as_unsure_as_the_least_known_makes_it():
    rng = np.random.default_rng(7)
    features, y = draw(rng.normal(0, 3, 8), rng, "old", 64)
    features["other"] = np.array(["a", "b", "c", "d"])[np.arange(64) // 16]
    model = GaussianProcessRegressor(**ONE_KERNEL).fit(features, y)
    (member,) = model.model_.members
    one, both = features.assign(level="new"), features.assign(level="new", other="new")

    ratios = [
        model.predict(rows, return_std=True)[1]
        / without_widening(model).predict(rows, return_std=True)[1]
        for rows in (one, features.assign(other="new"), both)
    ]

    first, second = member.unknown_levels
    least_known = UnknownLevel(
        min(first.degrees_of_freedom, second.degrees_of_freedom),
        max(first.squared_scale, second.squared_scale),
    )
    expected = np.array([widening(own, 64) for own in (first, second, least_known)])
    np.testing.assert_allclose(ratios, np.tile(expected[:, np.newaxis], 64), rtol=1e-14)


def test_an_artifact_keeps_what_left_out_levels_have_shown(tmp_path, capsys):
    model, _, (rows, _) = draw_and_fit(1)
    model.save(tmp_path)

    loaded = load(tmp_path)
    assert describe.main([str(tmp_path)]) == 0

    (level,) = model.model_.members[0].unknown_levels
    scale, degrees = level.squared_scale[0] ** 0.5, level.degrees_of_freedom
    sentence = (
        f"unknown levels of level: {scale:.4g} times as wide, {degrees:.3g} degrees of freedom"
    )
    assert sentence in capsys.readouterr().out
    assert loaded.model_.members[0].unknown_levels == (level,)
    np.testing.assert_array_equal(
        loaded.predict(rows, return_std=True), model.predict(rows, return_std=True)
    )


@pytest.mark.parametrize(
    ("forged", "sentence"),
    [
        ([{"degrees_of_freedom": 4, "squared_scale": [-1]}], "of unknown_levels holds -1"),
        ([{"degrees_of_freedom": 4, "squared_scale": [0.5]}], "of unknown_levels is less than 1"),
        ([{"degrees_of_freedom": 0, "squared_scale": [2]}], "of unknown_levels holds 0; it must"),
        ([{"degrees_of_freedom": 4, "squared_scale": [2, 2]}], r"shape \(2,\) where \(1,\)"),
        ([{"degrees_of_freedom": 4, "squared_scale": ["wide"]}], "could not convert"),
        ([{"degrees_of_freedom": 4}], "squared_scale"),
        ([None, None], "unknown_levels are 2 where 1 belong"),
        (3, "not iterable"),
    ],
)
def test_forged_unknown_levels_are_refused(tmp_path, forged, sentence):
    draw_and_fit(1)[0].save(tmp_path)
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    description["members"][0]["unknown_levels"] = forged
    path.write_text(json.dumps(description))
    fit_checksums(tmp_path)

    with pytest.raises(UserError, match=sentence):
        artifact.load(tmp_path)


def test_a_level_whose_targets_are_all_alike_makes_a_new_one_no_surer_and_not_unknowable():
    """With the signal variance of its rows alone, the deviation was 279."""
    rng = np.random.default_rng(0)
    level = np.repeat(["common", "constant"], [108, 12])
    x = rng.normal(size=120)
    y = np.where(level == "common", x + rng.normal(size=120), 0.0)

    model = GaussianProcessRegressor(**ONE_KERNEL).fit(pd.DataFrame({"x": x, "level": level}), y)

    rows = pd.DataFrame({"x": [0.0, 0.0], "level": ["common", "new"]})
    common, new = model.predict(rows, return_std=True)[1]
    assert common < new < 3 * y.std()


def test_a_projection_to_the_letter_stays_so():
    rng = np.random.default_rng(2)
    features, y = draw(rng.normal(0, 3, 6), rng, "old", 40)

    model = GaussianProcessRegressor(**ONE_KERNEL, noise=0.1, projection="normalize").fit(
        features, y
    )

    assert model.model_.members[0].unknown_levels == ()
