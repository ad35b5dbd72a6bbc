"""Training environment of SageMaker: what a job is given, and what it owes.

SageMaker gives files under /opt/ml. It is owed metrics on stdout, the reason of a failure in a
file, an exit status, and a quick end after SIGTERM.
"""

import json
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write
from gaussian_processes.sagemaker.failures import failure_reason

LOGGER = logging.getLogger(__name__)

# Names that each channel may have: AWS's own sample says `training`.
CHANNELS = {"train": ("train", "training"), "validation": ("validation",), "test": ("test",)}
# SageMaker kills 120 s after SIGTERM; what is left of them writes the reason down.
CRITICAL_SECTION_TIMEOUT_SECONDS = 100.0


@dataclass(frozen=True)
class Channel:
    """Input data channel.

    Parameters
    ----------
    name : str
        As the person gave it.
    folder : Path
        In Pipe mode the FIFO is this path with ``_0`` appended.
    content_type : str, optional
    input_mode : str
        File, FastFile or Pipe.
    sharded : bool
        Whether every host has other files (ShardedByS3Key), not all of them (FullyReplicated).
    """

    name: str
    folder: Path
    content_type: str | None = None
    input_mode: str = "File"
    sharded: bool = False


@dataclass(frozen=True)
class TrainingEnvironment:
    """Configuration of a training job: strings and paths, not yet looked into."""

    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Channel]
    hosts: tuple[str, ...]
    current_host: str
    model: Path
    output_data: Path
    failure: Path
    checkpoints: Path | None
    secret: str | None = field(default=None, repr=False)


