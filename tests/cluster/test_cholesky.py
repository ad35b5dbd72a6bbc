import threading

import numpy as np
import pytest
from in_process_hosts import on_all_hosts

from gaussian_processes.cluster import distributed_factor
from gaussian_processes.cluster.cholesky import factorise
from gaussian_processes.cluster.exchange import SingleHost
from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.cluster.partition import RowPartition
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.linalg import blas, cholesky
from gaussian_processes.linalg.cholesky import InMemoryPanels, NotPositiveDefiniteError

ROWS, WIDTH = 601, 48  # 13 panels, the last of 25 columns; more than two chunks of them


def gram_matrix(rows=ROWS, noise_ratio=0.01):
    points = np.random.default_rng(rows).normal(size=(rows, 5))
    points /= np.linalg.norm(points, axis=1)[:, np.newaxis]
    return GramMatrix(ArcCosine(1, 1), points, noise_ratio)


@pytest.fixture(scope="module")
def matrix():
    return gram_matrix()


@pytest.fixture(scope="module")
def factor(matrix):
    return cholesky.factorise(matrix)


@pytest.fixture(params=[1, 2, 4])
def hosts(request):
    return request.param


def on_every(hosts, matrix, function):
    """Results of a function of the factor and the exchange, on every host."""

    def run(exchange):
        return function(factorise(matrix, exchange, width=WIDTH))

    return on_all_hosts(hosts, run)[0]


def test_the_rows_of_all_hosts_are_those_of_one_factor(matrix, hosts):
    expected = np.linalg.cholesky(matrix.block(slice(0, ROWS), slice(0, ROWS)))

    found = on_every(hosts, matrix, lambda factor: factor)

    for rank, factor in enumerate(found):
        partition = RowPartition(ROWS, WIDTH, hosts, rank)
        for block, panel in enumerate(factor.panels):
            columns = partition.blocks[block]
            rows = partition.rows[partition.offsets[block] :]
            lower = rows[:, np.newaxis] >= np.arange(columns.start, columns.stop)
            np.testing.assert_allclose(
                np.where(lower, panel, 0), expected[rows, columns], rtol=0, atol=1e-12
            )


def test_log_determinant_and_solutions_are_those_of_one_host(matrix, factor, hosts):
    y = np.random.default_rng(1).normal(size=(ROWS, 3))

    found = on_every(
        hosts,
        matrix,
        lambda factor: (
            factor.log_determinant,
            factor.solve(y),
            factor.solve_lower(y),
            factor.quadratic_form(y),
            factor.inverse_diagonal(),
        ),
    )

    expected = (
        factor.log_determinant,
        factor.solve(y),
        factor.solve_lower(y),
        (factor.solve_lower(y) ** 2).sum(axis=0),
        factor.inverse_diagonal(),
    )
    for results in found:
        for result, value in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, value, rtol=1e-9, atol=1e-9)


def test_the_leader_has_the_factor_of_one_host_in_a_file(tmp_path, monkeypatch, hosts):
    matrix = gram_matrix(1900)
    y = np.random.default_rng(1).normal(size=(len(matrix), 3))
    monkeypatch.setattr(distributed_factor, "MESSAGE_BYTES", 100_000)  # pieces of 32 rows

    def run(exchange):
        factor = factorise(matrix, exchange)
        return Hosts(exchange).gather_factor(factor, tmp_path / "factor.npy")

    (found, *others), _ = on_all_hosts(hosts, run)

    expected = np.linalg.cholesky(matrix.block(slice(0, 1900), slice(0, 1900)))
    assert others == [None] * (hosts - 1)
    for panel, columns in zip(found.panels, cholesky.slices(1900), strict=True):
        lower = expected[columns.start :, columns]
        np.testing.assert_allclose(np.tril(panel), lower, rtol=0, atol=1e-12)
    solution = np.linalg.solve(expected, y)
    np.testing.assert_allclose(found.solve_lower(y), solution, rtol=0, atol=1e-10)
    assert (tmp_path / "factor.npy").stat().st_size == 128 + cholesky.packed_bytes(len(matrix))


def test_all_hosts_have_the_same_result_to_the_last_bit(matrix):
    y = np.ones((ROWS, 1))

    found = on_every(
        4, matrix, lambda factor: (factor.solve(y).tobytes(), factor.inverse_diagonal().tobytes())
    )

    assert len(set(found)) == 1


