"""Tables in Markdown for RESULTS.md, and the machine that they are from."""

import datetime
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import scipy.linalg  # noqa: F401  loads the BLAS that is named
from threadpoolctl import threadpool_info

from benchmarks.measuring import Measurement
from gaussian_processes.resources import available_cpus

PACKAGES = ("numpy", "scipy", "scikit-learn", "gpytorch", "torch")
NOTHING = "–"


def machine() -> str:
    """Return a sentence that names the machine, the libraries and the load."""
    model, memory = (
        _field("/proc/cpuinfo", "model name"),
        int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024,
    )
    libraries = ", ".join([f"Python {platform.python_version()}", *_blas(), *_versions()])
    now = datetime.datetime.now(datetime.UTC)
    return (
        f"{available_cpus()} cores of {model}, {memory / 2**30:.0f} GiB; {libraries};"
        f" {now:%Y-%m-%d}, load at the start {os.getloadavg()[0]:.1f}."
    )


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its first column is text, the others numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def seconds(measurement: Measurement) -> str:
    """Return the median seconds with those of the fastest and the slowest run, or the failure."""
    if not measurement.succeeded:
        return str(measurement.failure)
    median, (least, most) = measurement.seconds, measurement.spread
    return (
        f"{median:.3g} ({least:.3g} to {most:.3g})"
        if len(measurement.runs) > 1
        else f"{median:.3g}"
    )


def ratio(measurement: Measurement, reference: Measurement | None) -> str:
    """Return the ratio of a subject's seconds to the reference's."""
    if reference is None or not (measurement.succeeded and reference.succeeded):
        return NOTHING
    return f"{measurement.seconds / reference.seconds:.2f}"


def gigabytes(measurement: Measurement) -> str:
    """Return its peak memory, in GB."""
    return f"{measurement.peak_bytes / 1e9:.2f}" if measurement.succeeded else NOTHING


def squares(measurement: Measurement, rows: int) -> str:
    """Return its peak memory, in matrices of rows × rows numbers of float64."""
    return f"{measurement.peak_bytes / (8 * rows**2):.2f}" if measurement.succeeded else NOTHING


def _field(path: str, name: str) -> str:
    """Return the first value of a field in one of the kernel's files of lines ``name : value``."""
    lines = Path(path).read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith(name)),
        f"unknown {name}",
    )


def _blas() -> list[str]:
    """Return the versions of NumPy's and SciPy's OpenBLAS, and the kernels that each uses."""
    found = [library for library in threadpool_info() if library["internal_api"] == "openblas"]
    return sorted(
        {f"OpenBLAS {library['version']} ({library['architecture']})" for library in found}
    )


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return found
