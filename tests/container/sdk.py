"""What the tests of both SageMaker SDKs share: tables as files, and what local mode needs."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from container import post

ROLE = "arn:aws:iam::123456789012:role/SageMaker"
# The post's job to the letter, so that its formulas are the oracle; a value of every Python type.
HYPERPARAMETERS = {
    "q": 0,
    "l": [2],
    "noise": 0.1,
    "projection": "normalize",
    "leave_one_out": False,
}
TRAIN, VALIDATION = post.table(100, seed=1), post.table(50, seed=2)
FEATURES = VALIDATION[:, 1:]
EXPECTED = post.predictions(TRAIN, FEATURES)


def write_channels(folder: Path) -> dict[str, Path]:
    """Write the post's tables as CSV; return the folder of each channel."""
    channels = {"train": TRAIN, "validation": VALIDATION}
    for name, table in channels.items():
        (folder / name).mkdir()
        np.savetxt(folder / name / "rows.csv", table, delimiter=",", fmt="%.17g")
    return {name: folder / name for name in channels}


def prepare(environment: pytest.MonkeyPatch, folder: Path) -> None:
    """Give the SDKs credentials, which they look for and don't use, and a compose that they know.

    Debian's compose prints its version without the v that version 2 of the SDK looks for, and then
    another name.
    """
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "test")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        environment.setenv(name, "eu-west-1")
    compose = folder / "docker-compose"
    compose.write_text('#!/bin/sh\nexec docker compose "$@"\n')
    compose.chmod(compose.stat().st_mode | stat.S_IXUSR)
    environment.setenv("PATH", f"{folder}:{os.environ['PATH']}")
