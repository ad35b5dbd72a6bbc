"""Cross-validation: every row predicted by a model that has not seen its fold."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset, canonical_order
from gaussian_processes.gp.distributions import PredictiveDistribution
from gaussian_processes.gp.ensembles import k_fold_indices
from gaussian_processes.model.model import Prediction
from gaussian_processes.training import evaluation
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.reporting import (
    describe_constant_targets,
    format_scores,
    log_warnings,
)
from gaussian_processes.training.trainer import Trainer

LOGGER = logging.getLogger(__name__)
Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class CrossValidation:
    """Out-of-fold predictions.

    Parameters
    ----------
    folds : ndarray of shape (n,)
        Number of each row's fold, from 1.
    prediction : Prediction
        Of every row, from the rows of the other folds.
    """

    folds: Indices
    prediction: Prediction


def cross_validate(trainer: Trainer, dataset: Dataset, checkpoint: Checkpoint) -> CrossValidation:
    """Repeat the whole training without the rows of each of `k_fold` folds, and predict those.

    Parameters
    ----------
    trainer : Trainer
        Its hyperparameters say how many folds there are, and the seed of the shuffle.
    dataset : Dataset
    checkpoint : Checkpoint
    """
    count = trainer.hyperparameters.k_fold
    order = canonical_order(dataset)
    drawn = k_fold_indices(len(dataset), count, trainer.hyperparameters.seed)
    indices = [np.sort(order[fold]) for fold in drawn]
    folds = np.empty(len(dataset), np.intp)

    def predict(number: int) -> Prediction:
        child = checkpoint.child(f"fold-{number}")
        return predict_fold(trainer.quiet().alone(), dataset, indices[number - 1], child)

    predictions = []
    for number, prediction in enumerate(trainer.hosts.map(predict, range(1, count + 1)), 1):
        left_out = indices[number - 1]
        kept = dataset.subset(np.setdiff1d(np.arange(len(dataset)), left_out))
        rest = f"the other folds than {number}"
        log_warnings(describe_constant_targets(trainer.schema, kept, rest))
        scores = format_scores(evaluation.score(dataset.subset(left_out), prediction))
        LOGGER.info(f"fold {number} of {count}: {len(left_out)} rows, {scores}")
        folds[left_out] = number
        predictions.append(prediction)
    return CrossValidation(folds, concatenate(indices, predictions))


def predict_fold(
    trainer: Trainer, dataset: Dataset, left_out: Indices, checkpoint: Checkpoint
) -> Prediction:
    """Train on all rows but those of a fold, and predict those."""
    kept = np.setdiff1d(np.arange(len(dataset)), left_out)
    model = trainer.select_and_fit(dataset.subset(kept), checkpoint)
    return evaluation.predict(model, dataset.subset(left_out))


def concatenate(indices: Sequence[Indices], predictions: Sequence[Prediction]) -> Prediction:
    """Concatenate the predictions of folds, in the order of the rows."""
    order = np.argsort(np.concatenate(indices))

    def distribution() -> PredictiveDistribution:
        parts = [prediction.distribution for prediction in predictions]
        return PredictiveDistribution.concatenate(parts).subset(order)

    return Prediction(
        np.concatenate([prediction.mean for prediction in predictions])[order],
        _concatenate([prediction.variance for prediction in predictions], order),
        _concatenate([prediction.probabilities for prediction in predictions], order),
        distribution,
        _concatenate([prediction.novelty for prediction in predictions], order),
    )


def _concatenate(arrays: Sequence[Array | None], order: Indices) -> Array | None:
    given = [array for array in arrays if array is not None]
    return np.concatenate(given)[order] if len(given) == len(arrays) else None
