"""Gaussian-process surrogate of the losses of a search, and expected improvement.

Jones, Schonlau & Welch, "Efficient Global Optimization of Expensive Black-Box Functions", 1998.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from gaussian_processes.gp import marginal_likelihood
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.marginal_likelihood import KernelParameters, TrainingData
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.tuning.space import Space, Value
from gaussian_processes.tuning.strategies.base import History

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# Rough and smooth; the one that explains the losses better is taken. Objectives of training jobs
# have ridges and steps, which tens of jobs hardly resolve: smoother kernels alone were twice as
# sure of their predictions as they were right.
KERNELS = (ArcCosine(0, 0), ArcCosine(1, 0))
# Log-normal hyperpriors of noise, bias and relevance: the median, and the deviation of the
# logarithm. Tens of losses can't tell so many numbers: by maximum likelihood alone, columns that
# matter are thrown away.
HYPERPRIORS = {"noise_ratio": (1e-4, 2.0), "bias": (1.0, 0.7), "relevance": (1.0, 0.5)}
# Bounds of the maximum a posteriori search, in deviations from the median, and its iterations.
MAX_DEVIATIONS, MAX_ITERATIONS = 3.0, 40
# Losses this part of the median loss apart, counted from the best, are alike: only their order
# still tells something.
ALIKE = 0.05
# And not even that where they differ by rounding, or next to nothing.
RANKED_DECIMALS = 4
# Below this the variance of the function is rounding.
MIN_VARIANCE = 1e-18


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process of transformed losses.

    Parameters
    ----------
    parameters : KernelParameters
        Kernel, noise, bias and relevance of the greatest posterior density.
    z : ndarray of shape (n, d)
        Coordinates of the trials.
    y : ndarray of shape (n, 1)
        Their losses, transformed by `transform_losses`.
    """

    parameters: KernelParameters
    z: Array
    y: Array

    @cached_property
    def process(self) -> GaussianProcess:
        """Condition the process on the losses."""
        points = self.parameters.points(self.z)
        return fit(GramMatrix(self.parameters.kernel, points, self.parameters.noise_ratio), self.y)

    def predict(self, z: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the noise-free function, each of shape (m,)."""
        points, process = self.parameters.points(z), self.process
        observed = process.variance(points)[:, 0]
        noise = (process.noise_ratio + process.jitter) * process.signal_variance[0]
        deviation = np.sqrt(np.maximum(observed - noise, MIN_VARIANCE))
        return process.mean(points)[:, 0], deviation

    def fantasize(self, z: Array) -> "Surrogate":
        """Add the predicted mean as the loss of running trials: the kriging believer.

        So their neighbourhood offers no more improvement (Ginsbourger, Le Riche & Carraro, 2010).
        """
        if not len(z):
            return self
        mean = self.process.mean(self.parameters.points(z))
        return replace(self, z=np.vstack([self.z, z]), y=np.vstack([self.y, mean]))

    def expected_improvement(self, z: Array, best: float) -> Array:
        """Return the expected improvement on `best`, of shape (m,): eq. (15) of Jones et al."""
        mean, deviation = self.predict(z)
        u = (best - mean) / deviation
        density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
        expected: Array = deviation * (u * ndtr(u) + density)
        return expected


def fit_surrogate(space: Space, history: History) -> Surrogate:
    """Fit a surrogate to trials; one that failed has the worst loss that was seen."""
    seen = np.array([trial.losses[0] for trial in history.seen])
    losses = np.concatenate([seen, np.full(len(history.failed), seen.max())])
    y = transform_losses(losses)[:, np.newaxis]
    z = coordinates(space, [trial.values for trial in (*history.seen, *history.failed)])
    owners = np.repeat(np.arange(len(space)), [entry.width for entry in space])
    fits = [_maximize_posterior(kernel, z, y, owners) for kernel in KERNELS]
    _, parameters = max(fits, key=lambda found: found[0])
    return Surrogate(parameters, z, y)


def coordinates(space: Space, trials: Sequence[Mapping[str, Value]]) -> Array:
    """Return the points that trials are for the kernel, of shape (n, d)."""
    width = sum(entry.width for entry in space)
    return np.array([space.coordinates(values) for values in trials]).reshape(len(trials), width)


def _maximize_posterior(
    kernel: ArcCosine, z: Array, y: Array, owners: Indices
) -> tuple[float, KernelParameters]:
    """Maximize the log posterior density of noise, bias and relevance; return it with them.

    Coordinates of one hyperparameter, which have the same of `owners`, share their relevance.
    """
    names = ["noise_ratio", "bias", *["relevance"] * (owners.max() + 1)]
    medians = np.log([HYPERPRIORS[name][0] for name in names])
    deviations = np.array([HYPERPRIORS[name][1] for name in names])
    data = TrainingData(z, y, np.ones(len(z)))

    def parameters(logs: Array) -> KernelParameters:
        noise_ratio, bias, *relevance = np.exp(logs)
        return KernelParameters(
            kernel, float(noise_ratio), float(bias), np.array(relevance)[owners]
        )

    def negative_log_posterior(logs: Array) -> tuple[float, Array]:
        value, slopes = marginal_likelihood.log_marginal_likelihood_and_gradient(
            parameters(logs), data
        )
        scaled = (logs - medians) / deviations
        relevance = np.bincount(owners, slopes["relevance"])
        gradient = np.concatenate([slopes["noise_ratio"], slopes["bias"], relevance])
        return scaled @ scaled / 2 - value, scaled / deviations - gradient

    reach = MAX_DEVIATIONS * deviations
    found = minimize(
        negative_log_posterior,
        medians,
        jac=True,
        method="L-BFGS-B",
        bounds=np.column_stack([medians - reach, medians + reach]),
        options={"maxiter": MAX_ITERATIONS},
    )
    return -found.fun, parameters(found.x)


def transform_losses(losses: Array) -> Array:
    """Transform losses, not all the same, to mean 0 and variance 1: half by log, half by rank.

    The logarithm is of the distance from the best. To it that of the best quarter is added, which
    is what counts as near, and no less than `ALIKE`: how bad a bad loss is hardly matters, and
    detail among the good ones does. The rank's normal score goes on telling those apart that are
    alike, which long searches need, and lessens the weight of one that is far ahead.
    """
    above = losses - losses.min()
    near = max(float(np.quantile(above, 0.25)), ALIKE * float(np.median(above)))
    logs = _standardize(np.log(above + (near or float(above.max()))))
    ranks = rankdata(np.round(logs, RANKED_DECIMALS))
    return _standardize(logs + _standardize(ndtri((ranks - 0.5) / len(ranks))))


def _standardize(values: Array) -> Array:
    standardized: Array = (values - values.mean()) / values.std()
    return standardized
