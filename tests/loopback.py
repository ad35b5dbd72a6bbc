"""Loopback addresses for the hosts of jobs that run as processes: their ports are fixed."""

import os
from itertools import cycle, islice

# Three digits each, so that their order is that of their names.
_last_bytes = cycle(range(100, 250))


def addresses(hosts: int) -> list[str]:
    """Return addresses that no other job has, of this process or of one beside it."""
    process = os.getpid()
    network = f"127.{process // 250 % 250 + 1}.{process % 250}"
    return sorted(f"{network}.{byte}" for byte in islice(_last_bytes, hosts))
