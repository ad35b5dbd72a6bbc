from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from oracles import gram
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, WhiteKernel

from gaussian_processes.gp import regression
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix, fit
from gaussian_processes.linalg import parallel
from gaussian_processes.linalg.cholesky import InMemoryPanels, NotPositiveDefiniteError


@dataclass
class ClosedForm(Kernel):
    """Closed forms of degree 0, 1 and 2 for scikit-learn: Cho & Saul, eqs. 5 to 7, over J_q(0)."""

    degree: int
    depth: int

    def __call__(self, a, b=None, eval_gradient=False):
        t = np.clip(a @ (a if b is None else b).T, -1, 1)
        if b is None:
            np.fill_diagonal(t, 1)
        for _ in range(self.depth + 1):
            angle = np.arccos(t)
            t = [
                (np.pi - angle) / np.pi,
                (np.sin(angle) + (np.pi - angle) * t) / np.pi,
                (3 * np.sin(angle) * t + (np.pi - angle) * (1 + 2 * t**2)) / (3 * np.pi),
            ][self.degree]
            t = np.clip(t, -1, 1)
        return (t, np.empty((*t.shape, 0))) if eval_gradient else t

    def diag(self, points):
        return np.ones(len(points))

    def is_stationary(self):
        return False


def sample(rows=60, columns=3, targets=1, seed=11):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(rows, columns))
    return points / np.linalg.norm(points, axis=1, keepdims=True), rng.normal(size=(rows, targets))


@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("noise", [0.01, 0.5])
def test_mean_deviation_and_log_marginal_likelihood_are_those_of_scikit_learn(degree, depth, noise):
    points, targets = sample()
    new, _ = sample(20, seed=12)
    process = fit(GramMatrix(ArcCosine(degree, depth), points, noise), targets)
    variance = process.signal_variance[0]
    kernel = ConstantKernel(variance, "fixed") * ClosedForm(degree, depth) + WhiteKernel(
        variance * noise, "fixed"
    )
    peer = GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(points, targets[:, 0])

    mean, deviation = peer.predict(new, return_std=True)

    np.testing.assert_allclose(process.mean(new)[:, 0], mean, rtol=0, atol=1e-8)
    np.testing.assert_allclose(np.sqrt(process.variance(new)[:, 0]), deviation, rtol=1e-8)
    assert process.log_marginal_likelihood() == pytest.approx(
        peer.log_marginal_likelihood_value_, rel=1e-8
    )


def test_the_signal_variance_maximises_the_log_marginal_likelihood():
    points, targets = sample()
    process = fit(GramMatrix(ArcCosine(1, 0), points, 0.1), targets)

    def log_marginal_likelihood(variance):
        kernel = ConstantKernel(variance, "fixed") * ClosedForm(1, 0) + WhiteKernel(
            variance * 0.1, "fixed"
        )
        return (
            GaussianProcessRegressor(kernel, alpha=0, optimizer=None)
            .fit(points, targets[:, 0])
            .log_marginal_likelihood_value_
        )

    best = process.signal_variance[0]
    neighbours = [log_marginal_likelihood(best * factor) for factor in (0.99, 1.01)]
    assert log_marginal_likelihood(best) > max(neighbours)


