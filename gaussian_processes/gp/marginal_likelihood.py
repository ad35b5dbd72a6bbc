"""Log marginal likelihood, its gradient, and maximum a posteriori estimates of its parameters.

The log marginal likelihood (type II maximum likelihood, GPML section 5.4.1) and the logarithms of
weak priors (GPML section 5.2, the second level of inference), maximised by L-BFGS with exact
gradients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gaussian_processes.gp import dense
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.gp.replicates import Replicates, find_replicates
from gaussian_processes.gp.sphere import project_to_sphere, project_to_sphere_vjp
from gaussian_processes.linalg.parallel import WorkerPool

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# Rows that the likelihood is computed on, at most. A search takes some twenty factorisations and
# inverses, whose cost grows with the cube of the rows; what a row beyond these would still teach
# about a handful of numbers is little.
MAX_ROWS = 2_000
# Rows of the subset on which a search starts: a sixtieth of the cost of all, and it ends where the
# rest of the way is short.
SUBSET_ROWS = 500
# The least noise that a subset may start the search on all rows from: it may leave none to see, and
# where there is next to none the likelihood is flat.
SUBSET_MIN_NOISE_RATIO = 1e-4
BOUNDS = {
    # Rounding ends what a smaller noise could mean; above 100 times the signal there is only noise.
    "noise_ratio": (1e-10, 1e2),
    # On standardised columns: below, rows are compared by direction alone; above, the kernel is
    # that of a straight line.
    "bias": (1e-2, 1e3),
    # A column of a thousandth of another's relevance does not matter to the kernel.
    "relevance": (1e-3, 1e3),
}
PARAMETERS = tuple(BOUNDS)
# The likelihood may have several maxima: much noise and a smooth function, or little noise and a
# rough one.
INITIAL_VALUES = ({"noise_ratio": 0.1, "bias": 1.0}, {"noise_ratio": 0.01, "bias": 10.0})
# Normal priors, mean and standard deviation, of the logarithms of two ratios; both lose against
# some tens of rows that speak clearly, and decide where few do.
# Noise against signal: a deviation of a third of the signal's, between 1/20 and 2.3 times it in 95
# of 100 cases. Without it a rough kernel plays the noise: of degree 0 its cusp explains any residue
# at every row by itself, and a new observation of the same row is then off by a hundred deviations.
NOISE_RATIO_PRIOR = (np.log(0.1), 2.0)
# Bias against the geometric mean of the relevances: between 0.6 and 32 in 95 of 100 cases, a
# function between one that turns within a deviation of the columns and one that is nearly linear.
BIAS_PRIOR = (np.log(4.5), 1.0)
# Standard deviation of a relevance's logarithm about their mean, which is free: three quarters of
# the columns within a factor of 1.8 unless the rows say otherwise. Without it, many columns of few
# rows are overfitted.
RELEVANCE_DEVIATION = 0.5
# A search ends when a step gains a row less than 1e-6 nats: of 2,000 rows a likelihood that is
# 1.002 times as high. Eight steps are usual; a hundred keep a search in many columns, each of whose
# steps is a factorisation, within minutes.
LBFGS_OPTIONS = {"ftol": 1e-6, "maxiter": 100}


@dataclass(frozen=True)
class KernelParameters:
    """Parameters θ of the covariance function, its noise included (GPML section 5.1).

    Parameters
    ----------
    kernel : ArcCosine
    noise_ratio : float
        λ = σ²ₙ/σ²_f.
    bias : float
        The constant coordinate that is appended to every row.
    relevance : ndarray of shape (d,)
        Inverse length scale of every standardised column: automatic relevance determination.
    """

    kernel: ArcCosine
    noise_ratio: float
    bias: float
    relevance: Array

    def points(self, z: Array) -> Array:
        """Points of norm 1, of shape (n, d + 1), for standardised rows of shape (n, d)."""
        return project_to_sphere(z * self.relevance, self.bias)


def subset_rows(count: int, max_rows: int) -> Indices:
    """Positions of `max_rows` evenly spaced rows, or of all if there are fewer."""
    rows: Indices = np.linspace(0, count - 1, min(count, max_rows)).round().astype(np.intp)
    return rows


@dataclass(frozen=True)
class TrainingData:
    """Standardised observations.

    Parameters
    ----------
    z : ndarray of shape (n, d)
        Standardised rows.
    y : ndarray of shape (n, t)
        Standardised targets.
    sample_weight : ndarray of shape (n,)
        w; the noise of a row is λ/w.
    """

    z: Array
    y: Array
    sample_weight: Array

    def subset(self, max_rows: int) -> "TrainingData":
        """Return evenly spaced observations, `max_rows` at most."""
        rows = subset_rows(len(self.z), max_rows)
        return TrainingData(self.z[rows], self.y[rows], self.sample_weight[rows])

    def gram_matrix(self, parameters: KernelParameters) -> GramMatrix:
        """Covariance matrix of the observations, of which those of equal rows are merged."""
        points = parameters.points(self.z)
        return GramMatrix.merged(
            parameters.kernel, points, parameters.noise_ratio, self.sample_weight, self._replicates
        )

    def condition(self, parameters: KernelParameters) -> GaussianProcess:
        """Condition the process of these parameters on the observations."""
        return fit(self.gram_matrix(parameters), self.y)

    @cached_property
    def _replicates(self) -> Replicates | None:
        return find_replicates(self.z, self.sample_weight)


def maximize_posterior(
    parameters: KernelParameters,
    names: Sequence[str],
    data: TrainingData,
    start: KernelParameters | None = None,
) -> KernelParameters:
    """Maximise the posterior density of some of the parameters.

    Parameters
    ----------
    parameters : KernelParameters
        The values of the parameters that stay as they are, and of `relevance` to start from.
    names : sequence of str
        Of `noise_ratio`, `bias` and `relevance`: the parameters to maximise over. Without a start
        the relevances come last, from the noise and bias that are best without them.
    data : TrainingData
    start : KernelParameters, optional
        Where to start, instead of at `INITIAL_VALUES`: what was found with fewer rows, or with a
        kernel that resembles this one.

    Returns
    -------
    KernelParameters
        The best maximum that was found.
    """
    if start:
        fixed = {name: getattr(parameters, name) for name in PARAMETERS if name not in names}
        first = replace(start, kernel=parameters.kernel, **fixed)
        return _optimize(first, names, data)[1] if names else first
    scalars = [name for name in names if name != "relevance"]
    if scalars:
        maxima = [
            _optimize(replace(parameters, **_chosen(values, scalars)), scalars, data)
            for values in INITIAL_VALUES
        ]
        parameters = max(maxima, key=lambda maximum: maximum[0])[1]
    if "relevance" in names:
        _, parameters = _optimize(parameters, names, data)
    return parameters


def _chosen(values: Mapping[str, float], names: Sequence[str]) -> dict[str, Any]:
    return {name: values[name] for name in names}


def floor_noise(parameters: KernelParameters, names: Sequence[str]) -> KernelParameters:
    """Raise the noise that a subset has found to where a search on more rows may start."""
    if "noise_ratio" not in names:
        return parameters
    return replace(parameters, noise_ratio=max(parameters.noise_ratio, SUBSET_MIN_NOISE_RATIO))


def at_bounds(parameters: KernelParameters, names: Sequence[str]) -> list[str]:
    """Names of the scalar parameters that the search has left at one of their `BOUNDS`."""
    scalars = [name for name in names if name != "relevance"]
    logs = {name: np.log(value) for name, value in _scalars(parameters, scalars).items()}
    return [
        name
        for name, log in logs.items()
        if np.isclose(log, np.log(BOUNDS[name]), rtol=0, atol=1e-6).any()
    ]


def log_marginal_likelihood_and_gradient(
    parameters: KernelParameters, data: TrainingData
) -> tuple[float, dict[str, Array]]:
    """Log marginal likelihood, and its gradient in the logarithm of every parameter.

    Parameters
    ----------
    parameters : KernelParameters
    data : TrainingData
        Whose targets that are zero everywhere do not count.

    Returns
    -------
    value : float
        At the best signal variance.
    gradient : dict of ndarray
        By the parameter's name.

    Notes
    -----
    GPML eq. 5.9: ½ tr((α αᵀ/σ²_f - M⁻¹) ∂M/∂θ), summed over the targets. One inverse serves every
    parameter: the gradient is first taken in the points, then in what was projected to them.
    """
    matrix = data.gram_matrix(parameters)
    value, in_noise_ratio, in_points = dense.log_marginal_likelihood_gradients(
        matrix, np.ascontiguousarray(data.y[:, data.y.any(axis=0)])
    )
    z = data.z if matrix.replicates is None else data.z[matrix.replicates.first]
    in_columns = project_to_sphere_vjp(z * parameters.relevance, parameters.bias, in_points)
    return value, {
        "noise_ratio": np.array([parameters.noise_ratio * in_noise_ratio]),
        "bias": np.array([parameters.bias * in_columns[:, -1].sum()]),
        "relevance": parameters.relevance * (in_columns[:, :-1] * z).sum(axis=0),
    }


def log_prior_and_gradient(
    parameters: KernelParameters, names: Sequence[str]
) -> tuple[float, dict[str, Array]]:
    """Log prior density of the parameters that are learned, and its gradient in their logarithms.

    With a noise that is given, the rows alone speak: the priors are against a kernel that plays the
    noise, which then can't be.

    Parameters
    ----------
    parameters : KernelParameters
    names : sequence of str
        The parameters that are learned.

    Returns
    -------
    value : float
        Up to a constant.
    gradient : dict of ndarray
        By the parameter's name.
    """
    logs = np.log(parameters.relevance)
    center = logs.mean() if len(logs) else 0.0
    value, gradient = 0.0, {name: np.zeros(np.size(getattr(parameters, name))) for name in names}
    if "relevance" in names:
        offsets = (logs - center) / RELEVANCE_DEVIATION
        value -= float(np.square(offsets).sum()) / 2
        gradient["relevance"] = -offsets / RELEVANCE_DEVIATION
    if "noise_ratio" not in names:
        return value, gradient
    mean, deviation = NOISE_RATIO_PRIOR
    offset = (np.log(parameters.noise_ratio) - mean) / deviation
    value -= offset**2 / 2
    gradient["noise_ratio"] = np.array([-offset / deviation])
    if "bias" in names:
        mean, deviation = BIAS_PRIOR
        offset = (np.log(parameters.bias) - center - mean) / deviation
        value -= offset**2 / 2
        gradient["bias"] = np.array([-offset / deviation])
        if "relevance" in names:
            gradient["relevance"] = gradient["relevance"] + offset / deviation / len(logs)
    return value, gradient


def _optimize(
    parameters: KernelParameters, names: Sequence[str], data: TrainingData
) -> tuple[float, KernelParameters]:
    """Maximise in the logarithms of `names`; return the maximum per row and where it is."""

    def loss(logs: Array) -> tuple[float, Array]:
        at = _with_logs(parameters, names, logs)
        likelihood, gradient = log_marginal_likelihood_and_gradient(at, data)
        prior, prior_gradient = log_prior_and_gradient(at, names)
        slope = np.concatenate([gradient[name] + prior_gradient[name] for name in names])
        return -(likelihood + prior) / len(data.z), -slope / len(data.z)

    values = [np.atleast_1d(getattr(parameters, name)) for name in names]
    bounds: list[Array] = []
    for name, value in zip(names, values, strict=True):
        bounds += [np.log(BOUNDS[name])] * len(value)
    initial = np.log(np.concatenate(values))
    with WorkerPool():  # BLAS of several threads would take longer to wake them than a step does
        found = minimize(
            loss, initial, jac=True, method="L-BFGS-B", bounds=bounds, options=LBFGS_OPTIONS
        )
    return -found.fun, _with_logs(parameters, names, found.x)


def _scalars(parameters: KernelParameters, names: Sequence[str]) -> dict[str, float]:
    return {name: getattr(parameters, name) for name in names}


def _with_logs(parameters: KernelParameters, names: Sequence[str], logs: Array) -> KernelParameters:
    """Replace the parameters `names` by the exponentials of concatenated logarithms."""
    values: dict[str, Any] = {}
    position = 0
    for name in names:
        size = np.size(getattr(parameters, name))
        value = np.exp(logs[position : position + size])
        values[name] = value if name == "relevance" else float(value[0])
        position += size
    return replace(parameters, **values)
