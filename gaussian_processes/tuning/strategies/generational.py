"""Evolutionary computations of inspyred's, generation by generation, over training jobs.

inspyred evaluates a generation within its own loop. That loop is replayed from the beginning for
every proposal, with the losses that are known; the first candidate without one is proposed. So the
study is the only memory, and a search that is resumed proposes what it would have proposed.
"""

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import inspyred
from optuna.study import Study

from gaussian_processes.errors import UserError
from gaussian_processes.tuning.space import Space, Value
from gaussian_processes.tuning.strategies.base import History, Proposal, Strategy
from gaussian_processes.tuning.strategies.evolution import MUTATION_STDEV, POPULATION_SIZE, Archive

Genes = list[float]
Key = tuple[Value, ...]

# Modules in which an operator's name is looked up.
OPERATORS = {
    "selector": inspyred.ec.selectors,
    "variator": inspyred.ec.variators,
    "replacer": inspyred.ec.replacers,
    "archiver": inspyred.ec.archivers,
    "topology": inspyred.swarm.topologies,
}
# How inspyred's operators look an argument up: in args, by `setdefault`, `get` or brackets.
LOOKUP = re.compile(r"args\w*(?:\.setdefault|\.get)?[\[(]\s*[\"'](\w+)[\"']")
# Loss of a failed trial: worse than any, and finite, for annealing subtracts losses.
FAILED_LOSS = 1e300
# Generations of nothing but known candidates: of a small space, a replay would never end.
MAX_GENERATIONS = 5_000


class _NextCandidate(Exception):  # noqa: N818  it ends the loop of inspyred's, and is no error
    """Genes of the next candidate to propose; None while its generation is running."""

    def __init__(self, genes: Genes | None) -> None:
        super().__init__()
        self.genes = genes


class Generational(Strategy):
    """A class of inspyred's as a strategy.

    A generation waits for the slowest trial of the one before.

    Parameters
    ----------
    computation : type
        A subclass of `inspyred.ec.EvolutionaryComputation`.
    arguments : mapping
        Of its `evolve`, such as ``pop_size``, ``max_generations``, ``max_archive_size``,
        ``num_grid_divisions`` and ``neighborhood_size``; and names of operators, such as
        ``variator="gaussian_mutation"``.
    """

    def __init__(
        self, space: Space, seed: int, computation: type, arguments: Mapping[str, Any]
    ) -> None:
        super().__init__(space, seed)
        self._class = computation
        self._pareto = computation.__module__ == inspyred.ec.emo.__name__
        self._arguments = dict(arguments)
        self._operators = {
            kind: _operators(kind, self._arguments.pop(kind))
            for kind in OPERATORS
            if kind in self._arguments
        }
        self._refuse_unread()
        self._computation()  # refused now, if it can't be made

    def _refuse_unread(self) -> None:
        """Refuse arguments that neither inspyred nor the module of the class reads."""
        own = Path(inspect.getfile(self._class))
        read = {"pop_size", *_read_arguments(Path(inspyred.__file__).parent)}
        read |= _read_arguments(own.parent, own.name)
        for name in self._arguments.keys() - read:
            nearest = difflib.get_close_matches(name, read, n=1) or ["one that it reads"]
            raise UserError(f"{self._class.__name__} reads no argument {name}; name {nearest[0]}")

    def is_ready(self, study: Study) -> bool:
        """Whether a generation has a candidate that no trial has had."""
        return self._next(self.history(study)) is not None

    def propose(self, number: int, history: History) -> Proposal:
        """Return the next candidate of the current generation; any, if it has none."""
        genes = self._next(history)
        if genes is None:
            genes = self.generator(number).random(len(self.space)).tolist()
        return self.space.at(genes), {}

    def _next(self, history: History) -> Genes | None:
        """Replay the computation up to the first candidate without a loss."""
        known: dict[Key, Sequence[float]] = {}
        for trial in history.failed:
            known[tuple(trial.values.values())] = ()
        for trial in history.seen:
            known[tuple(trial.values.values())] = trial.losses
        running = {tuple(trial.values.values()) for trial in history.running}
        generations = iter(range(MAX_GENERATIONS))

        def evaluate(candidates: Sequence[Genes], args: Any) -> list[Any]:  # noqa: ARG001
            keys = [tuple(self.space.at(list(genes)).values()) for genes in candidates]
            new = [
                list(genes)
                for genes, key in zip(candidates, keys, strict=True)
                if key not in known and key not in running
            ]
            if new or not known.keys() >= set(keys) or next(generations, None) is None:
                raise _NextCandidate(new[0] if new else None)
            return [self._fitness(known[key]) for key in keys]

        try:
            self._evolve(evaluate)
        except _NextCandidate as reached:
            return reached.genes
        return None

    def _fitness(self, losses: Sequence[float]) -> Any:
        if self._pareto:
            return inspyred.ec.emo.Pareto([-loss for loss in losses] or [-FAILED_LOSS])
        return -losses[0] if losses else -FAILED_LOSS

    def _computation(self) -> Any:
        try:
            computation: Any = self._class(self.python_random(0))
        except TypeError as error:
            raise UserError(
                f"{self._class.__name__} can't search over ranges ({error}); take another class"
            ) from error
        computation.terminator = inspyred.ec.terminators.generation_termination
        variators = inspyred.ec.variators
        # A GA's own mutation flips bits, of which coordinates have none; others have none at all.
        if self._class is inspyred.ec.GA or computation.variator is variators.default_variation:
            computation.variator = [variators.blend_crossover, variators.gaussian_mutation]
        if "neighborhood_size" in self._arguments:
            computation.topology = inspyred.swarm.topologies.ring_topology
        if self._class is inspyred.ec.emo.PAES:
            computation.archiver = Archive(
                self._arguments.get("max_archive_size", 100),
                self._arguments.get("num_grid_divisions", 4),
            )
        for kind, operators in self._operators.items():
            setattr(computation, kind, operators if len(operators) > 1 else operators[0])
        return computation

    def _evolve(self, evaluate: Any) -> None:
        population = self._arguments.get("pop_size", POPULATION_SIZE)
        defaults = {
            "max_generations": MAX_GENERATIONS,
            "num_selected": population,
            "tournament_size": 2,
            "mutation_rate": max(1 / len(self.space), 0.3),
            "gaussian_stdev": MUTATION_STDEV,
        }
        self._computation().evolve(
            generator=self._generate,
            evaluator=evaluate,
            maximize=True,
            bounder=inspyred.ec.Bounder(0.0, 1.0),
            **{**defaults, **self._arguments, "pop_size": population},
        )

    def _generate(self, random: Any, args: Any) -> Genes:  # noqa: ARG002  as inspyred calls it
        return [random.random() for _ in self.space]


@cache
def _read_arguments(folder: Path, pattern: str = "*.py") -> frozenset[str]:
    """Names that the sources in a folder look up in their arguments."""
    sources = [path.read_text(errors="replace") for path in folder.rglob(pattern)]
    return frozenset(LOOKUP.findall("\n".join(sources)))


def _operators(kind: str, names: str | Sequence[str]) -> list[Any]:
    """Look operators up by their names in inspyred's module of their kind."""
    found = []
    module = OPERATORS[kind]
    for name in [names] if isinstance(names, str) else names:
        operator = getattr(module, name, None)
        if operator is None:
            raise UserError(
                f"there is no {kind} {name} in {module.__name__}; name one that is there"
            )
        found.append(operator)
    return found
