"""How does a training job go from its channels to a model?"""

import argparse
import csv
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np
from numpy.typing import NDArray

from gaussian_processes import artifact, contract, features, hyperparameters, scores, selection, tables
from gaussian_processes.checkpoints import Checkpoint
from gaussian_processes.cholesky import WIDTH, NotPositiveDefiniteError, slices
from gaussian_processes.contract import Channel, Job
from gaussian_processes.errors import UserError
from gaussian_processes.features import Features
from gaussian_processes.hyperparameters import Settings
from gaussian_processes.kernels import ArcCosine
from gaussian_processes.model import Model
from gaussian_processes.regression import RESIDUAL, GaussianProcess, GramMatrix, fit
from gaussian_processes.selection import Prior
from gaussian_processes.storage import Storage, choose
from gaussian_processes.tables import Table

Array = NDArray[np.float64]

DESCRIPTION = """\
Train a Gaussian process on the CSV files of the channel `train` (no header, target first),
score it on `validation` and `test` where there are any, and leave it in /opt/ml/model.
SAGEMAKER_BASE_DIR names another folder than /opt/ml.

Hyperparameters, in /opt/ml/input/config/hyperparameters.json:
"""
# Often enough to see that a long fit moves, seldom enough for a log that is kept.
PROGRESS_SECONDS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the files under the base folder say; return the exit code."""
    parser = argparse.ArgumentParser(
        "train", description=DESCRIPTION + hyperparameters.usage(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    base, steps = contract.base_folder(os.environ), contract.Steps()
    return contract.run(lambda: train(contract.read(base), steps), contract.failure_file(base), steps)


def train(job: Job, steps: contract.Steps) -> None:
    """Train, score and save one model; a signal to stop waits for the panel that is under way."""
    settings = hyperparameters.parse(job.hyperparameters)
    for folder in (job.model, job.output_data):
        _check_writable(folder)
    data = {name: _read(name, channel) for name, channel in job.channels.items()}
    with TemporaryDirectory(prefix="panels-") as scratch:
        checkpoint = _checkpoint(job, Path(scratch), steps, settings, data["train"])
        model = _model(settings, data, checkpoint)
        found = _training_scores(model, data["train"], settings)
        for name in ("validation", "test"):
            if name in data:
                found |= _scores(name, model, data[name], job.output_data)
        if "validation" not in data:
            _say("there is no validation channel, so no validation metrics are printed; a tuning job needs one")
        _save(model, settings, found, job)
        checkpoint.remove()


def _check_writable(folder: Path) -> None:
    """Refuse, before hours are spent, a folder that the model could not be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"{folder} can't be written to ({error.strerror}); mount it writable for this user") from error


def _read(name: str, channel: Channel) -> Table:
    table = tables.read(channel)
    for note in table.notes:
        _say(note)
    rows, columns = table.values.shape
    _say(f"{name}: {rows:,} rows of a target and {columns - 1} features, from {len(table.origins)} file(s)")
    return table


def _checkpoint(job: Job, scratch: Path, steps: contract.Steps, settings: Settings, table: Table) -> Checkpoint:
    """Checkpoint of this host and job, or a folder that does not outlive the process."""
    if job.checkpoints is None:
        return Checkpoint(scratch)
    root = Checkpoint(job.checkpoints / f"gaussian-process-{job.current_host}", steps, lasting=True)
    # Other versions compute other last digits, which would not be those of the panels that are there.
    versions = [WIDTH, *map(version, artifact.LIBRARIES)]
    ingredients = (table.values.tobytes(), repr(table.values.shape).encode(), repr((settings, versions)).encode())
    checkpoint, sentence = root.of_job(*ingredients)
    _say(sentence)
    return checkpoint


