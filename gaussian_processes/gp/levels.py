"""Leave-one-level-out: how far the targets of a level are from what the other levels foretell.

The levels of a factor are exchangeable (a random effect, A. Gelman and J. Hill, "Data Analysis
Using Regression and Multilevel/Hierarchical Models", 2007, section 12.2). So each level, left out
and predicted as one that is unknown, shows how a level will fare that training did not have.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# Degrees of freedom of the prior of the widening: the fewest with which its posterior mean exists
# whatever the levels are.
PRIOR_DEGREES = 2.0


@dataclass(frozen=True)
class LevelsLeftOut:
    """A Gaussian process of n observations, of which those of one level at a time are left out.

    Parameters
    ----------
    matrix : GramMatrix
        Of n observations, none of them merged.
    targets : ndarray of shape (n, t)
    """

    matrix: GramMatrix
    targets: Array

    def predict(self, rows: Indices, points: Array) -> tuple[Array, Array, Array]:
        """Predict g observations from the n - g others, at points that may be elsewhere.

        Parameters
        ----------
        rows : ndarray of shape (g,)
            Positions of the observations, fewer than all.
        points : ndarray of shape (g, d)

        Returns
        -------
        mean : ndarray of shape (g, t)
        covariance : ndarray of shape (g, g)
            Noise included, over σ²_f.
        signal_variance : ndarray of shape (t,)
            σ²_f, as the others have it.

        Notes
        -----
        With G for `rows`, the inverse of M without them is M⁻¹ - M⁻¹_·G (M⁻¹_GG)⁻¹ M⁻¹_G·, which is
        0 there (GPML eq. A.12), and yᵀ M⁻¹ y is less by α_Gᵀ (M⁻¹_GG)⁻¹ α_G.
        """
        process, inverse = self._process, self._inverse
        cross = process.kernel(points, process.points)
        own, alpha = inverse[np.ix_(rows, rows)], process.alpha[rows]
        left_out = np.linalg.solve(own, alpha)
        into_group = cross @ inverse[:, rows]
        mean = cross @ process.alpha - into_group @ left_out
        explained = cross @ inverse @ cross.T
        explained -= into_group @ np.linalg.solve(own, into_group.T)
        noise = (process.noise_ratio + process.jitter) * self.matrix.noise_scale[rows]
        covariance = process.kernel(points, points) - explained + np.diag(noise)
        total = process.signal_variance * len(self.targets)
        others = np.maximum(total - (alpha * left_out).sum(axis=0), total * np.finfo(float).eps)
        return mean, covariance, others / (len(self.targets) - len(rows))

    def widening(self, levels: Indices, points: Array) -> float:
        """Factor of the variance with which an unknown level is to be predicted, at least 1.

        Parameters
        ----------
        levels : ndarray of shape (n,)
            Level of every observation.
        points : ndarray of shape (n, d)
            The observations' points, were their level unknown.

        Notes
        -----
        The squared errors of a level over their variances have as many degrees of freedom as the
        eigenvalues of their covariance S let them: (tr S)²/tr S² (F. E. Satterthwaite, Biometrics
        Bulletin 2, 1946), between 1, where the level's effect is all of it, and their number. The
        factor has a scaled inverse χ² prior of scale 1, and this is its posterior mean (A. Gelman
        et al., "Bayesian Data Analysis", 2013, section 2.6): of few levels it is as wide as a
        Student-t distribution. A process that is too unsure of a level stays so.
        """
        squares = degrees = 0.0
        varies = self._process.varies
        for level in np.unique(levels):
            rows = np.flatnonzero(levels == level)
            if len(rows) == len(levels) or not varies.any():
                continue
            mean, covariance, signal_variance = self.predict(rows, points[rows])
            trace = float(np.trace(covariance))
            errors = np.square(self.targets[rows] - mean).sum(axis=0) / (signal_variance * trace)
            own = trace**2 / float(np.square(covariance).sum())
            squares, degrees = squares + own * float(errors[varies].mean()), degrees + own
        if not degrees:
            return 1.0
        return max(1.0, (PRIOR_DEGREES + squares) / (PRIOR_DEGREES + degrees - 2))

    @cached_property
    def _process(self) -> GaussianProcess:
        return fit(self.matrix, self.targets)

    @cached_property
    def _inverse(self) -> Array:
        return self._process.inverse()
