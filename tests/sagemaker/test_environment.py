"""What SageMaker gives a training job, and what it is owed."""

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker import environment

# As a log of a real job on one machine shows them.
RESOURCES = {
    "current_host": "algo-1",
    "current_instance_type": "ml.g5.xlarge",
    "current_group_name": "homogeneousCluster",
    "hosts": ["algo-1"],
    "instance_groups": [
        {
            "instance_group_name": "homogeneousCluster",
            "instance_type": "ml.g5.xlarge",
            "hosts": ["algo-1"],
        }
    ],
    "network_interface_name": "eth0",
}
CSV_CHANNEL = {
    "ContentType": "text/csv",
    "TrainingInputMode": "File",
    "S3DistributionType": "FullyReplicated",
    "RecordWrapperType": "None",
}


@pytest.fixture
def base(tmp_path):
    """Return a temporary /opt/ml with a train channel and no configuration."""
    (tmp_path / "input/config").mkdir(parents=True)
    (tmp_path / "input/data/train").mkdir(parents=True)
    return tmp_path


def configure(base, **contents):
    for name, content in contents.items():
        (base / f"input/config/{name}.json").write_text(json.dumps(content))


def test_a_job_is_read_as_sagemaker_writes_it(base):
    configure(
        base,
        hyperparameters={
            "q": "0",
            "l": "2",
            "noise": "0.1",
            "_tuning_objective_metric": "validation:RMSE",
        },
        resourceconfig=RESOURCES,
        inputdataconfig={
            "train": CSV_CHANNEL,
            "validation": CSV_CHANNEL | {"TrainingInputMode": "FastFile"},
        },
        checkpointconfig={"LocalPath": "/opt/ml/checkpoints", "S3Uri": "s3://bucket/prefix"},
    )

    job = environment.read(base)

    assert job.hyperparameters == {
        "q": "0",
        "l": "2",
        "noise": "0.1",
        "_tuning_objective_metric": "validation:RMSE",
    }
    assert job.channels == {
        "train": environment.Channel("train", base / "input/data/train", "text/csv", "File"),
        "validation": environment.Channel(
            "validation", base / "input/data/validation", "text/csv", "FastFile"
        ),
    }
    assert (job.current_host, job.hosts) == ("algo-1", ("algo-1",))
    assert (job.model, job.output_data) == (base / "model", base / "output/data")
    assert job.failure == environment.failure_file(base) == base / "output/failure"
    assert job.checkpoints == Path("/opt/ml/checkpoints")


def test_a_train_folder_is_all_that_a_job_needs(base):
    job = environment.read(base)

    assert job.hyperparameters == {}
    assert job.channels == {
        "train": environment.Channel("train", base / "input/data/train", None, "File")
    }
    assert len(job.hosts) == 1
    assert job.current_host in job.hosts
    assert job.checkpoints is None


def test_channels_of_another_name_are_ignored_with_a_warning(base, caplog):
    for name in ("test", "validation", "code", ".cache"):
        (base / "input/data" / name).mkdir()

    assert list(environment.read(base).channels) == ["train", "validation", "test"]
    assert caplog.messages == [
        "channel .cache is ignored: only train, validation and test are read",
        "channel code is ignored: only train, validation and test are read",
    ]


def test_training_is_another_name_of_train(base):
    (base / "input/data/train").rename(base / "input/data/training")

    assert environment.read(base).channels["train"] == environment.Channel(
        "training", base / "input/data/training"
    )


def test_train_and_training_together_are_refused(base):
    configure(base, inputdataconfig={"train": CSV_CHANNEL, "training": CSV_CHANNEL})

    with pytest.raises(
        UserError, match=r"named train \(or training\), and one only, but has train, training: "
    ):
        environment.read(base)


@pytest.mark.parametrize(("channels", "found"), [({"data": {}}, "data"), ({}, "no channel")])
def test_a_job_without_a_train_channel_is_refused(base, channels, found):
    (base / "input/data/train").rmdir()
    configure(base, inputdataconfig=channels)

    with pytest.raises(
        UserError, match=f"but has {found}: give it one, with its files in {base}/input/data/train"
    ):
        environment.read(base)


def test_values_written_without_quotes_are_taken_as_their_json(base):
    configure(
        base, hyperparameters={"q": 2, "noise": 0.1, "keep_factor": True, "bias": None, "l": "3"}
    )

    assert environment.read(base).hyperparameters == {
        "q": "2",
        "noise": "0.1",
        "keep_factor": "true",
        "bias": "null",
        "l": "3",
    }


