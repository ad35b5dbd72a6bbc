"""Stages: validation metrics of models of growing parts of the rows, before that of all."""

import logging
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fitted import fitted

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training import stages
from gaussian_processes.training.checkpoints import Checkpoint


class Recorded:
    """Trainer that remembers the parts it is given, and finds the same model in all of them."""

    def __init__(self, number, leads=True, seed=0):
        self.hyperparameters = Hyperparameters(stages=number, seed=seed)
        self.model = fitted()
        self.schema = self.model.schema
        self.hosts = SimpleNamespace(leads=leads)
        self.parts = []

    def quiet(self):
        return self

    def select_and_fit(self, part, checkpoint):
        self.parts.append((part.X[:, 0].tolist(), checkpoint))
        return self.model


def rows(count, seed=41):
    """Rows by the number in their first column."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.arange(count), rng.normal(size=(count, 2))])
    return Dataset(x, rng.normal(7, 2, (count, 1)), np.ones(count), lambda row: f"row {row + 1}")


@pytest.fixture
def run(tmp_path):
    def ran(trainer, training):
        datasets = {"train": training, "validation": rows(30)}
        return stages.train_stages(trainer, datasets, Checkpoint(tmp_path))

    return ran


@pytest.mark.parametrize(
    ("count", "number", "sizes"),
    [
        (200, 3, [50, 100]),
        (201, 4, [25, 50, 100]),
        (60, 4, [20, 20, 30]),  # 7 and 15 would be less than 20
        (12, 3, [12, 12]),  # there are no 20
        (200, 1, []),
    ],
)
def test_every_part_is_twice_the_one_before_and_20_rows_at_least(run, count, number, sizes):
    trainer = Recorded(number)

    found = run(trainer, rows(count))

    assert [stage["rows"] for stage in found] == sizes
    assert [len(part) for part, _ in trainer.parts] == sizes


def test_a_part_contains_the_one_before_whatever_the_order_of_the_rows(run):
    one, other = Recorded(4), Recorded(4)
    training = rows(200)
    shuffled = training.subset(np.random.default_rng(1).permutation(200))

    run(one, training)
    run(other, shuffled)

    parts = [set(part) for part, _ in one.parts]
    assert parts[0] < parts[1] < parts[2]
    assert [set(part) for part, _ in other.parts] == parts


def test_another_seed_draws_other_parts(run):
    one, other = Recorded(2), Recorded(2, seed=1)

    for trainer in (one, other):
        run(trainer, rows(200))

    assert one.parts[0][0] != other.parts[0][0]


def test_the_leader_alone_prints_the_scores_of_the_validation_rows(run, capsys, caplog):
    caplog.set_level(logging.INFO)
    validation = rows(30)
    trainer = Recorded(2)
    residuals = validation.y - trainer.model.predict(validation.X).mean

    (stage,) = run(trainer, rows(100))
    printed = capsys.readouterr().out
    run(Recorded(2, leads=False), rows(100))

    rmse = np.sqrt(np.square(residuals).mean())
    assert stage["RMSE"] == pytest.approx(rmse, rel=1e-12)
    value = re.search("^validation:RMSE=(.*?);$", printed, re.MULTILINE)[1]
    assert float(value) == stage["RMSE"]
    assert "stage 1 of 2: 50 rows" in caplog.messages
    assert capsys.readouterr().out == ""
    assert caplog.messages.count("stage 1 of 2: 50 rows") == 1


def test_a_target_that_is_constant_in_a_part_is_warned_of(run, caplog):
    training = rows(100)

    run(Recorded(2), replace(training, y=np.ones((100, 1))))

    assert any("stage 1" in message for message in caplog.messages)
