"""Training program `train`: from the channels of a SageMaker training job to a model."""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from gaussian_processes import __version__
from gaussian_processes.cluster.hosts import Agreement, Hosts, join
from gaussian_processes.data import dataset, readers
from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.readers import ReadOptions
from gaussian_processes.data.schema import Schema
from gaussian_processes.data.schema_inference import SchemaOptions, infer_schema
from gaussian_processes.data.table import Table
from gaussian_processes.errors import UserError
from gaussian_processes.linalg.cholesky import PANEL_WIDTH
from gaussian_processes.model import artifact
from gaussian_processes.model.explanations import with_background
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.sagemaker import environment
from gaussian_processes.sagemaker.environment import (
    Channel,
    CriticalSection,
    JobEnd,
    TrainingEnvironment,
)
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters, parse, usage
from gaussian_processes.sagemaker.logs import log_to_stdout
from gaussian_processes.training import model_card, report_data, reporting, robustness, scoring
from gaussian_processes.training.checkpoints import Checkpoint, fingerprint, locked
from gaussian_processes.training.export import (
    Findings,
    export,
    gather_factors,
    requested,
)
from gaussian_processes.training.model_selection import ModelSelection
from gaussian_processes.training.preparation import training_rows
from gaussian_processes.training.sharding import gather_channels
from gaussian_processes.training.stages import train_stages
from gaussian_processes.training.trainer import Trainer

