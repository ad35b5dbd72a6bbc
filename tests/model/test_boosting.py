"""Boosted trees: the library's, and its text format."""

import numpy as np
import pytest

from gaussian_processes.model.boosting import BoostedTrees

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


def test_predictions_are_sums_over_the_leaves_that_the_text_describes(trees, tmp_path):
    trees.save(tmp_path)

    total = np.zeros(80)
    for text in (tmp_path / "trees.txt").read_text().split("\nTree=")[1:]:
        tree = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        total += [descend(tree, row) for row in X]

    np.testing.assert_allclose(trees.predict(X), total, rtol=1e-9, atol=1e-12)


def descend(tree, row):
    """Value of the leaf of a tree, as LightGBM writes it, that a row comes to."""
    values = {key: list(map(float, tree[key].split())) for key in ("leaf_value", "threshold")}
    if int(tree["num_leaves"]) == 1:
        return values["leaf_value"][0]
    nodes = {
        key: list(map(int, tree[key].split()))
        for key in ("split_feature", "left_child", "right_child")
    }
    node = 0
    while node >= 0:
        is_left = row[nodes["split_feature"][node]] <= values["threshold"][node]
        node = nodes["left_child" if is_left else "right_child"][node]
    return values["leaf_value"][~node]


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
