from dataclasses import replace

import numpy as np
import pytest
from fitted import fitted
from scipy.special import softmax as scipy_softmax
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import PairwiseKernel

from gaussian_processes import GaussianProcessRegressor as Estimator
from gaussian_processes.errors import UserError
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix, fit
from gaussian_processes.model.model import Prediction

NEW = np.random.default_rng(42).normal(size=(5, 3))
TWO_KERNELS = {"kernels": [ArcCosine(0, 0), ArcCosine(2, 1)], "weights": [0.25, 0.75]}


def arc_cosine_0(a, b, **_):
    """Cho & Saul's kernel of degree 0 of two points: 1 - θ/π."""
    return 1 - np.arccos(np.clip(a @ b, -1, 1)) / np.pi


def test_a_model_of_one_member_is_scikit_learn_s_regression_on_standardised_data():
    rng = np.random.default_rng(41)
    x, y = rng.normal(size=(40, 3)), rng.normal(7, 2, size=(40, 1))  # as `fitted` draws them

    def on_sphere(rows):
        z = np.column_stack([(rows - x.mean(axis=0)) / x.std(axis=0), np.full(len(rows), 2.0)])
        return z / np.linalg.norm(z, axis=1, keepdims=True)

    peer = GaussianProcessRegressor(
        PairwiseKernel(metric=arc_cosine_0), alpha=0.1, optimizer=None
    ).fit(on_sphere(x), (y - y.mean()) / y.std())
    model = fitted(kernels=[ArcCosine(0, 0)])

    prediction = model.predict(NEW, variance=True)

    mean, deviation = peer.predict(on_sphere(NEW), return_std=True)
    signal_variance = model.members[0].process.signal_variance
    np.testing.assert_allclose(prediction.mean[:, 0], mean * y.std() + y.mean(), rtol=0, atol=1e-7)
    # Student-t of 39 degrees of freedom, as Σ(y - mean)² is divided by; the mean has 1/40 of it.
    squared_scale = signal_variance * (deviation**2 + 0.1) * y.var() * 40 / 39 * (1 + 1 / 40)
    np.testing.assert_allclose(prediction.variance[:, 0], squared_scale * 39 / 37, rtol=1e-7)


def test_predictions_are_in_the_units_of_the_target():
    model = fitted()
    member, preprocessor = model.members[0], model.members[0].preprocessor
    larger = replace(
        preprocessor,
        target_center=preprocessor.target_center * 1000,
        target_scale=preprocessor.target_scale * 1000,
    )
    kilo = replace(model, members=(replace(member, preprocessor=larger),))

    answer, thousandfold = model.predict(NEW, variance=True), kilo.predict(NEW, variance=True)

    np.testing.assert_allclose(thousandfold.mean, 1000 * answer.mean, rtol=1e-13)
    np.testing.assert_allclose(thousandfold.variance, 1e6 * answer.variance, rtol=1e-13)


