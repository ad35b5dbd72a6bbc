"""Calibration of classification: probabilities of classes from the means of their indicators.

Regression on the indicators of classes predicts, for every class, a mean that is its share of the
training rows where nothing is known, and near 1 where the class is certain. Temperature scaling
[1]_ with an offset for every class ("vector scaling", ibid., with one scale for all classes) makes
probabilities of these means:

    p_c ∝ π_c exp(τ (m_c - π_c) + b_c),

where π_c is the share of class c, τ the inverse temperature and b_c its offset. Without a signal
every m_c is π_c, and the probabilities are the shares, whatever τ is.

One row beside the n is counted whose class no mean tells, of the probabilities π_c: the new row may
be another such. So p_c becomes (n p_c + π_c)/(n + 1), and few rows make no class certain.

References
----------
.. [1] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural Networks",
   ICML 2017, section 4.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.intp]

# Normal priors: of log τ, wide enough for means that hardly differ and for those that decide
# alone (95 in 100 between 0.2 and 75); of each offset, where half a unit changes odds by two
# thirds, so that few rows move them little. Both lose against some tens of rows that speak
# clearly.
LOG_INVERSE_TEMPERATURE = (np.log(4.0), 1.5)
OFFSET_DEVIATION = 0.5


@dataclass(frozen=True)
class Calibration:
    """Map from the means of class indicators to probabilities of the classes.

    Parameters
    ----------
    inverse_temperature : float
        τ, positive.
    offsets : ndarray of shape (k,)
        b_c + log π_c - τ π_c: what is added to τ m_c before the softmax.
    floor : ndarray of shape (k,)
        π_c/(n + 1), the least probability of every class; they sum to less than 1.
    """

    inverse_temperature: float
    offsets: Array
    floor: Array

    def probabilities(self, means: Array) -> Array:
        """Return probabilities of shape (m, k), which sum to 1, for means of shape (m, k)."""
        softmax = _softmax(self.inverse_temperature * means + self.offsets)
        mixed: Array = (1 - self.floor.sum()) * softmax + self.floor
        return mixed

    def to_json(self) -> dict[str, Any]:
        """Return the calibration as JSON can hold it."""
        return {
            "inverse_temperature": self.inverse_temperature,
            "offsets": self.offsets.tolist(),
            "floor": self.floor.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Calibration":
        """Return the calibration that `to_json` made this of."""
        offsets = np.array(content["offsets"], float)
        floor = np.array(content["floor"], float)
        return cls(float(content["inverse_temperature"]), offsets, floor)


def fit(means: Array, classes: Classes) -> Calibration:
    """Fit a calibration to rows that were predicted without having been seen.

    Parameters
    ----------
    means : ndarray of shape (n, k)
        Of the indicators of k classes, each row left out: leave-one-out means.
    classes : ndarray of shape (n,)
        The class of every row, from 0 to k - 1.

    Returns
    -------
    Calibration
        Maximum a posteriori: the least log loss with the priors above. The log loss is convex in
        τ and b together.
    """
    from scipy.optimize import minimize  # noqa: PLC0415  serving imports this module, not training

    count, k = means.shape
    # Half a row more of every class keeps the logarithm of a share finite.
    share = (np.bincount(classes, minlength=k) + 0.5) / (count + 0.5 * k)
    tilt, indicators = means - share, np.eye(k)[classes]
    center, deviation = LOG_INVERSE_TEMPERATURE

    def objective(parameters: Array) -> tuple[float, Array]:
        log_temperature, b = parameters[0], parameters[1:]
        temperature = np.exp(log_temperature)
        logits = np.log(share) + temperature * tilt + b
        normalizer = np.logaddexp.reduce(logits, axis=1)
        loss = (normalizer - logits[np.arange(count), classes]).sum()
        residual = np.exp(logits - normalizer[:, np.newaxis]) - indicators
        standardized = (log_temperature - center) / deviation
        loss += standardized**2 / 2 + np.square(b).sum() / (2 * OFFSET_DEVIATION**2)
        slope = temperature * (residual * tilt).sum() + standardized / deviation
        return loss, np.concatenate([[slope], residual.sum(axis=0) + b / OFFSET_DEVIATION**2])

    start = np.concatenate([[center], np.zeros(k)])
    found = minimize(objective, start, jac=True, method="L-BFGS-B").x
    inverse_temperature = float(np.exp(found[0]))
    offsets: Array = found[1:] + np.log(share) - inverse_temperature * share
    return Calibration(inverse_temperature, offsets, share / (count + 1))


def _softmax(x: Array) -> Array:
    """Positive numbers of sum 1 in every row, in the ratios of the exponentials."""
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    shares: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