def _model(settings: Settings, data: Mapping[str, Table], checkpoint: Checkpoint) -> Model:
    """Standardise, find what was left to be found, and condition on every training row."""
    y, rows = np.split(data["train"].values, [1], axis=1)
    # A bias that is still to be found is positive; so is the 1 that stands for it here.
    bias = 1.0 if settings.bias is None else settings.bias
    learned = features.learn(rows, y, settings.inputs, settings.targets_are_standardized, bias)
    for table in data.values():  # before hours are spent on rows that others can't be compared with
        learned.points(table.values[:, 1:], table.place)
    _remark(rows)
    # What fits into memory may differ when the job is started again; the panels that are there are of the first choice.
    noted = checkpoint.recall("storage") or {"precision": settings.precision}
    storage = choose(rows.shape, noted["precision"], checkpoint)
    checkpoint.note("storage", {"precision": "mixed" if storage.kind == "float32" else "float64"})
    prior = _prior(settings, learned, rows, y, checkpoint)
    learned = replace(learned, bias=prior.bias, relevance=prior.relevance)
    matrix = GramMatrix(prior.kernel, learned.points(rows), prior.noise)
    process = _process(matrix, learned.targets(y), storage)
    noise, signal = (np.sqrt(process.signal_variance * part) * learned.target_scale for part in (prior.noise, 1))
    _say(f"in the target's units: standard deviation of the noise {noise[0]:.6g}, of the function {signal[0]:.6g}")
    return Model(learned, process)


def _remark(rows: Array) -> None:
    """Say what of the training rows a person may not have meant."""
    for column in np.flatnonzero((rows == rows[0]).all(axis=0)):
        _say(f"feature column {column + 1} is constant, so it does not matter to predictions")
    if duplicates := len(rows) - len(np.unique(rows, axis=0)):
        _say(f"{duplicates:,} training rows have the features of another, which flatters leave-one-out scores")


def _prior(settings: Settings, learned: Features, rows: Array, y: Array, checkpoint: Checkpoint) -> Prior:
    """Kernel, noise, bias and relevance: as given, as an earlier run found them, or of the highest log evidence."""
    prior = Prior(ArcCosine(settings.q, settings.l), settings.noise or 0.0, learned.bias, learned.relevance)
    names = [name for name in ("noise", "bias") if getattr(settings, name) is None]
    names += ["relevance"] if settings.relevance == "auto" else []
    size = min(len(rows), selection.ROWS)
    if noted := checkpoint.recall("prior"):
        prior = Prior(prior.kernel, noted["noise"], noted["bias"], np.array(noted["relevance"]))
    else:
        sample = np.sort(np.random.default_rng(settings.seed).choice(len(rows), size, replace=False))
        targets = learned.targets(y[sample])
        if names and not targets.any():
            raise UserError(f"the targets of the {size:,} rows that were drawn are all 0; set another seed, or {names[0]}")
        prior = selection.learn(prior, names, learned.standardized(rows[sample]), targets)
        checkpoint.note("prior", {"noise": prior.noise, "bias": prior.bias, "relevance": prior.relevance.tolist()})
    origin = f"; {', '.join(names)} of the highest log evidence on {size:,} rows" if names else ""
    _say(f"kernel q={settings.q}, l={settings.l}; noise={prior.noise:.6g}, bias={prior.bias:.6g}{origin}")
    for name in selection.at_bounds(prior, names):
        _say(f"{name} is at the end of its range, {' to '.join(f'{end:g}' for end in selection.BOUNDS[name])}")
    if "relevance" in names:
        _say(f"relevance={', '.join(f'{weight:.3g}' for weight in prior.relevance)}")
    return prior


def _process(matrix: GramMatrix, targets: Array, storage: Storage) -> GaussianProcess:
    """Condition on the observations, and say how it went."""
    _say(str(storage))
    if finished := len(storage(matrix.noise).finished()):
        _say(f"{finished} of its {len(slices(len(matrix)))} panels are there already")
    process = None
    try:
        process = fit(matrix, targets, storage, Progress())
    except NotPositiveDefiniteError as error:
        _say(f"float32 does not suffice to factorise this matrix ({error}), so float64 is taken")
    if process is None:  # not within `except`, where the traceback holds on to the factor that has failed
        return _process(matrix, targets, choose(matrix.points.shape, "float64", storage.checkpoint))
    if process.iterations:
        _say(f"{process.iterations} iterations in float64 refined the weights to a residual of {RESIDUAL:g}")
        _say(f"variances come from float32, with relative errors of up to {min(1.0, 1e-6 / max(matrix.noise, 1e-6)):.0e}")
    if process.jitter:
        _say(f"the matrix is not positive definite with noise {matrix.noise:g}: {process.jitter:g} was added to its diagonal")
    return process


