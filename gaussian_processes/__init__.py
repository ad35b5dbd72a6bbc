"""Gaussian-process regression with arc-cosine kernels, as a SageMaker-compatible container.

The public names are scikit-learn estimators and `load`; none is imported until it is used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gaussian_processes.estimators import (
        GaussianProcessClassifier,
        GaussianProcessRegressor,
        load,
    )

# A literal, which setuptools reads without importing the package.
__version__ = "0.1.0"
__all__ = ["GaussianProcessClassifier", "GaussianProcessRegressor", "__version__", "load"]


def __getattr__(name: str) -> object:
    """Import a public name when it is used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from gaussian_processes import estimators  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sklearn":
            raise
        raise ModuleNotFoundError(
            f"{name} needs scikit-learn, which is not installed:"
            " pip install 'gaussian-processes[sklearn]'",
            name="sklearn",
        ) from error
    return getattr(estimators, name)


def __dir__() -> list[str]:
    """List the public names beside what is there already."""
    return sorted({*globals(), *__all__})
