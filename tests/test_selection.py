from dataclasses import replace

import numpy as np
import pytest
from mpmath import mp, mpf
from oracles import gram

from gaussian_processes.kernels import ArcCosine
from gaussian_processes.selection import BOUNDS, Prior, evidence, learn


def sample(rows, columns=3, targets=2, seed=21):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, columns)), rng.normal(size=(rows, targets))


def by_definition(prior, z, y):
    """Log evidence at the best signal variance, by the oracle's kernel, in mpmath."""
    rows = np.column_stack([z * prior.relevance, np.full(len(z), prior.bias)])
    matrix = gram(prior.kernel.q, prior.kernel.l, rows, rows) + mpf(prior.noise) * mp.eye(len(z))
    size, total = len(z), mpf(0)
    for column in y.T:
        target = mp.matrix(column.tolist())
        scale = (target.T * mp.lu_solve(matrix, target))[0] / size
        total -= (size * mp.log(2 * mp.pi * scale) + mp.log(mp.det(matrix)) + size) / 2
    return total


@pytest.mark.parametrize("q", [0, 1, 3])
@pytest.mark.parametrize("l", [0, 2])
def test_the_evidence_and_its_gradient_are_those_of_the_definition(q, l):  # noqa: E741
    z, y = sample(8)
    prior = Prior(ArcCosine(q, l), 0.3, 1.7, np.array([1.0, 0.5, 2.0]))
    step = 1e-6
    with mp.workdps(40):
        expected = by_definition(prior, z, y)
        quotients = {
            "noise": quotient(lambda factor: replace(prior, noise=prior.noise * factor), z, y, step),
            "bias": quotient(lambda factor: replace(prior, bias=prior.bias * factor), z, y, step),
            "relevance": quotient(lambda factor: replace(prior, relevance=prior.relevance * [1, factor, 1]), z, y, step),
        }

    value, gradient = evidence(prior, z, y)

    assert value == pytest.approx(float(expected), rel=1e-12)
    assert gradient["noise"][0] == pytest.approx(quotients["noise"], rel=1e-8)
    assert gradient["bias"][0] == pytest.approx(quotients["bias"], rel=1e-8)
    assert gradient["relevance"][1] == pytest.approx(quotients["relevance"], rel=1e-8)


def quotient(changed, z, y, step):
    """Difference quotient in the logarithm of a parameter; the parameter's own doubles round at 1e-16, so 1e-10 is noise."""
    return float((by_definition(changed(np.exp(step)), z, y) - by_definition(changed(np.exp(-step)), z, y)) / (2 * step))


def wave(rows=80, noise=0.1, seed=22):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 2))
    y = np.sin(2 * z[:, :1]) + noise * rng.normal(size=(rows, 1))
    return z, (y - y.mean()) / y.std()


@pytest.mark.parametrize("names", [["noise"], ["bias"], ["noise", "bias"], ["noise", "bias", "relevance"]])
def test_what_is_learned_is_a_maximum_of_the_evidence_and_the_rest_stays(names):
    z, y = wave()
    given = Prior(ArcCosine(1, 1), 0.05, 2.0, np.ones(2))

    learned = learn(given, names, z, y)

    best = evidence(learned, z, y)[0]
    assert best >= evidence(given, z, y)[0]
    for name in ("noise", "bias"):
        value = getattr(learned, name)
        if name in names:
            for factor in (0.8, 1.25):
                tried = float(np.clip(value * factor, *BOUNDS[name]))
                assert best >= evidence(replace(learned, **{name: tried}), z, y)[0] - 1e-3
        else:
            assert value == getattr(given, name)


def test_a_column_that_does_not_matter_loses_its_relevance():
    z, y = wave()

    learned = learn(Prior(ArcCosine(1, 1), 0.05, 2.0, np.ones(2)), ["noise", "bias", "relevance"], z, y)

    assert learned.relevance[1] < learned.relevance[0] / 10


def test_nothing_to_learn_is_nothing_done():
    z, y = wave(10)
    given = Prior(ArcCosine(), 0.05, 2.0, np.ones(2))

    assert learn(given, [], z, y) is given
