"""Are requests that are predicted together answered as if each were alone?"""

import select
import socket
import threading
import time

import gevent
import numpy as np
import pytest
from trained import COLUMNS, train

from gaussian_processes.errors import UserError
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model
from gaussian_processes.serving import worker

PREDICT = Model.predict


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artifact.load(train(tmp_path_factory.mktemp("base"), rows=30) / "model")


@pytest.fixture(params=["here", "elsewhere"], autouse=True)
def passes(request, monkeypatch):
    """Rows of every pass over a model, in their order; each is made where it has to be."""
    monkeypatch.setattr(worker, "INLINE_SECONDS", np.inf if request.param == "here" else 0.0)
    taken = []

    def counted(self, rows, variance):
        taken.append(len(rows))
        assert (threading.current_thread() is threading.main_thread()) == (request.param == "here")
        return PREDICT(self, rows, variance)

    monkeypatch.setattr(Model, "predict", counted)
    return taken


def at_once(*calls):
    """Outcomes of calls that greenlets make at the same time."""
    jobs = [gevent.spawn(call) for call in calls]
    gevent.joinall(jobs)
    return [job.value if job.exception is None else job.exception for job in jobs]


@pytest.mark.parametrize("variance", [False, True])
def test_requests_that_come_at_once_share_passes_and_get_their_own_answers(model, passes, variance):
    gathering = worker.DynamicBatcher()
    requests = [
        np.random.default_rng(seed).normal(size=(1 + seed % 3, COLUMNS)) for seed in range(20)
    ]

    answers = at_once(
        *(lambda rows=rows: gathering.predict(model, rows, variance) for rows in requests)
    )

    assert len(passes) < len(requests) / 4
    for rows, answer in zip(requests, answers, strict=True):
        alone = PREDICT(model, rows, variance)
        np.testing.assert_allclose(answer.mean, alone.mean, rtol=1e-12)
        if variance:
            np.testing.assert_allclose(answer.variance, alone.variance, rtol=1e-12)
        else:
            assert answer.variance is None


@pytest.mark.parametrize("alone", [False, True])
def test_only_a_request_that_is_alone_gives_nobody_else_a_turn(model, monkeypatch, alone):
    monkeypatch.setattr(worker, "INLINE_SECONDS", np.inf)
    monkeypatch.setattr(Model, "predict", PREDICT)
    turns = []
    gevent.spawn(turns.append, "somebody's")

    worker.DynamicBatcher(lambda: alone).predict(model, np.ones((1, COLUMNS)), False)

    assert bool(turns) != alone


def test_the_door_knows_who_is_inside_and_who_waits():
    door = worker.LoadMonitor()
    door.inside = 1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door.queue.register(listener, select.POLLIN)

        assert door.one_inside()
        with socket.create_connection(listener.getsockname()):
            assert not door.nobody_waits()
            assert not door.one_inside()
            listener.accept()[0].close()
        assert door.one_inside()
        door.inside = 2
        assert not door.one_inside()


def test_requests_that_are_let_in_one_after_the_other_share_a_pass(model, passes, monkeypatch):
    monkeypatch.setattr(worker, "GATHERING_SECONDS", 10)
    gathering, rows = worker.DynamicBatcher(), np.ones((1, COLUMNS))
    doors = [gevent.socket.socketpair() for _ in range(5)]

    def request(number):
        doors[number][1].recv(1)
        if number + 1 < len(doors):
            doors[number + 1][0].send(b".")
        return gathering.predict(model, rows, False)

    requests = [gevent.spawn(request, number) for number in range(len(doors))]
    gevent.sleep(0.01)
    doors[0][0].send(b".")
    gevent.joinall(requests)

    assert passes == [len(doors)]
    for end in (end for door in doors for end in door):
        end.close()


def test_a_request_is_answered_though_others_come_without_a_pause(model):
    def busy():
        while True:
            time.sleep(
                1e-4
            )  # as long as a short request, and without the interpreter, which a thread that predicts needs too
            gevent.sleep(0)

    others = gevent.spawn(busy)
    with gevent.Timeout(10):
        answer = worker.DynamicBatcher().predict(model, np.ones((1, COLUMNS)), False)
    others.kill()

    assert answer.mean.shape == (1, 1)


def test_a_pass_takes_no_longer_than_it_may(model, passes, monkeypatch):
    monkeypatch.setattr(worker, "MAX_BATCH_SECONDS", model.estimated_seconds(256, False))
    gathering = worker.DynamicBatcher()

    answers = at_once(*[lambda: gathering.predict(model, np.ones((100, COLUMNS)), False)] * 7)

    assert [len(answer.mean) for answer in answers] == [100] * 7
    assert sorted(passes) == [100, 200, 200, 200]


def test_a_request_longer_than_a_pass_is_alone_and_waits_for_none(model, passes, monkeypatch):
    monkeypatch.setattr(worker, "MAX_BATCH_SECONDS", model.estimated_seconds(256, False))
    gathering = worker.DynamicBatcher()

    at_once(*[lambda: gathering.predict(model, np.ones((257, COLUMNS)), False)] * 2)

    assert passes == [257] * 2


def test_two_rows_are_predicted_together_however_long_one_takes(model, passes, monkeypatch):
    monkeypatch.setattr(worker, "MAX_BATCH_SECONDS", 0.0)
    gathering = worker.DynamicBatcher()

    at_once(*[lambda: gathering.predict(model, np.ones((1, COLUMNS)), True)] * 3)

    assert max(passes) > 1


def test_a_request_that_is_refused_takes_no_other_with_it(model, passes):
    gathering = worker.DynamicBatcher()
    good, bad = np.ones((2, COLUMNS)), np.array([[1.0] * COLUMNS, [1e300] * COLUMNS])

    first, refusal, last = at_once(
        *(lambda rows=rows: gathering.predict(model, rows, True) for rows in (good, bad, good))
    )

    assert isinstance(refusal, UserError)
    assert str(refusal).startswith("row 2 holds 1e+300")
    np.testing.assert_allclose(first.mean, PREDICT(model, good).mean, rtol=1e-12)
    np.testing.assert_allclose(last.mean, PREDICT(model, good).mean, rtol=1e-12)


def test_a_request_that_is_alone_is_refused_at_once(model, passes):
    with pytest.raises(UserError, match="row 1 holds 1e"):
        worker.DynamicBatcher().predict(model, np.array([[1e300] * COLUMNS]), True)

    assert passes == [1]


def test_models_and_outputs_are_kept_apart(model, tmp_path):
    other = artifact.load(train(tmp_path, rows=20) / "model")
    gathering, rows = worker.DynamicBatcher(), np.ones((1, COLUMNS))

    answers = at_once(
        *(lambda model=model, variance=variance: gathering.predict(model, rows, variance)
          for model in (model, other) for variance in (False, True))
    )  # fmt: skip

    assert [answer.variance is None for answer in answers] == [True, False, True, False]
    for answer, asked in zip(answers, (model, model, other, other), strict=True):
        np.testing.assert_allclose(answer.mean, PREDICT(asked, rows).mean, rtol=1e-12)


def test_what_fails_for_another_reason_is_known_to_all_and_is_over(model, monkeypatch):
    gathering, rows = worker.DynamicBatcher(), np.ones((1, COLUMNS))
    with monkeypatch.context() as broken:
        broken.setattr(Model, "predict", lambda *_: 1 / 0)
        outcomes = at_once(*[lambda: gathering.predict(model, rows, False)] * 3)
    assert all(isinstance(outcome, ZeroDivisionError) for outcome in outcomes)

    assert gathering.predict(model, rows, False).mean.shape == (1, 1)
