"""GPyTorch's exact Gaussian process with the same kernel, by Cholesky in float64."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gpytorch
import torch
from gpytorch.distributions import MultivariateNormal
from gpytorch.likelihoods import GaussianLikelihood

from benchmarks.subjects import problem

Findings = Callable[[], dict[str, Any]]
Work = Callable[[], Findings]


class ArcCosine(gpytorch.kernels.Kernel):
    """`problem.KERNEL`, with nothing to learn."""

    def forward(
        self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **_: object
    ) -> torch.Tensor:
        """Return the kernel of two sets of points."""
        return (
            torch.ones(x1.shape[:-1], dtype=x1.dtype)
            if diag
            else problem.closed_form(torch, x1 @ x2.mT)
        )


class Exact(gpytorch.models.ExactGP):
    """Process of mean 0."""

    def __init__(
        self, points: torch.Tensor, targets: torch.Tensor, likelihood: GaussianLikelihood
    ) -> None:
        super().__init__(points, targets, likelihood)
        self.mean, self.kernel = gpytorch.means.ZeroMean(), ArcCosine()

    def forward(self, points: torch.Tensor) -> MultivariateNormal:
        """Return the prior at some points."""
        return MultivariateNormal(self.mean(points), self.kernel(points))


def evidence(rows: int) -> Work:
    """Compute Gram matrix, factor and log evidence; alpha is not kept."""
    model, _ = _model(rows)

    def work() -> Findings:
        with _by_cholesky(rows):
            found = _evidence(model)
        return lambda: {"log_evidence_per_row": found}

    return work


def fit(rows: int) -> Work:
    """Log evidence, and the weights, which its first prediction computes anew."""
    model, new = _model(rows)

    def work() -> Findings:
        with _by_cholesky(rows):
            _evidence(model)
            _mean(model, new[:1])
        return lambda: _predicted(model, new)

    return work


def predict(rows: int, new: int) -> Work:
    """Means and variances at new points, with all that it can keep from a prediction before.

    Without `fast_pred_var` it would factorise anew for every prediction; the root that is kept
    instead is L⁻ᵀ, so that the variances stay exact.
    """
    model, points = _model(rows, new)
    with _by_cholesky(rows), gpytorch.settings.fast_pred_var():
        _means_and_variances(model, points[:1])

    def work() -> Findings:
        with _by_cholesky(rows), gpytorch.settings.fast_pred_var():
            mean = _means_and_variances(model, points)
        return lambda: {"means": mean.tolist()}

    return work


def _model(rows: int, new: int = 1000) -> tuple[Exact, torch.Tensor]:
    task = problem.make(rows, new)
    likelihood = GaussianLikelihood().double()
    likelihood.noise = torch.tensor(
        problem.NOISE, dtype=torch.float64
    )  # a float would be rounded to float32
    return Exact(
        torch.tensor(task.points), torch.tensor(task.targets.ravel()), likelihood
    ).double(), torch.tensor(task.new)


def _evidence(model: Exact) -> float:
    model.train()
    marginal = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    return float(marginal(model(*model.train_inputs), model.train_targets))


def _mean(model: Exact, points: torch.Tensor) -> torch.Tensor:
    model.eval()
    with gpytorch.settings.skip_posterior_variances():
        return model(points).mean


def _means_and_variances(model: Exact, points: torch.Tensor) -> torch.Tensor:
    model.eval()
    prediction = model(points)
    _ = prediction.variance
    return prediction.mean


def _predicted(model: Exact, new: torch.Tensor) -> dict[str, Any]:
    with _by_cholesky(len(model.train_targets)):
        return {"means": _mean(model, new).tolist()}


@contextmanager
def _by_cholesky(rows: int) -> Iterator[None]:
    """Neither gradients nor conjugate gradients: what is asked for is the exact value alone."""
    exactly = gpytorch.settings.fast_computations(
        covar_root_decomposition=False, log_prob=False, solves=False
    )
    with torch.no_grad(), exactly, gpytorch.settings.max_cholesky_size(rows + 1):
        yield


def evaluation(rows: int, evaluations: int) -> Work:
    """Log marginal likelihood of an ARD Matérn-5/2, with its gradient."""
    z, y = (torch.from_numpy(array) for array in problem.standardized(rows))
    likelihood = GaussianLikelihood().double()
    model = Exact(z, y[:, 0], likelihood).double()
    matern = gpytorch.kernels.MaternKernel(nu=2.5, ard_num_dims=z.shape[1])
    model.kernel = gpytorch.kernels.ScaleKernel(matern).double()
    log_likelihood = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model.train())

    def work() -> Findings:
        with _by_cholesky(rows), torch.enable_grad():
            for _ in range(evaluations):
                model.zero_grad()
                value = log_likelihood(model(z), y[:, 0])
                value.backward()
        return lambda: {"log_marginal_likelihood": rows * value.item()}

    return work
