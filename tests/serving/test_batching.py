"""Dynamic batching: requests that are predicted together get the predictions of each alone."""

import socket
import threading
import time

import gevent.socket
import numpy as np
import pytest
from trained import COLUMNS, train

from gaussian_processes.errors import UserError
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model
from gaussian_processes.serving import batching
from gaussian_processes.serving.batching import DynamicBatcher, LoadMonitor

PREDICT = Model.predict


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artifact.load(train(tmp_path_factory.mktemp("base"), rows=30) / "model")


@pytest.fixture(params=["inline", "threadpool"], autouse=True)
def calls(request, monkeypatch):
    """Numbers of rows of every call of `Model.predict`, each in the thread where it has to be."""
    monkeypatch.setattr(batching, "INLINE_SECONDS", np.inf if request.param == "inline" else 0.0)
    calls = []

    def counted(self, rows, variance, **options):
        calls.append(len(rows))
        assert (threading.current_thread() is threading.main_thread()) == (
            request.param == "inline"
        )
        return PREDICT(self, rows, variance, **options)

    monkeypatch.setattr(Model, "predict", counted)
    return calls


def at_once(*calls):
    """Outcomes of calls that greenlets make at the same time."""
    jobs = [gevent.spawn(call) for call in calls]
    gevent.joinall(jobs)
    return [job.value if job.exception is None else job.exception for job in jobs]


@pytest.mark.parametrize("variance", [False, True])
def test_requests_that_arrive_together_share_batches_and_get_their_own_predictions(
    model, calls, variance
):
    batcher = DynamicBatcher()
    requests = [
        np.random.default_rng(seed).normal(size=(1 + seed % 3, COLUMNS)) for seed in range(20)
    ]

    answers = at_once(
        *(lambda rows=rows: batcher.predict(model, rows, variance) for rows in requests)
    )

    assert len(calls) < len(requests) / 4
    for rows, answer in zip(requests, answers, strict=True):
        alone = PREDICT(model, rows, variance)
        np.testing.assert_allclose(answer.mean, alone.mean, rtol=1e-12)
        if variance:
            np.testing.assert_allclose(answer.variance, alone.variance, rtol=1e-12)
        else:
            assert answer.variance is None


@pytest.mark.parametrize("alone", [False, True])
def test_only_a_request_that_is_alone_runs_without_a_switch(model, monkeypatch, alone):
    monkeypatch.setattr(batching, "INLINE_SECONDS", np.inf)
    monkeypatch.setattr(Model, "predict", PREDICT)
    turns = []
    gevent.spawn(turns.append, "another")

    DynamicBatcher(lambda: alone).predict(model, np.ones((1, COLUMNS)), False)

    assert bool(turns) != alone


def test_the_load_monitor_counts_requests_and_sees_waiting_connections():
    monitor = LoadMonitor()
    monitor.active_requests = 1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monitor.watch(listener)

        assert monitor.is_only_request()
        with socket.create_connection(listener.getsockname()):
            assert not monitor.is_idle()
            assert not monitor.is_only_request()
            listener.accept()[0].close()
        assert monitor.is_only_request()
        monitor.active_requests = 2
        assert not monitor.is_only_request()


def test_requests_that_arrive_one_after_the_other_share_a_batch(model, calls, monkeypatch):
    monkeypatch.setattr(batching, "MAX_BATCH_WAIT_SECONDS", 10)
    batcher, rows = DynamicBatcher(), np.ones((1, COLUMNS))
    sockets = [gevent.socket.socketpair() for _ in range(5)]

    def request(number):
        sockets[number][1].recv(1)
        if number + 1 < len(sockets):
            sockets[number + 1][0].send(b".")
        return batcher.predict(model, rows, False)

    requests = [gevent.spawn(request, number) for number in range(len(sockets))]
    gevent.sleep(0.01)
    sockets[0][0].send(b".")
    gevent.joinall(requests)

    assert calls == [len(sockets)]
    for end in (end for door in sockets for end in door):
        end.close()


def test_a_request_is_predicted_while_others_keep_arriving(model):
    def busy():
        while True:
            # As long as a short request, without the interpreter's lock, which a thread needs too.
            time.sleep(1e-4)
            gevent.sleep(0)

    others = gevent.spawn(busy)
    with gevent.Timeout(10):
        answer = DynamicBatcher().predict(model, np.ones((1, COLUMNS)), False)
    others.kill()

    assert answer.mean.shape == (1, 1)


