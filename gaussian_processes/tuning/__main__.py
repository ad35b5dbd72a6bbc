"""Command line of the tuner: tune run|submit|table|report|best|deploy|algorithm."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gaussian_processes import __version__
from gaussian_processes.errors import BackendBusyError, UserError
from gaussian_processes.tuning import commands
from gaussian_processes.tuning.algorithm_specification import ALGORITHM_NAME
from gaussian_processes.tuning.backends.by_name import BACKENDS
from gaussian_processes.tuning.deployment import LOOPBACK
from gaussian_processes.tuning.tuner import InterruptedSearchError

Command = Callable[[argparse.Namespace], None]
Subcommands = Any  # argparse gives the type that holds subcommands no public name
# A shell's status of a program that Ctrl-C ended.
INTERRUPTED_STATUS = 130


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    arguments = _parser().parse_args(words)
    try:
        arguments.command(arguments)
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
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(subcommands)
    submit = _add(
        subcommands, "submit", commands.submit, "submit the job to SageMaker's own tuner, follow it"
    )
    _add_job_file(submit)
    table = _add(subcommands, "table", commands.table, "print the training jobs as CSV")
    _add_search(table)
    _add_report(subcommands)
    best = _add(
        subcommands, "best", commands.best, "print the best hyperparameters as a training job's"
    )
    _add_search(best)
    _add_deploy(subcommands)
    _add_algorithm(subcommands)
    return parser


def _add(
    subcommands: Subcommands, name: str, command: Command, text: str
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = subcommands.add_parser(name, help=text, description=text)
    added.set_defaults(command=command)
    return added


def _add_job_file(parser: argparse.ArgumentParser) -> None:
    text = "a create_hyper_parameter_tuning_job request"
    parser.add_argument("job", type=Path, metavar="JOB.json", help=text)


def _add_search(parser: argparse.ArgumentParser, number: str | None = None) -> None:
    text = "a folder of --out, or a job of SageMaker's tuner"
    parser.add_argument("search", nargs=number, metavar="DIR_OR_JOB_NAME", help=text)


def _add_run(subcommands: Subcommands) -> None:
    run = _add(
        subcommands,
        "run",
        commands.run,
        "search over training jobs in processes, containers or SageMaker",
    )
    _add_job_file(run)
    run.add_argument(
        "--on",
        choices=BACKENDS,
        default="process",
        help="where the training jobs run (default process)",
    )
    run.add_argument(
        "--strategy",
        help="instead of the job's: random, grid, bayesian, hyperband, genetic, … or"
        " module:Class(name=value)",
    )
    run.add_argument("--jobs", type=_positive, help="MaxNumberOfTrainingJobs instead of the job's")
    run.add_argument(
        "--parallel", type=_positive, help="MaxParallelTrainingJobs instead of the job's"
    )
    run.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results (default tuning/NAME); the search of one in use goes on",
    )
    run.add_argument(
        "--extend",
        action="store_true",
        help="go on with the search of the folder under other limits than it had",
    )


def _add_report(subcommands: Subcommands) -> None:
    report = _add(
        subcommands, "report", commands.write_report, "write the pictures: report.html, report.png"
    )
    _add_search(report, "+")
    report.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"where to write (default: the search's folder; of several, {commands.COMPARISONS}/…)",
    )


def _add_deploy(subcommands: Subcommands) -> None:
    deploy = _add(subcommands, "deploy", commands.deploy, "serve the best model")
    _add_search(deploy)
    deploy.add_argument(
        "--on",
        choices=BACKENDS,
        default="process",
        help="where to serve (default process)",
    )
    deploy.add_argument(
        "--host",
        default=LOOPBACK,
        help=f"address that a local endpoint listens on (default {LOOPBACK}; 0.0.0.0 for all)",
    )
    deploy.add_argument(
        "--port", type=_positive, default=8080, help="of a local endpoint (default 8080)"
    )
    deploy.add_argument(
        "--train",
        action="store_true",
        help="train the best hyperparameters anew, even if there is a model",
    )


def _add_algorithm(subcommands: Subcommands) -> None:
    algorithm = _add(
        subcommands, "algorithm", commands.algorithm, "print a CreateAlgorithm request"
    )
    algorithm.add_argument(
        "--image", default="IMAGE_URI", help="the training image's address in ECR"
    )
    algorithm.add_argument(
        "--name", default=ALGORITHM_NAME, help=f"AlgorithmName (default {ALGORITHM_NAME})"
    )
    algorithm.add_argument(
        "--ranges", action="store_true", help="print a tuning job's ParameterRanges instead"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 up")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