@pytest.mark.parametrize(
    "name", ["hyperparameters", "resourceconfig", "inputdataconfig", "checkpointconfig"]
)
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'"text"', b"\xff{}"])
def test_a_broken_configuration_is_refused_by_its_name(base, name, content):
    (base / f"input/config/{name}.json").write_bytes(content)

    with pytest.raises(UserError, match=rf"{name}\.json .+: correct it or remove it$"):
        environment.read(base)


def test_several_hosts_are_read_as_the_sdk_lists_them(base):
    resources = {
        "current_host": "algo-2",
        "current_instance_type": "ml.m5.xlarge",
        "current_group_name": "large",
        "hosts": ["algo-1", "algo-2", "algo-3"],
        "instance_groups": [
            {
                "instance_group_name": "large",
                "instance_type": "ml.m5.xlarge",
                "hosts": ["algo-2", "algo-3"],
            },
            {"instance_group_name": "small", "instance_type": "ml.m5.large", "hosts": ["algo-1"]},
        ],
        "network_interface_name": "eth0",
    }
    channels = {
        "train": {"TrainingInputMode": "File", "S3DistributionType": "ShardedByS3Key"},
        "validation": {"TrainingInputMode": "FastFile", "S3DistributionType": "FullyReplicated"},
    }
    configure(base, resourceconfig=resources, inputdataconfig=channels)

    job = environment.read(base)

    assert (job.current_host, job.hosts) == ("algo-2", ("algo-1", "algo-2", "algo-3"))
    assert job.channels["train"].sharded
    assert not job.channels["validation"].sharded


def test_a_host_that_is_not_listed_is_refused(base):
    configure(base, resourceconfig=RESOURCES | {"current_host": "algo-7"})

    with pytest.raises(UserError, match=r"this host is algo-7, but .+ lists algo-1: list all"):
        environment.read(base)


def test_pipe_mode_with_several_hosts_is_refused_with_the_remedy(base):
    configure(
        base,
        resourceconfig=RESOURCES | {"hosts": ["algo-1", "algo-2"]},
        inputdataconfig={"train": {"TrainingInputMode": "Pipe"}},
    )

    with pytest.raises(UserError, match=r"channel train is in Pipe mode, but .+ set its Training"):
        environment.read(base)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "/opt/ml"),
        ({"SAGEMAKER_BASE_DIR": ""}, "/opt/ml"),
        ({"SAGEMAKER_BASE_DIR": "/x"}, "/x"),
    ],
)
def test_the_base_folder_is_opt_ml_unless_the_environment_says_otherwise(variables, folder):
    assert environment.base_folder(variables) == Path(folder)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_metric_is_found_by_its_regex_to_the_last_bit(value):
    with redirect_stdout(io.StringIO()) as output:
        environment.emit_metric("validation:RMSE", value)

    line = output.getvalue()
    found = re.search(environment.metric_regex("validation:RMSE"), line)[1]
    assert line == f"validation:RMSE={found};\n"
    assert re.fullmatch(r"-?\d+(\.\d+)?", found)
    assert float(found) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_no_number_is_refused(value, capsys):
    with pytest.raises(ValueError, match="compute it from finite numbers"):
        environment.emit_metric("validation:RMSE", value)

    assert capsys.readouterr().out == ""


def test_a_job_that_ends_well_returns_0_and_clears_an_old_reason(tmp_path):
    failure = tmp_path / "failure"
    failure.write_text("of the last run")

    assert environment.run_entry_point(lambda: None, failure) == 0
    assert not failure.exists()


