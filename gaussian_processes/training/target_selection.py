"""Selection of models for several targets: parameters that they share, or of their own.

Targets that share kernel, noise and relevances share a factor too. One that differs from the others
is described badly by what they have in common, and they by what it adds: where leave-one-out says
so, it gets a selection of its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Schema
from gaussian_processes.gp import marginal_likelihood
from gaussian_processes.linalg.parallel import ParallelMap
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training import model_selection
from gaussian_processes.training.model_selection import ModelSelection

Targets = tuple[int, ...]

# Leave-one-out log density that a target must gain by parameters of its own, in nats over all rows:
# they are some more numbers to learn, and a factor more to keep. Akaike's criterion asks for one a
# number.
MIN_GAIN = 5.0


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

    every = tuple(range(len(schema.targets)))
    is_compared = hyperparameters.per_target is None and hyperparameters.compares_kernels
    if schema.classes or len(every) == 1 or not (is_compared or hyperparameters.per_target):
        return model_selection.select(dataset, schema, hyperparameters, validation, parallel_map)
    alone: dict[Targets, ModelSelection] = {(target,): run((target,)) for target in every}
    if hyperparameters.per_target:
        return _combine(alone)
    shared = run(every)
    rows = min(len(dataset), marginal_likelihood.MAX_ROWS)
    own = [
        target
        for target in every
        if rows * (shared.loo_nlpd[target] - alone[(target,)].loo_nlpd[0]) > MIN_GAIN
    ]
    if not own:
        return shared
    groups: dict[Targets, ModelSelection] = {(target,): alone[(target,)] for target in own}
    rest = tuple(target for target in every if target not in own)
    if rest:
        groups[rest] = alone[rest] if len(rest) == 1 else run(rest)
    return _combine(groups)


def of_targets(dataset: Dataset, targets: Sequence[int] | None) -> Dataset:
    """Return the rows of a dataset with some of its targets; None: all."""
    return dataset if targets is None else replace(dataset, y=dataset.y[:, list(targets)])


def schema_of_targets(schema: Schema, targets: Sequence[int] | None) -> Schema:
    """Return a schema with some of its targets; None: all."""
    if targets is None:
        return schema
    return replace(schema, targets=tuple(schema.targets[index] for index in targets))


def _combine(groups: dict[Targets, ModelSelection]) -> ModelSelection:
    """Make one selection of those of groups of targets."""
    candidates = [
        replace(result, targets=targets)
        for targets, selection in groups.items()
        for result in selection.candidates
    ]
    weights = list(chain.from_iterable(selection.weights for selection in groups.values()))
    losses = {
        target: loss
        for targets, selection in groups.items()
        for target, loss in zip(targets, selection.loo_nlpd, strict=True)
    }
    return ModelSelection(candidates, weights, None, [losses[target] for target in sorted(losses)])
