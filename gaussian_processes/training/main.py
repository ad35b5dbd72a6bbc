"""How does a training job go from its channels to a model?"""

import argparse
import csv
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np

from gaussian_processes import __version__
from gaussian_processes.data import dataset, readers
from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.readers import Table
from gaussian_processes.data.schema import Schema
from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write, format_bytes
from gaussian_processes.gp import marginal_likelihood
from gaussian_processes.gp.ensembles import k_fold_indices
from gaussian_processes.linalg.cholesky import PANEL_WIDTH
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.sagemaker import environment, hyperparameters
from gaussian_processes.sagemaker.environment import Channel, TrainingEnvironment
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.sagemaker.logs import log_to_stdout
from gaussian_processes.training import evaluation
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.trainer import ModelSelection, Trainer

DESCRIPTION = """\
Train a Gaussian process on the files of the channel `train` (CSV, JSON Lines, NPY or
Parquet; the target is the first column unless `target` names another), score it on
`validation` and `test` where there are any, and leave it in /opt/ml/model.
SAGEMAKER_BASE_DIR names another folder than /opt/ml; SAGEMAKER_CONTAINER_LOG_LEVEL
(20) is the least level of what is logged beside the metrics.

Hyperparameters, in /opt/ml/input/config/hyperparameters.json:
"""
LOGGER = logging.getLogger(__name__)
# Rows of the smallest part of them that is trained on: with less the targets may all be alike.
FEWEST = 20
# Often enough to see that a long fit moves, seldom enough for a log that is kept.
PROGRESS_SECONDS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the files under the base folder say; return the exit code."""
    parser = argparse.ArgumentParser(
        "train",
        description=DESCRIPTION + hyperparameters.usage(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.parse_args(arguments)
    base, steps = environment.base_folder(os.environ), environment.CriticalSection()

    def job() -> None:
        with log_to_stdout(os.environ):
            train(environment.read(base), steps)

    return environment.run_entry_point(job, environment.failure_file(base), steps)


def train(job: TrainingEnvironment, steps: environment.CriticalSection) -> None:
    """Train, score and save one model; a signal to stop waits for the panel that is under way."""
    began = time.monotonic()
    settings = hyperparameters.parse(job.hyperparameters)
    for folder in (job.model, job.output_data):
        _check_writable(folder)
    schema, data = _data(job, settings)
    with TemporaryDirectory(prefix="panels-") as scratch:
        checkpoint = _checkpoint(job, Path(scratch), steps, _ingredients(settings, schema, data))
        trainer = Trainer(settings, schema, data.get("validation"), _say, Progress)
        trainer.check(*data.values())
        _stages(trainer, data, checkpoint)
        found = _cross_validation(trainer, data, checkpoint, job) if settings.k_fold else {}
        comparing = time.monotonic()
        choice = trainer.choose(data["train"], checkpoint)
        compared = time.monotonic()
        _compared(choice, settings, min(len(data["train"]), marginal_likelihood.MAX_ROWS), job)
        model = trainer.condition(choice, data["train"], checkpoint)
        found |= _training_scores(trainer, model, data["train"])
        for name in ("validation", "test"):
            if name in data:
                found |= _scores(name, model, data[name], job.output_data)
        if "validation" not in data and not settings.k_fold:
            _say(
                "there is no validation channel, so no validation metrics are printed; a tuning job needs one, or k_fold"
            )
        members = _members(model, data) if len(model.members) > 1 else []
        _save(model, settings, {**found, **({"members": members} if members else {})}, job)
        checkpoint.remove()
    _say(
        _share(
            "comparing candidates" if len(choice.trials) > 1 else "learning",
            compared - comparing,
            time.monotonic() - began,
        )
    )


def _share(what: str, seconds: float, total: float) -> str:
    return f"{what} took {seconds:.1f} of the job's {total:.1f} seconds ({seconds / total:.0%})"


def _check_writable(folder: Path) -> None:
    """Refuse, before hours are spent, a folder that the model could not be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"{folder} can't be written to ({error.strerror}); mount it writable for this user"
        ) from error


