"""Jobs of several hosts: containers named algo-1 to algo-4, each job on a network of its own."""

import json
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np
import pytest
from container import post
from container.engine import ROOT, docker, wait_for

# Nothing is learned or compared, so that the factorisation is most of the job.
HYPERPARAMETERS = {"q": "1", "l": "1", "noise": "0.1", "bias": "1", "leave_one_out": "true"}
ROWS, VALIDATION_ROWS = 900, 30  # three panels
SECRET, OTHER_SECRET = "b5" * 32, "7a" * 32
# Of a job of four hosts, but for the third: that of the leader's scheduler, and the workers'.
PORTS = "algo-1:8786", "algo-1:8788", "algo-2:8788", "algo-4:8788"
MEMORY = ["--memory", "400m", "--memory-swap", "400m"]
# `train`, which shares the factor of few rows as it would that of 30,000, loses patience as the
# test says, and where it is told to comes to a halt after so many panels.
PROGRAM = """
import os, sys, threading
from functools import partial
from gaussian_processes.cluster import membership
from gaussian_processes.training import main, reporting, trainer

trainer.MIN_SHARED_ROWS = 500
patience_seconds = float(os.environ.get("PATIENCE", "300"))
membership.Membership = partial(membership.Membership, patience_seconds=patience_seconds)
panels = []

def halt(self, done, total):
    panels.append(done)
    if len(panels) == int(os.environ.get("HALT_AFTER", "0")):
        print("halted", flush=True)
        threading.Event().wait()

reporting.FactorizationProgress.__call__ = halt
sys.exit(main.main())
"""


class Job:
    """A job, each of whose hosts has a folder of its own, and all a network."""

    def __init__(self, folder, start, hosts, sharded=False):
        self.folder, self.start_container = folder, start
        self.hosts = [f"algo-{number}" for number in range(1, hosts + 1)]
        self.containers = {}
        # A run that was killed leaves its networks in the engine: the next one's have other names.
        self.network = f"several-hosts-{uuid.uuid4().hex}"
        kind = "ShardedByS3Key" if sharded else "FullyReplicated"
        for host in self.hosts:
            self.write(host, "config/hyperparameters.json", HYPERPARAMETERS)
            channels = {"train": {"S3DistributionType": kind}, "validation": {}}
            self.write(host, "config/inputdataconfig.json", channels)
            self.write(host, "config/checkpointconfig.json", {"LocalPath": "/opt/ml/checkpoints"})
            self.list_hosts(host, self.hosts)
            self.write(host, "data/validation/rows.csv", post.table(VALIDATION_ROWS, seed=2))
        for part, rows in enumerate(np.array_split(post.table(ROWS, seed=1), 3)):
            # Of the hosts with shards the last has none.
            for host in self.hosts[part : part + 1] if sharded else self.hosts:
                self.write(host, f"data/train/{part}.csv", rows)

    def write(self, host, name, content):
        path = self.folder / host / "input" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray):
            np.savetxt(path, content, delimiter=",", fmt="%.17g")
        else:
            path.write_text(json.dumps(content))

    def list_hosts(self, host, hosts):
        """Write resourceconfig.json as SageMaker does for instance groups."""
        groups = [
            {"instance_group_name": f"group-{index}", "instance_type": kind, "hosts": members}
            for index, (kind, members) in enumerate(
                [("ml.m5.large", hosts[1:]), ("ml.m5.xlarge", hosts[:1])]
            )
        ]
        resources = {
            "current_host": host,
            "current_instance_type": "ml.m5.large",
            "current_group_name": "group-0",
            "hosts": hosts[::-1],
            "instance_groups": groups,
            "network_interface_name": "eth0",
        }
        self.write(host, "config/resourceconfig.json", resources)

    def start(self, *hosts, **environment):
        """Start some hosts at once, or all."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]

        def run(host):
            options = ["--network", self.network, "--network-alias", host, "--hostname", host]
            options += ["--volume", f"{self.folder / host}:/opt/ml", *MEMORY, *variables]
            return self.start_container("python", "-c", PROGRAM, options=options)

        hosts = hosts or self.hosts
        with ThreadPoolExecutor() as pool:
            self.containers |= zip(hosts, pool.map(run, hosts), strict=True)

    def attack(self, *places):
        """Attack ports from a container in the job's network; return what became of it."""
        options = ["--network", self.network, "--volume", f"{ROOT}/tests/cluster:/attack:ro"]
        command = ["python", "/attack/hostile.py", "/opt/ml/mark", OTHER_SECRET, *places]
        attacker = self.containers["attacker"] = self.start_container(*command, options=options)
        assert attacker.status() == 0, attacker.log()
        return attacker.log()

    def halted(self, host):
        """Wait until a host has halted in mid-factorisation."""
        container = self.containers[host]
        wait_for(lambda: "halted" in container.log(), container.log)
        return container

    def statuses(self, *hosts):
        return [self.containers[host].status() for host in hosts or self.hosts]

    def logs(self):
        return "\n".join(container.log() for container in self.containers.values())

    def failures(self, *hosts):
        return {(self.folder / host / "output/failure").read_text() for host in hosts or self.hosts}

    def scores(self):
        return json.loads((self.folder / "algo-1/output/data/metrics.json").read_text())

    def alpha(self):
        return (self.folder / "algo-1/model/alpha-0.npy").read_bytes()


