"""Model of the time that a factor takes on SageMaker's instances, from rates of one core here.

T = max(arithmetic, bytes) + panels x (latency + diagonal block), in seconds; `assumptions` says
what goes into it.
"""

import math
from dataclasses import dataclass

from gaussian_processes.cluster.cholesky import DISTRIBUTED_WIDTH
from gaussian_processes.linalg.cholesky import packed_bytes

# The part of its cores' rates that an instance reaches with all of them at work, and of its memory
# and its link that a job may have.
EFFICIENCY, MEMORY_SHARE, LINK_SHARE = 0.8, 0.9, 0.8
# A request and its answer inside one availability zone, with Dask's own share; a panel has two.
ROUND_TRIP_SECONDS = 0.004
# What a host takes beyond its share of the factor: see `cluster.cholesky.factorise`.
OVERHEAD = 1.15
# Iterations of conjugate gradients that refine weights in float32, and the one they begin with.
REFINEMENTS = 4


@dataclass(frozen=True)
class Instance:
    """An instance type: physical cores, memory in GiB, and the link in Gb/s."""

    name: str
    cores: int
    gibibytes: int
    gigabits: float


# Each vCPU of these is half a core. The small one's link is what it has without bursts. Of a third
# large type, ml.c7i.24xlarge, the model would say what it says of ml.m5.24xlarge, with half the
# memory.
INSTANCES = (
    Instance("ml.m5.4xlarge", 8, 64, 5),
    Instance("ml.m5.24xlarge", 48, 384, 25),
    Instance("ml.c7i.48xlarge", 96, 384, 50),
)


@dataclass(frozen=True)
class Rates:
    """Measured rates.

    Parameters
    ----------
    float64, float32 : float
        Operations a second and core.
    kernel : float
        Kernel values a second and core.
    plain, encrypted : float
        Bytes a second that one thread sends and receives at once, without TLS and with it.
    """

    float64: float
    float32: float
    kernel: float
    plain: float
    encrypted: float

    def __str__(self) -> str:
        """Say the rates."""
        return (
            f"{self.float64 / 1e9:.1f} GFLOP/s a core in float64, {self.float32 / 1e9:.1f} in"
            f" float32, {self.kernel / 1e6:.0f} million kernel values a second and core,"
            f" {self.plain / 1e9:.2f} GB/s in and out of a host at once,"
            f" {self.encrypted / 1e9:.2f} with TLS"
        )


@dataclass(frozen=True)
class Prediction:
    """A factor of so many rows on so many instances of a type."""

    instance: Instance
    rows: int
    hosts: int
    rates: Rates
    itemsize: int = 8
    encrypted: bool = False

    @property
    def gigabytes(self) -> float:
        """Memory of a host, in GB."""
        overhead = OVERHEAD if self.hosts > 1 else 1.0
        whole = packed_bytes(self.rows) * self.itemsize / 8
        return overhead * whole / self.hosts / 1e9

    @property
    def fits(self) -> bool:
        """Whether a host's memory holds it."""
        return self.gigabytes * 1e9 <= MEMORY_SHARE * self.instance.gibibytes * 2**30

    @property
    def product_seconds(self) -> float:
        """Seconds of one product M x."""
        values = self.rows**2 / 2
        return values / (self.rates.kernel * self._cores)

    @property
    def transfer_seconds(self) -> float:
        """Seconds of the bytes of the factor alone."""
        received = self.itemsize * self.rows**2 / 2 * (self.hosts - 1) / self.hosts
        return received / self._bytes_a_second

    @property
    def seconds(self) -> float:
        """Seconds of factor and weights."""
        rate = self.rates.float64 if self.itemsize == 8 else self.rates.float32
        arithmetic = self.rows**3 / 3 / (rate * self._cores) + self.product_seconds
        width = DISTRIBUTED_WIDTH
        panels = math.ceil(self.rows / width) if self.hosts > 1 else 0
        block = width**3 / 3 / rate + width**2 * self.itemsize / self._bytes_a_second
        refining = (REFINEMENTS + 1) * self.product_seconds if self.itemsize == 4 else 0
        waiting = panels * (2 * ROUND_TRIP_SECONDS + block)
        return max(arithmetic, self.transfer_seconds) + waiting + refining

    @property
    def instance_hours(self) -> float:
        """Hours of all instances together."""
        return self.hosts * self.seconds / 3600

    @property
    def _cores(self) -> float:
        return EFFICIENCY * self.instance.cores * self.hosts

    @property
    def _bytes_a_second(self) -> float:
        thread = self.rates.encrypted if self.encrypted else self.rates.plain
        return min(thread, LINK_SHARE * self.instance.gigabits * 1e9 / 8)


def assumptions(rates: Rates) -> str:
    """Say what the model assumes."""
    return "\n".join(
        [
            f"- Measured here, on one core: {rates}.",
            f"- A core of an instance is as fast as one here, and all of an instance's reach"
            f" {EFFICIENCY:.0%} of their rates together.",
            f"- A host sends and receives at the least of the rate above, of its one thread for"
            f" both, and of {LINK_SHARE:.0%} of its link. Bytes move while it computes.",
            f"- Each panel of {DISTRIBUTED_WIDTH} columns waits for two exchanges of"
            f" {1000 * ROUND_TRIP_SECONDS:g} ms and for its diagonal block, which one core"
            " factorises.",
            f"- A host takes {OVERHEAD:g} times its share of the factor, and may have"
            f" {MEMORY_SHARE:.0%} of its memory.",
            f"- Mixed precision refines the weights by {REFINEMENTS} iterations.",
            "- Learning the kernel's parameters, reading, scores and starting instances are left"
            " out; leave-one-out takes as long as the factor.",
        ]
    )
