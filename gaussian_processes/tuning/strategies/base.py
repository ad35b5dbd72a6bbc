"""How does a strategy of ours speak with Optuna?"""

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

# Under this name a trial keeps what its strategy wants to know of it later.
NOTE = "strategy"
# Under this name a trial that was not run, because its values were known, names the one that was.
SAME_AS = "same_as"


@dataclass(frozen=True)
class PastTrial:
    """A trial of the past.

    Parameters
    ----------
    losses : tuple of float
        Its objectives, signed so that less is better; empty if it is still running or has failed.
    note : mapping
        What the strategy wrote down when it proposed it.
    """

    number: int
    values: dict[str, Value]
    losses: tuple[float, ...]
    note: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """All that a strategy may know when it proposes.

    Parameters
    ----------
    seen : sequence of Known
        Trials that gave their objectives, in the order in which they ended.
    failed : sequence of Known
        Trials that ended without.
    running : sequence of Known
        In the order in which they were proposed.
    """

    seen: Sequence[PastTrial]
    failed: Sequence[PastTrial]
    running: Sequence[PastTrial]


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
    def propose(self, number: int, past: History) -> tuple[dict[str, Value], Mapping[str, Any]]:
        """Return the values of trial `number`, and what to write down of it."""

    def generator(self, number: int) -> np.random.Generator:
        """Random numbers of one trial, whatever was drawn before."""
        return np.random.default_rng([self.seed, number])

    def python_random(self, number: int) -> random.Random:
        """Return the same for libraries that take Python's own generator."""
        return random.Random(f"{self.seed} {number}")  # noqa: S311  a search is no secret

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """All ranges are searched together."""
        return self.space.distributions

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Propose, in Optuna's words."""
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
        """Refuse: no value is ever left over."""
        raise NotImplementedError(f"{param_name} is not in the space of this search")

    def history(self, study: Study, number: int = -1) -> History:
        """All trials of a study but `number`, which is being proposed."""
        seen: list[PastTrial] = []
        failed: list[PastTrial] = []
        running: list[PastTrial] = []
        signs = [
            -1 if direction == StudyDirection.MAXIMIZE else 1 for direction in study.directions
        ]
        others = [
            one
            for one in study.get_trials(deepcopy=False)
            if one.number != number and SAME_AS not in one.user_attrs
        ]
        for one in sorted(others, key=_ended):
            if one.state.is_finished() and one.values:
                seen.append(self._past_trial(one, signs))
            elif one.state.is_finished():
                failed.append(self._past_trial(one, signs))
            elif one.state == TrialState.RUNNING and one.params:
                running.append(self._past_trial(one, signs))
        return History(seen, failed, running)

    def _past_trial(self, trial: FrozenTrial, signs: Sequence[int]) -> PastTrial:
        losses = tuple(sign * value for sign, value in zip(signs, trial.values or (), strict=False))
        return PastTrial(
            trial.number,
            self.space.from_optuna(trial.params),
            losses,
            trial.system_attrs.get(NOTE, {}),
        )


def _ended(trial: FrozenTrial) -> tuple[bool, float, int]:
    ended = trial.datetime_complete
    return ended is None, ended.timestamp() if ended else 0.0, trial.number
