"""Memory bandwidth, and NumPy's arccos, on all cores."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gaussian_processes.linalg.cholesky import slices
from gaussian_processes.linalg.parallel import WorkerPool
from gaussian_processes.resources import available_cpus

# Values to a chunk: 128 kB an array, which a core's own cache holds.
CHUNK = 16_384

Findings = Callable[[], dict[str, Any]]
Work = Callable[[], Findings]


def copy(size: int) -> Work:
    """Copy `size` bytes in memory, on all cores: `size` bytes are read, and as many written."""
    source = np.ones(size // 8)
    target = np.zeros_like(source)
    target[...] = 0  # the first write maps the pages
    shares = slices(len(source), -(-len(source) // available_cpus()))

    def work() -> Findings:
        with WorkerPool() as over:
            list(over(lambda share: np.copyto(target[share], source[share]), shares))
        return lambda: {"bytes": 2 * source.nbytes}

    return work


def arccos(values: int) -> Work:
    """NumPy's arccos of as many values, in chunks that stay in cache, on all cores."""
    cosines = np.random.default_rng(1).uniform(-1, 1, CHUNK)
    tasks = [values // CHUNK // available_cpus()] * available_cpus()

    def repeat(times: int) -> int:
        angles = np.empty_like(cosines)
        for _ in range(times):
            np.arccos(cosines, out=angles)
        return times * CHUNK

    def work() -> Findings:
        with WorkerPool() as over:
            done = sum(over(repeat, tasks))
        return lambda: {"values": done}

    return work