def test_a_batch_takes_no_longer_than_its_limit(model, calls, monkeypatch):
    monkeypatch.setattr(batching, "MAX_BATCH_SECONDS", model.estimated_seconds(256, False))
    batcher = DynamicBatcher()

    answers = at_once(*[lambda: batcher.predict(model, np.ones((100, COLUMNS)), False)] * 7)

    assert [len(answer.mean) for answer in answers] == [100] * 7
    assert sorted(calls) == [100, 200, 200, 200]


def test_a_request_beyond_the_limit_of_a_batch_is_predicted_alone_without_waiting(
    model, calls, monkeypatch
):
    monkeypatch.setattr(batching, "MAX_BATCH_SECONDS", model.estimated_seconds(256, False))
    batcher = DynamicBatcher()

    at_once(*[lambda: batcher.predict(model, np.ones((257, COLUMNS)), False)] * 2)

    assert calls == [257] * 2


def test_two_rows_share_a_batch_however_long_one_takes(model, calls, monkeypatch):
    monkeypatch.setattr(batching, "MAX_BATCH_SECONDS", 0.0)
    batcher = DynamicBatcher()

    at_once(*[lambda: batcher.predict(model, np.ones((1, COLUMNS)), True)] * 3)

    assert max(calls) > 1


def test_a_refused_request_does_not_fail_others_of_its_batch(model, calls):
    batcher = DynamicBatcher()
    good, bad = np.ones((2, COLUMNS)), np.array([[1.0] * COLUMNS, [1e300] * COLUMNS])

    first, refusal, last = at_once(
        *(lambda rows=rows: batcher.predict(model, rows, True) for rows in (good, bad, good))
    )

    assert isinstance(refusal, UserError)
    assert str(refusal).startswith("row 2 holds 1e+300")
    np.testing.assert_allclose(first.mean, PREDICT(model, good).mean, rtol=1e-12)
    np.testing.assert_allclose(last.mean, PREDICT(model, good).mean, rtol=1e-12)


def test_rows_of_a_batch_keep_their_own_weights(model, calls):
    batcher, rows = DynamicBatcher(), np.ones((2, COLUMNS))
    weights = [None, np.array([4.0, 0.25]), None]

    answers = at_once(
        *(lambda weight=weight: batcher.predict(model, rows, True, weight) for weight in weights)
    )

    assert len(calls) < 3
    for weight, answer in zip(weights, answers, strict=True):
        alone = PREDICT(model, rows, True, sample_weight=weight)
        np.testing.assert_allclose(answer.variance, alone.variance, rtol=1e-12)


def test_a_request_that_is_alone_is_refused_at_once(model, calls):
    with pytest.raises(UserError, match="row 1 holds 1e"):
        DynamicBatcher().predict(model, np.array([[1e300] * COLUMNS]), True)

    assert calls == [1]


def test_requests_of_other_models_and_with_variances_are_batched_apart(model, tmp_path):
    other = artifact.load(train(tmp_path, rows=20) / "model")
    batcher, rows = DynamicBatcher(), np.ones((1, COLUMNS))

    answers = at_once(
        *(lambda model=model, variance=variance: batcher.predict(model, rows, variance)
          for model in (model, other) for variance in (False, True))
    )  # fmt: skip

    assert [answer.variance is None for answer in answers] == [True, False, True, False]
    for answer, asked in zip(answers, (model, model, other, other), strict=True):
        np.testing.assert_allclose(answer.mean, PREDICT(asked, rows).mean, rtol=1e-12)


def test_a_bug_fails_every_request_of_the_batch_and_none_after_it(model, monkeypatch):
    batcher, rows = DynamicBatcher(), np.ones((1, COLUMNS))
    with monkeypatch.context() as broken:
        broken.setattr(Model, "predict", lambda *_, **__: 1 / 0)
        outcomes = at_once(*[lambda: batcher.predict(model, rows, False)] * 3)
    assert all(isinstance(outcome, ZeroDivisionError) for outcome in outcomes)

    assert batcher.predict(model, rows, False).mean.shape == (1, 1)