def test_one_host_needs_no_exchange(matrix, factor):
    found = factorise(matrix, SingleHost(), width=WIDTH)

    np.testing.assert_allclose(found.inverse_diagonal(), factor.inverse_diagonal(), rtol=1e-9)


def test_fewer_rows_than_hosts_are_no_error():
    matrix = gram_matrix(3)

    found = on_every(4, matrix, lambda factor: factor.solve(np.eye(3)))

    expected = np.linalg.inv(matrix.block(slice(0, 3), slice(0, 3)))
    np.testing.assert_allclose(found[3], expected, rtol=1e-9)


class Indefinite:
    def __len__(self):
        return 200

    def block(self, rows, columns):
        block = np.eye(200)[rows, columns]
        block[
            np.arange(rows.start, rows.stop) == 130, np.arange(columns.start, columns.stop) == 130
        ] = -1
        return block


def test_a_matrix_that_is_not_positive_definite_is_refused_by_all_hosts_with_the_row():
    def run(exchange):
        with pytest.raises(NotPositiveDefiniteError, match=r"^row 131 is"):
            factorise(Indefinite(), exchange, width=WIDTH)
        # The hosts are still in step.
        return factorise(gram_matrix(100), exchange, width=WIDTH).log_determinant

    found, _ = on_all_hosts(2, run)

    assert found[0] == pytest.approx(cholesky.factorise(gram_matrix(100)).log_determinant)


@pytest.mark.parametrize("row", [1, 50, ROWS], ids=["first panel", "second", "last"])
def test_a_matrix_that_one_host_of_other_roundings_refuses_is_refused_by_all(
    matrix, monkeypatch, row
):
    potrf, host = blas.potrf, threading.local()

    def potrf_of_host(diagonal):
        if getattr(host, "rank", 0) != 1:
            return potrf(diagonal)
        if host.blocks == (row - 1) // WIDTH:
            return (row - 1) % WIDTH + 1
        host.blocks += 1
        return potrf(diagonal)

    def run(exchange):
        host.rank, host.blocks = exchange.rank, 0
        with pytest.raises(NotPositiveDefiniteError, match=f"^row {row} is"):
            factorise(matrix, exchange, width=WIDTH)
        host.rank = 0
        # The hosts are still in step.
        return factorise(gram_matrix(100), exchange, width=WIDTH).log_determinant

    monkeypatch.setattr(blas, "potrf", potrf_of_host)
    found, _ = on_all_hosts(3, run)

    assert found[1] == pytest.approx(cholesky.factorise(gram_matrix(100)).log_determinant)


def test_nothing_is_offered_any_more_once_all_have_it(matrix):
    def run(exchange):
        factorise(matrix, exchange, width=WIDTH).inverse_diagonal()

    _, exchanges = on_all_hosts(2, run)

    # What the last operation has offered may still be on its way.
    assert all(len(exchange.offers) <= 1 for exchange in exchanges)


class Kept(InMemoryPanels):
    """Panels that an earlier run has left."""

    def __init__(self, panels):
        super().__init__()
        object.__setattr__(self, "panels", panels)

    def finished(self):
        return self.panels


def test_panels_that_all_hosts_have_finished_are_not_computed_again(matrix):
    before = on_every(2, matrix, lambda factor: factor.panels)

    def run(exchange):
        # The second host was stopped earlier.
        kept = Kept(before[exchange.rank][: (7, 4)[exchange.rank]])
        after = factorise(matrix, exchange, kept, width=WIDTH)
        return after.panels, after.log_determinant

    found, _ = on_all_hosts(2, run)

    for rank, (panels, _) in enumerate(found):
        assert [panel is kept for panel, kept in zip(panels, before[rank], strict=True)] == (
            [True] * 4 + [False] * 9
        )
        for panel, kept in zip(panels, before[rank], strict=True):
            np.testing.assert_array_equal(panel, kept)
    assert found[0][1] == found[1][1]


def test_progress_ends_with_all_operations(matrix):
    calls = []

    factorise(matrix, SingleHost(), progress=lambda *call: calls.append(call), width=WIDTH)

    assert len(calls) == 13
    assert calls[-1][0] == pytest.approx(calls[-1][1])
