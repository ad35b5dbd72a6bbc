"""Maximisation of the log marginal likelihood over noise, bias and relevances.

Type II maximum likelihood (GPML section 5.4.1), by L-BFGS with exact gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.pairwise import cosine_distances
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.gp.sphere import project_to_sphere, project_to_sphere_vjp
from gaussian_processes.linalg.cholesky import TILE_ROWS, slices
from gaussian_processes.linalg.parallel import WorkerPool

Array = NDArray[np.float64]

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
# The likelihood may have several maxima: much noise and a smooth function, or little noise and a
# rough one.
INITIAL_VALUES = ({"noise_ratio": 0.1, "bias": 1.0}, {"noise_ratio": 0.01, "bias": 10.0})
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

    def subset(self) -> "TrainingData":
        """Return every k-th observation, `SUBSET_ROWS` at most."""
        step = -(-len(self.z) // SUBSET_ROWS)
        return TrainingData(self.z[::step], self.y[::step], self.sample_weight[::step])

    def condition(self, parameters: KernelParameters) -> GaussianProcess:
        """Condition the process of these parameters on the observations."""
        points = parameters.points(self.z)
        matrix = GramMatrix(parameters.kernel, points, parameters.noise_ratio, self.sample_weight)
        return fit(matrix, self.y)


def maximize_log_marginal_likelihood(
    parameters: KernelParameters,
    names: Sequence[str],
    data: TrainingData,
    start: KernelParameters | None = None,
) -> KernelParameters:
    """Maximise the log marginal likelihood over some of the parameters.

    Parameters
    ----------
    parameters : KernelParameters
        The values of the parameters that stay as they are, and of `relevance` to start from.
    names : sequence of str
        Of `noise_ratio`, `bias` and `relevance`: the parameters to maximise over. The relevances
        come last, with the bias that is best without them: only their ratio matters to a point of
        the sphere.
    data : TrainingData
    start : KernelParameters, optional
        Where to start, instead of at `INITIAL_VALUES`: what was found with fewer rows, or with a
        kernel that resembles this one.

    Returns
    -------
    KernelParameters
        The best maximum that was found.
    """
    scalars = [name for name in names if name != "relevance"]
    if scalars:
        initial_values = [_scalars(start, scalars)] if start else INITIAL_VALUES
        maxima = []
        for values in initial_values:
            logs = np.log([values[name] for name in scalars])
            maxima.append(_optimize(_with_logs(parameters, scalars, logs), scalars, data))
        parameters = max(maxima, key=lambda maximum: maximum[0])[1]
    if "relevance" in names:
        if start:
            parameters = replace(parameters, relevance=start.relevance)
        _, parameters = _optimize(parameters, [name for name in names if name != "bias"], data)
    return parameters


def maximize_log_marginal_likelihood_on_subset(
    parameters: KernelParameters,
    names: Sequence[str],
    data: TrainingData,
    start: KernelParameters | None = None,
) -> KernelParameters:
    """Maximise the log marginal likelihood of `SUBSET_ROWS` observations, to start from on all."""
    maximum = maximize_log_marginal_likelihood(parameters, names, data.subset(), start)
    if "noise_ratio" in names and len(data.z) > SUBSET_ROWS:
        noise_ratio = max(maximum.noise_ratio, SUBSET_MIN_NOISE_RATIO)
        maximum = replace(maximum, noise_ratio=noise_ratio)
    return maximum


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
    process = replace(data, y=data.y[:, data.y.any(axis=0)]).condition(parameters)
    points, in_matrix = process.points, _gradient_in_matrix(process)

    def gradient_in_points(rows: slice) -> Array:
        derivative = parameters.kernel.derivative(cosine_distances(points[rows], points))
        return 2 * (in_matrix[rows] * derivative) @ points

    with WorkerPool() as pool:
        in_points = np.concatenate(list(pool(gradient_in_points, slices(len(points), TILE_ROWS))))
    # A point's term with itself is along its radius, which the projection's Jacobian takes away.
    in_columns = project_to_sphere_vjp(data.z * parameters.relevance, parameters.bias, in_points)
    in_noise_ratio = (in_matrix.diagonal() / data.sample_weight).sum()
    return process.log_marginal_likelihood(), {
        "noise_ratio": np.array([parameters.noise_ratio * in_noise_ratio]),
        "bias": np.array([parameters.bias * in_columns[:, -1].sum()]),
        "relevance": parameters.relevance * (in_columns[:, :-1] * data.z).sum(axis=0),
    }


def _gradient_in_matrix(process: GaussianProcess) -> Array:
    """∂/∂M of the log marginal likelihood: ½ (α αᵀ/σ²_f - M⁻¹), summed over the targets."""
    scaled = process.alpha / np.sqrt(process.signal_variance)
    gradient: Array = (scaled @ scaled.T - scaled.shape[1] * process.inverse()) / 2
    return gradient


def _optimize(
    parameters: KernelParameters, names: Sequence[str], data: TrainingData
) -> tuple[float, KernelParameters]:
    """Maximise in the logarithms of `names`; return the maximum per row and where it is."""

    def loss(logs: Array) -> tuple[float, Array]:
        at = _with_logs(parameters, names, logs)
        value, gradient = log_marginal_likelihood_and_gradient(at, data)
        slope = np.concatenate([gradient[name] for name in names])
        return -value / len(data.z), -slope / len(data.z)

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