DESCRIPTION = """\
Train a Gaussian process on the files of the channel `train` (CSV, JSON Lines, NPY or
Parquet; the target is the first column unless `target` names another), score it on
`validation` and `test` where there are any, and leave it in /opt/ml/model.
SAGEMAKER_BASE_DIR names another folder than /opt/ml; SAGEMAKER_CONTAINER_LOG_LEVEL
(20) is the least level of what is logged beside the metrics. CLUSTER_SECRET, of 32
characters or more, lets the hosts of a job encrypt what they send each other.

Hyperparameters, in /opt/ml/input/config/hyperparameters.json:
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the files under the base folder say; return the exit code."""
    parser = argparse.ArgumentParser(
        "train",
        description=DESCRIPTION + usage(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.parse_args(arguments)
    base, began = environment.base_folder(os.environ), time.time()
    critical_section = CriticalSection()
    end = JobEnd(outcome=lambda: artifact.outcome(environment.model_folder(base), began))
    failure = environment.failure_file(base)

    def run() -> None:
        with log_to_stdout(os.environ):
            job = replace(environment.read(base), secret=environment.cluster_secret(os.environ))
            train(job, critical_section, end)

    return environment.run_entry_point(run, failure, critical_section, end)


def train(job: TrainingEnvironment, critical_section: CriticalSection, end: JobEnd) -> None:
    """Train, score and save one model, on all hosts of the job.

    Parameters
    ----------
    job : TrainingEnvironment
    critical_section : CriticalSection
        Entered for each panel, which a signal to stop waits for.
    end : JobEnd
        Takes the agreement of the hosts, as soon as they have come together.
    """
    hyperparameters = parse(job.hyperparameters)

    def on_failure(reason: str, status: int) -> None:
        environment.exit_process(reason, status, job.failure)

    def set_agreement(agree: Agreement) -> None:
        end.agree = agree

    with (
        join(job.hosts, job.current_host, on_failure, set_agreement, job.secret) as hosts,
        TemporaryDirectory(prefix="shards-") as shards,
    ):
        channels = gather_channels(job.channels, hosts, Path(shards))
        _train(replace(job, channels=channels), hyperparameters, critical_section, hosts)


def _train(
    job: TrainingEnvironment,
    hyperparameters: Hyperparameters,
    critical_section: CriticalSection,
    hosts: Hosts,
) -> None:
    """Train on all hosts alike; the leader alone conditions, scores and saves the model."""
    began = time.monotonic()
    trainer, datasets = _prepare(job, hyperparameters, hosts)
    training = datasets["train"]
    with TemporaryDirectory(prefix="panels-") as scratch, _locked_checkpoint(job):
        checkpoint = _checkpoint(job, Path(scratch), critical_section, trainer, datasets)
        stages = train_stages(trainer, datasets, checkpoint)
        out_of_fold = scoring.score_out_of_fold(trainer, datasets, checkpoint, job.output_data)
        selecting = time.monotonic()
        selection = trainer.select(training, checkpoint)
        training = robustness.reject(training, selection.outliers)
        datasets = {**datasets, "train": training}
        selected = time.monotonic()
        shared = trainer.shares_factor(len(training))
        if not hosts.leads:
            if shared:
                model, *_ = _fit_and_score(trainer, selection, datasets, checkpoint, Path(scratch))
                gather_factors(model, hyperparameters.keep_factor, hosts, Path(scratch))
            checkpoint.remove()
            return
        reporting.report_selection(selection, hyperparameters, len(training), job.output_data)
        model, left_out, scores = _fit_and_score(
            trainer, selection, datasets, checkpoint, job.output_data
        )
        if shared:
            model = gather_factors(model, hyperparameters.keep_factor, hosts, Path(scratch))
        report = None
        if hyperparameters.report:
            curve = report_data.learning_curve(stages, len(training), scores)
            report = report_data.collect(model, selection, datasets, left_out, curve)
        model = with_background(model, training.X)
        found = Findings({**out_of_fold, **scores}, report)
        _save(job, hyperparameters, model, found, critical_section)
        checkpoint.remove()
    step = "comparing candidates" if len(selection.candidates) > 1 else "learning"
    reporting.log_share(step, selected - selecting, time.monotonic() - began)


def _prepare(
    job: TrainingEnvironment, hyperparameters: Hyperparameters, hosts: Hosts
) -> tuple[Trainer, dict[str, Dataset]]:
    """Make the trainer and read the datasets, and refuse what could only fail after hours."""
    for folder in (job.model, job.output_data):
        _check_writable(folder)
    schema, datasets = _read_datasets(job, hyperparameters)
    _check_datasets(hyperparameters, datasets)
    trainer = Trainer(
        hyperparameters,
        schema,
        datasets.get("validation"),
        progress=reporting.FactorizationProgress,
        iteration_progress=reporting.IterationProgress,
        hosts=hosts,
    )
    trainer.check(*datasets.values())
    return trainer, datasets


def _fit_and_score(
    trainer: Trainer,
    selection: ModelSelection,
    datasets: Mapping[str, Dataset],
    checkpoint: Checkpoint,
    folder: Path,
) -> tuple[Model, Prediction | None, dict[str, object]]:
    """Fit to all training rows; return the model, its left-out predictions and all scores."""
    model = trainer.fit(selection, datasets["train"], checkpoint)
    left_out = scoring.leave_one_out(trainer, model, datasets["train"])
    return model, left_out, scoring.score_model(trainer, model, datasets, folder, left_out)


def _save(
    job: TrainingEnvironment,
    hyperparameters: Hyperparameters,
    model: Model,
    found: Findings,
    critical_section: CriticalSection,
) -> None:
    """Save the model, then its scores in a form for machines."""
    export(model, hyperparameters, found, job.model, critical_section)
    reporting.write_metrics(found.scores, job.output_data)
    model_card.write(model, requested(hyperparameters), found.scores, job.output_data)


def _check_writable(folder: Path) -> None:
    """Find out, before hours are spent, that the model could not be written to a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        error.filename = str(folder)
        raise


def _read_datasets(
    job: TrainingEnvironment, hyperparameters: Hyperparameters
) -> tuple[Schema, dict[str, Dataset]]:
    """Read the channels: the schema of the training rows, and the rows of all by it."""
    _check_criterion(job, hyperparameters)
    tables = _read_tables(job.channels, hyperparameters)
    schema = infer_schema(tables["train"], SchemaOptions.from_attributes(hyperparameters))
    datasets = {name: dataset.from_table(table, schema) for name, table in tables.items()}
    _check_targets(schema, datasets["train"])
    reporting.log_schema(schema, datasets["train"])
    remarks = [*schema.remarks, *reporting.remarks(schema, datasets["train"])]
    remarks += reporting.describe_constant_targets(schema, datasets["train"], "training")
    for rows in datasets.values():
        remarks += rows.warnings
    reporting.log_warnings(remarks)
    read = [warning for table in tables.values() for warning in table.warnings]
    _check_strict(hyperparameters, [*read, *remarks])
    return schema, {**datasets, "train": training_rows(datasets["train"], schema)}


def _check_strict(hyperparameters: Hyperparameters, remarks: Sequence[str]) -> None:
    """Refuse any remark about the data where the hyperparameters ask for it."""
    if hyperparameters.strict and remarks:
        others = f"; and {len(remarks) - 1} more in the log" if len(remarks) > 1 else ""
        raise UserError(
            f"hyperparameter strict is true, which makes remarks errors: {remarks[0]}{others}"
        )


def _check_criterion(job: TrainingEnvironment, hyperparameters: Hyperparameters) -> None:
    """Refuse, before anything is read, a criterion that needs a channel that is missing."""
    if hyperparameters.criterion == "validation" and "validation" not in job.channels:
        raise UserError(
            "hyperparameter criterion is validation, but there is no such channel: give one, or set"
            " criterion to loo"
        )


def _read_tables(
    channels: Mapping[str, Channel], hyperparameters: Hyperparameters
) -> dict[str, Table]:
    """Read the channels, that of the training rows first, whose names are those of the others."""
    tables: dict[str, Table] = {}
    names = hyperparameters.column_names
    for name in sorted(channels, key=lambda name: name != "train"):
        channel = channels[name]
        options = ReadOptions(
            channel.name,
            channel.content_type,
            channel.input_mode,
            hyperparameters.header,
            hyperparameters.delimiter,
            hyperparameters.decimal,
            names,
            hyperparameters.missing_values,
            hyperparameters.ignore_files,
        )
        tables[name] = readers.read(channel.folder, options)
        names = (*names, *(tables[name].names or ())) if name == "train" else names
        reporting.log_table(name, tables[name])
    return {name: tables[name] for name in channels}


def _check_targets(schema: Schema, training: Dataset) -> None:
    """Refuse targets that are all the same in all rows."""
    constant = reporting.constant_targets(schema, training)
    if len(training) > 1 and len(constant) == len(schema.targets):
        raise UserError(
            f"every target is {training.y[0, 0]:.6g}, so there is nothing to learn; check that the"
            f" target is {schema.target_label(constant[0])}"
        )


def _check_datasets(hyperparameters: Hyperparameters, datasets: Mapping[str, Dataset]) -> None:
    """Refuse hyperparameters that the channels contradict."""
    if hyperparameters.stages > 1 and "validation" not in datasets:
        raise UserError(
            f"hyperparameter stages is {hyperparameters.stages}, but there is no validation channel"
            " to print the metrics of: give one, or leave stages out"
        )
    rows = len(datasets["train"])
    if hyperparameters.k_fold > rows:
        raise UserError(
            f"hyperparameter k_fold is {hyperparameters.k_fold}, but there are {rows} training"
            " rows: set it to less"
        )


def _checkpoint(
    job: TrainingEnvironment,
    scratch: Path,
    critical_section: CriticalSection,
    trainer: Trainer,
    datasets: Mapping[str, Dataset],
) -> Checkpoint:
    """Checkpoint of this host and job, or a folder that does not outlive the process."""
    if job.checkpoints is None:
        return Checkpoint(scratch)
    root = Checkpoint(_checkpoint_folder(job.checkpoints, job), critical_section, persistent=True)
    return root.for_job(_fingerprint(trainer, datasets))


def _checkpoint_folder(checkpoints: Path, job: TrainingEnvironment) -> Path:
    """Folder of this host."""
    return checkpoints / f"gaussian-process-{job.current_host}"


def _locked_checkpoint(job: TrainingEnvironment) -> AbstractContextManager[None]:
    """Hold the lock of the checkpoint, if the job has one."""
    if job.checkpoints is None:
        return nullcontext()
    return locked(_checkpoint_folder(job.checkpoints, job))


def _fingerprint(trainer: Trainer, datasets: Mapping[str, Dataset]) -> str:
    """Hash of all that a model is made of, and of how hosts share its factor."""
    # Other versions compute other last digits, which would not be those of the kept panels.
    versions = [PANEL_WIDTH, *map(version, artifact.LIBRARIES)]
    arrays = []
    for name, rows in datasets.items():
        if name in {"train", trainer.hyperparameters.criterion}:
            arrays += [rows.X, rows.y, rows.sample_weight]
    shapes = [array.shape for array in arrays]
    size, shares = len(datasets["train"]), (1, PANEL_WIDTH)
    if trainer.shares_factor(size):
        shares = len(trainer.hosts), trainer.panel_width(size)
    text = repr((shapes, trainer.schema, trainer.hyperparameters, versions, shares))
    return fingerprint(*(array.tobytes() for array in arrays), text.encode())
