"""Partial dependence, by its definition."""

import numpy as np
import pytest
from fitted import fitted

from gaussian_processes.gp.kernels import ArcCosine, ArcCosineRBF
from gaussian_processes.report.partial_dependence import curve

BACKGROUND = np.random.default_rng(51).normal(size=(7, 3))
BLEND = {"kernels": [ArcCosineRBF(0, 0, 0.5), ArcCosine(2, 1)], "weights": [0.25, 0.75]}


def with_value(value):
    """Rows of the background that have some value in the second column."""
    rows = BACKGROUND.copy()
    rows[:, 1] = value
    return rows


def average_variance(member, rows):
    """Variance of the function's average over rows: the mean of their posterior covariance."""
    process = member.process
    points = member.preprocessor.points(rows)
    cross = process.kernel(points, process.points)
    matrix = process.kernel(process.points, process.points) + 0.1 * np.eye(len(process.points))
    covariance = process.kernel(points, points) - cross @ np.linalg.solve(matrix, cross.T)
    return covariance.mean() * process.signal_variance * member.preprocessor.target_scale**2


@pytest.mark.parametrize("options", [{"outputs": 2}, BLEND], ids=["targets", "blend"])
def test_the_curve_is_the_mean_prediction_and_its_band_that_of_the_averaged_function(options):
    model = fitted(**options)

    found = curve(model, BACKGROUND, 1)

    assert found.values.tolist() == sorted(BACKGROUND[:, 1])
    for at, value in enumerate(found.values):
        rows = with_value(value)
        mean = model.predict(rows).mean.mean(axis=0)
        np.testing.assert_allclose(found.mean[at], mean, rtol=1e-12)
        own = [member.mean(rows).mean(axis=0) for member in model.members]
        variance = sum(
            member.weight * (average_variance(member, rows) + (center - mean) ** 2)
            for member, center in zip(model.members, own, strict=True)
        )
        np.testing.assert_allclose(found.upper[at] - mean, 1.96 * np.sqrt(variance), rtol=1e-6)
        np.testing.assert_allclose(mean - found.lower[at], 1.96 * np.sqrt(variance), rtol=1e-6)


def test_of_classes_the_probabilities_are_averaged():
    model = fitted(classes=("no", "yes"))

    found = curve(model, BACKGROUND, 1)

    for at, value in enumerate(found.values):
        probabilities = model.predict(with_value(value)).probabilities
        np.testing.assert_allclose(found.mean[at], probabilities.mean(axis=0), rtol=1e-12)
    assert (found.lower >= 0).all()
    assert (found.upper <= 1).all()


def test_a_column_that_is_the_same_everywhere_or_missing_has_no_curve():
    model = fitted()

    assert curve(model, with_value(1.0), 1) is None
    assert curve(model, with_value(np.nan), 1) is None


def test_without_the_factor_there_is_no_band():
    found = curve(fitted().without_factors(), BACKGROUND, 1)

    np.testing.assert_array_equal(found.lower, found.mean)
    np.testing.assert_array_equal(found.upper, found.mean)