def _data(job: TrainingEnvironment, settings: Hyperparameters) -> tuple[Schema, dict[str, Dataset]]:
    """What the columns mean, and the examples of every channel."""
    if settings.criterion == "validation" and "validation" not in job.channels:
        raise UserError(
            "hyperparameter criterion is validation, but there is no such channel: give one, or set criterion to loo"
        )
    read = {name: _read(name, channel, settings) for name, channel in job.channels.items()}
    schema = dataset.infer_schema(read["train"], settings)
    data = {name: dataset.from_table(table, schema) for name, table in read.items()}
    for notes in (part.warnings for part in data.values()):
        for note in notes:
            _say(note)
    _remark(schema, data["train"])
    if settings.stages > 1 and "validation" not in data:
        raise UserError(
            f"hyperparameter stages is {settings.stages}, but there is no validation channel to print the metrics of: give one,"
            " or leave stages out"
        )
    if settings.k_fold > len(data["train"]):
        rows = len(data["train"])
        raise UserError(
            f"hyperparameter k_fold is {settings.k_fold}, but there are {rows} training rows: set it to less"
        )
    return schema, data


def _read(name: str, channel: Channel, settings: Hyperparameters) -> Table:
    table = readers.read(channel, settings.header)
    for note in table.warnings:
        _say(note)
    _say(f"{name}: {len(table):,} rows of {table.width} columns, from {len(table.sources)} file(s)")
    return table


def _remark(schema: Schema, known: Dataset) -> None:
    """Say how the columns were understood, and what of the training rows a person may not have meant."""
    what = (
        f"{len(schema.classes)} classes ({', '.join(map(str, schema.classes))[:200]})"
        if schema.classes
        else "numbers"
    )
    names = (
        ", ".join(column.name for column in schema.targets)
        if schema.has_header
        else f"{len(schema.targets)} column(s)"
    )
    _say(f"target: {names}, {what}; features: {len(schema.features)} columns")
    for code, count in enumerate(
        np.bincount(known.y[:, 0].astype(int)).tolist() if schema.classes else ()
    ):
        if count == 1:
            _say(f"class {schema.classes[code]} has one row: is it a mistake in writing another?")
    for index, column in enumerate(schema.features):
        if column.categories is not None:
            levels = ", ".join(column.categories)[:200]
            _say(
                f"feature {schema.column_label(index)} is a category of {len(column.categories)} levels: {levels}"
            )
            if len(column.categories) > len(known) / 2 and len(known) > 2:
                _say(
                    f"{schema.column_label(index)} has hardly a row a level: if it is a name or a date, put it into ignore, or make"
                    " numbers of it"
                )
    rows = known.X
    for index in np.flatnonzero((rows == rows[0]).all(axis=0)).tolist():
        _say(
            f"feature {schema.column_label(index)} is constant, so it does not matter to predictions"
        )
    for column, values in zip(schema.targets, known.y.T, strict=True):
        if len(values) > 1 and (values == values[0]).all():
            raise UserError(
                f"every target is {values[0]:.6g}, so there is nothing to learn; check that the target is column"
                f" {column.position + 1}"
            )
    if duplicates := len(rows) - len(np.unique(rows, axis=0)):
        _say(
            f"{duplicates:,} training rows have the features of another, which flatters leave-one-out scores"
        )


def _checkpoint(
    job: TrainingEnvironment,
    scratch: Path,
    steps: environment.CriticalSection,
    ingredients: Sequence[bytes],
) -> Checkpoint:
    """Checkpoint of this host and job, or a folder that does not outlive the process."""
    if job.checkpoints is None:
        return Checkpoint(scratch)
    root = Checkpoint(job.checkpoints / f"gaussian-process-{job.current_host}", steps, lasting=True)
    checkpoint, sentence = root.of_job(*ingredients)
    _say(sentence)
    return checkpoint


def _ingredients(
    settings: Hyperparameters, schema: Schema, data: Mapping[str, Dataset]
) -> Sequence[bytes]:
    """What a model is made of."""
    # Other versions compute other last digits, which would not be those of the panels that are there.
    versions = [PANEL_WIDTH, *map(version, artifact.LIBRARIES)]
    taught = [data[name] for name in data if name in {"train", settings.criterion}]
    arrays = [array for known in taught for array in (known.X, known.y, known.sample_weight)]
    words = repr(([array.shape for array in arrays], schema, settings, versions))
    return *(array.tobytes() for array in arrays), words.encode()