def base_folder(environment: Mapping[str, str]) -> Path:
    """Folder of the contract: ``SAGEMAKER_BASE_DIR``, as in AWS's toolkits, or /opt/ml."""
    return Path(environment.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


def cluster_secret(environment: Mapping[str, str]) -> str | None:
    """Secret of the job's hosts: ``CLUSTER_SECRET``, which the job's `Environment` gives to all."""
    return environment.get("CLUSTER_SECRET") or None


def failure_file(base: Path) -> Path:
    """File for the reason of a failure, known before anything is read that can fail."""
    return base / "output/failure"


def model_folder(base: Path) -> Path:
    """Folder that the model is left in."""
    return base / "model"


def read(base: Path) -> TrainingEnvironment:
    """Read the training environment from the files under `base`; log the channels that are ignored.

    Parameters
    ----------
    base : Path
        Only a train channel is required: a configuration file that is missing counts as empty.

    Raises
    ------
    UserError
        If a configuration file is not a JSON object, there is no train channel, this host is not
        one of the job's, or several hosts have a channel in Pipe mode.
    """
    configuration = base / "input/config"
    resources = _read_object(configuration / "resourceconfig.json")
    checkpoints = _read_object(configuration / "checkpointconfig.json").get("LocalPath")
    channels = _read_object(configuration / "inputdataconfig.json")
    current_host = str(resources.get("current_host", "algo-1"))
    hosts = tuple(map(str, resources.get("hosts") or [current_host]))
    job = TrainingEnvironment(
        hyperparameters=_strings(_read_object(configuration / "hyperparameters.json")),
        channels=_channels(channels, base / "input/data"),
        hosts=hosts,
        current_host=current_host,
        model=model_folder(base),
        output_data=base / "output/data",
        failure=failure_file(base),
        checkpoints=Path(checkpoints) if checkpoints else None,
    )
    _check_hosts(job)
    return job


def metric_regex(name: str) -> str:
    """Return the regular expression that finds a metric in the log, for ``MetricDefinitions``.

    Examples
    --------
    >>> metric_regex("validation:RMSE")
    'validation:RMSE=(.*?);'
    """
    return f"{name}=(.*?);"


def emit_metric(name: str, value: float) -> None:
    """Print a metric as SageMaker finds it: to the last digit, and without an exponent.

    Some readers cut an exponent off.

    Raises
    ------
    ValueError
        If the value is not finite: SageMaker drops what is not a number, and tuning would wait for
        it in vain.

    Examples
    --------
    >>> emit_metric("validation:RMSE", 1e-05)
    validation:RMSE=0.00001;
    """
    if not math.isfinite(value):
        raise ValueError(
            f"{name} is {value}, which SageMaker takes for no metric at all: compute it from finite"
            " numbers"
        )
    print(f"{name}={Decimal(repr(float(value))):f};", flush=True)


class CriticalSection:
    """Context that a signal to stop lets come to its end; it may be entered many times."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entered = self._closed = False

    def __enter__(self) -> None:
        """Enter the section; never return if the process is about to end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._entered = True

    def __exit__(self, *_: object) -> None:
        """Leave the section."""
        with self._changed:
            self._entered = False
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody enter any more, and wait, not for too long, until the section is left."""
        with self._changed:
            self._closed = True
            if self._entered:
                with suppress(OSError):  # the process ends even if nobody reads the log any more
                    LOGGER.warning("the signal to stop has come: this step is finished first")
            self._changed.wait_for(lambda: not self._entered, CRITICAL_SECTION_TIMEOUT_SECONDS)


class JobEnd:
    """Agreement on how the job ends: this process by itself, until it has joined other hosts.

    Parameters
    ----------
    outcome : callable
        Says, after a signal, what a job that is stopped has left, and what to do. It is asked once
        nobody can enter the critical section any more.
    """

    def __init__(self, outcome: Callable[[], str] = lambda: "start the job again") -> None:
        self.outcome = outcome
        self.agree: Callable[[str, int], tuple[str, int]] = lambda reason, status: (reason, status)


def run_entry_point(
    job: Callable[[], None],
    failure: Path,
    critical_section: CriticalSection | None = None,
    end: JobEnd | None = None,
) -> int:
    """Run `job`; return its exit status, and leave the reason of a failure.

    Parameters
    ----------
    job : callable
        Must write what it makes under another name and rename it: a signal ends it between any two
        instructions.
    failure : Path
        What an earlier run left there is removed.
    critical_section : CriticalSection, optional
        What a signal waits for before it ends the process.
    end : JobEnd, optional
        Tells the job's other hosts of a failure or a signal, and may give a reason and a status
        that are those of all.

    Returns
    -------
    int
        0; or 1 after an error, which `failure` and stderr explain in the same words. After a signal
        there is no return: the process exits with 128 and the signal's number, as a shell says it
        (143 for SIGTERM, 130 for Ctrl-C), so that who started it can tell a job that was stopped
        from one that failed. SageMaker takes any of these for a failure.
    """
    with suppress(OSError):
        failure.unlink(missing_ok=True)
    section, end = critical_section or CriticalSection(), end or JobEnd()
    try:
        with _stopped_by(failure, section, end, signal.SIGTERM, signal.SIGINT):
            return _run(job, failure, end)
    except (OSError, RuntimeError) as error:  # not even the thread that waits for signals started
        write_failure(failure_reason(error), failure)
        return 1


def _run(job: Callable[[], None], failure: Path, end: JobEnd) -> int:
    try:
        job()
    except Exception as error:
        reason, status = end.agree(failure_reason(error), 1)
        write_failure(reason, failure)
        return status
    return 0


def write_failure(reason: str, failure: Path) -> None:
    """Print the reason on stderr, and write it into the failure file, whole or not at all."""
    print(reason, file=sys.stderr, flush=True)

    def write(path: Path) -> None:
        path.write_text(reason, encoding="utf-8", errors="backslashreplace")

    try:
        # Several threads may come here at once, where one host fails as another says so.
        atomic_write(failure, write, sync=False)
    except OSError as error:
        print(f"this reason could not be left in {failure}: {error}", file=sys.stderr, flush=True)


@contextmanager
def _stopped_by(
    failure: Path, critical_section: CriticalSection, end: JobEnd, *signals: signal.Signals
) -> Iterator[None]:
    """Let any of `signals` end the process at once, whatever it is doing, with a reason.

    Python runs a signal's handler in the main thread and between two of its instructions, which a
    large parse or a block of linear algebra puts off for minutes; SageMaker kills after two. So a
    thread waits for the byte that Python's C code writes as the signal arrives.
    """
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    before = {number: signal.signal(number, _do_nothing) for number in signals}
    previous = signal.set_wakeup_fd(woken)
    arguments = (wake, failure, critical_section, end, signals)
    watcher = threading.Thread(target=_watch, args=arguments, name="signals", daemon=True)
    try:
        watcher.start()
        yield
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(woken)  # the end of the watcher's file
        if watcher.ident is not None:
            watcher.join()
        os.close(wake)


def _do_nothing(*_: object) -> None:
    """Handle a signal by nothing: Python writes the byte only for signals that have a handler."""


def _watch(
    wake: int,
    failure: Path,
    critical_section: CriticalSection,
    end: JobEnd,
    signals: tuple[signal.Signals, ...],
) -> None:
    while byte := os.read(wake, 1):
        if byte[0] in signals:
            critical_section.close()
            reason, status = _reason_of(signal.Signals(byte[0]), end.outcome())
            exit_process(*end.agree(reason, status), failure)


def _reason_of(number: signal.Signals, outcome: str) -> tuple[str, int]:
    """Reason and exit status after a signal."""
    status = 128 + number
    reason = (
        f"stopped by {number.name} before the end, with exit code {status}: the job was stopped, or"
        f" its time or its spot instance ran out; {outcome}"
    )
    return reason, status


def exit_process(reason: str, status: int, failure: Path) -> None:
    """End the process: with its buffers written, but without waiting for its threads.

    An exit in good order joins the threads of `concurrent.futures`, which would first finish their
    share of a factorisation.
    """
    try:
        write_failure(reason, failure)
        sys.stdout.flush()
    finally:  # even if nobody reads stdout any more
        os._exit(status)


def _read_object(path: Path) -> dict[str, Any]:
    """JSON object of a file; empty if there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): correct it or remove it") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} must hold a JSON object, but holds a {type(content).__name__}: correct it or"
            " remove it"
        )
    return content