def _training_scores(model: Model, table: Table, settings: Settings) -> dict[str, float]:
    """Log evidence, and leave-one-out scores if they are wanted, in the units of the target."""
    y, scale = table.values[:, :1], model.features.target_scale
    found = {"train:log_evidence": model.process.log_evidence() - len(y) * float(np.log(scale).sum())}
    if settings.leave_one_out is None and len(y) > hyperparameters.LEAVE_ONE_OUT_ROWS:
        most = hyperparameters.LEAVE_ONE_OUT_ROWS
        _say(f"leave-one-out scores are left out beyond {most:,} rows; leave_one_out=true computes them")
    elif settings.leave_one_out is not False:
        mean, variance = model.process.leave_one_out(model.features.targets(y))
        mean, variance = mean * scale + model.features.target_center, variance * scale**2
        found |= {"train:LOO_RMSE": scores.rmse(y, mean), "train:LOO_NLPD": scores.nlpd(y, mean, variance)}
    return _reported(found)


def _scores(name: str, model: Model, table: Table, folder: Path) -> dict[str, float]:
    """Scores on the rows of a channel; the predictions go into a file."""
    y, rows = np.split(table.values, [1], axis=1)
    prediction = model.predict(rows, variance=True, place=table.place)
    mean, variance = prediction.mean, prediction.variance
    assert variance is not None  # noqa: S101  it was asked for
    lines = np.column_stack([y, mean, np.sqrt(variance)]).tolist()
    artifact.write_whole(folder / f"{name}_predictions.csv", lambda path: _write_predictions(path, lines))
    return _reported(
        {
            f"{name}:RMSE": scores.rmse(y, mean),
            f"{name}:MAE": scores.mae(y, mean),
            f"{name}:R2": scores.r2(y, mean),
            f"{name}:NLPD": scores.nlpd(y, mean, variance),
        }
    )


def _write_predictions(path: Path, lines: Sequence[Sequence[float]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "target", "mean", "std"])
        writer.writerows([row, *line] for row, line in enumerate(lines, start=1))


def _reported(found: Mapping[str, float]) -> dict[str, float]:
    for name, value in found.items():
        contract.report(name, value)
    return dict(found)


def _save(model: Model, settings: Settings, found: Mapping[str, float], job: Job) -> None:
    """Write the model and its metrics; without the factor if it is not wanted."""
    factor = model.process.factor
    size = sum(panel.nbytes for panel in factor.panels) if factor else 0
    kept = size <= hyperparameters.FACTOR_BYTES if settings.variance is None else settings.variance
    if kept:
        _say(f"the model keeps its factor ({artifact.in_words(size)}), which standard deviations are predicted from")
    else:
        _say(f"the model leaves out its factor ({artifact.in_words(size)}): it predicts means only; variance=true keeps it")
        model = replace(model, process=replace(model.process, factor=None))
    asked = {name: "auto" if value is None else value for name, value in asdict(settings).items()}
    artifact.save(model, job.model, {"hyperparameters": asked, "rows": len(model.process.points), "scores": found})
    text = json.dumps(found, indent=2) + "\n"
    artifact.write_whole(job.output_data / "metrics.json", lambda path: path.write_text(text))
    _say(f"the model is in {job.model}")


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
            _say(f"factorising: {done / total:.0%} done at {rate / 1e9:.0f} GFLOP/s, {_duration(left)} left")
            self.said = now


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _say(sentence: str) -> None:
    """Print at once: a log is read while the job runs."""
    print(sentence, flush=True)
