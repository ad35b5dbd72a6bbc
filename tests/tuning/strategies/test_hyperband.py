"""Hyperband over the real program, which prints its objective on growing parts of its rows."""

import json
import re

import numpy as np
import pytest
from tuning.toys import limits, request

from gaussian_processes.tuning import jobfile
from gaussian_processes.tuning.backends.local import LocalProcesses
from gaussian_processes.tuning.tuner import Tuner

ROWS, STAGES, JOBS = 3_200, 4, 9


@pytest.fixture(scope="module")
def channels(tmp_path_factory):
    """Rows of a function that is rough enough to need them all."""
    folder, generator = tmp_path_factory.mktemp("data"), np.random.default_rng(20180401)
    for name, size in (("train", ROWS), ("validation", 400)):
        x = generator.normal(size=(size, 3))
        y = np.sin(2 * x[:, 0]) * x[:, 1] + x[:, 2] + generator.normal(scale=0.1, size=size)
        (folder / name).mkdir()
        np.savetxt(folder / name / "rows.csv", np.column_stack([y, x]), delimiter=",")
    return folder


def search(folder, channels, static, **config):
    asked = request(ResourceLimits=limits(JOBS, parallel=2), **config)
    definition = asked["TrainingJobDefinition"]
    definition["StaticHyperParameters"] = {"l": "1", "leave_one_out": "false", **static}
    definition["InputDataConfig"] = [
        {
            "ChannelName": name,
            "DataSource": {
                "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"file://{channels / name}"}
            },
        }
        for name in ("train", "validation")
    ]
    job = jobfile.check(asked, folder, "process")
    return Tuner(
        job,
        lambda: LocalProcesses(job, folder / "trials"),
        folder,
        lambda _: pytest.fail("it has no parent"),
    ).run()


def rows_trained(folder, row):
    """Rows of every model that a training job began, as its log says."""
    log = (folder / "trials" / row.name / "log").read_text()
    stages = [
        int(size.replace(",", "")) for size in re.findall(r"stage \d of \d: ([\d,]+) rows", log)
    ]
    begun = [*stages, ROWS >> (STAGES - 1 - len(stages))]
    assert begun == [ROWS >> (STAGES - stage) for stage in range(1, len(begun) + 1)]
    return begun


@pytest.mark.slow
def test_hyperband_trains_fewer_rows_and_finds_what_all_rows_find(tmp_path, channels):
    bands = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": STAGES}}

    found = search(
        tmp_path / "bands",
        channels,
        {"stages": str(STAGES)},
        Strategy="Hyperband",
        StrategyConfig=bands,
    )
    whole = search(tmp_path / "whole", channels, {}, Strategy="Random")

    assert [row.values for row in found.rows] == [row.values for row in whole.rows]
    stopped = [row for row in found.rows if row.status == "Stopped"]
    assert all(row.failure.startswith("stopped early after") for row in stopped)
    assert not any(row.model for row in stopped)
    rows = [rows_trained(tmp_path / "bands", row) for row in found.rows]
    assert sum(map(sum, rows)) < JOBS * (400 + 800 + 1_600 + 3_200)
    # A fit takes the cube of its rows: the smaller ones cost less than the stopped ones save.
    assert sum(size**3 for sizes in rows for size in sizes) < JOBS * ROWS**3
    # Its last value is that of all rows, which the same values come to without stages.
    assert found.best.status == "Completed"
    assert found.best.values == whole.best.values
    assert found.best.metrics == whole.best.metrics
    scores = json.loads(
        (tmp_path / "bands/trials" / found.best.name / "output/data/metrics.json").read_text()
    )
    assert found.best.metrics["validation:RMSE"] == scores["validation:RMSE"]
