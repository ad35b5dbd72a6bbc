"""Normal scores of a column: rank-based inverse normal transformation ("rank-Gauss").

The value of rank r among n becomes the quantile of the standard normal distribution at (r - ½)/n,
Hazen's plotting position; values between those of training are interpolated. So the order of the
values is kept, and an outlying or skewed column loses its long tail. scikit-learn has the same as
QuantileTransformer(output_distribution="normal").
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Knots of a column at most, as many as scikit-learn's QuantileTransformer keeps: between two of
# them lies a thousandth of the training rows, and an artifact has 16 kB for the column.
MAX_KNOTS = 1_000


@dataclass(frozen=True)
class NormalScores:
    """Monotone, piecewise linear map of a column's values to normal scores.

    Parameters
    ----------
    values : ndarray of shape (k,)
        Distinct values of training, increasing.
    scores : ndarray of shape (k,)
        Of each, increasing. Beyond the first and the last value the score stays what it is there.
    """

    values: Array
    scores: Array

    @classmethod
    def fit(cls, column: Array) -> "NormalScores":
        """Learn from the values of a column, of shape (n,); NaN is left out.

        Equal values share the mean of their ranks.

        Examples
        --------
        >>> scores = NormalScores.fit(np.array([1.0, 10.0, 1000.0]))
        >>> print(scores.transform(np.array([0.0, 10.0, 1e9])).round(2))
        [-0.97  0.    0.97]
        """
        present = np.sort(column[~np.isnan(column)])
        values, first, counts = np.unique(present, return_index=True, return_counts=True)
        positions = (first + counts / 2) / max(len(present), 1)
        if len(values) > MAX_KNOTS:
            kept = np.linspace(0, len(values) - 1, MAX_KNOTS).round().astype(np.intp)
            values, positions = values[kept], positions[kept]
        normal = NormalDist()
        return cls(values, np.array([normal.inv_cdf(position) for position in positions.tolist()]))

    def transform(self, column: Array) -> Array:
        """Return the normal scores of values, of the same shape; NaN stays NaN."""
        scores: Array = np.interp(column, self.values, self.scores)
        return scores
