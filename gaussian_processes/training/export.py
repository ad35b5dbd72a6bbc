"""Export of a trained model into an artifact: with its factor or without, and with its scores."""

import logging
import math
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.files import format_bytes
from gaussian_processes.linalg.cholesky import packed_bytes
from gaussian_processes.model import artifact
from gaussian_processes.model.model import EnsembleMember, Member, Model
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
    if model.has_factor:
        model = _without_large_factors(model, hyperparameters.keep_factor)
    record = {"hyperparameters": requested(hyperparameters), "scores": found.scores}
    artifact.save(model, folder, record, critical_section, found.report)
    LOGGER.info(f"the model is in {folder}")


def _without_large_factors(model: Model, keep_factor: bool | None) -> Model:
    """Return the model with its factors or without, and log which."""
    size = model.factor_bytes
    if keeps_factor(size, keep_factor):
        LOGGER.info(
            f"the model keeps its factor ({format_bytes(size)}), which standard deviations are"
            " predicted from"
        )
        return model
    LOGGER.info(
        f"the model leaves out its factor ({format_bytes(size)}): it predicts"
        f" {predicted_without(model)}; keep_factor=true keeps it"
    )
    return model.without_factors()


def predicted_without(model: Model) -> str:
    """Say what a model predicts without its factor."""
    if all(member.process.nearest_points for member in model.processes):
        return "standard deviations from the nearest rows"
    return "means, but no standard deviations, intervals or quantiles"


def gather_factors(model: Model, keep_factor: bool | None, hosts: Hosts, folder: Path) -> Model:
    """Return the model with the factors that hosts share gathered on the leader, or without them.

    Where hosts shared the iterations of conjugate gradients, there are none.

    A collective call. On the leader they are files in a folder, if they are to be kept and there is
    room for them and for the model; otherwise its log says what the model can't answer. The other
    hosts' models have none.
    """
    if not model.has_factor:
        return model
    size = sum(
        packed_bytes(len(member.process.points), member.process.kept_factor.dtype)
        for member in model.processes
    )
    remedy = None if keeps_factor(size, keep_factor) else "keep_factor=true keeps it"
    if remedy is None and 2 * size > min(hosts.gather(_free_bytes(hosts, folder))):
        remedy = f"{folder} has no room for two copies of it: use a larger volume"
    if remedy is None:
        return _with_gathered_factors(model, hosts, folder)
    if hosts.leads:
        LOGGER.warning(
            f"the factor ({format_bytes(size)}), which is spread over the hosts, is left out of the"
            f" model: it predicts {predicted_without(model)}; {remedy}"
        )
    return model.without_factors()


def _free_bytes(hosts: Hosts, folder: Path) -> float:
    """Room on the leader's disk; the others need none."""
    return shutil.disk_usage(folder).free if hosts.leads else math.inf


def _with_gathered_factors(model: Model, hosts: Hosts, folder: Path) -> Model:
    members: list[Member] = []
    for index, member in enumerate(model.members):
        if not isinstance(member, EnsembleMember):
            members.append(member)
            continue
        path = folder / f"factor-{index}.npy"
        factor = hosts.gather_factor(member.process.kept_factor, path)
        members.append(replace(member, process=replace(member.process, factor=factor)))
    return replace(model, members=tuple(members))


def keeps_factor(size: int, keep_factor: bool | None) -> bool:
    """Return whether a model keeps factors of so many bytes: as asked for, or if they are few."""
    return size <= FACTOR_BYTES if keep_factor is None else keep_factor


def requested(hyperparameters: Hyperparameters) -> dict[str, object]:
    """Hyperparameters as they were asked for, `auto` where the choice was left to training."""
    values = asdict(hyperparameters)
    return {name: "auto" if value is None else value for name, value in values.items()}
