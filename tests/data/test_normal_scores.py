"""Normal scores are monotone, symmetric, and scikit-learn's to the width of a rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.preprocessing import QuantileTransformer

from gaussian_processes.data.normal_scores import MAX_KNOTS, NormalScores

COLUMNS = hnp.arrays(float, st.integers(1, 60), elements=st.floats(-1e6, 1e6))


@given(COLUMNS)
def test_training_values_get_the_normal_quantile_of_their_mean_rank(column):
    expected = stats.norm.ppf((stats.rankdata(column) - 0.5) / len(column))

    scores = NormalScores.fit(column).transform(column)

    np.testing.assert_allclose(scores, expected, atol=1e-9)


@given(COLUMNS, COLUMNS)
def test_scores_keep_the_order_of_any_values(column, others):
    scores = NormalScores.fit(column).transform(np.sort(others))

    # Interpolation rounds: equal scores may differ in the last digit.
    assert (np.diff(scores) >= -1e-12).all()


@given(COLUMNS)
def test_a_reflected_column_has_reflected_scores(column):
    scores = NormalScores.fit(column).transform(column)

    reflected = NormalScores.fit(-column).transform(-column)

    np.testing.assert_allclose(reflected, -scores, atol=1e-9)


def test_large_columns_agree_with_scikit_learn_within():
    rng = np.random.default_rng(3)
    column, new = rng.lognormal(size=5_000), rng.lognormal(size=1_000)
    peer = QuantileTransformer(output_distribution="normal", n_quantiles=1_000)
    expected = peer.fit(column[:, None]).transform(new[:, None]).ravel()

    fitted = NormalScores.fit(column)

    within = np.abs(expected) < 2.5
    np.testing.assert_allclose(fitted.transform(new)[within], expected[within], atol=0.02)
    assert len(fitted.values) == MAX_KNOTS


def test_missing_values_are_left_out_and_stay_missing():
    column = np.array([np.nan, 1.0, 2.0, 3.0])

    scores = NormalScores.fit(column).transform(column)

    assert np.isnan(scores[0])
    assert scores[2] == pytest.approx(0.0)