def _strings(hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    """Hyperparameters as SageMaker would send them: a value without quotes as its JSON text."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in hyperparameters.items()
    }


def _check_hosts(job: TrainingEnvironment) -> None:
    if job.current_host not in job.hosts:
        raise UserError(
            f"this host is {job.current_host}, but resourceconfig.json lists"
            f" {', '.join(job.hosts)}: list all hosts of the job"
        )
    pipes = [channel.name for channel in job.channels.values() if channel.input_mode == "Pipe"]
    if len(job.hosts) > 1 and pipes:
        raise UserError(
            f"channel {', '.join(pipes)} is in Pipe mode, but the job has {len(job.hosts)} hosts:"
            " set its TrainingInputMode to File or FastFile"
        )


def _channels(declared: Mapping[str, Any], data: Path) -> dict[str, Channel]:
    """Channels by their names in `CHANNELS`: declared ones or, if none is, those with a folder."""
    given = declared or {name: {} for name in _folder_names(data)}
    _check_train(given, data)
    channels = {}
    for channel, names in CHANNELS.items():
        for name in names:
            if name in given:
                channels[channel] = _channel(name, given[name] or {}, data)
    for name in sorted(given.keys() - {channel.name for channel in channels.values()}):
        LOGGER.warning("channel %s is ignored: only train, validation and test are read", name)
    return channels


def _folder_names(data: Path) -> list[str]:
    """Names of the folders in a folder, and of files that have the name of a channel."""
    channel_names = {name for names in CHANNELS.values() for name in names}
    try:
        with os.scandir(data) as entries:
            return sorted(
                entry.name for entry in entries if entry.is_dir() or entry.name in channel_names
            )
    except FileNotFoundError:
        return []


def _check_train(given: Mapping[str, Any], data: Path) -> None:
    if len([name for name in CHANNELS["train"] if name in given]) != 1:
        raise UserError(
            "the job needs a channel named train (or training), and one only, but has"
            f" {', '.join(given) or 'no channel'}: give it one, with its files in {data / 'train'}"
        )


def _channel(name: str, configuration: Mapping[str, str], data: Path) -> Channel:
    return Channel(
        name,
        data / name,
        configuration.get("ContentType"),
        configuration.get("TrainingInputMode", "File"),
        configuration.get("S3DistributionType") == "ShardedByS3Key",
    )
