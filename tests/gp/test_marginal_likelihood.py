from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf
from oracles import gaussian, gram, matern52
from scipy.optimize import approx_fprime
from scipy.stats import norm

from benchmarks.searches import draw_problem
from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF, Matern52
from gaussian_processes.gp.marginal_likelihood import (
    BOUNDS,
    KernelParameters,
    TrainingData,
    log_marginal_likelihood_and_gradient,
    log_prior_and_gradient,
    maximize_posterior,
    subset_rows,
)


def sample(rows, columns=3, targets=2, seed=21):
    rng = np.random.default_rng(seed)
    return TrainingData(
        rng.normal(size=(rows, columns)),
        rng.normal(size=(rows, targets)),
        rng.uniform(0.5, 2, size=rows),
    )


def by_definition(parameters, data):
    """Log marginal likelihood at the best signal variance, by the oracle's kernel, in mpmath."""
    size, total = len(data.z), mpf(0)
    rows = np.column_stack([data.z * parameters.relevance, np.full(size, parameters.bias)])
    noise = mp.diag([mpf(parameters.noise_ratio) / mpf(weight) for weight in data.sample_weight])
    matrix = kernel_by_definition(parameters.kernel, rows) + noise
    for column in data.y.T:
        target = mp.matrix(column.tolist())
        scale = (target.T * mp.lu_solve(matrix, target))[0] / size
        total -= (size * mp.log(2 * mp.pi * scale) + mp.log(mp.det(matrix)) + size) / 2
    return total


def kernel_by_definition(kernel, rows):
    if isinstance(kernel, Matern52):
        return matern52(kernel.gamma, rows, rows)
    values = gram(kernel.q, kernel.l, rows, rows)
    if isinstance(kernel, ArcCosineRBF):
        distances = gaussian(kernel.gamma, rows, rows)
        for row, column in np.ndindex(len(rows), len(rows)):
            values[row, column] *= distances[row, column]
    return values


KERNELS = [
    *(ArcCosine(q, depth) for q in (0, 1, 3) for depth in (0, 2)),
    *(ArcCosineRBF(q, 1, 0.4) for q in (0, 2)),
    Matern52(0.6),
]


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_log_marginal_likelihood_and_its_gradient_are_those_of_the_definition(kernel):
    data = sample(8)
    parameters = KernelParameters(kernel, 0.3, 1.7, np.array([1.0, 0.5, 2.0]))
    step = 1e-6
    with mp.workdps(40):
        expected = by_definition(parameters, data)
        quotients = {
            "noise_ratio": quotient(
                lambda factor: replace(parameters, noise_ratio=parameters.noise_ratio * factor),
                data,
                step,
            ),
            "bias": quotient(
                lambda factor: replace(parameters, bias=parameters.bias * factor), data, step
            ),
            "relevance": quotient(
                lambda factor: replace(parameters, relevance=parameters.relevance * [1, factor, 1]),
                data,
                step,
            ),
        }
        if kernel.learned:
            quotients["gamma"] = quotient(
                lambda factor: replace(
                    parameters, kernel=replace(kernel, gamma=kernel.gamma * factor)
                ),
                data,
                step,
            )

    value, gradient = log_marginal_likelihood_and_gradient(parameters, data)

    assert value == pytest.approx(float(expected), rel=1e-12)
    assert gradient["relevance"][1] == pytest.approx(quotients.pop("relevance"), rel=1e-8)
    for name, expected in quotients.items():
        assert gradient[name][0] == pytest.approx(expected, rel=1e-8, abs=1e-9)


def quotient(changed, data, step):
    """Central difference in the logarithm of a parameter.

    The parameter's own doubles round at 1e-16, so 1e-10 is noise.
    """
    above, below = (by_definition(changed(np.exp(sign * step)), data) for sign in (1, -1))
    return float((above - below) / (2 * step))


def wave(rows=80, noise=0.1, seed=22):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 2))
    y = np.sin(2 * z[:, :1]) + noise * rng.normal(size=(rows, 1))
    return TrainingData(z, (y - y.mean()) / y.std(), np.ones(rows))


