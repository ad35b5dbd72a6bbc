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
    learn,
    log_marginal_likelihood_and_gradient,
)


def sample(rows, columns=3, targets=2, seed=21):
    rng = np.random.default_rng(seed)
    return TrainingData(
        rng.normal(size=(rows, columns)),
        rng.normal(size=(rows, targets)),
        rng.uniform(0.5, 2, size=rows),
    )


def by_definition(prior, known):
    """Log evidence at the best signal variance, by the oracle's kernel, in mpmath."""
    size, total = len(known.z), mpf(0)
    rows = np.column_stack([known.z * prior.relevance, np.full(size, prior.bias)])
    noise = mp.diag([mpf(prior.noise) / mpf(weight) for weight in known.weights])
    matrix = gram(prior.kernel.q, prior.kernel.l, rows, rows) + noise
    for column in known.y.T:
        target = mp.matrix(column.tolist())
        scale = (target.T * mp.lu_solve(matrix, target))[0] / size
        total -= (size * mp.log(2 * mp.pi * scale) + mp.log(mp.det(matrix)) + size) / 2
    return total


@pytest.mark.parametrize("q", [0, 1, 3])
@pytest.mark.parametrize("l", [0, 2])
def test_the_evidence_and_its_gradient_are_those_of_the_definition(q, l):  # noqa: E741
    known = sample(8)
    prior = KernelParameters(ArcCosine(q, l), 0.3, 1.7, np.array([1.0, 0.5, 2.0]))
    step = 1e-6
    with mp.workdps(40):
        expected = by_definition(prior, known)
        quotients = {
            "noise": quotient(
                lambda factor: replace(prior, noise=prior.noise * factor), known, step
            ),
            "bias": quotient(lambda factor: replace(prior, bias=prior.bias * factor), known, step),
            "relevance": quotient(
                lambda factor: replace(prior, relevance=prior.relevance * [1, factor, 1]),
                known,
                step,
            ),
        }

    value, gradient = log_marginal_likelihood_and_gradient(prior, known)

    assert value == pytest.approx(float(expected), rel=1e-12)
    assert gradient["noise"][0] == pytest.approx(quotients["noise"], rel=1e-8)
    assert gradient["bias"][0] == pytest.approx(quotients["bias"], rel=1e-8)
    assert gradient["relevance"][1] == pytest.approx(quotients["relevance"], rel=1e-8)


def quotient(changed, known, step):
    """Difference quotient in the logarithm of a parameter; the parameter's own doubles round at 1e-16, so 1e-10 is noise."""
    return float(
        (by_definition(changed(np.exp(step)), known) - by_definition(changed(np.exp(-step)), known))
        / (2 * step)
    )


def wave(rows=80, noise=0.1, seed=22):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 2))
    y = np.sin(2 * z[:, :1]) + noise * rng.normal(size=(rows, 1))
    return TrainingData(z, (y - y.mean()) / y.std(), np.ones(rows))


@pytest.mark.parametrize(
    "names", [["noise"], ["bias"], ["noise", "bias"], ["noise", "bias", "relevance"]]
)
def test_what_is_learned_is_a_maximum_of_the_evidence_and_the_rest_stays(names):
    known = wave()
    given = KernelParameters(ArcCosine(1, 1), 0.05, 2.0, np.ones(2))

    learned = learn(given, names, known)

    best = log_marginal_likelihood_and_gradient(learned, known)[0]
    assert best >= log_marginal_likelihood_and_gradient(given, known)[0]
    for name in ("noise", "bias"):
        value = getattr(learned, name)
        if name in names:
            for factor in (0.8, 1.25):
                tried = float(np.clip(value * factor, *BOUNDS[name]))
                assert (
                    best
                    >= log_marginal_likelihood_and_gradient(
                        replace(learned, **{name: tried}), known
                    )[0]
                    - 1e-3
                )
        else:
            assert value == getattr(given, name)


def test_a_column_that_does_not_matter_loses_its_relevance():
    known = wave()

    learned = learn(
        KernelParameters(ArcCosine(1, 1), 0.05, 2.0, np.ones(2)),
        ["noise", "bias", "relevance"],
        known,
    )

    assert learned.relevance[1] < learned.relevance[0] / 10


def test_nothing_to_learn_is_nothing_done():
    known = wave(10)
    given = KernelParameters(ArcCosine(), 0.05, 2.0, np.ones(2))

    assert learn(given, [], known) is given


def test_a_start_of_another_kernel_leads_to_the_same_maximum():
    known = wave()
    given = KernelParameters(ArcCosine(1, 1), 0.0, 1.0, np.ones(2))
    near = learn(replace(given, kernel=ArcCosine(1, 0)), ["noise", "bias"], known)

    led, found = (
        learn(given, ["noise", "bias"], known, near),
        learn(given, ["noise", "bias"], known),
    )

    assert log_marginal_likelihood_and_gradient(led, known)[0] == pytest.approx(
        log_marginal_likelihood_and_gradient(found, known)[0], abs=1e-3
    )


def test_targets_that_are_zero_everywhere_do_not_count():
    known = wave()
    prior = KernelParameters(ArcCosine(1, 1), 0.1, 2.0, np.ones(2))
    wider = replace(known, y=np.column_stack([known.y, np.zeros(len(known.y))]))

    assert (
        log_marginal_likelihood_and_gradient(prior, wider)[0]
        == log_marginal_likelihood_and_gradient(prior, known)[0]
    )
    assert wider.condition(prior).log_evidence() == pytest.approx(
        known.condition(prior).log_evidence(), rel=1e-14
    )
