"""The program `train` on several hosts, which are processes on loopback addresses."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import loopback
import numpy as np
import pytest
from in_process_hosts import InProcessExchange, on_all_hosts
from trained import plain

from gaussian_processes.cluster.exchange import SingleHost
from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.data.dataset import Dataset
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.model import artifact
from gaussian_processes.sagemaker import environment
from gaussian_processes.sagemaker.environment import CriticalSection
from gaussian_processes.sagemaker.hyperparameters import parse
from gaussian_processes.training import main, trainer
from gaussian_processes.training.checkpoints import Checkpoint

TRAIN = [
    sys.executable,
    "-c",
    "import sys; from gaussian_processes.training import main; sys.exit(main.main())",
]
# Shares the factor of few rows, as it would be shared for 30,000.
MANY_ROWS = [
    sys.executable,
    "-c",
    "import sys; from gaussian_processes.training import main, trainer;"
    " trainer.MIN_SHARED_ROWS = 500; sys.exit(main.main())",
]
# The same, but its second host is killed when it has finished the second panel.
KILLED = [
    sys.executable,
    "-c",
    "import os, signal, sys; from gaussian_processes.training import main, trainer, reporting;"
    " trainer.MIN_SHARED_ROWS = 500; panels = [];"
    " second = os.environ['SAGEMAKER_BASE_DIR'].endswith(os.environ['KILLED_HOST']);"
    " reporting.FactorizationProgress.__call__ = lambda self, done, total: panels.append(done)"
    " or second and len(panels) == 2 and os.kill(os.getpid(), signal.SIGKILL);"
    " sys.exit(main.main())",
]
HYPERPARAMETERS = {"q": "0,1", "l": "1,2", "k_fold": "3", "ensemble": "none"}


def rows(count, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 2))
    return np.column_stack([x @ [1.5, 5.2] + rng.normal(size=count), x])


class Job:
    """A job of several hosts, each with a base folder of its own."""

    def __init__(self, folder, count):
        self.hosts = loopback.addresses(count)
        self.bases = {host: folder / host for host in self.hosts}
        self.processes, self.checkpoints = {}, None

    def write(self, host, name, values):
        path = self.bases[host] / "input/data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, values, delimiter=",", fmt="%.17g")

    def start(self, hyperparameters, sharded=False, program=TRAIN):
        kind = "ShardedByS3Key" if sharded else "FullyReplicated"
        channels = {"train": {"S3DistributionType": kind}, "validation": {}}
        for host in self.hosts:
            folder = self.bases[host] / "input/config"
            folder.mkdir(parents=True, exist_ok=True)
            if self.checkpoints:
                checkpoints = {"LocalPath": str(self.checkpoints / host)}
                (folder / "checkpointconfig.json").write_text(json.dumps(checkpoints))
            resources = {"current_host": host, "hosts": self.hosts}
            (folder / "resourceconfig.json").write_text(json.dumps(resources))
            (folder / "inputdataconfig.json").write_text(json.dumps(channels))
            (folder / "hyperparameters.json").write_text(json.dumps(hyperparameters))
            self.processes[host] = subprocess.Popen(
                program,
                env=os.environ
                | {"SAGEMAKER_BASE_DIR": str(self.bases[host]), "KILLED_HOST": self.hosts[-1]},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def end(self):
        outputs = [process.communicate(timeout=120)[0] for process in self.processes.values()]
        return [process.returncode for process in self.processes.values()], outputs

    def failures(self):
        return [(base / "output/failure").read_text() for base in self.bases.values()]


@pytest.fixture
def make_job(tmp_path):
    jobs = []

    def make(count):
        jobs.append(Job(tmp_path / f"job-{len(jobs)}", count))
        return jobs[-1]

    yield make
    for job in jobs:
        for process in job.processes.values():
            process.kill()
            process.communicate()


def metrics(text):
    return re.findall(r"^\S+:\S+=.*;$", text, re.MULTILINE)


def model(base):
    return {path.name: path.read_bytes() for path in sorted((base / "model").iterdir())}


def scores(base):
    return json.loads((base / "output/data/metrics.json").read_text())


def test_several_hosts_make_the_model_of_one_from_whole_and_from_sharded_data(make_job):
    training, validation = rows(90, 1), rows(30, 2)
    one, whole, sharded = make_job(1), make_job(2), make_job(3)
    for job in (one, whole, sharded):
        for index, host in enumerate(job.hosts):
            job.write(host, "validation/rows.csv", validation)
            for part in range(3):
                # Of the three hosts with shards the second has none.
                if job is not sharded or index == (0, 2, 0)[part]:
                    job.write(host, f"train/{part}.csv", training[30 * part : 30 * part + 30])
    for job in (one, whole, sharded):
        job.start(HYPERPARAMETERS, sharded=job is sharded)

    results = [job.end() for job in (one, whole, sharded)]

    for job, (codes, outputs) in zip((one, whole, sharded), results, strict=True):
        assert codes == [0] * len(job.hosts), outputs
        assert [bool(metrics(output)) for output in outputs] == [True] + [False] * (
            len(job.hosts) - 1
        )
        assert metrics(outputs[0]) == metrics(results[0][1][0])
        leader, *others = job.bases.values()
        assert scores(leader) == scores(one.bases[one.hosts[0]])
        for name, content in model(one.bases[one.hosts[0]]).items():
            if name.endswith(".npy"):
                assert model(leader)[name] == content
        assert not any(model(base) for base in others)


def test_a_bad_file_on_one_host_fails_all_in_the_same_words(make_job):
    job = make_job(2)
    for host in job.hosts:
        job.write(host, "train/rows.csv", rows(20, 1))
        job.write(host, "validation/rows.csv", rows(20, 2))
    (job.bases[job.hosts[1]] / "input/data/train/rows.csv").write_text("1,2\n1\n")
    job.start({"q": "1", "l": "1"})

    codes, outputs = job.end()

    assert codes == [1, 1], outputs
    assert len(set(job.failures())) == 1
    assert "rows.csv" in job.failures()[0]


def test_a_signal_to_one_host_stops_all_with_its_status(make_job):
    job = make_job(2)
    for host in job.hosts:
        job.write(host, "train/rows.csv", rows(2000, 1))
        job.write(host, "validation/rows.csv", rows(20, 2))
    job.start({"ensemble": "mean", "q": "0,1,2,3", "l": "1,2,3,4", "k_fold": "20"})
    second = job.processes[job.hosts[1]]
    while "target: " not in second.stdout.readline():
        assert second.poll() is None

    second.send_signal(signal.SIGTERM)
    codes, outputs = job.end()

    assert codes == [143, 143], outputs
    assert len(set(job.failures())) == 1
    assert job.failures()[0].startswith("stopped by SIGTERM")


def test_several_hosts_share_the_factor_of_many_rows_and_score_as_one(make_job):
    jobs = make_job(1), make_job(2)
    for job in jobs:
        for host in job.hosts:
            job.write(host, "train/rows.csv", rows(900, 1))
            job.write(host, "validation/rows.csv", rows(30, 2))
        job.start({"q": "1", "l": "1", "leave_one_out": "true"}, program=MANY_ROWS)

    results = [job.end() for job in jobs]

    (alone, *_), (leader, other) = (list(job.bases.values()) for job in jobs)
    assert [codes for codes, _ in results] == [[0], [0, 0]], results
    assert not metrics(results[1][1][1])
    assert "the model keeps its factor (5.7 MB)" in results[1][1][0]
    for name, value in scores(alone).items():
        assert scores(leader)[name] == pytest.approx(value, rel=1e-9), name
    assert not model(other)
    assert model(leader).keys() == model(alone).keys()
    arrays = [name for name in model(leader) if name.startswith(("points", "alpha"))]
    assert arrays
    for name in arrays:
        found, expected = (np.load(base / "model" / name) for base in (leader, alone))
        # Of the largest: the smallest of the weights are differences of those.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    found, expected = (
        artifact.load(base / "model").predict(rows(30, 3)[:, 1:], variance=True).variance
        for base in (leader, alone)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_shared_factor_that_is_not_asked_for_is_left_out_with_what_cannot_be_answered(make_job):
    job = make_job(2)
    for host in job.hosts:
        job.write(host, "train/rows.csv", rows(600, 1))
        job.write(host, "validation/rows.csv", rows(30, 2))
    chosen = {"q": "1", "l": "1", "keep_factor": "false", "precision": "mixed"}
    job.start(chosen, program=MANY_ROWS)

    codes, outputs = job.end()

    assert codes == [0, 0], outputs
    assert "it predicts means, but no standard deviations, intervals or quantiles" in outputs[0]
    assert "keeps its factor" not in outputs[0]
    leader = job.bases[job.hosts[0]]
    assert not any(name.startswith("factor") for name in model(leader))
    # The factor was in float32, and all hosts' products M x made up for it.
    assert "refined the weights to a residual" in outputs[1]
    found = artifact.load(leader / "model").members[0].process
    matrix = GramMatrix(found.kernel, found.points, found.noise_ratio + found.jitter)
    y = rows(600, 1)[:, 0]
    y = (y - y.mean()) / y.std()
    residual = y - matrix.block(slice(0, 600), slice(0, 600)) @ found.alpha[:, 0]
    assert np.linalg.norm(residual) < 1e-9 * np.linalg.norm(y)


def test_conjugate_gradients_of_several_hosts_solve_the_equations_of_all_rows(make_job):
    job = make_job(2)
    for host in job.hosts:
        job.write(host, "train/rows.csv", rows(600, 1))
        job.write(host, "validation/rows.csv", rows(30, 2))
    job.start({"q": "1", "l": "1", "solver": "cg"}, program=MANY_ROWS)

    codes, outputs = job.end()

    assert codes == [0, 0], outputs
    said = r"\d+ iterations of conjugate gradients solved for the weights to a residual of \S+"
    first, second = (re.search(said, output)[0] for output in outputs)
    assert first == second
    assert any(line.startswith("validation:RMSE=") for line in metrics(outputs[0]))
    assert not metrics(outputs[1])
    found = artifact.load(job.bases[job.hosts[0]] / "model").members[0].process
    matrix = GramMatrix(found.kernel, found.points, found.noise_ratio)
    y = rows(600, 1)[:, 0]
    y = (y - y.mean()) / y.std()
    residual = y - matrix.block(slice(0, 600), slice(0, 600)) @ found.alpha[:, 0]
    assert np.linalg.norm(residual) < 1.1e-6 * np.linalg.norm(y)


def test_panels_that_another_number_of_hosts_has_left_are_of_another_job(monkeypatch):
    monkeypatch.setattr(trainer, "MIN_SHARED_ROWS", 20)
    x, y = np.split(rows(30, 1), [1], axis=1)[::-1]
    dataset = Dataset(x, y, np.ones(30), str)

    def fingerprint(hosts, rows):
        job = trainer.Trainer(
            parse({"q": "1", "l": "1"}), plain(2), hosts=Hosts(InProcessExchange(0, [], hosts))
        )
        return main._fingerprint(job, {"train": dataset.subset(np.arange(rows))})

    assert len({fingerprint(hosts, 30) for hosts in (1, 2, 3)}) == 3
    # Few rows are the leader's alone.
    assert len({fingerprint(hosts, 19) for hosts in (1, 2, 3)}) == 1


def test_a_host_killed_in_mid_factorisation_leaves_panels_that_the_next_job_goes_on_from(
    make_job, tmp_path
):
    job = make_job(2)
    job.checkpoints = tmp_path / "checkpoints"
    for host in job.hosts:
        job.write(host, "train/rows.csv", rows(900, 1))
        job.write(host, "validation/rows.csv", rows(30, 2))
    hyperparameters = {"q": "1", "l": "1", "leave_one_out": "true"}

    job.start(hyperparameters, program=KILLED)
    codes, outputs = job.end()
    failure = (job.bases[job.hosts[0]] / "output/failure").read_text()
    job.start(hyperparameters, program=MANY_ROWS)
    codes_again, outputs_again = job.end()

    assert codes == [1, -signal.SIGKILL], outputs
    assert failure.startswith(f"host {job.hosts[1]} was lost: ")
    assert codes_again == [0, 0], outputs_again
    assert "2 of its 3 panels are there already" in outputs_again[1], outputs_again[1]
    assert metrics(outputs_again[0])


# Two targets, missing cells, categories and weights; folds, stages and targets of their own.
FARMED_OUT = {
    "target": "y,z",
    "sample_weight": "weight",
    "q": "0,1",
    "l": "1",
    "k_fold": "2",
    "stages": "2",
    "per_target": "true",
}


def write_odd_table(path, count, seed):
    rng = np.random.default_rng(seed)
    lines = ["y,z,x,colour,weight"]
    for number, x in enumerate(rng.normal(size=count)):
        colour, noise = rng.choice(["red", "green"]), rng.normal(size=2)
        cell = "" if rng.random() < 0.1 else repr(float(x))
        y, z = x + (colour == "red") + 0.3 * noise[0], x**2 + 0.1 * noise[1]
        z += 50 * (number == 7)  # an outlier
        lines.append(f"{y:.6f},{z:.6f},{cell},{colour},{rng.uniform(0.5, 2):.3f}")
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines))


def test_what_hosts_share_of_a_table_of_all_kinds_is_computed_as_by_one_to_the_last_bit(
    tmp_path, caplog
):
    def run(exchange):
        base = tmp_path / f"{exchange.size}-{exchange.rank}"
        write_odd_table(base / "input/data/train/rows.csv", 40, seed=1)
        write_odd_table(base / "input/data/validation/rows.csv", 20, seed=2)
        job = environment.read(base)
        main._train(job, parse(FARMED_OUT), CriticalSection(), Hosts(exchange))
        return base

    alone = run(SingleHost())
    (leader, *others), _ = on_all_hosts(3, run)

    assert "learns next to nothing from 1 row(s)" in caplog.text
    assert scores(leader) == scores(alone)
    assert model(leader) == model(alone)
    assert not any(model(base) for base in others)


def test_all_hosts_take_and_keep_the_selection_of_the_leader(monkeypatch, tmp_path):
    x, y = np.split(rows(30, 1), [1], axis=1)[::-1]
    dataset = Dataset(x, y, np.ones(30), str)
    select, host = trainer.target_selection.select, threading.local()

    def select_of_host(*arguments):
        selection = select(*arguments)
        return replace(selection, weights=[1.0 - host.rank * np.finfo(float).eps])

    def run(exchange):
        host.rank = exchange.rank
        job = trainer.Trainer(parse({"q": "1", "l": "1"}), plain(2), hosts=Hosts(exchange))
        return job.select(dataset, Checkpoint(tmp_path / str(exchange.rank), persistent=True))

    monkeypatch.setattr(trainer.target_selection, "select", select_of_host)
    first, _ = on_all_hosts(3, run)
    (tmp_path / "1/selection.json").write_text("damaged")
    again, _ = on_all_hosts(3, run)

    assert [selection.weights for selection in first + again] == [[1.0]] * 6
    notes = {(tmp_path / f"{rank}/selection.json").read_text() for rank in range(3)}
    assert len(notes) == 1
