from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf
from oracles import gram

from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.marginal_likelihood import (
    BOUNDS,
    KernelParameters,
    TrainingData,
    log_marginal_likelihood_and_gradient,
    maximize_log_marginal_likelihood,
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
    matrix = gram(parameters.kernel.q, parameters.kernel.l, rows, rows) + noise
    for column in data.y.T:
        target = mp.matrix(column.tolist())
        scale = (target.T * mp.lu_solve(matrix, target))[0] / size
        total -= (size * mp.log(2 * mp.pi * scale) + mp.log(mp.det(matrix)) + size) / 2
    return total


@pytest.mark.parametrize("q", [0, 1, 3])
@pytest.mark.parametrize("l", [0, 2])
def test_the_log_marginal_likelihood_and_its_gradient_are_those_of_the_definition(q, l):  # noqa: E741
    data = sample(8)
    parameters = KernelParameters(ArcCosine(q, l), 0.3, 1.7, np.array([1.0, 0.5, 2.0]))
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

    value, gradient = log_marginal_likelihood_and_gradient(parameters, data)

    assert value == pytest.approx(float(expected), rel=1e-12)
    assert gradient["noise_ratio"][0] == pytest.approx(quotients["noise_ratio"], rel=1e-8)
    assert gradient["bias"][0] == pytest.approx(quotients["bias"], rel=1e-8)
    assert gradient["relevance"][1] == pytest.approx(quotients["relevance"], rel=1e-8)


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
def test_a_maximum_is_found_in_the_parameters_named_and_the_rest_stays(names):
    data = wave()
    given = KernelParameters(ArcCosine(1, 1), 0.05, 2.0, np.ones(2))

    learned = maximize_log_marginal_likelihood(given, names, data)

    best = log_marginal_likelihood_and_gradient(learned, data)[0]
    assert best >= log_marginal_likelihood_and_gradient(given, data)[0]
    for name in ("noise_ratio", "bias"):
        value = getattr(learned, name)
        if name in names:
            for factor in (0.8, 1.25):
                tried = float(np.clip(value * factor, *BOUNDS[name]))
                assert (
                    best
                    >= log_marginal_likelihood_and_gradient(
                        replace(learned, **{name: tried}), data
                    )[0]
                    - 1e-3
                )
        else:
            assert value == getattr(given, name)


def test_a_column_that_does_not_matter_loses_its_relevance():
    data = wave()

    learned = maximize_log_marginal_likelihood(
        KernelParameters(ArcCosine(1, 1), 0.05, 2.0, np.ones(2)),
        ["noise_ratio", "bias", "relevance"],
        data,
    )

    assert learned.relevance[1] < learned.relevance[0] / 10


def test_without_names_the_parameters_are_returned_as_they_are():
    data = wave(10)
    given = KernelParameters(ArcCosine(), 0.05, 2.0, np.ones(2))

    assert maximize_log_marginal_likelihood(given, [], data) is given


def test_a_start_of_another_kernel_leads_to_the_same_maximum():
    data = wave()
    given = KernelParameters(ArcCosine(1, 1), 0.0, 1.0, np.ones(2))
    near = maximize_log_marginal_likelihood(
        replace(given, kernel=ArcCosine(1, 0)), ["noise_ratio", "bias"], data
    )

    led, found = (
        maximize_log_marginal_likelihood(given, ["noise_ratio", "bias"], data, near),
        maximize_log_marginal_likelihood(given, ["noise_ratio", "bias"], data),
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
