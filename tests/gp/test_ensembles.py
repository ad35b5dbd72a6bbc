from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import dirichlet
from sklearn.gaussian_process import GaussianProcessRegressor as Peer
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LinearRegression

from gaussian_processes import GaussianProcessRegressor
from gaussian_processes.gp.ensembles import (
    MIN_WEIGHT,
    k_fold_indices,
    mixture,
    stack,
    stacking_weights,
)


@pytest.mark.parametrize("prior_rows", [0.0, 3.0])
def test_the_weights_are_those_of_a_general_optimiser(prior_rows):
    densities = np.random.default_rng(91).normal(-1, 2, size=(200, 4))
    behind = densities.sum(axis=0).max() - densities.sum(axis=0)
    shares = np.where(behind < 40, 1, np.exp(40 - behind))

    def loss(logits):
        weights = np.exp(logits) / np.exp(logits).sum()
        prior = dirichlet.logpdf(weights, 1 + prior_rows * shares / shares.sum())
        return -(np.log(np.exp(densities) @ weights).sum() + prior) / 200

    found = minimize(
        loss,
        np.zeros(4),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000},
    )
    expected = np.exp(found.x) / np.exp(found.x).sum()

    weights = stacking_weights(densities, prior_rows=prior_rows)
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_prior_rows_speak_for_those_alone_that_may_be_the_best():
    densities = np.zeros((20, 4)) - np.array([0.0, 1.5, 6.5, 12.0])

    weights = stacking_weights(densities, prior_rows=3.0)

    # Thirty nats behind is luck; 130 and 240 are not, and have e^-10 of a share and nothing.
    share = 1 / (2 + np.exp(-10))
    assert weights[1] >= 3 / 23 * share
    assert weights[2] < 1e-3
    assert weights[3] == 0


def test_a_member_that_is_always_better_has_all_the_weight():
    densities = np.random.default_rng(92).normal(size=(50, 1)) + np.array([0.0, -0.5, -1.0])

    np.testing.assert_array_equal(stacking_weights(densities), [1, 0, 0])


@given(st.integers(1, 6), st.integers(1, 30), st.floats(-1e4, 1e4), st.integers(0, 2**32))
def test_weights_are_shares_however_large_or_small_the_densities_are(members, rows, level, seed):
    densities = level + np.random.default_rng(seed).normal(scale=100, size=(rows, members))

    weights = stacking_weights(densities)

    assert weights.sum() == pytest.approx(1)
    assert ((weights == 0) | (weights >= MIN_WEIGHT)).all()
    np.testing.assert_allclose(stacking_weights(densities + 1000), weights, atol=1e-6)


def test_a_mixture_has_the_moments_of_its_draws():
    rng = np.random.default_rng(93)
    weights, means, variances = (
        np.array([0.2, 0.5, 0.3]),
        rng.normal(size=(3, 2, 1)),
        rng.uniform(0.1, 2, size=(3, 2, 1)),
    )
    members = rng.choice(3, size=400_000, p=weights)
    draws = means[members, :, 0] + np.sqrt(variances[members, :, 0]) * rng.normal(size=(400_000, 2))

    mean, variance = mixture(weights, means, variances)

    # 400,000 draws scatter by less than a hundredth of their standard deviation, five times over.
    np.testing.assert_allclose(mean[:, 0], draws.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(variance[:, 0], draws.var(axis=0), rtol=0.015)


@given(st.integers(2, 200), st.integers(2, 10), st.integers(0, 99))
def test_every_row_is_in_one_fold_and_folds_are_of_a_size(size, folds, seed):
    parts = k_fold_indices(size, folds, seed)

    assert sorted(np.concatenate(parts)) == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all((np.diff(part) > 0).all() for part in parts)
    np.testing.assert_equal(k_fold_indices(size, folds, seed), parts)


@dataclass(frozen=True)
class LeastSquares:
    """A line, and the deviation of what it leaves: a member that is no Gaussian process."""

    line: LinearRegression | None = None
    std: float = 0.0

    def fit(self, rows, targets):
        line = LinearRegression().fit(rows, targets)
        left = np.square(targets - line.predict(rows)).sum()
        return LeastSquares(line, np.sqrt(left / (len(rows) - rows.shape[1] - 1)))

    def predict(self, rows, return_std):
        mean = self.line.predict(rows)
        return mean, np.full_like(mean, self.std)


def process():
    return GaussianProcessRegressor(q=1, l=1)


def data(function, rows=120):
    rng = np.random.default_rng(94)
    x = rng.normal(size=(rows, 2))
    return x, function(x)[:, np.newaxis] + 0.1 * rng.normal(size=(rows, 1))


def test_a_member_of_one_s_own_has_the_weight_where_it_is_right():
    x, y = data(lambda x: np.sin(3 * x[:, 0]))
    assert stack([LeastSquares(), process()], x, y, folds=5).weights.tolist() == [1]

    x, y = data(lambda x: x @ [2, 3])
    ensemble = stack([LeastSquares(), process()], x, y, folds=5)
    assert isinstance(ensemble.members[0], LeastSquares)
    assert ensemble.weights[0] > 0.3


def test_a_regressor_of_scikit_learn_s_is_a_member_as_it_is():
    x, y = data(lambda x: np.sin(3 * x[:, 0]))
    peer = Peer(RBF() + WhiteKernel(0.01), normalize_y=True)

    ensemble = stack([LeastSquares(), peer], x[:100], y[:100], folds=5)

    expected = peer.predict(x[100:], return_std=True)
    found = ensemble.predict(x[100:], return_std=True)
    np.testing.assert_array_equal(ensemble.weights, [1])
    np.testing.assert_allclose(np.array(found)[..., 0], expected, rtol=1e-12)


def test_an_ensemble_predicts_the_mixture_of_its_members():
    x, y = data(lambda x: x[:, 0] ** 2 + x[:, 1])
    ensemble = stack([LeastSquares(), process()], x[:100], y[:100], folds=5)

    mean, std = ensemble.predict(x[100:], return_std=True)

    parts = [member.predict(x[100:], return_std=True) for member in ensemble.members]
    np.testing.assert_allclose(
        mean, sum(w * m for w, (m, _) in zip(ensemble.weights, parts, strict=True)), rtol=1e-12
    )
    second = sum(w * (s**2 + m**2) for w, (m, s) in zip(ensemble.weights, parts, strict=True))
    np.testing.assert_allclose(std, np.sqrt(second - mean**2), rtol=1e-9)
    np.testing.assert_array_equal(ensemble.predict(x[100:]), mean)


def test_a_member_of_too_little_weight_is_left_out_and_the_rest_is_weighed_anew():
    rng = np.random.default_rng(12)
    densities = rng.normal(size=(200, 6))

    weights = stacking_weights(densities, max_members=3, min_weight=0.05)

    kept = np.flatnonzero(weights)
    assert len(kept) <= 3
    assert weights[kept].min() >= 0.05
    np.testing.assert_allclose(weights[kept], stacking_weights(densities[:, kept]), atol=1e-6)


def test_one_member_at_most_is_the_best_alone():
    densities = np.log([[0.5, 0.2, 0.3], [0.6, 0.3, 0.2], [0.4, 0.4, 0.1]])

    np.testing.assert_array_equal(stacking_weights(densities, max_members=1), [1, 0, 0])
