"""How is what was measured said, so that it can be pasted into README?"""

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
    """Sentence that names the machine, the libraries, and how busy it was."""
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
    """Median of the seconds, and those of the fastest and the slowest run; or why there are none."""
    if not measurement.succeeded:
        return str(measurement.failure)
    median, (least, most) = measurement.seconds, measurement.spread
    return (
        f"{median:.3g} ({least:.3g} to {most:.3g})"
        if len(measurement.runs) > 1
        else f"{median:.3g}"
    )


def ratio(measurement: Measurement, reference: Measurement | None) -> str:
    """How many times the reference's seconds a subject took."""
    if reference is None or not (measurement.succeeded and reference.succeeded):
        return NOTHING
    return f"{measurement.seconds / reference.seconds:.2f}"


def gigabytes(measurement: Measurement) -> str:
    """Peak of its memory."""
    return f"{measurement.peak_bytes / 1e9:.2f}" if measurement.succeeded else NOTHING


def squares(measurement: Measurement, rows: int) -> str:
    """Peak of its memory, in matrices of rows × rows numbers of float64."""
    return f"{measurement.peak_bytes / (8 * rows**2):.2f}" if measurement.succeeded else NOTHING


def _field(path: str, name: str) -> str:
    """First value of a field in one of the kernel's files of lines ``name : value``."""
    lines = Path(path).read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith(name)),
        f"unknown {name}",
    )


def _blas() -> list[str]:
    """OpenBLAS's versions, NumPy's and SciPy's, and the processor that each takes this one for."""
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