@pytest.mark.parametrize(
    ("error", "words", "with_traceback"),
    [
        (UserError("q is 11, ≤ 10 is needed"), "q is 11", False),
        (
            OSError(errno.ENOSPC, "No space left on device", "/proc/model"),
            "the disk is full",
            False,
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/proc/model"), "mount it", False),
        (MemoryError(), "memory ran out", False),
        (RuntimeError("can't start new thread"), "raise the limit of processes", False),
        (ZeroDivisionError("division by zero"), "likely a bug to report", True),
    ],
)
def test_exit_code_failure_file_and_stderr_agree_for_every_kind_of_error(
    tmp_path, capsys, error, words, with_traceback
):
    assert environment.run_entry_point(raising(error), tmp_path / "failure") == 1

    reason = (tmp_path / "failure").read_text(encoding="utf-8")
    assert words in reason
    assert (len(reason.splitlines()) > 1) == ("Traceback" in reason) == with_traceback
    assert capsys.readouterr() == ("", f"{reason}\n")


def test_a_person_s_mistake_is_one_sentence_in_the_file_and_on_stderr(tmp_path, capsys):
    failure = tmp_path / "output/failure"

    assert environment.run_entry_point(raising(UserError("q is 11, ≤ 10 is needed")), failure) == 1
    assert failure.read_text(encoding="utf-8") == "q is 11, ≤ 10 is needed"
    assert capsys.readouterr().err == "q is 11, ≤ 10 is needed\n"
    assert list(failure.parent.iterdir()) == [failure]


@pytest.mark.parametrize(
    "message", ["division by zero", "", "two\nlines", "long " * 1000, "half a pair \ud800"]
)
def test_a_bug_is_a_sentence_that_makes_sense_alone_and_then_the_traceback(tmp_path, message):
    failure = tmp_path / "failure"

    assert environment.run_entry_point(raising(ArithmeticError(message)), failure) == 1
    sentence, traceback = failure.read_text(encoding="utf-8").split("\n\n", 1)

    assert re.match(
        r"unexpected ArithmeticError in line \d+ of test_environment\.py, likely a bug to report:"
        r" \w+",
        sentence,
    )
    assert len(sentence) <= 1024
    assert "\n" not in sentence
    assert traceback.startswith("Traceback (most recent call last)")


def test_a_reason_that_cannot_be_written_is_still_said(tmp_path, capsys):
    (tmp_path / "output").write_text("a file where a folder should be")

    assert (
        environment.run_entry_point(raising(UserError("the reason")), tmp_path / "output/failure")
        == 1
    )
    first, second = capsys.readouterr().err.splitlines()

    assert first == "the reason"
    assert second.startswith(f"this reason could not be left in {tmp_path}/output/failure: ")


def test_a_thread_that_cannot_be_started_is_a_reason_as_any_other(tmp_path, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(environment.threading.Thread, "start", refuse)

    assert environment.run_entry_point(lambda: None, tmp_path / "failure") == 1
    assert "no further process or thread can be started" in (tmp_path / "failure").read_text()
    assert signal.set_wakeup_fd(-1) == -1


def test_signals_are_handled_as_before_once_the_job_is_over(tmp_path):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    environment.run_entry_point(raising(UserError("no")), tmp_path / "failure")

    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.set_wakeup_fd(-1) == -1


# What keeps the interpreter from a signal's handler, or from its end, for minutes: C code that does
# not look up.
LONG = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
JOBS = {
    "python": "while True: time.sleep(0.01)",
    "one call of C": LONG,
    "threads": f"""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: {LONG}, range(4)))
    """,
    "an exception handler": """
        while True:
            try: time.sleep(1)
            except BaseException: pass
    """,
}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("work", JOBS.values(), ids=JOBS)
def test_a_signal_ends_any_job_within_seconds_with_its_reason(tmp_path, work, number, status):
    failure = tmp_path / "output/failure"
    process = start(work, failure)

    asked = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert (
        time.monotonic() - asked < 5
    )  # SageMaker kills after 120; a loaded machine is given its time
    assert process.returncode == status
    assert out == "not flushed"
    reason = failure.read_text()
    assert err == f"{reason}\n"
    assert reason.startswith(f"stopped by {number.name} before the end, with exit code {status}: ")
    assert len(reason) <= 1024


def test_a_signal_lets_the_step_that_is_under_way_end_and_none_begin(tmp_path):
    work = """
        with steps:
            print("the first step has begun", file=sys.stderr, flush=True)
            time.sleep(1)
            print("the first step has ended", flush=True)
        with steps:
            print("the second step has begun", flush=True)
    """
    process = start(work, tmp_path / "failure")
    assert process.stderr.readline() == "the first step has begun\n"

    process.terminate()
    out, _ = process.communicate(timeout=30)

    assert process.returncode == 143
    assert "the signal to stop has come: this step is finished first\n" in out
    assert out.endswith("the first step has ended\n")


def test_a_signal_ends_a_job_whose_output_nobody_reads_any_more(tmp_path):
    process = start("time.sleep(600)", tmp_path / "failure")

    process.stdout.close()
    process.stderr.close()
    process.terminate()

    assert process.wait(timeout=30) == 143


def start(work, failure):
    """Run a job in a process of its own; return once it is at work."""
    lines = f"""
import hashlib, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from gaussian_processes.sagemaker import environment, logs

steps = environment.CriticalSection()

def job():
    print("not flushed", end="")
    print("working", file=sys.stderr, flush=True)
    with logs.log_to_stdout({{}}):
{textwrap.indent(textwrap.dedent(work), "        ")}

sys.exit(environment.run_entry_point(job, Path({str(failure)!r}), steps))
"""
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    process = subprocess.Popen(
        [sys.executable, "-c", lines],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline() == "working\n"
    return process


def raising(error):
    """Return a job that fails."""

    def job():
        raise error

    return job