def _stages(trainer: Trainer, data: Mapping[str, Dataset], checkpoint: Checkpoint) -> None:
    """Print the validation metrics of models of growing parts of the rows, the last of which is the job's own."""
    known, settings = data["train"], trainer.settings
    order = np.random.default_rng(settings.seed).permutation(len(known))
    quiet_trainer = replace(trainer, say=_ignore)
    for stage in range(1, settings.stages):
        size = max(len(known) >> (settings.stages - stage), min(FEWEST, len(known)))
        model = quiet_trainer.fit(
            known.subset(np.sort(order[:size])), checkpoint.part(f"stage-{stage}")
        )
        _say(f"stage {stage} of {settings.stages}: {size:,} rows")
        validation = data["validation"]
        _reported(
            {
                f"validation:{score}": value
                for score, value in evaluation.scored(
                    validation.y, evaluation.predict(model, validation)
                ).items()
            }
        )


def _cross_validation(
    trainer: Trainer, data: Mapping[str, Dataset], checkpoint: Checkpoint, job: TrainingEnvironment
) -> dict[str, float]:
    """Scores over all rows, each predicted by a model that has not seen its fold."""
    known, count = data["train"], trainer.settings.k_fold
    quiet_trainer, fold_of = replace(trainer, say=_ignore), np.empty(len(known), int)
    parts: list[Prediction] = []
    folds = k_fold_indices(len(known), count, trainer.settings.seed)
    for number, left_out in enumerate(folds, 1):
        taught = known.subset(np.setdiff1d(np.arange(len(known)), left_out))
        part = checkpoint.part(f"fold-{number}")
        parts.append(evaluation.predict(quiet_trainer.fit(taught, part), known.subset(left_out)))
        fold_of[left_out] = number
        _say(
            f"fold {number} of {count}: {len(left_out)} rows, {_listed(evaluation.scored(known.y[left_out], parts[-1]))}"
        )
    whole = evaluation.joined(folds, parts)
    path = job.output_data / "out_of_fold.csv"
    evaluation.write(path, trainer.schema, known.y, whole, {"fold": fold_of.tolist()})
    found = evaluation.scored(known.y, whole)
    # A regular expression for validation:… finds these as well: what it is to find in the end is printed last.
    names = ("cross_validation",) if "validation" in data else ("cross_validation", "validation")
    return _reported({f"{name}:{score}": value for name in names for score, value in found.items()})


def _compared(
    choice: ModelSelection, settings: Hyperparameters, rows: int, job: TrainingEnvironment
) -> None:
    """Print and keep what the candidates have come to."""
    lines = [
        {
            "scaling": trial.scaling,
            "q": trial.prior.kernel.q,
            "l": trial.prior.kernel.l,
            "noise": trial.prior.noise_ratio,
            "bias": trial.prior.bias,
            "log_evidence": trial.log_evidence,
            "LOO_NLPD": trial.loo_nlpd,
            **({} if trial.validation_error is None else {"validation": trial.validation_error}),
            "weight": weight,
        }
        for trial, weight in zip(choice.trials, choice.weights, strict=True)
    ]
    atomic_write(job.output_data / "candidates.csv", lambda path: _write_lines(path, lines))
    if len(lines) > 1:
        by = {
            "none": f"the best by {settings.criterion}",
            "mean": "all alike",
            "stack": "blended by stacking",
        }[settings.ensemble]
        _say(f"{len(lines)} candidates, compared on {rows:,} rows; chosen: {by}")
        cells = [
            [f"{value:.6g}" if isinstance(value, float) else str(value) for value in line.values()]
            for line in lines
        ]
        for row in ([*lines[0]], *cells):
            _say("".join(f"{cell:>14}" for cell in row))