def test_leaving_one_out_is_refitting_without_it():
    points, targets = sample(25, targets=2)
    process = fit(GramMatrix(ArcCosine(2, 1), points, 0.2), targets)

    mean, variance = process.leave_one_out(targets)

    for row in range(25):
        rest = np.delete(np.arange(25), row)
        refitted = fit(GramMatrix(ArcCosine(2, 1), points[rest], 0.2), targets[rest])
        np.testing.assert_allclose(mean[row], refitted.mean(points[[row]])[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(variance[row], refitted.variance(points[[row]])[0], rtol=1e-11)


def test_targets_that_share_a_kernel_are_fitted_as_if_alone():
    points, targets = sample(40, targets=3)
    together = fit(GramMatrix(ArcCosine(1, 1), points, 0.1), targets)

    alone = [
        fit(GramMatrix(ArcCosine(1, 1), points, 0.1), targets[:, [column]]) for column in range(3)
    ]

    np.testing.assert_allclose(
        together.mean(points), np.hstack([one.mean(points) for one in alone]), rtol=0, atol=1e-13
    )
    assert together.log_marginal_likelihood() == pytest.approx(
        sum(one.log_marginal_likelihood() for one in alone), rel=1e-13
    )


@pytest.mark.slow
# q = 0 has a cusp at t = 1; deep kernels of q = 1 tend to all ones.
@pytest.mark.parametrize(("degree", "depth"), [(0, 0), (0, 3), (1, 0), (1, 10), (3, 1)])
@pytest.mark.parametrize("noise", [1e-10, 1e-4, 10.0])
@pytest.mark.parametrize("distance", [0.0, 1e-9, 1e-3])
def test_ill_conditioned_cases_agree_with_50_digits_to_100_roundings_times_the_condition(
    degree, depth, noise, distance
):
    points, targets = sample(12)
    points[1] = points[0]
    if distance:
        points[1] += distance * np.array([1.0, -1.0, 0.5])
        points[1] /= np.linalg.norm(points[1])
    new, _ = sample(3, seed=13)
    with mp.workdps(50):
        matrix = gram(degree, depth, points, points) + mpf(noise) * mp.eye(12)
        y, cross = mp.matrix(targets.tolist()), gram(degree, depth, new, points)
        inverse = matrix**-1
        weights = inverse * y
        scale = (y.T * weights)[0] / 12
        mean = np.array([float(v) for v in cross * weights])
        spread = [
            scale * (1 + mpf(noise) - (cross[i, :] * inverse * cross[i, :].T)[0]) for i in range(3)
        ]
        left = np.array([float(y[i] - weights[i] / inverse[i, i]) for i in range(12)])
        evidence = float(-(12 * mp.log(2 * mp.pi * scale) + mp.log(mp.det(matrix)) + 12) / 2)
        condition = float(mp.norm(matrix, 2) * mp.norm(inverse, 2))

    process = fit(GramMatrix(ArcCosine(degree, depth), points, noise), targets)

    bound = 100 * condition * np.finfo(float).eps
    assert process.jitter == 0
    np.testing.assert_allclose(
        process.mean(new)[:, 0], mean, rtol=0, atol=bound * np.abs(mean).max()
    )
    np.testing.assert_allclose(process.variance(new)[:, 0], [float(v) for v in spread], rtol=bound)
    np.testing.assert_allclose(
        process.leave_one_out(targets)[0][:, 0], left, rtol=0, atol=bound * np.abs(left).max()
    )
    assert process.log_marginal_likelihood() == pytest.approx(
        evidence, abs=max(1e-12, bound) * abs(evidence)
    )


def test_duplicates_without_noise_get_the_smallest_jitter_that_works():
    points, targets = sample(30)
    points = np.vstack([points, points])
    targets = np.vstack([targets, targets])

    process = fit(GramMatrix(ArcCosine(1, 0), points, 0.0), targets)

    assert 0 < process.jitter <= 1e-13
    np.testing.assert_allclose(process.mean(points), targets, rtol=0, atol=1e-2)
    assert np.isfinite(process.variance(points)).all()
    assert (process.variance(points) > 0).all()


def test_without_the_factor_there_is_no_variance():
    points, targets = sample()
    process = replace(fit(GramMatrix(ArcCosine(), points, 0.1), targets), factor=None)

    with pytest.raises(ValueError, match="needs the factor"):
        process.variance(points)


@given(
    st.integers(1, 30),
    st.integers(0, 3),
    st.integers(0, 3),
    st.floats(0.01, 10),
    st.integers(0, 99),
)
def test_a_weight_is_so_many_repetitions_of_an_observation(rows, degree, depth, noise, seed):
    points, targets = sample(rows, seed=seed)
    new, _ = sample(4, seed=seed + 1)
    repetitions = np.random.default_rng(seed).integers(1, 4, size=rows)
    kernel = ArcCosine(degree, depth)
    repeated = np.repeat(points, repetitions, axis=0)

    weighted = fit(GramMatrix(kernel, points, noise, repetitions.astype(float)), targets)

    peer = fit(GramMatrix(kernel, repeated, noise), np.repeat(targets, repetitions, axis=0))
    np.testing.assert_allclose(weighted.mean(new), peer.mean(new), rtol=0, atol=1e-9)
    # The variances but for their units: repetitions count as observations of the signal, too.
    np.testing.assert_allclose(
        weighted.variance(new) / weighted.signal_variance,
        peer.variance(new) / peer.signal_variance,
        rtol=1e-9,
    )


@given(st.integers(1, 40), st.integers(0, 4), st.integers(0, 4), st.integers(0, 99))
def test_a_variance_lies_between_that_of_the_noise_and_that_of_the_prior(rows, degree, depth, seed):
    points, targets = sample(rows, seed=seed)
    new, _ = sample(5, seed=seed + 1)

    process = fit(GramMatrix(ArcCosine(degree, depth), points, 0.1), targets)

    ratio = process.variance(np.vstack([points, new])) / process.signal_variance
    assert (ratio >= 0.1).all()
    assert (ratio <= 1.1 + 1e-12).all()


@pytest.mark.parametrize("rows", [1, 2, 57, 300])
def test_however_many_rows_and_cores_there_are_variances_are_the_same(rows, monkeypatch):
    points, targets = sample(1700)  # so that a panel's part of the solution is shared, too
    new, _ = sample(rows, seed=12)
    process = fit(GramMatrix(ArcCosine(1, 1), points, 0.1), targets)
    kernel, gram_matrix = (
        ArcCosine(1, 1)(new, points),
        ArcCosine(1, 1)(points, points) + 0.1 * np.eye(1700),
    )
    explained = (kernel * np.linalg.solve(gram_matrix, kernel.T).T).sum(axis=1)

    found = []
    for cores in (1, 2, 16):
        for module in (regression, parallel):
            monkeypatch.setattr(module, "available_cpus", lambda cores=cores: cores)
        found.append(process.variance(new)[:, 0])

    np.testing.assert_allclose(found[0], process.signal_variance[0] * (1.1 - explained), rtol=1e-9)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_no_new_points_get_no_predictions():
    points, targets = sample()
    process = fit(GramMatrix(ArcCosine(), points, 0.1), targets)

    assert process.mean(points[:0]).shape == (0, 1)
    assert process.variance(points[:0]).shape == (0, 1)


@pytest.mark.parametrize("noise", [1.0, 1e-2, 1e-5])
@pytest.mark.parametrize("degree", [0, 1])
def test_mixed_precision_solves_the_equations_to_ten_digits(degree, noise):
    points, targets = sample(700, targets=2)
    kernel = ClosedForm(degree, 1)

    process = fit(
        GramMatrix(ArcCosine(degree, 1), points, noise),
        targets,
        lambda diagonal: InMemoryPanels(np.float32),
    )

    gram = kernel(points)
    residual = targets - gram @ process.alpha - noise * process.alpha
    # Besides the residual asked for, what rounding makes of the oracle's own product.
    rounding = np.finfo(float).eps * np.linalg.norm(gram, 2) * np.linalg.norm(process.alpha, axis=0)
    assert (
        np.linalg.norm(residual, axis=0) < 1e-10 * np.linalg.norm(targets, axis=0) + rounding
    ).all()
    assert 1 <= process.iterations <= 20
    assert process.factor.dtype == np.float32


def test_mixed_precision_keeps_six_digits_of_what_is_not_refined():
    points, targets = sample(600)
    new, _ = sample(50, seed=14)
    full = fit(GramMatrix(ArcCosine(1, 1), points, 0.1), targets)

    mixed = fit(
        GramMatrix(ArcCosine(1, 1), points, 0.1),
        targets,
        lambda diagonal: InMemoryPanels(np.float32),
    )

    np.testing.assert_allclose(mixed.mean(new), full.mean(new), rtol=0, atol=1e-9)
    np.testing.assert_allclose(mixed.variance(new), full.variance(new), rtol=1e-5)
    assert mixed.log_marginal_likelihood() == pytest.approx(
        full.log_marginal_likelihood(), rel=1e-5
    )
    np.testing.assert_allclose(
        mixed.leave_one_out(targets)[1], full.leave_one_out(targets)[1], rtol=1e-5
    )


def test_what_float32_cannot_factorise_is_refused():
    points, targets = sample(60)
    points = np.vstack([points, points])

    with pytest.raises(NotPositiveDefiniteError):
        fit(
            GramMatrix(ArcCosine(1, 3), points, 1e-12),
            np.vstack([targets, targets]),
            lambda diagonal: InMemoryPanels(np.float32),
        )


def test_a_target_of_zeros_among_others_has_an_alpha_of_zero_in_mixed_precision():
    points, targets = sample(40, targets=2)
    targets[:, 1] = 0

    process = fit(
        GramMatrix(ArcCosine(1, 0), points, 0.1),
        targets,
        lambda diagonal: InMemoryPanels(np.float32),
    )

    assert (process.alpha[:, 1] == 0).all()
    assert np.isfinite(process.alpha).all()


def test_a_target_of_zeros_has_the_variance_of_one_prior_observation_among_n_of_zero():
    generator = np.random.default_rng(8)
    points = generator.normal(size=(9, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    y = np.column_stack([np.sin(points[:, 0]), np.zeros(9)])
    kernel = ArcCosine(1, 1)

    both = fit(GramMatrix(kernel, points, 0.1), y)
    alone = fit(GramMatrix(kernel, points, 0.1), y[:, :1])

    squared_deviations = [1.0] + [0.0] * 9
    refitted = [
        fit(GramMatrix(kernel, np.delete(points, row, 0), 0.1), np.delete(y[:, :1], row, 0))
        for row in range(9)
    ]
    ratios = [
        (process.variance(points[[row]]) / process.signal_variance).item()
        for row, process in enumerate(refitted)
    ]
    np.testing.assert_allclose(
        both.signal_variance[1] * np.mean(ratios), np.mean(squared_deviations), rtol=1e-9
    )
    assert both.log_marginal_likelihood() == alone.log_marginal_likelihood()
    assert not both.mean(points)[:, 1].any()
    assert (both.variance(points)[:, 1] > 0).all()
