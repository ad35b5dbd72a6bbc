"""Merged replicates answer as linear algebra on all observations does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.marginal_likelihood import (
    KernelParameters,
    TrainingData,
    log_marginal_likelihood_and_gradient,
)
from gaussian_processes.gp.replicates import find_replicates

PARAMETERS = KernelParameters(ArcCosine(1, 0), 0.07, 1.3, np.array([1.0, 0.6]))
COUNTS = [1, 4, 1, 2, 7, 3]


def observations():
    """Rows of which some are equal, in mixed order, of unlike weights."""
    rng = np.random.default_rng(41)
    z = rng.permutation(np.repeat(rng.normal(size=(len(COUNTS), 2)), COUNTS, axis=0))
    y = np.sin(3 * z[:, :1]) + rng.normal(scale=0.4, size=(len(z), 2))
    return TrainingData(z, y, rng.uniform(0.3, 3, len(z)))


def kernel(a, b):
    """Arc-cosine kernel of degree 1, by Cho & Saul's eq. 6."""
    t = np.clip(a @ b.T / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)), -1, 1)
    return (np.sqrt(1 - t**2) + (np.pi - np.arccos(t)) * t) / np.pi


def coordinates(parameters, z):
    return np.column_stack([z * parameters.relevance, np.full(len(z), parameters.bias)])


def covariance(parameters, data):
    x = coordinates(parameters, data.z)
    return kernel(x, x) + np.diag(parameters.noise_ratio / data.sample_weight)


def log_likelihood(parameters, data):
    matrix, size = covariance(parameters, data), len(data.y)
    variance = (data.y * np.linalg.solve(matrix, data.y)).sum(axis=0) / size
    determinant = np.linalg.slogdet(matrix)[1]
    return -(size * np.log(2 * np.pi * variance) + determinant + size).sum() / 2


def test_the_posterior_of_merged_replicates_is_that_of_all_observations():
    data = observations()
    inverse = np.linalg.inv(covariance(PARAMETERS, data))
    new = np.random.default_rng(42).normal(size=(5, 2))
    cross = kernel(coordinates(PARAMETERS, new), coordinates(PARAMETERS, data.z))
    variance = (data.y * (inverse @ data.y)).sum(axis=0) / len(data.y)

    process = data.condition(PARAMETERS)
    mean, own = process.mean_and_variance(PARAMETERS.points(new))

    assert len(process.points) == len(process.alpha) == len(COUNTS)
    np.testing.assert_allclose(mean, cross @ inverse @ data.y, rtol=0, atol=1e-8)
    explained = np.einsum("ij,jk,ik->i", cross, inverse, cross)
    expected = np.outer(1 + PARAMETERS.noise_ratio - explained, variance)
    np.testing.assert_allclose(own, expected, rtol=1e-8)
    expected = pytest.approx(log_likelihood(PARAMETERS, data), rel=1e-10)
    assert process.log_marginal_likelihood() == expected


def test_every_replicate_is_left_out_by_itself():
    data = observations()
    mean, variance = data.condition(PARAMETERS).leave_one_out(data.y)

    for row in range(len(data.y)):
        rest = np.delete(np.arange(len(data.y)), row)
        others = TrainingData(data.z[rest], data.y[rest], data.sample_weight[rest])
        inverse = np.linalg.inv(covariance(PARAMETERS, others))
        x = coordinates(PARAMETERS, data.z)
        cross = kernel(x[[row]], x[rest])[0]
        signal = (others.y * (inverse @ others.y)).sum(axis=0) / len(rest)
        noise = PARAMETERS.noise_ratio / data.sample_weight[row]
        np.testing.assert_allclose(mean[row], cross @ inverse @ others.y, rtol=0, atol=1e-8)
        expected = signal * (1 + noise - cross @ inverse @ cross)
        np.testing.assert_allclose(variance[row], expected, rtol=1e-8)


@given(
    st.integers(1, 12),
    st.integers(0, 3),
    st.integers(0, 3),
    st.floats(0.01, 10),
    st.integers(0, 99),
)
def test_to_repeat_every_observation_halves_the_noise(rows, degree, depth, noise, seed):
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=(rows, 2)), rng.normal(size=(rows, 2))
    parameters = replace(PARAMETERS, kernel=ArcCosine(degree, depth), noise_ratio=noise)
    halved = replace(parameters, noise_ratio=noise / 2)
    new = parameters.points(rng.normal(size=(4, 2)))

    repeated = TrainingData(np.tile(z, (2, 1)), np.tile(y, (2, 1)), np.ones(2 * rows))
    twice = repeated.condition(parameters)
    weighted = TrainingData(z, y, np.full(rows, 2.0)).condition(parameters)
    peer = TrainingData(z, y, np.ones(rows)).condition(halved)

    def of_function(process):
        """Posterior variance of the function, over that of the signal."""
        return process.variance(new) / process.signal_variance - process.noise_ratio

    for process in (twice, weighted):
        np.testing.assert_allclose(process.mean(new), peer.mean(new), rtol=0, atol=1e-9)
        np.testing.assert_allclose(of_function(process), of_function(peer), atol=1e-9)
    # The same squares are spread over twice as many observations; a weight makes none.
    np.testing.assert_allclose(twice.signal_variance, peer.signal_variance / 2, rtol=1e-9)
    np.testing.assert_allclose(weighted.signal_variance, peer.signal_variance, rtol=1e-9)


@pytest.mark.parametrize("name", ["noise_ratio", "bias", "relevance"])
def test_the_likelihood_and_its_gradient_are_those_of_all_observations(name):
    data, step = observations(), 1e-5

    def at(factor):
        changed = getattr(PARAMETERS, name) * np.where(np.arange(2) == 1, factor, 1)
        changed = changed if name == "relevance" else float(changed[1])
        return log_likelihood(replace(PARAMETERS, **{name: changed}), data)

    value, gradient = log_marginal_likelihood_and_gradient(PARAMETERS, data)

    assert value == pytest.approx(log_likelihood(PARAMETERS, data), rel=1e-10)
    slope = (at(np.exp(step)) - at(np.exp(-step))) / (2 * step)
    assert gradient[name][-1] == pytest.approx(slope, rel=1e-6)


def test_targets_that_differ_within_points_only_are_noise():
    data = TrainingData(np.zeros((4, 2)), np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.ones(4))

    process = data.condition(PARAMETERS)

    assert (process.alpha == 0).all()
    expected = pytest.approx(log_likelihood(PARAMETERS, data), rel=1e-12)
    assert process.log_marginal_likelihood() == expected


def test_without_noise_equal_rows_are_not_merged():
    data = observations()

    process = data.condition(replace(PARAMETERS, noise_ratio=0.0))

    assert len(process.points) == len(data.z)
    assert process.jitter > 0


def test_points_keep_their_order_and_zeros_have_no_sign():
    rows = np.array([[3.0], [0.0], [3.0], [-0.0], [1.0]])

    found = find_replicates(rows, np.arange(1.0, 6.0))

    assert found.point.tolist() == [0, 1, 0, 1, 2]
    assert found.first.tolist() == [0, 1, 4]
    assert found.total_weight.tolist() == [4, 6, 5]
    assert find_replicates(rows[[0, 1, 4]], np.ones(3)) is None