@pytest.fixture(scope="module")
def make_job(job, start):
    folder, jobs = job({}), []

    def make(hosts, **options):
        jobs.append(Job(folder / str(len(jobs)), start, hosts, **options))
        docker("network", "create", jobs[-1].network)
        return jobs[-1]

    yield make
    for made in jobs:
        for container in made.containers.values():
            docker("rm", "--force", container.name)
        docker("network", "rm", made.network)


@pytest.fixture(scope="module")
def frozen(make_job):
    """A job whose second host is frozen, and the time at which it was: the others wait long."""
    job = make_job(2)
    job.start("algo-1")
    job.start("algo-2", HALT_AFTER=2)
    container = job.halted("algo-2")
    docker("pause", container.name)
    return job, time.time()


@pytest.fixture(scope="module")
def whole(make_job):
    """A job of two hosts that have all files, at its end."""
    job = make_job(2)
    job.start()
    assert job.statuses() == [0, 0], job.logs()
    return job


@pytest.fixture(scope="module")
def attacked(make_job):
    """A job of four hosts with shards and a secret, and attacks on those who wait for the third."""
    job = make_job(4, sharded=True)
    job.start("algo-1", "algo-2", "algo-4", CLUSTER_SECRET=SECRET)
    attacks = job.attack(*PORTS)
    job.start("algo-3", CLUSTER_SECRET=SECRET)
    return job, attacks


def test_several_hosts_score_as_one_whether_files_are_whole_or_sharded(
    frozen, whole, attacked, make_job
):
    alone, (sharded, _) = make_job(1), attacked
    alone.start()

    assert alone.statuses() == [0], alone.logs()
    assert sharded.statuses() == [0] * 4, sharded.logs()

    for name, score in alone.scores().items():
        assert whole.scores()[name] == pytest.approx(score, rel=1e-9), name
        assert sharded.scores()[name] == pytest.approx(score, rel=1e-9), name
    for host in sharded.hosts[1:]:
        assert not re.findall(r"^\S+:\S+=.*;$", sharded.containers[host].log(), re.MULTILINE)
        assert not list((sharded.folder / host / "model").iterdir())


def test_a_container_in_the_network_that_has_another_secret_gets_nowhere(attacked):
    job, attacks = attacked

    assert attacks.count("refused") == 3 * len(PORTS), attacks
    for host in job.hosts:
        assert not (job.folder / host / "mark").exists()


def test_a_job_that_was_stopped_and_then_lost_a_host_goes_on_to_the_same_bits(whole, make_job):
    job = make_job(2)
    job.start("algo-1")
    job.start("algo-2", HALT_AFTER=1)
    job.halted("algo-2")
    docker("stop", "--time", "60", *(container.name for container in job.containers.values()))
    stopped, stop_reasons = job.statuses(), job.failures()
    job.start("algo-1")
    job.start("algo-2", HALT_AFTER=1)
    docker("kill", job.halted("algo-2").name)
    lost, (loss,) = job.statuses(), job.failures("algo-1")
    job.start()
    last = job.statuses()

    assert stopped == [143, 143]
    assert all(reason.startswith("stopped by SIGTERM") for reason in stop_reasons)
    assert lost == [1, 137]
    assert loss.startswith("host algo-2 was lost: ")
    assert last == [0, 0], job.logs()
    assert "2 of its 3 panels are there already" in job.containers["algo-2"].log()
    assert job.alpha() == whole.alpha()


def test_the_death_of_the_leader_is_a_failure_in_the_same_words(make_job):
    job = make_job(3)
    job.start("algo-2", "algo-3")
    job.start("algo-1", HALT_AFTER=1)

    docker("kill", job.halted("algo-1").name)

    assert job.statuses("algo-2", "algo-3") == [1, 1]
    (reason,) = job.failures("algo-2", "algo-3")
    assert reason.startswith("host algo-1 was lost: ")


def test_a_host_that_never_comes_and_another_list_of_hosts_fail_all_in_the_same_words(make_job):
    waiting, confused = make_job(3), make_job(2)
    confused.list_hosts("algo-2", ["algo-1", "algo-2", "algo-3"])
    waiting.start("algo-2")
    waiting.start("algo-1", PATIENCE=5)
    confused.start()

    statuses = waiting.statuses("algo-1", "algo-2"), confused.statuses()

    assert statuses == ([1, 1], [1, 1])
    (reason,) = waiting.failures("algo-1", "algo-2")
    assert reason.startswith("host algo-3 did not come within 5 s")
    (reason,) = confused.failures()
    assert "give all hosts the same list" in reason


def test_a_frozen_host_ends_the_others_within_a_minute(frozen):
    job, frozen_at = frozen

    status = job.statuses("algo-1")

    assert status == [1]
    (reason,) = job.failures("algo-1")
    assert reason.startswith("host algo-2 was lost: ")
    name = job.containers["algo-1"].name
    ended = docker("inspect", "--format", "{{.State.FinishedAt}}", name)
    assert datetime.fromisoformat(ended).timestamp() - frozen_at < 60
