"""Models that `train` has left, for the tests that serve them."""

import json

import numpy as np
import pytest

from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.training import main

COLUMNS = 3


def train(base, rows, **hyperparameters):
    """Train on rows of `COLUMNS` columns in a base folder of its own; return the folder."""
    rng = np.random.default_rng(71)
    x = rng.normal(size=(rows, COLUMNS))
    data, config = base / "input/data/train/data.csv", base / "input/config/hyperparameters.json"
    for path in (data, config):
        path.parent.mkdir(parents=True)
    np.savetxt(
        data, np.column_stack([x @ [1.5, 5.2, -1] + rng.normal(size=rows), x]), delimiter=","
    )
    config.write_text(
        json.dumps(
            {
                "q": "1",
                "l": "1",
                "noise": "0.1",
                "bias": "2",
                "leave_one_out": "false",
                **hyperparameters,
            }
        )
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAGEMAKER_BASE_DIR", str(base))
        assert main.main([]) == 0
    return base


def plain(columns):
    """Schema of so many columns of numbers without names."""
    target, *features = (Column(str(position), position) for position in range(columns + 1))
    return Schema(False, columns + 1, tuple(features), (target,))
