"""What do SageMaker and a training job owe each other?

SageMaker gives files under /opt/ml. It is owed metrics on stdout, the reason of a failure in a file, an exit status, and a
quick end after SIGTERM.
"""

import json
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from gaussian_processes.errors import UserError

# Channels by the name they have here, with the other names that are accepted: AWS's own sample says `training`.
CHANNELS = {"train": ("train", "training"), "validation": ("validation",), "test": ("test",)}
# SageMaker kills 120 s after SIGTERM; what is left of them writes the reason down.
STEP_SECONDS = 100.0
# What SageMaker shows of the failure file.
SHOWN_CHARACTERS = 1024


@dataclass(frozen=True)
class Channel:
    """Data under the name that the person gave it; in Pipe mode its FIFO is `folder` with ``_0`` appended."""

    name: str
    folder: Path
    content_type: str | None = None
    input_mode: str = "File"


@dataclass(frozen=True)
class TrainingEnvironment:
    """What a training job is given: strings and places, not yet looked into."""

    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Channel]
    hosts: tuple[str, ...]
    current_host: str
    model: Path
    output_data: Path
    failure: Path
    checkpoints: Path | None


def base_folder(environment: Mapping[str, str]) -> Path:
    """Folder of the contract: ``SAGEMAKER_BASE_DIR``, as in AWS's toolkits, or /opt/ml."""
    return Path(environment.get("SAGEMAKER_BASE_DIR") or "/opt/ml")


def failure_file(base: Path) -> Path:
    """Where the reason of a failure goes, known before anything is read that can fail."""
    return base / "output/failure"


def read(base: Path) -> TrainingEnvironment:
    """Job that the files under `base` describe; says so on stdout if a channel is ignored.

    Parameters
    ----------
    base : Path
        Only a train channel is required: a configuration file that is missing counts as empty.

    Raises
    ------
    UserError
        If a configuration file is not a JSON object, there is no train channel, or there are several hosts.
    """
    configuration = base / "input/config"
    resources = _object(configuration / "resourceconfig.json")
    checkpoints = _object(configuration / "checkpointconfig.json").get("LocalPath")
    current_host = str(resources.get("current_host", "algo-1"))
    return TrainingEnvironment(
        hyperparameters=_strings(_object(configuration / "hyperparameters.json")),
        channels=_channels(_object(configuration / "inputdataconfig.json"), base / "input/data"),
        hosts=_one_host(tuple(map(str, resources.get("hosts") or [current_host]))),
        current_host=current_host,
        model=base / "model",
        output_data=base / "output/data",
        failure=failure_file(base),
        checkpoints=Path(checkpoints) if checkpoints else None,
    )


def metric_regex(name: str) -> str:
    """Return the regular expression that finds a metric in the log, for a job's ``MetricDefinitions``.

    Examples
    --------
    >>> metric_regex("validation:RMSE")
    'validation:RMSE=(.*?);'
    """
    return f"{name}=(.*?);"


def report(name: str, value: float) -> None:
    """Print a metric as SageMaker finds it, to the last digit and without an exponent, which some readers cut off.

    Raises
    ------
    ValueError
        If the value is not finite: SageMaker drops what is not a number, and tuning would wait for it in vain.

    Examples
    --------
    >>> report("validation:RMSE", 1e-05)
    validation:RMSE=0.00001;
    """
    if not math.isfinite(value):
        raise ValueError(
            f"{name} is {value}, which SageMaker takes for no metric at all: compute it from finite numbers"
        )
    print(f"{name}={Decimal(repr(float(value))):f};", flush=True)


class CriticalSection:
    """Steps of a job that a signal lets come to their end: a context to be entered for each."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = self._ending = False

    def __enter__(self) -> None:
        """Begin a step; never return if the process is about to end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._ending)
            self._inside = True

    def __exit__(self, *_: object) -> None:
        """End a step."""
        with self._changed:
            self._inside = False
            self._changed.notify_all()

    def end(self) -> None:
        """Let no step begin any more, and wait for the one that is under way, if it does not take too long."""
        with self._changed:
            self._ending = True
            if self._inside:
                print("the signal to stop has come: this step is finished first", flush=True)
            self._changed.wait_for(lambda: not self._inside, STEP_SECONDS)


def run(job: Callable[[], None], failure: Path, steps: CriticalSection | None = None) -> int:
    """Run `job`; return its exit status, and leave the reason of a failure.

    Parameters
    ----------
    job : callable
        Must write what it makes under another name and rename it: a signal ends it between any two instructions.
    failure : Path
        What an earlier run left there is removed.
    steps : CriticalSection, optional
        What a signal waits for before it ends the process.

    Returns
    -------
    int
        0; or 1 after an error, which `failure` and stderr explain. After a signal there is no return: the process exits
        with 128 and the signal's number, as a shell says it (143 for SIGTERM, 130 for Ctrl-C), so that who started it can
        tell a job that was stopped from one that failed. SageMaker takes any of these for a failure.
    """
    with suppress(OSError):
        failure.unlink(missing_ok=True)
    with _stopped_by(failure, steps or CriticalSection(), signal.SIGTERM, signal.SIGINT):
        try:
            job()
        except UserError as error:
            _leave(str(error), failure)
        except MemoryError as error:
            _leave(
                f"memory ran out ({error}); use an instance with more memory, or fewer rows",
                failure,
            )
        except Exception as error:
            _leave(_bug(error), failure)
        else:
            return 0
    return 1