def _write_lines(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _training_scores(trainer: Trainer, model: Model, known: Dataset) -> dict[str, float]:
    """Log evidence, and leave-one-out scores if they are wanted, in the units of the target."""
    wanted, most = trainer.settings.leave_one_out, hyperparameters.LEAVE_ONE_OUT_ROWS
    evidences = [
        member.process.log_marginal_likelihood()
        - len(known) * float(np.log(member.preprocessor.target_scale).sum())
        for member in model.members
    ]
    weights = [member.weight for member in model.members]
    found = {"train:log_evidence": float(np.dot(weights, evidences))}
    if wanted is None and len(known) > most:
        _say(
            f"leave-one-out scores are left out beyond {most:,} rows; leave_one_out=true computes them"
        )
    elif wanted is not False:
        prediction = evaluation.leave_one_out(model, trainer.targets(known))
        said = evaluation.scored(known.y, prediction)
        found |= {f"train:LOO_{name}": said[name] for name in said if name not in {"MAE", "R2"}}
    return _reported(found)


def _scores(name: str, model: Model, known: Dataset, folder: Path) -> dict[str, float]:
    """Scores on the rows of a channel; the predictions go into a file."""
    prediction = evaluation.predict(model, known)
    evaluation.write(folder / f"{name}_predictions.csv", model.schema, known.y, prediction)
    for target, said in evaluation.by_target(model.schema, known.y, prediction).items():
        _say(f"{name} of {target}: {_listed(said)}")
    return _reported(
        {
            f"{name}:{score}": value
            for score, value in evaluation.scored(known.y, prediction).items()
        }
    )


def _members(model: Model, data: Mapping[str, Dataset]) -> list[dict[str, float]]:
    """Every member of an ensemble with its own scores on the channels beside the training rows."""
    described = []
    for member in model.members:
        alone = replace(model, members=(replace(member, weight=1.0),))
        kernel = member.process.kernel
        described.append({"q": kernel.q, "l": kernel.l, "weight": member.weight})
        for name in data.keys() - {"train"}:
            own = evaluation.scored(data[name].y, evaluation.predict(alone, data[name]))
            described[-1] |= {f"{name}:{score}": value for score, value in own.items()}
    return described


def _listed(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in found.items())


def _reported(found: Mapping[str, float]) -> dict[str, float]:
    for name, value in found.items():
        environment.emit_metric(name, value)
    return dict(found)


def _save(
    model: Model, settings: Hyperparameters, found: Mapping[str, object], job: TrainingEnvironment
) -> None:
    """Write the model and its metrics; without the factors if they are not wanted."""
    factors = [member.process.factor for member in model.members]
    size = sum(panel.nbytes for factor in factors if factor for panel in factor.panels)
    kept = (
        size <= hyperparameters.FACTOR_BYTES
        if settings.keep_factor is None
        else settings.keep_factor
    )
    if kept:
        _say(
            f"the model keeps its factor ({format_bytes(size)}), which standard deviations are predicted from"
        )
    else:
        _say(
            f"the model leaves out its factor ({format_bytes(size)}): it predicts means only; keep_factor=true keeps it"
        )
        without = [
            replace(member, process=replace(member.process, factor=None))
            for member in model.members
        ]
        model = replace(model, members=tuple(without))
    asked = {name: "auto" if value is None else value for name, value in asdict(settings).items()}
    artifact.save(model, job.model, {"hyperparameters": asked, "scores": found})
    text = json.dumps(found, indent=2) + "\n"
    atomic_write(job.output_data / "metrics.json", lambda path: path.write_text(text))
    _say(f"the model is in {job.model}")


def _ignore(_: str) -> None:
    """Say nothing."""


@dataclass
class Progress:
    """Says how far a factorisation is, every now and then."""

    began: float | None = None
    said: float = 0.0
    before: float = 0.0
    latest: float = 0.0

    def __call__(self, done: float, total: float) -> None:
        """Take note of the operations done, and print a line if the last one is long ago."""
        now = time.monotonic()
        if self.began is None or done < self.latest:  # with a larger jitter it begins again
            self.began, self.said, self.before = now, now, done
        self.latest = done
        if now - self.said >= PROGRESS_SECONDS:
            rate = (done - self.before) / (now - self.began)
            left = (total - done) / rate
            _say(
                f"factorising: {done / total:.0%} done at {rate / 1e9:.0f} GFLOP/s, {_duration(left)} left"
            )
            self.said = now


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )


def _say(sentence: str) -> None:
    """Log a sentence."""
    LOGGER.info(sentence)