def test_a_model_of_two_members_predicts_the_moments_of_their_mixture():
    model = fitted(**TWO_KERNELS)

    prediction = model.predict(NEW, variance=True)

    own = [member.predict(NEW) for member in model.members]
    moments = [(prediction.mean, prediction.variance) for prediction in own]
    mean = sum(w * m for w, (m, _) in zip([0.25, 0.75], moments, strict=True))
    square = sum(w * (v + m**2) for w, (m, v) in zip([0.25, 0.75], moments, strict=True))
    np.testing.assert_allclose(prediction.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(prediction.variance, square - mean**2, rtol=1e-9)
    np.testing.assert_allclose(model.predict(NEW).mean, prediction.mean, rtol=1e-13)


def test_probabilities_are_the_calibrated_softmax_of_the_means_and_regression_has_none():
    model = fitted(classes=("a", "b", "c"))

    prediction = model.predict(NEW)

    expected = scipy_softmax(3.0 * prediction.mean + model.calibration.offsets, axis=1)
    np.testing.assert_allclose(prediction.probabilities, expected, rtol=1e-13)
    assert fitted().predict(NEW).probabilities is None


def test_a_model_without_factors_predicts_means_only_and_says_what_a_variance_needs():
    model = fitted(**TWO_KERNELS)

    without = model.without_factors()

    assert model.has_variance
    assert not without.has_variance
    np.testing.assert_array_equal(without.predict(NEW).mean, model.predict(NEW).mean)
    with pytest.raises(UserError, match="train again with keep_factor=true"):
        without.predict(NEW, variance=True)


def test_the_factors_are_as_large_as_the_arrays_that_hold_them():
    # Two squares of 40 rows in float64, which is all of one panel.
    assert fitted(**TWO_KERNELS).factor_bytes == 2 * 40 * 40 * 8
    assert fitted().without_factors().factor_bytes == 0


def test_a_row_that_cannot_be_used_is_named_as_the_caller_names_it():
    rows = NEW.copy()
    rows[3, 1] = np.inf

    with pytest.raises(UserError, match=r"^line 3, column 2 is inf"):
        fitted().predict(rows, locate_row=lambda row: f"line {row}")


def test_a_subset_of_a_prediction_is_the_prediction_of_these_rows():
    model = fitted(classes=("a", "b"))

    part = model.predict(NEW, variance=True).subset(slice(1, 4))

    alone = model.predict(NEW[1:4], variance=True)
    np.testing.assert_allclose(part.mean, alone.mean, rtol=1e-12)
    np.testing.assert_allclose(part.variance, alone.variance, rtol=1e-12)
    np.testing.assert_allclose(part.probabilities, alone.probabilities, rtol=1e-12)


def test_a_subset_keeps_what_was_not_asked_for_absent():
    assert Prediction(NEW, None).subset(slice(2)).variance is None
    assert Prediction(NEW, None).subset(slice(2)).probabilities is None


def test_estimated_seconds_grow_with_rows_members_and_the_variance():
    model, two = fitted(), fitted(**TWO_KERNELS)

    assert 0 < model.estimated_seconds(1, False) < model.estimated_seconds(2, False)
    assert model.estimated_seconds(1, False) < model.estimated_seconds(1, True)
    assert model.estimated_seconds(1, True) < two.estimated_seconds(1, True)


def novelty_by_definition(kernel, points, new, noise):
    """1 - k(x*, X) M⁻¹ k(X, x*) of a kernel of unit variance: GPML eq. 2.26, without the noise.

    The noise is a number, or one for every point.
    """
    inverse = np.linalg.inv(kernel(points, points) + np.diag(np.broadcast_to(noise, len(points))))
    cross = kernel(new, points)
    return 1 - np.einsum("ij,jk,ik->i", cross, inverse, cross)


def test_novelty_is_the_posterior_over_the_prior_variance_of_the_function():
    model = fitted(**TWO_KERNELS, outputs=2)
    expected = sum(
        own.weight
        * novelty_by_definition(
            own.process.kernel, own.process.points, own.preprocessor.points(NEW), 0.1
        )
        for own in model.members
    )

    novelty = model.predict(NEW, variance=True).novelty

    np.testing.assert_allclose(novelty, np.column_stack([expected, expected]), rtol=0, atol=1e-9)
    assert model.predict(NEW).novelty is None
    heavy = model.predict(NEW, variance=True, sample_weight=np.full(len(NEW), 0.1)).novelty
    np.testing.assert_allclose(heavy, novelty, rtol=0, atol=1e-12)


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_novelty_of_a_row_that_is_left_out_is_that_of_a_model_without_it(repeats):
    model = fitted(rows=12, repeats=repeats)
    member = model.members[0]
    x = np.tile(np.random.default_rng(41).normal(size=(12, 3)), (repeats, 1))
    points = member.preprocessor.points(x)
    targets = np.random.default_rng(1).normal(size=(12 * repeats, 1))
    refitted = replace(
        member,
        process=fit(
            GramMatrix(member.process.kernel, points, 0.1),
            member.preprocessor.standardized_targets(targets),
        ),
    )
    expected = [
        novelty_by_definition(
            member.process.kernel, np.delete(points, row, axis=0), points[[row]], 0.1
        )[0]
        for row in range(len(points))
    ]

    novelty = refitted.leave_one_out(targets).novelty

    np.testing.assert_allclose(novelty[:, 0], expected, rtol=0, atol=1e-9)


def test_the_novelty_of_a_weighted_row_that_is_left_out_has_no_noise_of_its_own():
    rng = np.random.default_rng(43)
    x, y, weight = rng.normal(size=(12, 3)), rng.normal(size=(12, 1)), rng.choice([0.1, 1, 4], 12)
    member = fitted(rows=12).members[0]
    points, kernel = member.preprocessor.points(x), member.process.kernel
    matrix = GramMatrix(kernel, points, 0.1, weight)
    refitted = replace(member, process=fit(matrix, member.preprocessor.standardized_targets(y)))
    expected = [
        novelty_by_definition(
            kernel, np.delete(points, row, axis=0), points[[row]], 0.1 / np.delete(weight, row)
        )[0]
        for row in range(12)
    ]

    novelty = refitted.leave_one_out(y, weight).novelty

    np.testing.assert_allclose(novelty[:, 0], expected, rtol=0, atol=1e-9)


def test_a_rejected_row_that_is_left_out_is_predicted_as_any_other_of_its_weight():
    rng = np.random.default_rng(47)
    x, y, weight = rng.normal(size=(12, 3)), rng.normal(size=(12, 1)), rng.choice([0.1, 1, 4], 12)
    robustness = np.ones(12)
    robustness[[2, 7]] = 1e-6, 1e-9
    member = fitted(rows=12).members[0]
    member = replace(member, preprocessor=replace(member.preprocessor, target_center=np.zeros(1)))
    points, kernel = member.preprocessor.points(x), member.process.kernel

    def refit(kept):
        matrix = GramMatrix(kernel, points[kept], 0.1, (weight * robustness)[kept])
        targets = member.preprocessor.standardized_targets(y[kept])
        return replace(member, process=fit(matrix, targets))

    found = refit(np.arange(12)).leave_one_out(y, weight * robustness, robustness)

    for row in range(12):
        others = refit(np.delete(np.arange(12), row))
        expected = others.predict(x[[row]], sample_weight=weight[[row]])
        np.testing.assert_allclose(found.mean[row], expected.mean[0], rtol=1e-6)
        np.testing.assert_allclose(found.squared_scale[row], expected.squared_scale[0], rtol=1e-6)


def test_novelty_goes_from_0_at_noise_free_rows_to_1_far_from_them():
    generator = np.random.default_rng(0)
    x, y = generator.uniform(size=(40, 2)), generator.normal(size=40)
    model = Estimator(kernel="arc_cosine_rbf", q=1, l=1, noise=1e-6, ensemble="none").fit(x, y)

    at_rows = model.model_.predict(x, variance=True).novelty
    far = model.model_.predict(x + 1_000, variance=True).novelty

    assert at_rows.max() < 1e-4
    assert far.min() > 1 - 1e-4