@pytest.mark.parametrize(
    "names",
    [["noise_ratio"], ["bias"], ["noise_ratio", "bias"], ["noise_ratio", "bias", "relevance"]],
)
def test_what_is_learned_is_a_maximum_of_the_posterior_and_the_rest_stays(names):
    data = wave()
    given = KernelParameters(ArcCosine(1, 1), 0.05, 2.0, np.ones(2))

    learned = maximize_posterior(given, names, data)

    def posterior(parameters):
        likelihood = log_marginal_likelihood_and_gradient(parameters, data)[0]
        return likelihood + log_prior_and_gradient(parameters, names)[0]

    best = posterior(learned)
    assert best >= posterior(given)
    for name in ("noise_ratio", "bias"):
        value = getattr(learned, name)
        if name in names:
            for factor in (0.8, 1.25):
                tried = float(np.clip(value * factor, *BOUNDS[name]))
                assert best >= posterior(replace(learned, **{name: tried})) - 1e-3
        else:
            assert value == getattr(given, name)


@pytest.mark.parametrize(
    "names",
    [
        ["noise_ratio"],
        ["noise_ratio", "bias"],
        ["relevance"],
        ["noise_ratio", "bias", "relevance"],
        ["noise_ratio", "gamma"],
        ["noise_ratio", "bias", "gamma", "relevance"],
    ],
)
def test_the_prior_is_normal_in_the_logarithms_of_ratios(names):
    kernel = ArcCosineRBF(1, 1, 0.7)
    parameters = KernelParameters(kernel, 0.05, 2.0, np.array([0.5, 1.0, 4.0]))

    def density(noise_ratio, bias, gamma, relevance):
        logs = np.log(relevance)
        value = 0.0
        if "noise_ratio" in names:
            value += norm.logpdf(np.log(noise_ratio), np.log(0.1), 2)
        if "noise_ratio" in names and "bias" in names:
            value += norm.logpdf(np.log(bias), np.log(4.5) + logs.mean(), 1)
        if "relevance" in names:
            value += norm.logpdf(logs, logs.mean(), 0.5).sum()
        if "gamma" in names:
            typical = gamma * (relevance**2).sum()
            value += norm.logpdf(np.log(typical), np.log(0.3), 2)
        return value

    def at(logs):
        values = np.exp(logs)
        return density(values[0], values[1], values[2], values[3:])

    logs = np.log(np.concatenate([[0.05, 2.0, 0.7], parameters.relevance]))
    slopes = approx_fprime(logs, at, 1e-7)

    value, gradient = log_prior_and_gradient(parameters, names)
    other = replace(parameters, noise_ratio=0.2, bias=3.0, kernel=replace(kernel, gamma=0.1))
    moved, _ = log_prior_and_gradient(other, names)

    expected = {
        "noise_ratio": slopes[:1],
        "bias": slopes[1:2],
        "gamma": slopes[2:3],
        "relevance": slopes[3:],
    }
    for name in names:
        np.testing.assert_allclose(gradient[name], expected[name], atol=1e-5)
    relevance = parameters.relevance
    difference = density(0.2, 3.0, 0.1, relevance) - density(0.05, 2.0, 0.7, relevance)
    assert moved - value == pytest.approx(difference, abs=1e-12)


def test_with_a_noise_that_is_given_the_likelihood_alone_chooses_the_bias():
    parameters = KernelParameters(ArcCosine(1, 1), 0.05, 200.0, np.ones(2))

    value, gradient = log_prior_and_gradient(parameters, ["bias"])

    assert value == 0
    assert gradient["bias"] == 0


