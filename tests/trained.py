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
    y = x @ [1.5, 5.2, -1] + rng.normal(size=rows)
    lines = [",".join(map(repr, row)) for row in np.column_stack([y, x]).tolist()]
    own = {"noise": "0.1", "bias": "2", "leave_one_out": "false", **hyperparameters}
    return train_on(base, lines, **own)


def train_on(base, lines, validation=None, **hyperparameters):
    """Train on lines of CSV, of one kernel unless others are asked for; return the base folder."""
    for channel, own in {"train": lines, "validation": validation}.items():
        if own:
            path = base / f"input/data/{channel}/data.csv"
            path.parent.mkdir(parents=True)
            path.write_text("\n".join(own) + "\n")
    config = base / "input/config/hyperparameters.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"q": "1", "l": "1", **hyperparameters}))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAGEMAKER_BASE_DIR", str(base))
        assert main.main([]) == 0
    return base


def plain(columns):
    """Schema of so many columns of numbers without names."""
    target, *features = (Column(str(position), position) for position in range(columns + 1))
    return Schema(False, columns + 1, tuple(features), (target,))
