"""Outlying cells of a column."""

import numpy as np
import pytest

from gaussian_processes.data.outliers import find_outlier

NORMAL = np.random.default_rng(18).normal(size=200)


@pytest.mark.parametrize("sentinel", [-9999, 9999, -999, 1e30, -99])
@pytest.mark.parametrize("count", [1, 5, 60])
def test_a_sentinel_is_found_however_often_it_stands(sentinel, count):
    values = NORMAL.copy()
    values[7 : 7 + count] = sentinel
    values[0] = np.nan

    row, deviations = find_outlier(values)

    others = np.delete(values, [0, *range(7, 7 + count)])
    assert row == 7
    assert deviations == pytest.approx(abs(sentinel - others.mean()) / others.std())


@pytest.mark.parametrize(
    "values",
    [
        NORMAL,
        NORMAL**3,
        np.arange(200.0),
        np.append(np.zeros(199), 1),
        np.append(np.zeros(190), [1, 1, 2, 1, 12, 1, 1, 2, 1, 1]),
        np.full(200, np.nan),
        np.array([1.0, 2, 3, -9999]),
        np.random.default_rng(19).exponential(size=1000),
    ],
)
def test_columns_of_one_kind_of_number_have_no_outlier(values):
    assert find_outlier(values) is None
