"""Gaussian-process regression with arc-cosine kernels, as a SageMaker-compatible container."""

__version__ = "0.1.0"
