"""One host of a job: `host.py HOSTS CURRENT_HOST PATIENCE TASK`, on loopback addresses."""

import math
import os
import sys
import threading
from pathlib import Path

import numpy as np

from gaussian_processes.cluster import tls
from gaussian_processes.cluster.cholesky import factorise
from gaussian_processes.cluster.ending import Outcome
from gaussian_processes.cluster.exchange import operation
from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.cluster.membership import Membership
from gaussian_processes.gp import regression
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.linalg import blas
from gaussian_processes.linalg.cholesky import InMemoryPanels, NotPositiveDefiniteError


def gram_matrix(rows):
    points = np.random.default_rng(rows).normal(size=(rows, 5))
    points /= np.linalg.norm(points, axis=1)[:, np.newaxis]
    return GramMatrix(ArcCosine(1, 1), points, 0.01)


def write_line(*words):
    """Write a line in one piece: the end comes in another thread, which would write into it."""
    os.write(sys.stdout.fileno(), f"{' '.join(map(str, words))}\n".encode())


def numbers(hosts):
    factor = factorise(gram_matrix(300), hosts.exchange, width=48)
    write_line(repr(factor.log_determinant), repr(math.fsum(factor.inverse_diagonal())))
    write_line(*hosts.map(lambda item: item**2, range(10)))
    write_line(repr(math.fsum(mixed_weights(hosts, gram_matrix(300)))))
    write_line(refusal(hosts))
    write_line(unreadable(hosts))


def refusal(hosts):
    """Reason of a matrix that the last host alone finds not to be positive definite."""
    if hosts.exchange.rank == len(hosts) - 1:
        blas.potrf = lambda _: 5
    try:
        factorise(gram_matrix(300), hosts.exchange, width=48)
    except NotPositiveDefiniteError as error:
        return str(error)


def unreadable(hosts):
    """Error of an answer for which the next host cannot find a file."""
    exchange = hosts.exchange
    with operation(exchange) as number:
        exchange.offer((number, "file"), Path("/nowhere").stat)
        try:
            exchange.request((exchange.rank + 1) % exchange.size, (number, "file")).result()
        except OSError as error:
            return repr(error)


def mixed_weights(hosts, matrix):
    """Weights of a factor in float32 for targets that are rows' numbers, centred."""
    targets = np.linspace(-1, 1, len(matrix))[:, np.newaxis]
    process = regression.fit(
        hosts.share(matrix),
        targets,
        lambda _: InMemoryPanels(np.float32),
        factorise=hosts.factorise,
    )
    return (process.alpha * targets)[:, 0]


def wait(hosts):
    write_line("waiting")
    threading.Event().wait()


def wait_for_word(_hosts):
    write_line("waiting")
    sys.stdin.readline()


def fail(hosts):
    if not hosts.leads:
        raise ValueError("a bad row")
    wait(hosts)


def fail_when_asked(hosts):
    wait_for_word(hosts)
    write_line("failing")
    raise ValueError("a bad row")


def main():
    names, current_host, patience, task = sys.argv[1:]

    def end(reason, status):
        write_line(reason)
        os._exit(status)

    secret = os.environ.get("CLUSTER_SECRET")
    security = tls.security(secret) if secret else None
    membership = Membership(names.split(","), current_host, end, float(patience), security)
    try:
        with membership:
            try:
                globals()[task](Hosts(membership.exchange))
                outcome = membership.conclude(Outcome())
            except Exception as error:
                outcome = membership.conclude(Outcome(str(error), 1))
    except Exception as error:
        outcome = Outcome(str(error), 1)
    write_line(outcome.reason)
    os._exit(outcome.status)


if __name__ == "__main__":
    main()
