"""Cross-validation by folds."""

import numpy as np

from gaussian_processes.model.model import Prediction
from gaussian_processes.training.cross_validation import concatenate


def test_predictions_of_folds_come_in_the_order_of_the_rows():
    rows = np.arange(6.0)[:, np.newaxis]
    folds = [np.array([1, 4]), np.array([0, 5]), np.array([2, 3])]

    whole = concatenate(folds, [Prediction(rows[fold], rows[fold] ** 2) for fold in folds])

    np.testing.assert_array_equal(whole.mean, rows)
    np.testing.assert_array_equal(whole.variance, rows**2)
    assert whole.probabilities is None
