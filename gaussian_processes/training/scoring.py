"""Scores of a trained model: printed as metrics, and kept with its predictions."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.gp.marginal_likelihood import subset_rows
from gaussian_processes.model.model import (
    NOVELTY_BOUNDS,
    Member,
    Model,
    Prediction,
    RegressorMember,
)
from gaussian_processes.sagemaker.hyperparameters import LEAVE_ONE_OUT_ROWS
from gaussian_processes.training import evaluation, reporting
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.cross_validation import cross_validate
from gaussian_processes.training.preparation import noise_weights, regression_targets
from gaussian_processes.training.trainer import Trainer

LOGGER = logging.getLogger(__name__)
# Rows at which the deviation is taken: its root mean square is within a tenth of that of all.
COMPARED_ROWS = 200
# A deviation at training rows of less than a fifth of the leave-one-out RMSE is logged.
DEVIATIONS_RATIO = 5.0


def score_out_of_fold(
    trainer: Trainer, datasets: Mapping[str, Dataset], checkpoint: Checkpoint, folder: Path
) -> dict[str, float]:
    """Score all training rows, each predicted by a model that has not seen its fold."""
    if not trainer.hyperparameters.k_fold:
        return {}
    training = datasets["train"]
    found = cross_validate(trainer, training, checkpoint)
    if not trainer.hosts.leads:
        return {}
    path, folds = folder / "out_of_fold.csv", {"fold": found.folds.tolist()}
    evaluation.write_predictions(path, trainer.schema, training.y, found.prediction, folds)
    # The regular expression of validation:… finds cross_validation:… as well: where both are
    # printed, the validation channel's come last.
    prefixes = ["cross_validation"]
    if "validation" not in datasets:
        prefixes.append("validation")
    return report_scores(prefixes, evaluation.score(training, found.prediction))


def score_model(
    trainer: Trainer,
    model: Model,
    datasets: Mapping[str, Dataset],
    folder: Path,
    leave_one_out: Prediction | None,
) -> dict[str, object]:
    """Print the scores of the training, validation and test rows; return them with the members'."""
    return {
        **score_training(trainer, model, datasets["train"], leave_one_out),
        **score_channels(trainer, model, datasets, folder),
        **score_members(model, datasets),
        **novelty_shares(leave_one_out),
    }


def novelty_shares(leave_one_out: Prediction | None) -> dict[str, object]:
    """Shares of the training rows in the bins of novelty, each row predicted by all others."""
    if leave_one_out is None or leave_one_out.novelty is None:
        return {}
    novelty = leave_one_out.novelty.mean(axis=1)
    counts, _ = np.histogram(novelty, (0.0, *NOVELTY_BOUNDS))
    return {"novelty": (counts / len(novelty)).tolist()}


def leave_one_out(trainer: Trainer, model: Model, training: Dataset) -> Prediction | None:
    """Predict every training row from all others, if it is wanted."""
    wanted = trainer.hyperparameters.leave_one_out
    if not model.has_factor:
        LOGGER.info(
            "leave-one-out scores and the evidence are left out: they need the factor, which"
            " solver=cg does not make"
        )
        return None
    if wanted is None and len(training) > LEAVE_ONE_OUT_ROWS:
        LOGGER.info(
            f"leave-one-out scores are left out beyond {LEAVE_ONE_OUT_ROWS:,} rows;"
            " leave_one_out=true computes them"
        )
        return None
    if wanted is False:
        return None
    weights = noise_weights(training, trainer.schema, trainer.hyperparameters)
    targets = regression_targets(training, trainer.schema)
    return model.leave_one_out(targets, weights, training.robustness)


