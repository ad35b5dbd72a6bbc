"""Predictive distributions agree with SciPy's, and with their own integrals."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from gaussian_processes.gp.distributions import PredictiveDistribution

DEGREES = st.one_of(st.floats(1.0, 200.0), st.just(np.inf))
NUMBERS = st.floats(-5.0, 5.0)
SCALES = st.floats(0.05, 5.0)
MEMBERS = st.lists(
    st.tuples(st.floats(0.05, 1.0), NUMBERS, SCALES, DEGREES), min_size=1, max_size=4
)


def mixture(members):
    weights, locations, scales, degrees = map(np.array, zip(*members, strict=True))
    return PredictiveDistribution(
        weights / weights.sum(), locations[:, None, None], scales[:, None, None], degrees
    )


def peers(members):
    """The same members as SciPy's own distributions, with their weights."""
    total = sum(weight for weight, *_ in members)
    for weight, location, scale, degrees in members:
        own = stats.norm if np.isinf(degrees) else stats.t(degrees)
        yield weight / total, location, scale, own


@given(MEMBERS, NUMBERS)
def test_density_and_distribution_function_are_scipy_s(members, y):
    subject, at = mixture(members), np.array([[y]])

    density = sum(w * own.pdf((y - m) / s) / s for w, m, s, own in peers(members))
    below = sum(w * own.cdf((y - m) / s) for w, m, s, own in peers(members))

    np.testing.assert_allclose(np.exp(subject.log_density(at)), [[density]], rtol=1e-9)
    np.testing.assert_allclose(subject.cdf(at), [[below]], rtol=1e-9, atol=1e-14)


@given(MEMBERS, st.floats(0.001, 0.999))
def test_the_quantile_is_the_inverse_of_the_distribution_function(members, probability):
    subject = mixture(members)

    answer = subject.cdf(subject.quantile(probability))

    np.testing.assert_allclose(answer, probability, rtol=1e-8)


@given(MEMBERS, NUMBERS, st.floats(0.1, 3.0))
def test_the_distribution_function_is_the_integral_of_the_density(members, start, width):
    subject = mixture(members)
    at = np.linspace(start, start + width, 20_001)[:, None]
    repeated = PredictiveDistribution(
        subject.weights,
        np.repeat(subject.locations, len(at), axis=1),
        np.repeat(subject.scales, len(at), axis=1),
        subject.degrees_of_freedom,
    )

    integral = integrate.simpson(np.exp(repeated.log_density(at)).ravel(), x=at.ravel())

    ends = subject.cdf(at[-1:]) - subject.cdf(at[:1])
    np.testing.assert_allclose(integral, ends[0, 0], rtol=1e-7, atol=1e-10)


@given(st.lists(st.tuples(st.floats(0.05, 1.0), NUMBERS, SCALES, st.floats(2.5, 60.0)), min_size=1))
def test_mean_and_variance_are_those_of_a_mixture(members):
    subject = mixture(members)

    parts = [(w, m, s * own.std()) for w, m, s, own in peers(members)]
    mean = sum(w * m for w, m, _ in parts)
    second = sum(w * (m**2 + deviation**2) for w, m, deviation in parts)

    np.testing.assert_allclose(subject.mean, [[mean]], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(subject.variance, [[second - mean**2]], rtol=1e-8)


def test_a_member_without_a_variance_makes_that_of_the_mixture_infinite():
    subject = mixture([(0.5, 0.0, 1.0, np.inf), (0.5, 0.0, 1.0, 2.0)])

    assert np.isinf(subject.variance).all()


def test_a_blend_of_blends_is_the_mixture_of_all_members():
    rng = np.random.default_rng(1)
    single = [
        PredictiveDistribution.single(rng.normal(size=(3, 2)), rng.uniform(1, 2, (3, 2)), degrees)
        for degrees in (4.0, 9.0, np.inf)
    ]
    y = rng.normal(size=(3, 2))

    nested = PredictiveDistribution.blend(
        [0.6, 0.4], [PredictiveDistribution.blend([0.5, 0.5], single[:2]), single[2]]
    )

    flat = PredictiveDistribution.blend([0.3, 0.3, 0.4], single)
    np.testing.assert_allclose(nested.log_density(y), flat.log_density(y), rtol=1e-12)


def test_rows_of_other_degrees_of_freedom_are_in_a_mixture_as_by_themselves():
    rng = np.random.default_rng(4)
    location, scale = rng.normal(size=(5, 2)), rng.uniform(0.5, 2, size=(5, 2))
    degrees, y = np.array([4.0, 1.5, 30.0, 4.0, np.inf]), rng.normal(size=(5, 2))
    other = PredictiveDistribution.single(location + 1, scale, 9.0)
    weights = [np.array([0.3, 0.6]), np.array([0.7, 0.4])]

    subject = PredictiveDistribution.blend(
        weights, [PredictiveDistribution.by_row(location, scale, degrees), other]
    )

    for row in range(5):
        at = slice(row, row + 1)
        own = PredictiveDistribution.single(location[at], scale[at], degrees[row])
        expected = PredictiveDistribution.blend(weights, [own, other.subset(at)])
        for answer in ("mean", "variance"):
            np.testing.assert_allclose(getattr(subject, answer)[at], getattr(expected, answer))
        np.testing.assert_allclose(subject.log_density(y)[at], expected.log_density(y[at]))
        np.testing.assert_allclose(subject.cdf(y)[at], expected.cdf(y[at]))
        np.testing.assert_allclose(subject.quantile(0.1)[at], expected.quantile(0.1))
