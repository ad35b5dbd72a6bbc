"""Boosted trees: the library's, and its text format."""

import lightgbm
import numpy as np
import pytest

from gaussian_processes.model.boosting import PARAMETERS, ROUNDS, BoostedTrees

GENERATOR = np.random.default_rng(92)
X = GENERATOR.normal(size=(80, 3))
Y = np.where(X[:, 0] > 0, 1.0, -1.0) + 0.1 * GENERATOR.normal(size=80)


@pytest.fixture(scope="module")
def trees():
    trees = BoostedTrees()
    trees.fit(X, Y, np.ones(80))
    return trees


def test_a_step_is_learned(trees):
    new = GENERATOR.normal(size=(200, 3))
    truth = np.where(new[:, 0] > 0, 1.0, -1.0)

    assert np.mean((trees.predict(new) - truth) ** 2) < 0.2 * np.var(truth)


def test_the_scikit_learn_interface_of_the_library_predicts_the_same(trees):
    peer = lightgbm.LGBMRegressor(
        n_estimators=ROUNDS, **{k: v for k, v in PARAMETERS.items() if k != "objective"}
    ).fit(X, Y)

    np.testing.assert_array_equal(trees.predict(X), peer.predict(X))


def test_trees_that_were_saved_predict_the_same_bits(trees, tmp_path):
    trees.save(tmp_path)

    loaded = BoostedTrees.load(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["trees.txt"]
    np.testing.assert_array_equal(loaded.predict(X), trees.predict(X))


@pytest.mark.parametrize("text", ["", "no trees", "tree\nversion=v4\nnum_class=x\n"])
def test_what_is_no_model_is_refused(text, tmp_path):
    (tmp_path / "trees.txt").write_text(text)

    with pytest.raises(ValueError, match=r"trees\.txt is no model of LightGBM"):
        BoostedTrees.load(tmp_path)


def test_trees_are_fitted_first():
    with pytest.raises(ValueError, match="call fit"):
        BoostedTrees().predict(X)
