"""Regressors beside processes: which classes are imported, and what is taken from them."""

import numpy as np
import pytest
from ridge_member import Ridge, RidgeWithVariance, Wrong
from sklearn.linear_model import Ridge as PeerRidge
from sklearn.model_selection import KFold

from gaussian_processes.errors import UserError
from gaussian_processes.gp.ensembles import k_fold_indices
from gaussian_processes.model import regressors
from gaussian_processes.model.boosting import BoostedTrees

GENERATOR = np.random.default_rng(91)
X = GENERATOR.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + GENERATOR.normal(scale=0.3, size=60)
WEIGHTS = GENERATOR.uniform(0.5, 2, size=60)


def test_boosting_is_the_class_of_this_package():
    assert regressors.resolve("boosting") is BoostedTrees


def test_only_classes_that_the_environment_lists_are_imported(monkeypatch):
    monkeypatch.setenv(regressors.REGRESSORS_VARIABLE, "numpy:ndarray, ridge_member:Ridge")

    assert regressors.resolve("ridge_member:Ridge") is Ridge
    for name in ("os:system", "ridge_member:Wrong", "gaussian_processes.model.boosting:json"):
        with pytest.raises(UserError, match=f"{name} is not among the members that this image"):
            regressors.resolve(name)


@pytest.mark.parametrize("name", ["no_such_module:Class", "ridge_member:NoSuchClass"])
def test_a_class_that_is_not_there_is_refused_in_a_sentence(monkeypatch, name):
    monkeypatch.setenv(regressors.REGRESSORS_VARIABLE, name)

    with pytest.raises(UserError, match=f"the member {name} can't be imported"):
        regressors.resolve(name)


def test_out_of_fold_predictions_are_those_of_a_peer_on_the_same_folds():
    left_out, residual_variance = regressors.predict_out_of_fold(Ridge, X, Y, WEIGHTS)

    expected = np.empty(60)
    for left in k_fold_indices(60, regressors.FOLDS, 0):
        kept = np.setdiff1d(np.arange(60), left)
        peer = PeerRidge(1e-9).fit(X[kept], Y[kept], WEIGHTS[kept])
        expected[left] = peer.predict(X[left])
    np.testing.assert_allclose(left_out[:, 0], expected, atol=1e-3)
    assert residual_variance == pytest.approx(np.mean(WEIGHTS * (Y - left_out[:, 0]) ** 2))
    np.testing.assert_allclose(left_out[:, 1], residual_variance / WEIGHTS)
    # As many folds of as many rows as scikit-learn makes.
    sizes = sorted(len(left) for _, left in KFold(regressors.FOLDS).split(X))
    assert sizes == sorted(map(len, k_fold_indices(60, regressors.FOLDS, 0)))


def test_a_variance_of_its_own_takes_the_place_of_the_residuals():
    left_out, _ = regressors.predict_out_of_fold(RidgeWithVariance, X, Y, np.ones(60))
    ridge = RidgeWithVariance()
    ridge.fit(X, Y, WEIGHTS)

    assert set(left_out[:, 1]) == {0.25}
    assert set(regressors.predict(ridge, X, 9.0)[1]) == {0.25}


def test_predictions_of_another_shape_are_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"the member Wrong predicts an array of shape \(11,\)"):
        regressors.predict_out_of_fold(Wrong, X, Y, WEIGHTS)
