"""Gaussian processes: kernels, regression, marginal likelihood, ensembles, scores; on arrays."""
