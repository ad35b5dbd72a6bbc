"""Gaussian-process regression with arc-cosine kernels, as a SageMaker-compatible container."""
