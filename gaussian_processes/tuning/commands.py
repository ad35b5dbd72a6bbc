"""Commands of the tuner, each a function of the parsed command line."""

import argparse
import json
import sys
from pathlib import Path

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import (
    algorithm_specification,
    amt,
    deployment,
    jobfile,
    report,
    results,
)
from gaussian_processes.tuning.backends.by_name import BACKENDS
from gaussian_processes.tuning.jobfile import Changes
from gaussian_processes.tuning.progress import Progress
from gaussian_processes.tuning.results import Results
from gaussian_processes.tuning.tuner import InterruptedSearchError, Tuner

# Where searches go unless --out says so, and reports that compare several.
FOLDER = Path("tuning")
COMPARISONS = FOLDER / "comparisons"


def run(arguments: argparse.Namespace) -> None:
    """Run a search."""
    changes = Changes(arguments.strategy, arguments.jobs, arguments.parallel)
    job = jobfile.read(arguments.job, arguments.on, changes)
    folder = arguments.out or FOLDER / job.name
    progress = Progress(min(job.limits.jobs, job.space.size))
    try:
        search = Tuner(
            job,
            lambda: BACKENDS[arguments.on](job, folder / "trials"),
            folder,
            lambda name: _find(name, folder.parent),
            arguments.extend,
        )
        found = search.run(progress)
    finally:
        progress.close()
    if search.ending:
        print(f"the search ended early: {search.ending}", file=sys.stderr)
    _conclude(found, folder)


def _conclude(found: Results, folder: Path) -> None:
    """Print the best, and where the table and the report are."""
    pictures = report.write([found], folder)
    print(found.best_sentence)
    if len(found.objectives) > 1:
        print(f"{len(found.pareto_front)} training jobs are on the Pareto front of the report")
    print(f"table: {folder / results.TABLE}; pictures: {', '.join(map(str, pictures))}")


def _find(name: str, folder: Path = FOLDER) -> Results:
    """Find a search: in a folder of this name, beside others, or at SageMaker's tuner."""
    paths = list(dict.fromkeys((Path(name), folder / name, FOLDER / name)))
    for path in paths:
        # The report of one of SageMaker's tuning jobs has a folder, which is no search for it.
        if path.is_dir() and (path == Path(name) or (path / results.JOB).is_file()):
            return results.read(path)
    try:
        return amt.results_of(name)
    except UserError as error:
        raise UserError(
            f"there is no search {name}: no folder {' or '.join(map(str, paths))}, and no tuning"
            f" job of this name at SageMaker ({error}); name a folder of --out or a tuning job"
        ) from error


def submit(arguments: argparse.Namespace) -> None:
    """Submit a job to SageMaker's own tuner, and follow it."""
    job = jobfile.read(arguments.job, "amt")
    amt.submit(job)
    progress = Progress(min(job.limits.jobs, job.space.size))
    try:
        found = amt.follow(job.name, progress)
    except KeyboardInterrupt:
        raise InterruptedSearchError(
            f"{job.name} goes on without being followed; aws sagemaker"
            f" stop-hyper-parameter-tuning-job --hyper-parameter-tuning-job-name {job.name} ends it"
        ) from None
    finally:
        progress.close()
    folder = FOLDER / job.name
    folder.mkdir(parents=True, exist_ok=True)
    results.write(found, folder)
    _conclude(found, folder)


def table(arguments: argparse.Namespace) -> None:
    """Print the table of a search."""
    results.print_table(_find(arguments.search), sys.stdout)


def write_report(arguments: argparse.Namespace) -> None:
    """Write the report of one search, or of several side by side."""
    searches = [_find(name) for name in arguments.search]
    for path in report.write(searches, arguments.out or _report_folder(arguments.search)):
        print(path)


def _report_folder(names: list[str]) -> Path:
    """Return the folder of a search; of several, one that is no search's."""
    if len(names) > 1:
        return COMPARISONS / "-".join(Path(name).resolve().name for name in names)
    path = Path(names[0])
    return path if path.is_dir() else FOLDER / path


def best(arguments: argparse.Namespace) -> None:
    """Print the best hyperparameters as JSON, and about them to stderr."""
    found = _find(arguments.search)
    print(found.best_sentence, file=sys.stderr)
    print(json.dumps(found.hyperparameters(found.best), indent=2))


def deploy(arguments: argparse.Namespace) -> None:
    """Serve the best model of a search."""
    paths = (Path(arguments.search), FOLDER / arguments.search)
    folder = next((path for path in paths if path.is_dir()), paths[-1])
    deployment.deploy(
        _find(arguments.search),
        folder,
        deployment.Target(arguments.on, arguments.host, arguments.port),
        arguments.train,
    )


def algorithm(arguments: argparse.Namespace) -> None:
    """Print the CreateAlgorithm request, or the ranges of a tuning job."""
    if arguments.ranges:
        found = algorithm_specification.parameter_ranges()
        print(json.dumps(found, indent=2))
    else:
        request = algorithm_specification.create_algorithm(arguments.image, arguments.name)
        print(json.dumps(request, indent=2))
