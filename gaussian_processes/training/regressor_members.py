"""Members of an ensemble that are no Gaussian processes, weighed beside them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp import tails
from gaussian_processes.gp.ensembles import stacking_weights
from gaussian_processes.model import regressors
from gaussian_processes.model.model import Member, Model, RegressorMember
from gaussian_processes.model.regressors import Regressor
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training.preparation import (
    Preparation,
    fit_preprocessor,
    noise_weights,
    regression_targets,
)
from gaussian_processes.training.target_selection import of_targets, schema_of_targets

Array = NDArray[np.float64]

# A member of less weight hardly changes a prediction. The processes have as much at least: they
# answer what no other member can.
MIN_WEIGHT = 0.05


def check(hyperparameters: Hyperparameters, schema: Schema, rows: int) -> None:
    """Refuse, before hours are spent, members that can't be trained.

    Raises
    ------
    UserError
        If a class can't be imported, the target is of classes, or there are too few rows.
    """
    for name in hyperparameters.regressors:
        regressors.resolve(name)
        if schema.classes:
            raise UserError(
                f"hyperparameter members has {name}, which regresses, and the target is of classes;"
                " set members=gp"
            )
        if rows < regressors.MIN_ROWS:
            raise UserError(
                f"hyperparameter members has {name}, which takes {regressors.MIN_ROWS} rows or"
                f" more, and there are {rows}; set members=gp"
            )


def add(
    model: Model, dataset: Dataset, hyperparameters: Hyperparameters, sample_weight: Array
) -> Model:
    """Add the regressors to a model of processes, by the weights of stacking.

    Out-of-fold densities of the regressors are set beside leave-one-out densities of the processes'
    blend, whose members keep their shares of what it gets.

    Parameters
    ----------
    model : Model
        With its factors.
    dataset : Dataset
        The training rows.
    hyperparameters : Hyperparameters
    sample_weight : ndarray of shape (n,)
        Of the noise of the training rows.

    Raises
    ------
    UserError
        If the processes have no factors.
    """
    if not model.has_factor:
        raise UserError(
            f"hyperparameter members is {','.join(hyperparameters.members)}, whose weights need"
            " leave-one-out densities, and solver=cg makes no factor for these: set members=gp"
        )
    targets = regression_targets(dataset, model.schema)
    left_out = model.leave_one_out(targets, sample_weight, dataset.robustness).distribution
    groups = [
        _fit_group(name, dataset, model.schema, hyperparameters)
        for name in hyperparameters.regressors
    ]
    densities = [left_out.log_density(targets).sum(axis=1)]
    densities += [_log_density(group, targets) for group in groups]
    share, *others = _weigh(np.column_stack(densities)).tolist()
    members: list[Member] = [
        replace(member, weight=member.weight * share) for member in model.members
    ]
    for group, weight in zip(groups, others, strict=True):
        if weight:
            members += [replace(member, weight=weight) for member in group]
    return replace(model, members=tuple(members))


def _log_density(group: Sequence[RegressorMember], targets: Array) -> Array:
    """Out-of-fold log density of every row, of shape (n,), over all targets."""
    densities = [
        member.leave_one_out(targets).distribution.log_density(targets[:, [index]])
        for index, member in enumerate(group)
    ]
    total: Array = np.column_stack(densities).sum(axis=1)
    return total


def _weigh(densities: Array) -> Array:
    """Stacking weights of the processes, which come first, and of each regressor."""
    weights = stacking_weights(densities, min_weight=MIN_WEIGHT)
    if weights[0] < MIN_WEIGHT:
        weights[0] = 0.0
        weights *= (1 - MIN_WEIGHT) / weights.sum()
        weights[0] = MIN_WEIGHT
    return weights


def _fit_group(
    name: str, dataset: Dataset, schema: Schema, hyperparameters: Hyperparameters
) -> list[RegressorMember]:
    """Fit a regressor to each of the targets."""
    found, several = regressors.resolve(name), len(schema.targets) > 1
    group = []
    for target in range(len(schema.targets)):
        own = of_targets(dataset, [target])
        own_schema = schema_of_targets(schema, [target])
        member = _fit(name, found, own, own_schema, hyperparameters)
        group.append(replace(member, targets=(target,)) if several else member)
    return group


def _fit(
    name: str,
    regressor_class: type[Regressor],
    dataset: Dataset,
    schema: Schema,
    hyperparameters: Hyperparameters,
) -> RegressorMember:
    """Fit a regressor to one target, once for every fold and once to all rows."""
    preprocessor = fit_preprocessor(dataset, schema, hyperparameters, Preparation())
    weights = noise_weights(dataset, schema, hyperparameters)
    x = preprocessor.standardized(dataset.X)
    y = preprocessor.standardized_targets(regression_targets(dataset, schema))[:, 0]
    left_out, residual_variance = regressors.predict_out_of_fold(regressor_class, x, y, weights)
    regressor = regressor_class()
    regressor.fit(x, y, weights)
    residuals = (y - left_out[:, 0]) / np.sqrt(left_out[:, 1])
    return RegressorMember(
        preprocessor=preprocessor,
        name=name,
        regressor=regressor,
        left_out=left_out,
        residual_variance=residual_variance,
        tails=tails.fit(residuals, np.inf),
    )


def shares(model: Model, hyperparameters: Hyperparameters) -> dict[str, float]:
    """Weight in the model of each regressor that was asked for."""
    found = {own.name: own.weight for own in model.members if isinstance(own, RegressorMember)}
    return {name: found.get(name, 0.0) for name in hyperparameters.regressors}
