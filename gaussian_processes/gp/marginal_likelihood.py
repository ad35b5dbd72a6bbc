"""Which noise, bias and relevance of the columns explain the observations best?

Those of the highest log evidence (GPML section 5.4.1), found by L-BFGS with exact gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from gaussian_processes.gp.kernels import ArcCosine, cosine_distances
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.gp.sphere import project, project_to_sphere_vjp
from gaussian_processes.linalg.cholesky import TILE_ROWS, slices
from gaussian_processes.linalg.parallel import WorkerPool

Array = NDArray[np.float64]

# Rows that the evidence is computed on, at most. A search takes some twenty factorisations and inverses, whose cost grows
# with the cube of the rows; what a row beyond these would still teach about a handful of numbers is little.
MAX_ROWS = 2_000
# Rows on which the search begins: a sixtieth of the cost of all, and it ends where the rest of the way is short.
SUBSET_ROWS = 500
# The noise that few rows are believed, at least: they may leave none to see, and where there is next to none the slope is flat.
SUBSET_MIN_NOISE_RATIO = 1e-4
BOUNDS = {
    # Rounding ends what a smaller noise could mean; above 100 times the signal there is nothing but noise.
    "noise_ratio": (1e-10, 1e2),
    # On standardised columns: below, rows are compared by direction alone; above, the kernel is that of a straight line.
    "bias": (1e-2, 1e3),
    # A column of a thousandth of another's weight does not matter to the kernel.
    "relevance": (1e-3, 1e3),
}
# The evidence may have several maxima: much noise and a smooth function, or little noise and a rough one.
INITIAL_VALUES = ({"noise_ratio": 0.1, "bias": 1.0}, {"noise_ratio": 0.01, "bias": 10.0})


@dataclass(frozen=True)
class KernelParameters:
    """Parameters θ of the covariance function, its noise included (GPML section 5.1).

    Parameters
    ----------
    kernel : ArcCosine
    noise_ratio : float
        λ, against a kernel whose value at equal points is 1.
    bias : float
        The constant coordinate that is appended to every row.
    relevance : ndarray of shape (d,)
        What every standardised column is multiplied by (automatic relevance determination, GPML section 5.1).
    """

    kernel: ArcCosine
    noise_ratio: float
    bias: float
    relevance: Array

    def points(self, z: Array) -> Array:
        """Points of norm 1, of shape (n, d + 1), for standardised rows of shape (n, d)."""
        return project(z * self.relevance, self.bias)


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
        """Return every so many-th of them, `SUBSET_ROWS` at most."""
        step = -(-len(self.z) // SUBSET_ROWS)
        return TrainingData(self.z[::step], self.y[::step], self.sample_weight[::step])

    def condition(self, parameters: KernelParameters) -> GaussianProcess:
        """Condition the process of these parameters on the observations."""
        return fit(
            GramMatrix(
                parameters.kernel,
                parameters.points(self.z),
                parameters.noise_ratio,
                self.sample_weight,
            ),
            self.y,
        )


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
        Of `noise`, `bias` and `relevance`: those to find. The relevance is found last, with the bias that is best without:
        only their ratio matters to a point of the sphere.
    data : TrainingData
    start : KernelParameters, optional
        Where to start in place of `INITIAL_VALUES`: what was found on fewer rows, or with a kernel that resembles this one.

    Returns
    -------
    Prior
        Of the highest evidence that was found.
    """
    scalars = [name for name in names if name != "relevance"]
    if scalars:
        starts = [{name: getattr(start, name) for name in scalars}] if start else INITIAL_VALUES
        climbs = (
            _optimize(
                _with(parameters, scalars, np.log([one[name] for name in scalars])), scalars, data
            )
            for one in starts
        )
        parameters = max(climbs, key=lambda climb: climb[0])[1]
    if "relevance" in names:
        parameters = replace(
            parameters, relevance=start.relevance if start else parameters.relevance
        )
        parameters = _optimize(parameters, [name for name in names if name != "bias"], data)[1]
    return parameters


