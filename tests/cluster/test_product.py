import threading
from contextlib import suppress

import numpy as np
import pytest
from in_process_hosts import on_all_hosts

from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.cluster.product import SharedRows, share
from gaussian_processes.gp import iterative, regression
from gaussian_processes.gp.iterative import Iterations
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.linalg.cg import StoppingRule, preconditioned_cg
from gaussian_processes.linalg.cholesky import InMemoryPanels, NotPositiveDefiniteError

ROWS = 901  # the last of 15 panels has 5 columns


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(5)
    points = rng.normal(size=(ROWS, 5))
    return GramMatrix(ArcCosine(1, 1), points, 0.01, rng.uniform(0.5, 2, ROWS))


@pytest.fixture(scope="module")
def square(matrix):
    return matrix.block(slice(0, ROWS), slice(0, ROWS))


def targets(columns):
    return np.random.default_rng(6).normal(size=(ROWS, columns))


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_the_product_of_all_hosts_is_that_with_the_whole_matrix(matrix, square, hosts):
    x = targets(3)

    found, _ = on_all_hosts(hosts, lambda exchange: Hosts(exchange).share(matrix).product(x))

    np.testing.assert_allclose(found[0], square @ x, rtol=0, atol=1e-10)
    assert len({product.tobytes() for product in found}) == 1


@pytest.mark.parametrize(("size", "hosts"), [(1, 4), (3000, 4), (30_000, 2), (100_000, 16)])
def test_every_pair_of_rows_is_one_hosts_and_hosts_have_equal_shares(size, hosts):
    shares = [share(size, hosts, rank) for rank in range(hosts)]

    columns = []
    for panels in shares:
        for panel in panels:
            columns += range(panel.start, panel.stop)
    assert sorted(columns) == list(range(size))
    if size >= 3000:
        pairs = [sum((size - p.start) * (p.stop - p.start) for p in panels) for panels in shares]
        assert max(pairs) < 1.1 * size**2 / 2 / hosts


def test_weights_of_a_shared_factor_in_float32_are_refined_to_those_of_float64(matrix, square):
    y = targets(2)

    def fit(exchange):
        hosts = Hosts(exchange)
        return regression.fit(
            hosts.share(matrix),
            y,
            lambda _: InMemoryPanels(np.float32),
            factorise=hosts.factorise,
        )

    found, _ = on_all_hosts(2, fit)

    expected = np.linalg.solve(square, y)
    scale = np.abs(expected).max()
    for process in found:
        np.testing.assert_allclose(process.alpha, expected, rtol=0, atol=1e-9 * scale)
        assert process.factor.dtype == np.float32
        assert 0 < process.iterations < 10
    assert found[0].alpha.tobytes() == found[1].alpha.tobytes()


@pytest.mark.parametrize("hosts", [1, 3])
def test_conjugate_gradients_of_all_hosts_solve_the_equations_alike(matrix, square, hosts):
    y = targets(2)

    def fit(exchange):
        own = Hosts(exchange)
        iterations = Iterations(50, share=own.share_rows(ROWS))
        return iterative.fit(own.share(matrix), y, iterations.solve)

    found, _ = on_all_hosts(hosts, fit)

    for process, residual in found:
        left = np.linalg.norm(y - square @ process.alpha, axis=0) / np.linalg.norm(y, axis=0)
        assert left.max() == pytest.approx(residual, rel=1e-6)
        assert residual <= 1.1 * iterative.TOLERANCE
    assert len({process.alpha.tobytes() for process, _ in found}) == 1


@pytest.mark.parametrize("ending", [2, 5])
def test_hosts_that_round_otherwise_end_with_the_same_iteration(matrix, monkeypatch, ending):
    exact, host = np.linalg.norm, threading.local()

    def norm(*arguments, **options):
        return exact(*arguments, **options) * (1 + getattr(host, "rank", 0) * np.finfo(float).eps)

    def solve(exchange, tolerance):
        host.rank, said = exchange.rank, []
        own = Hosts(exchange)
        # The data, too, may have other last digits.
        y = np.nextafter(targets(2), np.inf) if exchange.rank else targets(2)
        shared, inverse = own.share(matrix), Iterations(50, share=own.share_rows(ROWS))
        rough = iterative.preconditioner(shared, inverse.rank, inverse.share)
        with suppress(NotPositiveDefiniteError):
            stop = StoppingRule(tolerance, ending)
            preconditioned_cg(shared, rough, y, stop, lambda *call: said.append(call))
        return said

    monkeypatch.setattr(np.linalg, "norm", norm)
    before, _ = on_all_hosts(3, lambda exchange: solve(exchange, 0.0))
    # That of the first host: others find a residual that is greater by a rounding, or less.
    tolerance = before[0][-1][1]
    found, _ = on_all_hosts(3, lambda exchange: solve(exchange, tolerance))

    assert found[0][-1] == (ending, tolerance)
    assert found[0] == found[1] == found[2]


def test_hosts_keep_equal_parts_of_the_preconditioner_and_it_is_that_of_one(matrix):
    y = targets(2)

    def solve(exchange):
        own = iterative.preconditioner(matrix, 50, SharedRows(ROWS, exchange))
        return len(own.scaled), own.solve(y)

    found, _ = on_all_hosts(3, solve)

    assert [rows for rows, _ in found] == [300, 300, 301]
    expected = iterative.preconditioner(matrix, 50).solve(y)
    for _, solution in found:
        np.testing.assert_allclose(solution, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    assert len({solution.tobytes() for _, solution in found}) == 1
