"""Command line of the tuner: tune run|submit|table|report|best|deploy|algorithm."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gaussian_processes import __version__
from gaussian_processes.errors import BackendBusyError, UserError
from gaussian_processes.tuning import (
    algorithm_specification,
    amt,
    deployment,
    jobfile,
    report,
    results,
)
from gaussian_processes.tuning.backends import Backend
from gaussian_processes.tuning.backends.docker import DockerContainers
from gaussian_processes.tuning.backends.local import LocalProcesses
from gaussian_processes.tuning.backends.sagemaker import SageMakerJobs
from gaussian_processes.tuning.job import TuningJob
from gaussian_processes.tuning.jobfile import Changes
from gaussian_processes.tuning.progress import Progress
from gaussian_processes.tuning.results import Results
from gaussian_processes.tuning.tuner import InterruptedSearchError, Tuner

# Where searches go unless --out says so.
FOLDER = Path("tuning")
BACKENDS = {"process": LocalProcesses, "docker": DockerContainers, "sagemaker": SageMakerJobs}
Do = Callable[[argparse.Namespace], None]
Commands = Any  # argparse gives the type that holds subcommands no public name
# As a shell says it of a program that Ctrl-C ended.
INTERRUPTED_STATUS = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        asked.do(asked)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except BackendBusyError as error:
        print(f"{error}; try again later", file=sys.stderr)
        return 1
    except (InterruptedSearchError, KeyboardInterrupt) as error:
        print(str(error) or "stopped", file=sys.stderr)
        return INTERRUPTED_STATUS
    except BrokenPipeError:  # as when `head` has read enough
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tune", description="Search over training jobs.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _on_file(
        commands, _run, "search here, over training jobs in processes, containers or SageMaker"
    )
    run.add_argument(
        "--on",
        choices=BACKENDS,
        default="process",
        help="where the training jobs run (default process)",
    )
    run.add_argument(
        "--strategy",
        help="instead of the job's: random, grid, bayesian, hyperband, genetic, … or module:Class",
    )
    run.add_argument("--jobs", type=_positive, help="MaxNumberOfTrainingJobs instead of the job's")
    run.add_argument(
        "--parallel", type=_positive, help="MaxParallelTrainingJobs instead of the job's"
    )
    run.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results (default tuning/NAME); one in use goes on",
    )

    _on_file(commands, _submit, "hand the job to SageMaker's own tuner, and follow it")
    _on_search(commands, _table, "print the table of all training jobs, as CSV")
    pictures = _on_search(commands, _report, "write the pictures: report.html and report.png", "+")
    pictures.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where to write (default: the first search's folder)",
    )
    _on_search(commands, _best, "print the best hyperparameters, as a training job's JSON")
    deploy = _on_search(commands, _deploy, "serve the best model")
    deploy.add_argument(
        "--on", choices=BACKENDS, default="process", help="where to serve (default process)"
    )
    deploy.add_argument(
        "--port", type=_positive, default=8080, help="of a local endpoint (default 8080)"
    )
    deploy.add_argument(
        "--train",
        action="store_true",
        help="train the best hyperparameters anew, even if there is a model",
    )

    algorithm = _command(
        commands, _algorithm, "print the CreateAlgorithm specification and AMT's ranges"
    )
    algorithm.add_argument(
        "--image", default="IMAGE_URI", help="the training image's address in ECR"
    )
    return parser


def _command(commands: Commands, do: Do, text: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(do.__name__.strip("_"), help=text)
    made.set_defaults(do=do)
    return made


def _on_file(commands: Commands, do: Do, text: str) -> argparse.ArgumentParser:
    made = _command(commands, do, text)
    made.add_argument(
        "job", type=Path, metavar="JOB.json", help="a create_hyper_parameter_tuning_job request"
    )
    return made


def _on_search(
    commands: Commands, do: Do, text: str, number: str | None = None
) -> argparse.ArgumentParser:
    made = _command(commands, do, text)
    what = "a folder of --out, or a job of SageMaker's tuner"
    made.add_argument("search", nargs=number, metavar="DIR_OR_JOB_NAME", help=what)
    return made


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 up")
    return int(text)


def _run(asked: argparse.Namespace) -> None:
    job = jobfile.read(asked.job, asked.on, Changes(asked.strategy, asked.jobs, asked.parallel))
    folder = asked.out or FOLDER / job.name
    progress = Progress(min(job.limits.jobs, job.space.size))
    try:
        search = Tuner(
            job,
            _backend(job, asked.on, folder),
            folder,
            lambda name: _find(name, folder.parent),
            progress,
        )
        found = search.run()
    finally:
        progress.close()
    if search.ending:
        print(f"the search ended early: {search.ending}", file=sys.stderr)
    _conclude(found, folder)


def _backend(job: TuningJob, name: str, folder: Path) -> Backend:
    backend: Backend = BACKENDS[name](job, folder / "trials")
    return backend


def _conclude(found: Results, folder: Path) -> None:
    """Say what the search has come to, and where its table and pictures are."""
    pictures = report.write([found], folder)
    values = " ".join(f"{name}={value}" for name, value in found.best.values.items())
    for objective in found.objectives:
        print(
            f"best {objective.metric}={found.best.metrics[objective.metric]:.6g} with {values}"
            f" ({found.best.name})"
        )
    if len(found.objectives) > 1:
        print(
            f"{len(found.pareto_front)} training jobs are best in one way or another; they are in"
            " the report"
        )
    print(f"table: {folder / results.TABLE}; pictures: {', '.join(map(str, pictures))}")


def _find(name: str, folder: Path = Path()) -> Results:
    """Search of a folder, of a name beside others, or of SageMaker's tuner."""
    for path in (Path(name), folder / name, FOLDER / name):
        if path.is_dir():
            return results.read(path)
    try:
        return amt.results_of(name)
    except UserError as error:
        raise UserError(
            f"there is no folder {name}, and SageMaker's tuner has told of no such job: {error}"
        ) from error


def _submit(asked: argparse.Namespace) -> None:
    job = jobfile.read(asked.job, "amt")
    amt.submit(job)
    progress = Progress(min(job.limits.jobs, job.space.size))
    try:
        found = amt.follow(job.name, progress)
    except KeyboardInterrupt:
        raise InterruptedSearchError(
            f"{job.name} goes on without being followed; aws sagemaker"
            " stop-hyper-parameter-tuning-job"
            f" --hyper-parameter-tuning-job-name {job.name} ends it"
        ) from None
    finally:
        progress.close()
    folder = FOLDER / job.name
    folder.mkdir(parents=True, exist_ok=True)
    results.write(found, folder)
    _conclude(found, folder)


def _table(asked: argparse.Namespace) -> None:
    results.print_table(_find(asked.search), sys.stdout)


def _report(asked: argparse.Namespace) -> None:
    first = Path(asked.search[0])
    folder = asked.out or (first if first.is_dir() else FOLDER / first)
    for path in report.write([_find(name) for name in asked.search], folder):
        print(path)


def _best(asked: argparse.Namespace) -> None:
    found = _find(asked.search)
    print(json.dumps(found.hyperparameters(found.best), indent=2))


def _deploy(asked: argparse.Namespace) -> None:
    folder = next(
        (path for path in (Path(asked.search), FOLDER / asked.search) if path.is_dir()), None
    )
    deployment.deploy(
        _find(asked.search), folder or FOLDER / asked.search, asked.on, asked.port, asked.train
    )


def _algorithm(asked: argparse.Namespace) -> None:
    print(json.dumps(algorithm_specification.algorithm(asked.image), indent=2))


if __name__ == "__main__":
    sys.exit(main())
