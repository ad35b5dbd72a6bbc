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
from gaussian_processes.gp.kernels import Kernel
from gaussian_processes.gp.regression import GaussianProcess, GramMatrix, fit
from gaussian_processes.gp.replicates import Replicates, find_replicates
from gaussian_processes.gp.sphere import append_bias
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
    # From a distance that no row is at to one that no two rows are within, on standardised columns.
    "gamma": (1e-6, 1e4),
}
# Those that are no field of the kernel.
GIVEN = ("noise_ratio", "bias", "relevance")
# The likelihood may have several maxima: much noise and a smooth function, or little noise and a
# rough one.
INITIAL_VALUES = ({"noise_ratio": 0.1, "bias": 1.0}, {"noise_ratio": 0.01, "bias": 10.0})
# A kernel with γ may have another maximum, where γ is ten times what the prior thinks likely. From
# there too it is searched for up to 200 rows, where that takes next to no time: of small searches
# with relevances 9 in 100 ended a nat below the best of twenty without it, and 2 with it.
LARGE_GAMMA_FACTOR, LARGE_GAMMA_MAX_ROWS = 10.0, 200
LARGE_GAMMA_VALUES = {"noise_ratio": 0.01, "bias": 3.0}
# Normal priors, mean and standard deviation, of the logarithms of two ratios; both lose against
# some tens of rows that speak clearly, and decide where few do.
# Noise against signal: a deviation of a third of the signal's, between 1/20 and 2.3 times it in 95
# of 100 cases. Without it a rough kernel plays the noise: of degree 0 its cusp explains any residue
# at every row by itself, and a new observation of the same row is then off by a hundred deviations.
NOISE_RATIO_PRIOR = (np.log(0.1), 2.0)
# Bias against the geometric mean of the relevances: between 0.6 and 32 in 95 of 100 cases, a
# function between one that turns within a deviation of the columns and one that is nearly linear.
BIAS_PRIOR = (np.log(4.5), 1.0)
# γ times the mean of half the squared distance of two rows, which is the sum of the squared
# relevances: at that distance the Gaussian of the kernel has fallen to between 0.995 and 1e-7 in 95
# of 100 cases. It is a weak prior, about one that leaves the arc-cosine kernel most of its say.
GAMMA_PRIOR = (np.log(0.3), 2.0)
PRIORS = {"noise_ratio": NOISE_RATIO_PRIOR, "bias": BIAS_PRIOR, "gamma": GAMMA_PRIOR}
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
    kernel : Kernel
        With its own parameter γ, if it has one.
    noise_ratio : float
        λ = σ²ₙ/σ²_f.
    bias : float
        The constant coordinate that is appended to every row.
    relevance : ndarray of shape (d,)
        Inverse length scale of every standardised column: automatic relevance determination.
    """

    kernel: Kernel
    noise_ratio: float
    bias: float
    relevance: Array

    @property
    def gamma(self) -> float:
        """The kernel's γ; 0 for one that has none."""
        return float(getattr(self.kernel, "gamma", 0.0))

    def points(self, z: Array) -> Array:
        """Points of shape (n, d + 1), for standardised rows of shape (n, d)."""
        return append_bias(z * self.relevance, self.bias)

    def with_kernel(self, kernel: Kernel) -> "KernelParameters":
        """Return these parameters with another kernel, its γ where the prior has its median."""
        median = float(np.exp(GAMMA_PRIOR[0] + _prior_unit("gamma", self.relevance)[0]))
        return replace(self, kernel=kernel.with_values(**dict.fromkeys(kernel.learned, median)))


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
        Of `noise_ratio`, `bias`, `gamma` and `relevance`: the parameters to maximise over. Without
        a start the relevances come last, from the others that are best without them.
    data : TrainingData
    start : KernelParameters, optional
        Where to start, instead of at `INITIAL_VALUES`: what was found with fewer rows, or with a
        kernel that resembles this one.

    Returns
    -------
    KernelParameters
        The best maximum that was found.
    """
    first = _merged(parameters, names, start)
    if not names:
        return first
    scalars = [name for name in names if name != "relevance"]
    # A start of a kernel without γ may be far from the best with it.
    is_near = start is not None and ("gamma" not in names or bool(start.kernel.learned))
    if scalars and not is_near:
        starts = [replace(first, **_chosen(values, scalars)) for values in INITIAL_VALUES]
        starts += [] if start is None else [first]
        first = _optimize_from(starts, scalars, data)
    if not (is_near or "relevance" in names):
        return first
    starts = [first]
    if "gamma" in names and not is_near and len(data.z) <= LARGE_GAMMA_MAX_ROWS:
        starts.append(_large_gamma_start(parameters, names))
    return _optimize_from(starts, names, data)


def _optimize_from(
    starts: Sequence[KernelParameters], names: Sequence[str], data: TrainingData
) -> KernelParameters:
    """Return the highest of the maxima that several starts lead to."""
    maxima = [_optimize(start, names, data) for start in starts]
    return max(maxima, key=lambda maximum: maximum[0])[1]


def _large_gamma_start(parameters: KernelParameters, names: Sequence[str]) -> KernelParameters:
    """Return a start where the Gaussian of the distance dominates the kernel."""
    kernel = parameters.kernel.with_values(gamma=LARGE_GAMMA_FACTOR * parameters.gamma)
    return replace(parameters, kernel=kernel, **_chosen(LARGE_GAMMA_VALUES, names))


def _merged(
    parameters: KernelParameters, names: Sequence[str], start: KernelParameters | None
) -> KernelParameters:
    """Return where to start: the start's values of `names`, if there is one, and the others."""
    if start is None:
        return parameters
    kernel = parameters.kernel
    if "gamma" in names and start.kernel.learned:
        kernel = kernel.with_values(gamma=start.gamma)
    fixed = {name: getattr(parameters, name) for name in GIVEN if name not in names}
    return replace(start, kernel=kernel, **fixed)


