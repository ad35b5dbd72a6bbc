"""Memory, bytes and processor time of one fit over several hosts, and a model of real instances.

python -m benchmarks.cluster [--rows 6000] [--hosts 1 2 4]
"""

import argparse
import os
import secrets
from collections.abc import Sequence

import numpy as np

from benchmarks import instances, reporting
from benchmarks.instances import INSTANCES, Prediction, Rates
from benchmarks.measuring import Run, Subject, run, run_together
from benchmarks.subjects.problem import COLUMNS
from gaussian_processes.gp.regression import working_bytes
from gaussian_processes.linalg.cholesky import packed_bytes

HEAD = (
    "hosts",
    "precision",
    "wall, seconds",
    "arithmetic, CPU seconds of all",
    "of one host's",
    "exchange, CPU seconds of all",
    "peak of a host, MB",
    "of its share",
    "received by a host, MB",
    "requests of a host",
    "iterations",
)
COMPARED = ("weights", "evidence", "leave-one-out", "deviations")
# Rows and repetitions that a core's rates are measured with: a second or so of each.
RATES = {"rows": 4096, "repetitions": 50}


def main() -> None:
    """Measure, and print the tables."""
    arguments = _arguments()
    print(reporting.machine(), flush=True)
    # A host is a core: more threads than cores would be measured in each other's way.
    os.environ["OMP_NUM_THREADS"] = "1"
    for rows in arguments.rows if arguments.hosts else ():
        print(f"\n{rows:,} rows, hosts of one core each on loopback addresses:\n", flush=True)
        print(_fits(rows, arguments.hosts), flush=True)
    plain, encrypted = (_transfer(arguments.messages, secret) for secret in (False, True))
    print(f"\n{_transfers(plain, encrypted)}\n", flush=True)
    rates = Rates(
        **run(Subject("rates", "host:rates", RATES)).found,
        plain=_bytes_a_second(plain),
        encrypted=_bytes_a_second(encrypted),
    )
    print(f"A model, whose assumptions are:\n\n{instances.assumptions(rates)}\n")
    print(_model(rates, arguments.model_rows, arguments.model_hosts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.cluster", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--rows", type=int, nargs="+", default=[6000], help="sizes (default 6000)")
    add("--hosts", type=int, nargs="*", default=[1, 2, 4], help="numbers (default 1 2 4)")
    add("--messages", type=int, default=64, help="of 8 MiB, plain and encrypted (default 64)")
    sizes, numbers = [50_000, 100_000, 200_000, 500_000], [1, 4, 16]
    add("--model-rows", type=int, nargs="+", default=sizes, help="sizes modelled")
    add("--model-hosts", type=int, nargs="+", default=numbers, help="instances modelled")
    return parser.parse_args()


def _fits(rows: int, numbers: Sequence[int]) -> str:
    """Measure fits; return a table of them, and one of how they differ from that of one host."""
    measured = {}
    for dtype in ("float64", "float32"):
        for hosts in sorted({1, *numbers}):
            measured[hosts, dtype] = _fit(rows, hosts, dtype)
    cells = [_row(rows, measured, hosts, dtype) for hosts, dtype in measured]
    differing = []
    for (hosts, dtype), runs in measured.items():
        alone = measured[1, dtype][0]
        if hosts > 1:
            differences = [_difference(runs[0], alone, name) for name in COMPARED]
            differing.append([str(hosts), dtype, *differences])
    head = ("hosts", "precision", *(f"{name} differ by" for name in COMPARED))
    return f"{reporting.markdown(HEAD, cells)}\n\n{reporting.markdown(head, differing)}"


def _fit(rows: int, hosts: int, dtype: str) -> list[Run]:
    needed = packed_bytes(rows, dtype) / hosts + working_bytes(rows, COLUMNS + 1, 1)
    return _on_hosts("host:fit", hosts, {"rows": rows, "dtype": dtype}, needed)


def _on_hosts(work: str, hosts: int, arguments: dict[str, object], needed: float) -> list[Run]:
    """Run a subject on several hosts at once."""
    network, first = f"127.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250}", 100
    names = [f"{network}.{first + rank}" for rank in range(hosts)]
    return run_together(
        [
            Subject(name, work, {"names": names, "current_host": name, **arguments}, needed)
            for name in names
        ]
    )


def _row(
    rows: int, measured: dict[tuple[int, str], list[Run]], hosts: int, dtype: str
) -> list[str]:
    runs, alone = measured[hosts, dtype], measured[1, dtype]
    share = rows**2 / 2 * np.dtype(dtype).itemsize / hosts
    peak = max(each.peak_bytes - each.start_bytes for each in runs)
    arithmetic, exchange = (_total(runs, f"{name}_seconds") for name in ("arithmetic", "exchange"))
    received = max(each.found.get("received", 0) for each in runs)
    requests = max(each.found.get("requests", 0) for each in runs)
    return [
        str(hosts),
        dtype,
        f"{max(each.seconds for each in runs):.3g}",
        f"{arithmetic:.3g}",
        f"{arithmetic / _total(alone, 'arithmetic_seconds'):.2f}",
        f"{exchange:.3g}",
        f"{peak / 1e6:.0f}",
        f"{peak / share:.2f}",
        f"{received / 1e6:.0f}",
        str(requests),
        str(runs[0].found["iterations"]),
    ]


def _total(runs: Sequence[Run], name: str) -> float:
    return sum(each.found[name] for each in runs)


def _difference(found: Run, expected: Run, name: str) -> str:
    """Return the largest difference, over the largest of the numbers."""
    numbers = np.asarray(expected.found[name])
    difference = np.abs(np.subtract(found.found[name], numbers)).max()
    return f"{difference / np.abs(numbers).max():.0e}"


def _transfer(messages: int, encrypted: bool) -> list[Run]:
    secret = secrets.token_hex(32) if encrypted else ""
    return _on_hosts("host:transfer", 2, {"messages": messages, "secret": secret}, 0)


def _transfers(plain: list[Run], encrypted: list[Run]) -> str:
    head = (
        "from host to host",
        "GB",
        "wall, GB/s",
        "sender, CPU seconds a GB",
        "receiver",
        "of plain",
    )
    rows = []
    for name, runs in (("plain", plain), ("TLS", encrypted)):
        received = runs[1].found["received"] / 1e9
        costs = [_cpu(each) / received for each in runs]
        rows.append(
            [
                name,
                f"{received:.2f}",
                f"{received / runs[1].seconds:.2f}",
                *(f"{cost:.2f}" for cost in costs),
                f"{_bytes_a_second(plain) / _bytes_a_second(runs):.2f}",
            ]
        )
    return reporting.markdown(head, rows)


def _cpu(measured: Run) -> float:
    return measured.found["arithmetic_seconds"] + measured.found["exchange_seconds"]


def _bytes_a_second(runs: Sequence[Run]) -> float:
    """Return the rate of a host that receives as much as it sends, by its processor time."""
    return runs[1].found["received"] / sum(map(_cpu, runs))


def _model(rates: Rates, sizes: Sequence[int], numbers: Sequence[int]) -> str:
    head = (
        "instance",
        "rows",
        "hosts",
        "GB a host",
        "float64",
        "bytes alone",
        "with TLS",
        "instance hours",
        "mixed, GB a host",
        "mixed",
        "a product M x",
    )
    cells = []
    for instance in INSTANCES:
        for rows in sizes:
            for hosts in numbers:
                found = Prediction(instance, rows, hosts, rates)
                mixed = Prediction(instance, rows, hosts, rates, itemsize=4)
                if mixed.fits:
                    cells.append([instance.name, f"{rows:,}", str(hosts), *_times(found, mixed)])
    return reporting.markdown(head, cells)


def _times(found: Prediction, mixed: Prediction) -> list[str]:
    tls = Prediction(found.instance, found.rows, found.hosts, found.rates, encrypted=True)
    own = [f"{found.gigabytes:.3g}", *["does not fit", *[reporting.NOTHING] * 3]]
    if found.fits:
        own[1:] = [
            _duration(found.seconds),
            _duration(found.transfer_seconds),
            _duration(tls.seconds),
            f"{found.instance_hours:.2g}",
        ]
    mixed_cells = [f"{mixed.gigabytes:.3g}", _duration(mixed.seconds)]
    return [*own, *mixed_cells, _duration(found.product_seconds)]


def _duration(seconds: float) -> str:
    """Return a time in its largest unit."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.2g} s"


if __name__ == "__main__":
    main()