def maximize_log_marginal_likelihood_on_subset(
    parameters: KernelParameters,
    names: Sequence[str],
    data: TrainingData,
    start: KernelParameters | None = None,
) -> KernelParameters:
    """Maximise the log marginal likelihood of `SUBSET_ROWS` observations, to start from on all."""
    found = maximize_log_marginal_likelihood(parameters, names, data.subset(), start)
    if "noise_ratio" in names and len(data.z) > SUBSET_ROWS:
        found = replace(found, noise_ratio=max(found.noise_ratio, SUBSET_MIN_NOISE_RATIO))
    return found


def _optimize(
    parameters: KernelParameters, names: Sequence[str], data: TrainingData
) -> tuple[float, KernelParameters]:
    """Maximise in the logarithms of `names`; return the maximum and where it is."""

    def loss(logs: Array) -> tuple[float, Array]:
        value, gradient = log_marginal_likelihood_and_gradient(_with(parameters, names, logs), data)
        return -value / len(data.z), -np.concatenate([gradient[name] for name in names]) / len(
            data.z
        )

    values = [np.atleast_1d(getattr(parameters, name)) for name in names]
    bounds = [
        np.log(BOUNDS[name]) for name, value in zip(names, values, strict=True) for _ in value
    ]
    # Ends when a step gains a row less than 1e-6 nats: of 2,000 rows a likelihood that is 1.002 times as high. Eight steps are
    # usual; a hundred keep a search in many columns, each of whose steps is a factorisation, within minutes.
    options = {"ftol": 1e-6, "maxiter": 100}
    with WorkerPool():  # a BLAS of several threads would spend longer on waking them than on the few numbers of a step
        found = minimize(
            loss,
            np.log(np.concatenate(values)),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options=options,
        )
    return -found.fun, _with(parameters, names, found.x)


def at_bounds(parameters: KernelParameters, names: Sequence[str]) -> list[str]:
    """Those of the scalar parameters that the search would have taken further, had it been allowed to."""
    logs = {name: np.log(getattr(parameters, name)) for name in names if name != "relevance"}
    return [
        name
        for name, log in logs.items()
        if np.isclose(log, np.log(BOUNDS[name]), rtol=0, atol=1e-6).any()
    ]


def _with(parameters: KernelParameters, names: Sequence[str], logs: Array) -> KernelParameters:
    """Replace the parameters `names` by the exponentials of concatenated logarithms."""
    values: dict[str, Any] = {}
    position = 0
    for name in names:
        size = np.size(getattr(parameters, name))
        value = np.exp(logs[position : position + size])
        values[name] = value if name == "relevance" else float(value[0])
        position += size
    return replace(parameters, **values)


def log_marginal_likelihood_and_gradient(
    parameters: KernelParameters, data: TrainingData
) -> tuple[float, dict[str, Array]]:
    """Log evidence of observations, and its gradient in the logarithm of every parameter.

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
    ½ tr((α αᵀ/a - M⁻¹) ∂M/∂p), summed over the targets: GPML eq. 5.9. One inverse serves every parameter: the gradient is
    first taken in the points, then pulled back through the projection.
    """
    process = replace(data, y=data.y[:, data.y.any(axis=0)]).condition(parameters)
    points, sensitivity = process.points, _sensitivity(process)

    def by_points(rows: slice) -> Array:
        slope = parameters.kernel.derivative(cosine_distances(points[rows], points))
        return 2 * (sensitivity[rows] * slope) @ points

    with WorkerPool() as over:
        in_points = np.concatenate(list(over(by_points, slices(len(points), TILE_ROWS))))
    # The term of a point with itself is along its radius, and the pulling back takes that away.
    in_columns = project_to_sphere_vjp(data.z * parameters.relevance, parameters.bias, in_points)
    return process.log_marginal_likelihood(), {
        "noise_ratio": np.array(
            [parameters.noise_ratio * (sensitivity.diagonal() / data.sample_weight).sum()]
        ),
        "bias": np.array([parameters.bias * in_columns[:, -1].sum()]),
        "relevance": parameters.relevance * (in_columns[:, :-1] * data.z).sum(axis=0),
    }


def _sensitivity(process: GaussianProcess) -> Array:
    """Derivative of the log evidence in every number of M: ½ (α αᵀ/a - M⁻¹), summed over the targets."""
    weights = process.alpha / np.sqrt(process.signal_variance)
    sensitivity: Array = (weights @ weights.T - weights.shape[1] * process.inverse()) / 2
    return sensitivity
