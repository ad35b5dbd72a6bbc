"""Export of a trained model into an artifact: with its factor or without, and with its scores."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gaussian_processes.files import format_bytes
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model
from gaussian_processes.sagemaker.hyperparameters import FACTOR_BYTES, Hyperparameters

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """Scores of a model, and the data of its report, if it keeps them."""

    scores: Mapping[str, object]
    report: Mapping[str, Any] | None


def export(
    model: Model,
    hyperparameters: Hyperparameters,
    found: Findings,
    folder: Path,
    critical_section: AbstractContextManager[object],
) -> None:
    """Write the artifact of a model, without its factors if `keep_factor` does not ask for them.

    The critical section is entered for the moment in which the artifact becomes whole.
    """
    size = model.factor_bytes
    if keeps_factor(model, hyperparameters.keep_factor):
        LOGGER.info(
            f"the model keeps its factor ({format_bytes(size)}), which standard deviations are"
            " predicted from"
        )
    else:
        model = model.without_factors()
        LOGGER.info(
            f"the model leaves out its factor ({format_bytes(size)}): it predicts means only;"
            " keep_factor=true keeps it"
        )
    record = {"hyperparameters": requested(hyperparameters), "scores": found.scores}
    artifact.save(model, folder, record, critical_section, found.report)
    LOGGER.info(f"the model is in {folder}")


def without_shared_factors(model: Model) -> Model:
    """Return the model without factors that hosts share, and log what it can't answer then."""
    LOGGER.warning(
        "the factor is spread over the hosts, and left out of the model: it predicts means, but no"
        " standard deviations; train on one host with keep_factor=true to keep it"
    )
    return model.without_factors()


def keeps_factor(model: Model, keep_factor: bool | None) -> bool:
    """Return whether a model keeps its factors: as asked for, or else if they are small enough."""
    return model.factor_bytes <= FACTOR_BYTES if keep_factor is None else keep_factor


def requested(hyperparameters: Hyperparameters) -> dict[str, object]:
    """Hyperparameters as they were asked for, `auto` where the choice was left to training."""
    values = asdict(hyperparameters)
    return {name: "auto" if value is None else value for name, value in values.items()}