@pytest.mark.parametrize(("count", "most"), [(3, 10), (10, 10), (1_001, 500), (1_353, 1_000)])
def test_a_subset_is_spread_evenly_and_has_no_row_twice(count, most):
    rows = subset_rows(count, most)

    assert len(rows) == min(count, most)
    assert rows[0] == 0
    assert rows[-1] == count - 1
    assert set(np.diff(rows)) <= {count // len(rows), count // len(rows) + 1}


def test_a_column_that_does_not_matter_loses_its_relevance():
    data = wave()

    learned = maximize_posterior(
        KernelParameters(ArcCosine(1, 1), 0.05, 2.0, np.ones(2)),
        ["noise_ratio", "bias", "relevance"],
        data,
    )

    assert learned.relevance[1] < learned.relevance[0] / 3


def test_without_names_the_parameters_are_returned_as_they_are():
    data = wave(10)
    given = KernelParameters(ArcCosine(), 0.05, 2.0, np.ones(2))

    assert maximize_posterior(given, [], data) is given


def test_a_start_of_another_kernel_leads_to_the_same_maximum():
    data = wave()
    given = KernelParameters(ArcCosine(1, 1), 0.0, 1.0, np.ones(2))
    near = maximize_posterior(replace(given, kernel=ArcCosine(1, 0)), ["noise_ratio", "bias"], data)

    led, found = (
        maximize_posterior(given, ["noise_ratio", "bias"], data, near),
        maximize_posterior(given, ["noise_ratio", "bias"], data),
    )

    assert log_marginal_likelihood_and_gradient(led, data)[0] == pytest.approx(
        log_marginal_likelihood_and_gradient(found, data)[0], abs=1e-3
    )


def test_targets_that_are_zero_everywhere_do_not_count():
    data = wave()
    parameters = KernelParameters(ArcCosine(1, 1), 0.1, 2.0, np.ones(2))
    wider = replace(data, y=np.column_stack([data.y, np.zeros(len(data.y))]))

    assert (
        log_marginal_likelihood_and_gradient(parameters, wider)[0]
        == log_marginal_likelihood_and_gradient(parameters, data)[0]
    )
    assert wider.condition(parameters).log_marginal_likelihood() == pytest.approx(
        data.condition(parameters).log_marginal_likelihood(), rel=1e-14
    )


def test_a_start_without_gamma_does_not_bind_the_search_with_it():
    data = wave(60)
    near_nothing = KernelParameters(ArcCosine(1, 1), 1e-8, 900.0, np.ones(2))
    names = ["noise_ratio", "bias", "gamma"]
    parameters = near_nothing.with_kernel(ArcCosineRBF(1, 1))

    led = maximize_posterior(parameters, names, data, near_nothing)
    found = maximize_posterior(parameters, names, data)

    posteriors = [
        log_marginal_likelihood_and_gradient(own, data)[0] + log_prior_and_gradient(own, names)[0]
        for own in (led, found)
    ]
    assert posteriors[0] >= posteriors[1] - 1e-3


def test_a_kernel_begins_with_the_gamma_of_the_priors_median():
    parameters = KernelParameters(ArcCosine(2, 1), 0.1, 2.0, np.array([1.0, 2.0]))

    begun = parameters.with_kernel(ArcCosineRBF(2, 1))

    assert begun.gamma * (1 + 4) == pytest.approx(0.3)
    assert replace(begun, kernel=parameters.kernel) == parameters


# On these tables a search from one start ended a nat lower.
@pytest.mark.parametrize(("number", "q", "depth"), [(45, 1, 3), (64, 3, 2), (77, 0, 2)])
def test_a_search_with_gamma_and_relevances_finds_the_better_of_two_maxima(number, q, depth):
    problem = draw_problem(np.random.default_rng([0, number]))
    z, y = ((own - own.mean(axis=0)) / own.std(axis=0) for own in (problem.x, problem.y))
    data = TrainingData(z, y, np.ones(len(z)))
    flat = KernelParameters(ArcCosine(q, depth), 0.1, 1.0, np.ones(z.shape[1]))
    names = ["noise_ratio", "bias", "gamma", "relevance"]
    near = maximize_posterior(flat, ["noise_ratio", "bias", "relevance"], data)

    found = maximize_posterior(flat.with_kernel(ArcCosineRBF(q, depth)), names, data, near)

    ends = []
    for gamma in (0.001, 0.01, 0.1, 1.0, 10.0):
        start = replace(flat, kernel=ArcCosineRBF(q, depth, gamma))
        ends.append(maximize_posterior(start, names, data, start))
    best = max(log_posterior(end, names, data) for end in ends)
    assert log_posterior(found, names, data) > best - 0.1


def log_posterior(parameters, names, data):
    likelihood, _ = log_marginal_likelihood_and_gradient(parameters, data)
    return likelihood + log_prior_and_gradient(parameters, names)[0]
