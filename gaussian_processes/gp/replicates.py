"""Replicates: observations of equal points, merged into sufficient statistics.

Observations y_i of one point, of weights w_i, enter the likelihood by their weighted mean ȳ, which
is an observation of weight W = Σ w_i, and by their pure error Σ w_i (y_i - ȳ)². With m distinct
points among n observations everything costs as m rows do, and comes to the same as with n [1]_.

References
----------
.. [1] M. Binois, R. B. Gramacy and M. Ludkovski, "Practical Heteroscedastic Gaussian Process
   Modeling for Large Simulation Experiments", Journal of Computational and Graphical Statistics 27,
   2018, section 3.1.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Replicates:
    """Assignment of n weighted observations to m distinct points.

    Parameters
    ----------
    point : ndarray of shape (n,)
        Index of every observation's point, 0 to m - 1.
    sample_weight : ndarray of shape (n,)
        w, of every observation.
    """

    point: Indices
    sample_weight: Array

    @classmethod
    def from_array(cls, array: Array) -> "Replicates":
        """Return what `to_array` has written.

        Raises
        ------
        ValueError
            If it is no array of two columns, the first of which are indices.
        """
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"replicates has shape {array.shape} where (n, 2) belongs")
        point, sample_weight = array.T
        is_index = (point >= 0) & (point < len(point)) & (point % 1 == 0)
        if not is_index.all():
            raise ValueError(
                f"replicates has {point[~is_index][0]} where an index of a point belongs, a whole"
                f" number from 0 to {len(point) - 1}"
            )
        return cls(point.astype(np.intp), sample_weight)

    def to_array(self) -> Array:
        """Return both as columns, of shape (n, 2): indices are exact in float64."""
        return np.column_stack([self.point, self.sample_weight])

    def __len__(self) -> int:
        """Return the number of observations."""
        return len(self.point)

    @cached_property
    def first(self) -> Indices:
        """Index of the first observation of every point, of shape (m,)."""
        found: Indices = np.unique(self.point, return_index=True)[1]
        return found

    @cached_property
    def total_weight(self) -> Array:
        """W, the sum of the weights of every point, of shape (m,)."""
        total: Array = np.bincount(self.point, self.sample_weight).astype(np.float64)
        return total

    @cached_property
    def share(self) -> Array:
        """Share w/W of every observation in the weight of its point, of shape (n,)."""
        share: Array = self.sample_weight / self.total_weight[self.point]
        return share

    def mean(self, targets: Array) -> Array:
        """Weighted mean of every point, of shape (m, t), for targets of shape (n, t)."""
        weighted = (self.share[:, np.newaxis] * targets).T
        return np.column_stack([np.bincount(self.point, column) for column in weighted])

    def deviations(self, targets: Array) -> Array:
        """Deviations y_i - ȳ of targets from the mean of their point, of shape (n, t)."""
        deviations: Array = targets - self.mean(targets)[self.point]
        return deviations

    def pure_error(self, targets: Array) -> Array:
        """Weighted sum of squares within the points, of shape (t,)."""
        return self.sample_weight @ np.square(self.deviations(targets))

    def log_determinant(self, noise_ratio: float) -> float:
        """Logarithm of |M| of all observations over that of the points' means."""
        observations = np.log(noise_ratio / self.sample_weight).sum()
        return float(observations - np.log(noise_ratio / self.total_weight).sum())

    def expand(
        self, alpha: Array, precision: Array, targets: Array, noise_ratio: float
    ) -> tuple[Array, Array]:
        """Expand M⁻¹y and the diagonal of M⁻¹ from the points' means to all observations.

        Parameters
        ----------
        alpha : ndarray of shape (m, t)
            M⁻¹ȳ of the means.
        precision : ndarray of shape (m,)
            Diagonal of their M⁻¹.
        targets : ndarray of shape (n, t)
        noise_ratio : float
            λ, positive.

        Returns
        -------
        alpha : ndarray of shape (n, t)
        precision : ndarray of shape (n,)

        Notes
        -----
        Woodbury's identity: between observations i and j of one point the element of M⁻¹ is that of
        the point times the shares of both, and w_i/λ (δ_ij - w_j/W).
        """
        weight, share = self.sample_weight / noise_ratio, self.share
        own = weight[:, np.newaxis] * self.deviations(targets)
        return (
            own + share[:, np.newaxis] * alpha[self.point],
            weight * (1 - share) + share**2 * precision[self.point],
        )


def find_replicates(rows: Array, sample_weight: Array) -> Replicates | None:
    """Find observations of equal rows; None where all rows differ.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        Without NaN. Points keep the order in which they first come.
    sample_weight : ndarray of shape (n,)
    """
    positions: dict[bytes, int] = {}
    # Adding 0 makes zeros of both signs alike.
    point = [positions.setdefault(row.tobytes(), len(positions)) for row in rows + 0.0]
    if len(positions) == len(rows):
        return None
    return Replicates(np.array(point, np.intp), sample_weight)
