import resource
from collections import namedtuple
from dataclasses import replace

import pytest

from gaussian_processes.errors import UserError
from gaussian_processes.serving import limits
from gaussian_processes.serving.config import ServerConfig

Usage = namedtuple("Usage", "free")
CONFIG = replace(ServerConfig.from_environment({}, 2), workers=2)


def needed_processes(config):
    """Processes that the refusal of none at all names."""
    return int(str(refusal(config, 0)).split()[2])


def refusal(config, left):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "available_processes", lambda: left)
        patch.setattr(limits, "process_limit", lambda: 1_000)
        try:
            limits.check_processes(config)
        except UserError as error:
            return error
    return None


def test_one_process_too_few_is_refused_with_both_numbers_and_as_many_as_needed_are_not():
    needed = needed_processes(CONFIG)

    assert f"and {needed - 1} of 1,000 are left" in str(refusal(CONFIG, needed - 1))
    assert refusal(CONFIG, needed) is None
    assert refusal(CONFIG, None) is None


def test_a_worker_less_needs_less():
    assert needed_processes(replace(CONFIG, workers=1)) < needed_processes(CONFIG)


@pytest.mark.parametrize(
    ("free", "limit", "sentence"),
    [
        (1_000, resource.RLIM_INFINITY, "has 0.0 MB free and 1.0 MB are needed"),
        (1 << 30, 1_000, r"files of 1,000 bytes are allowed \(ulimit -f\)"),
    ],
)
def test_no_room_for_the_metrics_is_refused(tmp_path, monkeypatch, free, limit, sentence):
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda folder: Usage(free))
    monkeypatch.setattr(limits.resource, "getrlimit", lambda which: (limit, limit))

    with pytest.raises(UserError, match=sentence):
        limits.check_files(tmp_path)


def test_room_enough_is_not_refused(tmp_path):
    limits.check_files(tmp_path)
