"""Gaussian processes: kernels, regression, log marginal likelihood, ensembles, scores; arrays in, arrays out."""
