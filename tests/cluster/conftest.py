"""Hosts as processes on loopback addresses."""

import os
import subprocess
import sys
from pathlib import Path

import loopback
import pytest

PROGRAM = Path(__file__).with_name("host.py")


@pytest.fixture
def names():
    return loopback.addresses(3)


@pytest.fixture
def start():
    processes = []

    def start(names, current_host, task, patience=60.0, **environment):
        command = [sys.executable, PROGRAM, ",".join(names), current_host, str(patience), task]
        processes.append(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | environment,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
