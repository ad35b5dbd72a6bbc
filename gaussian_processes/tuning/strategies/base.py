"""Interface of a strategy: proposals from the history of a search, as an Optuna sampler."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gaussian_processes.tuning.space import Space, Value

# Attribute of a trial: what its strategy keeps for later proposals.
NOTE = "strategy"
# Attribute of a duplicate, which was not run: the number of the trial whose values it repeats.
SAME_AS = "same_as"

Proposal = tuple[dict[str, Value], Mapping[str, Any]]


@dataclass(frozen=True)
class PastTrial:
    """A trial that was proposed before.

    Parameters
    ----------
    losses : tuple of float
        Its objectives, signed so that less is better; empty if it is running or has failed.
    note : mapping
        What the strategy kept when it proposed it.
    """

    number: int
    values: dict[str, Value]
    losses: tuple[float, ...]
    note: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """All trials of a search, as far as a strategy may know them.

    Parameters
    ----------
    seen : sequence of PastTrial
        Trials that gave their objectives, in the order in which they ended.
    failed : sequence of PastTrial
        Trials that ended without.
    running : sequence of PastTrial
        In the order in which they were proposed.
    """

    seen: Sequence[PastTrial]
    failed: Sequence[PastTrial]
    running: Sequence[PastTrial]

    @property
    def values(self) -> list[dict[str, Value]]:
        """Return the values of all trials: seen, failed and running."""
        return [trial.values for trial in (*self.seen, *self.failed, *self.running)]


class Strategy(BaseSampler, ABC):
    """A sampler that proposes all values of a trial at once, and whose only memory is the study.

    So a search that is resumed proposes what it would have proposed without the interruption.

    Parameters
    ----------
    space : Space
    seed : int
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed

    @abstractmethod
    def propose(self, number: int, history: History) -> Proposal:
        """Return the values of trial `number`, and the note to keep of it."""

    def is_ready(self, study: Study) -> bool:  # noqa: ARG002
        """Whether a trial can be proposed before those that run have ended."""
        return True

    def generator(self, number: int) -> np.random.Generator:
        """Return random numbers of one trial, whatever was drawn before."""
        return np.random.default_rng([self.seed, number])

    def python_random(self, number: int) -> random.Random:
        """Return random numbers of one trial for libraries that take Python's own generator."""
        return random.Random(f"{self.seed} {number}")  # noqa: S311  a search is no secret

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Return the whole space: all ranges are sampled together."""
        return self.space.distributions

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Propose the values of a trial, as Optuna stores them."""
        values, note = self.propose(trial.number, self.history(study, trial.number))
        if note:
            # Optuna's own samplers keep what they need to remember in the same way.
            study._storage.set_trial_system_attr(trial._trial_id, NOTE, dict(note))
        return self.space.to_optuna(values)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refuse: no value is ever left to be sampled by itself."""
        raise NotImplementedError(f"{param_name} is not in the space of this search")

    def history(self, study: Study, number: int = -1) -> History:
        """Return all trials of a study but `number`, which is being proposed."""
        seen: list[PastTrial] = []
        failed: list[PastTrial] = []
        running: list[PastTrial] = []
        signs = [
            -1 if direction == StudyDirection.MAXIMIZE else 1 for direction in study.directions
        ]
        others = [
            trial
            for trial in study.get_trials(deepcopy=False)
            if trial.number != number and SAME_AS not in trial.user_attrs
        ]
        for trial in sorted(others, key=completion_order):
            if trial.state.is_finished():
                (seen if trial.values else failed).append(self._past_trial(trial, signs))
            elif trial.state == TrialState.RUNNING and trial.params:
                running.append(self._past_trial(trial, signs))
        return History(seen, failed, running)

    def _past_trial(self, trial: FrozenTrial, signs: Sequence[int]) -> PastTrial:
        losses = tuple(sign * value for sign, value in zip(signs, trial.values or (), strict=False))
        values = self.space.from_optuna(trial.params)
        return PastTrial(trial.number, values, losses, trial.system_attrs.get(NOTE, {}))


def completion_order(trial: FrozenTrial) -> tuple[bool, float, int]:
    """Key that sorts trials by the end of their jobs; those that have none come last."""
    ended = trial.datetime_complete
    return ended is None, ended.timestamp() if ended else 0.0, trial.number