def score_training(
    trainer: Trainer, model: Model, training: Dataset, leave_one_out: Prediction | None
) -> dict[str, float]:
    """Print the log marginal likelihood, and the leave-one-out scores if there are predictions.

    Of a model without a factor neither is known.
    """
    if not model.has_factor:
        return {}
    metrics = {
        "train:log_evidence": evaluation.log_marginal_likelihood(model, len(training)),
    }
    if leave_one_out is not None:
        scores = evaluation.score(training, leave_one_out)
        if "RMSE" in scores:
            kept = np.flatnonzero(~training.is_rejected)
            learned = evaluation.score(training.subset(kept), leave_one_out.subset(kept))
            compare_deviations(model, training, learned["RMSE"])
        for name, value in scores.items():
            if name not in {"MAE", "R2"}:
                metrics[f"train:LOO_{name}"] = value
    return reporting.report_metrics(metrics, trainer.hosts.leads)


def compare_deviations(model: Model, training: Dataset, error: float) -> None:
    """Log the deviation at training rows where it is unlike the leave-one-out RMSE.

    A new observation of a training row differs by the noise; one between them by the function as
    well. Where that is much more, either the rows are far apart or the noise was found too small.
    """
    rows = training.subset(subset_rows(len(training), COMPARED_ROWS))
    variance = evaluation.predict(model, rows).variance
    deviation = 0.0 if variance is None else float(np.sqrt(variance.mean()))
    if not deviation * DEVIATIONS_RATIO > error:
        LOGGER.info(
            f"at training rows the standard deviation is {deviation:.6g}, and the leave-one-out"
            f" RMSE {error:.6g}: a second observation of the same features is thought much surer"
            " than one between them; set noise if it is not"
        )


def score_channels(
    trainer: Trainer, model: Model, datasets: Mapping[str, Dataset], folder: Path
) -> dict[str, float]:
    """Print the scores of the validation and test rows, and write their predictions."""
    metrics: dict[str, float] = {}
    for name in ("validation", "test"):
        if name in datasets:
            metrics |= _score_channel(name, trainer, model, datasets[name], folder)
    if "validation" not in datasets and not trainer.hyperparameters.k_fold:
        LOGGER.warning(
            "there is no validation channel, so no validation metrics are printed; a tuning job"
            " needs one, or k_fold"
        )
    return metrics


def _score_channel(
    name: str, trainer: Trainer, model: Model, rows: Dataset, folder: Path
) -> dict[str, float]:
    prediction = evaluation.predict(model, rows)
    if not trainer.hosts.leads:
        return {}
    path = folder / f"{name}_predictions.csv"
    evaluation.write_predictions(path, model.schema, rows.y, prediction)
    by_target = evaluation.score_by_target(model.schema, rows, prediction)
    for target, scores in by_target.items():
        LOGGER.info(f"{name} of {target}: {reporting.format_scores(scores)}")
    return report_scores([name], evaluation.score(rows, prediction))


def score_members(model: Model, datasets: Mapping[str, Dataset]) -> dict[str, object]:
    """Score every member of an ensemble by itself on the validation and test rows.

    Not members of some targets only, which are no model by themselves.
    """
    if len(model.members) == 1 or any(own.targets is not None for own in model.members):
        return {}
    members = []
    for member in model.members:
        alone = replace(model, members=(replace(member, weight=1.0),))
        record = {**_describe(member), "weight": member.weight}
        # In an order that all hosts have.
        for name in sorted(datasets.keys() - {"train"}):
            for score, value in score_dataset(alone, datasets[name]).items():
                record[f"{name}:{score}"] = value
        members.append(record)
    return {"members": members}


def _describe(member: Member) -> dict[str, object]:
    if isinstance(member, RegressorMember):
        return {"regressor": member.name}
    kernel = member.process.kernel.to_json()
    return {"kernel": kernel.pop("name"), **kernel}


def score_dataset(model: Model, rows: Dataset) -> dict[str, float]:
    """Score a model on the rows of a dataset."""
    return evaluation.score(rows, evaluation.predict(model, rows))


def report_scores(prefixes: Sequence[str], scores: Mapping[str, float]) -> dict[str, float]:
    """Print scores under each of some prefixes."""
    metrics = {}
    if "RMSE" in scores and "R2" not in scores:
        LOGGER.info(f"{prefixes[0]}: all targets are alike, so there is no R2")
    for prefix in prefixes:
        for name, value in scores.items():
            metrics[f"{prefix}:{name}"] = value
    return reporting.report_metrics(metrics)