@contextmanager
def _stopped_by(failure: Path, steps: CriticalSection, *signals: signal.Signals) -> Iterator[None]:
    """Let any of `signals` end the process at once, whatever it is doing, with its reason in `failure`.

    Python runs a signal's handler in the main thread and between two of its instructions, which a large parse or a block of
    linear algebra puts off for minutes; SageMaker kills after two. So a thread waits for the byte that Python's C code writes
    as the signal arrives.
    """
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    before = {number: signal.signal(number, _nothing) for number in signals}
    previous = signal.set_wakeup_fd(woken)
    watcher = threading.Thread(
        target=_watch, args=(wake, failure, steps, signals), name="signals", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(woken)  # the end of the watcher's file
        watcher.join()
        os.close(wake)


def _nothing(*_: object) -> None:
    """Handle a signal by nothing: Python writes the byte only for signals that have a handler."""


def _watch(
    wake: int, failure: Path, steps: CriticalSection, signals: tuple[signal.Signals, ...]
) -> None:
    while byte := os.read(wake, 1):
        if byte[0] in signals:
            steps.end()
            _stop(signal.Signals(byte[0]), failure)


def _stop(number: signal.Signals, failure: Path) -> None:
    """End the process: with its buffers written, but without waiting for its threads.

    An exit in good order joins the threads of `concurrent.futures`, which would first finish their share of a factorisation.
    """
    status = 128 + number
    reason = (
        f"stopped by {number.name} before the end, with exit code {status}: the job was stopped, or its time or its spot"
        " instance ran out, and no model that could be loaded by mistake is left; start the job again"
    )
    try:
        _leave(reason, failure)
        sys.stdout.flush()
    finally:  # even if nobody reads stdout any more
        os._exit(status)


def _leave(reason: str, failure: Path) -> None:
    """Say the reason on stderr, and leave it in the failure file, whole or not at all."""
    print(reason, file=sys.stderr, flush=True)
    partial = failure.with_name(f"{failure.name}.partial")
    try:
        failure.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(reason, encoding="utf-8", errors="backslashreplace")
        partial.replace(failure)
    except OSError as error:
        print(f"this reason could not be left in {failure}: {error}", file=sys.stderr, flush=True)


def _bug(error: Exception) -> str:
    """Sentence that makes sense alone within what SageMaker shows, then the traceback."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(str(error).split())
    sentence = (
        f"unexpected {type(error).__name__} in line {place.lineno} of {Path(place.filename).name}, likely a bug to report:"
        f" {message or 'no further reason'}"
    )
    return f"{sentence[:SHOWN_CHARACTERS]}\n\n{''.join(traceback.format_exception(error))}"


def _object(path: Path) -> dict[str, Any]:
    """JSON object of a file; empty if there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}): correct it or remove it") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path} must hold a JSON object, but holds a {type(content).__name__}: correct it or remove it"
        )
    return content


def _strings(hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    """Hyperparameters as SageMaker would send them; what a person wrote without quotes, as its JSON text."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in hyperparameters.items()
    }


def _one_host(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if len(hosts) > 1:
        raise UserError(
            f"the job has {len(hosts)} hosts ({', '.join(hosts)}), but one is supported for now:"
            " set InstanceCount (instance_count in the SDK) to 1"
        )
    return hosts


def _channels(declared: Mapping[str, Any], data: Path) -> dict[str, Channel]:
    """Channels by their names in `CHANNELS`: those that are declared or, if none is, whose folders are there."""
    given = declared or {folder.name: {} for folder in sorted(data.glob("*")) if folder.is_dir()}
    found = {ours: [name for name in names if name in given] for ours, names in CHANNELS.items()}
    if len(found["train"]) != 1:
        raise UserError(
            f"the job needs a channel named train (or training), and one only, but has {', '.join(given) or 'no channel'}:"
            f" give it one, with its files in {data / 'train'}"
        )
    for name in sorted(given.keys() - set().union(*found.values())):
        print(f"channel {name} is ignored: only train, validation and test are read", flush=True)
    return {
        ours: _channel(names[0], given[names[0]] or {}, data)
        for ours, names in found.items()
        if names
    }


def _channel(name: str, settings: Mapping[str, str], data: Path) -> Channel:
    return Channel(
        name, data / name, settings.get("ContentType"), settings.get("TrainingInputMode", "File")
    )
