"""Stages of a training job: models of growing parts of the rows, for tuners that stop early."""

import logging
from collections.abc import Mapping

import numpy as np

from gaussian_processes.data.dataset import Dataset, canonical_order
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.reporting import describe_constant_targets, log_warnings
from gaussian_processes.training.scoring import report_scores, score_dataset
from gaussian_processes.training.trainer import Trainer

LOGGER = logging.getLogger(__name__)
# Rows of the smallest part of them that is trained on: with less the targets may all be alike.
MIN_STAGE_ROWS = 20


def train_stages(
    trainer: Trainer, datasets: Mapping[str, Dataset], checkpoint: Checkpoint
) -> list[dict[str, float]]:
    """Print the validation metrics of models of growing parts of the rows, but for the last.

    Returns
    -------
    list of dict of str to float
        The rows of every stage, and its scores.
    """
    found = []
    training, stages = datasets["train"], trainer.hyperparameters.stages
    generator = np.random.default_rng(trainer.hyperparameters.seed)
    order = generator.permutation(canonical_order(training))
    for stage in range(1, stages):
        size = max(len(training) >> (stages - stage), min(MIN_STAGE_ROWS, len(training)))
        part = training.subset(np.sort(order[:size]))
        log_warnings(describe_constant_targets(trainer.schema, part, f"stage {stage}"))
        model = trainer.quiet().select_and_fit(part, checkpoint.child(f"stage-{stage}"))
        # On all hosts, since they may share the factor.
        scores = score_dataset(model, datasets["validation"])
        found.append({"rows": size, **scores})
        if trainer.hosts.leads:
            LOGGER.info(f"stage {stage} of {stages}: {size:,} rows")
            report_scores(["validation"], scores)
    return found