def _chosen(values: Mapping[str, float], names: Sequence[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def floor_noise(parameters: KernelParameters, names: Sequence[str]) -> KernelParameters:
    """Raise the noise that a subset has found to where a search on more rows may start."""
    if "noise_ratio" not in names:
        return parameters
    return replace(parameters, noise_ratio=max(parameters.noise_ratio, SUBSET_MIN_NOISE_RATIO))


def at_bounds(parameters: KernelParameters, names: Sequence[str]) -> list[str]:
    """Names of the scalar parameters that the search has left at one of their `BOUNDS`."""
    # The search is for logarithms, and leaves one at a bound to its rounding.
    return [
        name
        for name in names
        if name != "relevance" and np.isclose(getattr(parameters, name), BOUNDS[name], atol=0).any()
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
    parameter: the gradient is first taken in the points, then in what they are made of. Points that
    are all c times as long are the same to the kernel as a γ that is c² times as large, since an
    angle does not change: by Euler's theorem γ ∂/∂γ = ½ Σ_i x_i·∂/∂x_i.
    """
    matrix = data.gram_matrix(parameters)
    value, in_noise_ratio, in_points = dense.log_marginal_likelihood_gradients(
        matrix, np.ascontiguousarray(data.y[:, data.y.any(axis=0)])
    )
    z = data.z if matrix.replicates is None else data.z[matrix.replicates.first]
    return value, {
        "noise_ratio": np.array([parameters.noise_ratio * in_noise_ratio]),
        "bias": np.array([parameters.bias * in_points[:, -1].sum()]),
        "relevance": parameters.relevance * (in_points[:, :-1] * z).sum(axis=0),
        "gamma": np.array([(in_points * matrix.points).sum() / 2]),
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
    gradient = {name: np.zeros(np.size(getattr(parameters, name))) for name in names}
    value = 0.0
    if "relevance" in names:
        logs = np.log(parameters.relevance)
        offsets = (logs - logs.mean()) / RELEVANCE_DEVIATION
        value -= float(np.square(offsets).sum()) / 2
        gradient["relevance"] -= offsets / RELEVANCE_DEVIATION
    if "noise_ratio" not in names:
        return value, gradient
    # In the order of `PRIORS`, on which the last digits of the sums depend.
    for name in [name for name in PRIORS if name in names]:
        mean, deviation = PRIORS[name]
        unit, slope = _prior_unit(name, parameters.relevance)
        offset = (np.log(getattr(parameters, name)) - unit - mean) / deviation
        value -= offset**2 / 2
        gradient[name] -= offset / deviation
        if "relevance" in names:
            gradient["relevance"] += offset / deviation * slope
    return value, gradient


def _prior_unit(name: str, relevance: Array) -> tuple[float, Array]:
    """Logarithm of what a parameter's prior is in units of, and its slope in log relevances."""
    squares = np.square(relevance)
    if name == "bias" and len(squares):
        return float(np.log(squares).mean()) / 2, np.full(len(squares), 1 / len(squares))
    if name == "gamma" and len(squares):
        return -float(np.log(squares.sum())), -2 * squares / squares.sum()
    return 0.0, np.zeros(len(squares))


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


def _with_logs(parameters: KernelParameters, names: Sequence[str], logs: Array) -> KernelParameters:
    """Replace the parameters `names` by the exponentials of concatenated logarithms."""
    values: dict[str, Any] = {}
    position = 0
    for name in names:
        size = np.size(getattr(parameters, name))
        value = np.exp(logs[position : position + size])
        values[name] = value if name == "relevance" else float(value[0])
        position += size
    kernel = parameters.kernel
    if "gamma" in values:
        kernel = kernel.with_values(gamma=values.pop("gamma"))
    return replace(parameters, kernel=kernel, **values)
