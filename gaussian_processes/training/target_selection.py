"""Selection of models for several targets: parameters that they share, or of their own.

Targets that share kernel, noise and relevances share a factor too. One that differs from the others
is described badly by what they have in common, and they by what it adds: where leave-one-out says
so, it gets a selection of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Schema
from gaussian_processes.gp import marginal_likelihood
from gaussian_processes.linalg.parallel import ParallelMap
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training import model_selection
from gaussian_processes.training.model_selection import (
    CandidateResult,
    LeaveOneOutScores,
    ModelSelection,
)

Targets = tuple[int, ...]

# Leave-one-out log density that a target must gain by parameters of its own, in nats over all rows:
# they are some more numbers to learn, and a factor more to keep. Akaike's criterion asks for one a
# number.
MIN_TARGET_GAIN = 5.0


def select(
    dataset: Dataset,
    schema: Schema,
    hyperparameters: Hyperparameters,
    validation: Dataset | None = None,
    parallel_map: ParallelMap = map,
) -> ModelSelection:
    """Select the models of all targets; parameters as of `model_selection.select`."""

    def run(targets: Targets) -> ModelSelection:
        return model_selection.select(
            of_targets(dataset, targets),
            schema_of_targets(schema, targets),
            hyperparameters,
            None if validation is None else of_targets(validation, targets),
            parallel_map,
        )

    if not _selects_by_target(schema, hyperparameters):
        return model_selection.select(dataset, schema, hyperparameters, validation, parallel_map)
    all_targets = tuple(range(len(schema.targets)))
    alone: dict[Targets, ModelSelection] = {(target,): run((target,)) for target in all_targets}
    if hyperparameters.per_target:
        return _combine(alone)
    shared = run(all_targets)
    groups = _gaining_targets(alone, shared, min(len(dataset), marginal_likelihood.MAX_ROWS))
    if not groups:
        return shared
    rest = tuple(target for target in all_targets if (target,) not in groups)
    if rest:
        groups[rest] = alone[rest] if len(rest) == 1 else run(rest)
    return _combine(groups)


def _selects_by_target(schema: Schema, hyperparameters: Hyperparameters) -> bool:
    """Whether targets may get parameters of their own, be it by comparison or because asked."""
    if schema.classes or len(schema.targets) == 1:
        return False
    if hyperparameters.per_target is None:
        return hyperparameters.compares_kernels
    return hyperparameters.per_target


def _gaining_targets(
    alone: Mapping[Targets, ModelSelection], shared: ModelSelection, rows: int
) -> dict[Targets, ModelSelection]:
    """Find the targets that gain more than `MIN_TARGET_GAIN` by a selection of their own."""
    return {
        (target,): selection
        for (target,), selection in alone.items()
        if rows * (shared.loo_nlpd[target] - selection.loo_nlpd[0]) > MIN_TARGET_GAIN
    }


def of_targets(dataset: Dataset, targets: Sequence[int] | None) -> Dataset:
    """Return the rows of a dataset with some of its targets; None: all."""
    return dataset if targets is None else replace(dataset, y=dataset.y[:, list(targets)])


def schema_of_targets(schema: Schema, targets: Sequence[int] | None) -> Schema:
    """Return a schema with some of its targets; None: all."""
    if targets is None:
        return schema
    return replace(schema, targets=tuple(schema.targets[index] for index in targets))


def _combine(groups: Mapping[Targets, ModelSelection]) -> ModelSelection:
    """Make one selection of those of groups of targets."""
    candidates: list[CandidateResult] = []
    weights: list[float] = []
    losses: dict[int, float] = {}
    for targets, selection in groups.items():
        candidates += [replace(result, targets=targets) for result in selection.candidates]
        weights += selection.weights
        losses.update(zip(targets, selection.loo_nlpd, strict=True))
    return ModelSelection(
        candidates,
        weights,
        loo_nlpd=[losses[target] for target in sorted(losses)],
        loo=_combine_loo(groups),
    )


def _combine_loo(groups: Mapping[Targets, ModelSelection]) -> LeaveOneOutScores | None:
    """Leave-one-out scores of all targets, in their order; None where a group has none."""
    found = [selection.loo for selection in groups.values()]
    known = [loo for loo in found if loo is not None]
    if len(known) < len(found):
        return None
    order = np.argsort(np.concatenate(list(groups)))
    return LeaveOneOutScores(
        np.hstack([loo.residuals for loo in known])[:, order],
        np.hstack([loo.deviations for loo in known])[:, order],
        np.hstack([loo.log_densities for loo in known])[:, order],
    )
