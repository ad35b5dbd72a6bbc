"""Evolutionary strategies: genetic algorithm, particle swarm and PAES, by inspyred's operators.

One trial at a time: inspyred's own loops evaluate a whole generation and wait for the slowest.
Genes are the coordinates of the ranges, between 0 and 1.
"""

import random
from collections.abc import Sequence
from typing import Any

import inspyred

from gaussian_processes.tuning.space import Space
from gaussian_processes.tuning.strategies.base import History, PastTrial, Proposal, Strategy

Genes = list[float]

# Keys of a trial's note.
GENES, PARTICLE = "genes", "particle"
# Individuals to begin with. A search has tens of trials, where textbooks have thousands: more would
# leave no time to evolve.
POPULATION_SIZE = 8
# Standard deviation of a mutation: a tenth of a range is a step, and not another random draw.
MUTATION_STDEV = 0.1
# Mutants that PAES draws for one that differs from its parent.
MAX_MUTANTS = 100


class Evolution(Strategy):
    """A strategy of genes, with inspyred's individuals made of trials."""

    def _random_genes(self, prng: random.Random) -> Genes:
        return [prng.random() for _ in self.space]

    def _genes(self, trial: PastTrial) -> Genes:
        """Genes before they were rounded to integers; those of an earlier search have been lost."""
        return list(trial.note.get(GENES) or self.space.units(trial.values))

    def _individual(self, trial: PastTrial, fitness: Any) -> Any:
        individual = inspyred.ec.Individual(self._genes(trial))
        individual.fitness = fitness
        return individual

    def _proposal(self, genes: Genes, **note: Any) -> Proposal:
        return self.space.at(genes), {GENES: genes, **note}


def _arguments(computation: Any, space: Space) -> dict[str, Any]:
    """Arguments of inspyred's operators: a gene or so mutates in a child, and within its range."""
    computation.bounder = inspyred.ec.Bounder(0.0, 1.0)
    return {
        "_ec": computation,
        "mutation_rate": max(1 / len(space), 0.3),
        "gaussian_stdev": MUTATION_STDEV,
        "num_selected": 2,
        "tournament_size": 2,
    }


class Genetic(Evolution):
    """A steady-state genetic algorithm: as soon as a trial ends, the best can be parents.

    Parents by tournament selection, children by blend crossover, and a Gaussian mutation of real
    values. The own-HPO post's genetic algorithm flipped bits, which inspyred does to genes of 0 and
    1 only: it never mutated.
    """

    def propose(self, number: int, history: History) -> Proposal:
        """Return a child of the best so far, or a random individual while there are too few."""
        prng = self.python_random(number)
        if len(history.seen) < 2 or len(history.seen) + len(history.running) < POPULATION_SIZE:
            return self._proposal(self._random_genes(prng))
        arguments = _arguments(inspyred.ec.GA(prng), self.space)
        everyone = [self._individual(trial, -trial.losses[0]) for trial in history.seen]
        # μ + λ: replacing over and over leaves the best of all there have been.
        population = inspyred.ec.replacers.plus_replacement(
            prng, everyone[:POPULATION_SIZE], [], everyone[POPULATION_SIZE:], arguments
        )
        parents = inspyred.ec.selectors.tournament_selection(prng, population, arguments)
        children = inspyred.ec.variators.blend_crossover(
            prng, [parent.candidate for parent in parents], arguments
        )
        return self._proposal(inspyred.ec.variators.gaussian_mutation(prng, children, arguments)[0])


class ParticleSwarm(Evolution):
    """Particle swarm: a particle moves on as soon as its trial has ended.

    Towards its own best and the swarm's (Kennedy & Eberhart 1995).
    """

    def propose(self, number: int, history: History) -> Proposal:
        """Return the next position of the particle that waits longest, or a new particle."""
        prng = self.python_random(number)
        paths = self._paths(history)
        flying = {trial.note.get(PARTICLE) for trial in history.running}
        waiting = [particle for particle in paths if particle not in flying]
        if not waiting or len(paths.keys() | flying) < POPULATION_SIZE:
            return self._proposal(self._random_genes(prng), **{PARTICLE: number})
        particle = waiting[0]
        swarm = inspyred.swarm.PSO(prng)
        arguments = _arguments(swarm, self.space)
        path = paths[particle]
        best = [
            self._individual(min(seen, key=_loss), 0.0)
            for seen in ([trial for trial in path if trial.losses] or path, history.seen or path)
        ]
        swarm.population = [self._individual(path[-1], 0.0)]
        swarm._previous_population = [self._individual(path[-2:][0], 0.0)]
        swarm.archive = [best[0]]
        # inspyred asks which others a particle knows: all, of whom the best is what counts.
        swarm.topology = lambda *_: [[best[1]]]
        moved = swarm.variator(prng, [swarm.population[0].candidate], arguments)[0]
        return self._proposal(moved, **{PARTICLE: particle})

    @staticmethod
    def _paths(history: History) -> dict[Any, list[PastTrial]]:
        """Trials of every particle; the particle whose last one ended first comes first."""
        paths: dict[Any, list[PastTrial]] = {}
        for trial in sorted((*history.seen, *history.failed), key=lambda trial: trial.number):
            # A trial of an earlier search begins a path.
            particle = trial.note.get(PARTICLE, -1 - trial.number)
            paths.setdefault(particle, []).append(trial)
        return dict(sorted(paths.items(), key=lambda item: item[1][-1].number))


def _loss(trial: PastTrial) -> float:
    return trial.losses[0] if trial.losses else float("inf")


class PAES(Evolution):
    """Pareto archived evolution strategy (Knowles & Corne 2000), for several objectives.

    It has one parent; a child that is still running does not keep the parent from having another.
    """

    def propose(self, number: int, history: History) -> Proposal:
        """Return a mutant of the parent, or a random individual while there is none."""
        prng = self.python_random(number)
        if not history.seen:
            return self._proposal(self._random_genes(prng))
        computation = inspyred.ec.emo.PAES(prng)
        arguments = _arguments(computation, self.space)
        computation.archiver = Archive()
        first, *others = (self._individual(trial, _pareto(trial)) for trial in history.seen)
        computation.archive, parent = [first], first
        for other in others:
            parent = inspyred.ec.replacers.paes_replacement(
                prng, None, [parent], [other], arguments
            )[0]
        # A mutant that is its parent to the last gene would be a duplicate, which is not run.
        for _ in range(MAX_MUTANTS):
            mutant = inspyred.ec.variators.gaussian_mutation(
                prng, [list(parent.candidate)], arguments
            )[0]
            if mutant != parent.candidate:
                break
        return self._proposal(mutant)


def _pareto(trial: PastTrial) -> Any:
    return inspyred.ec.emo.Pareto([-loss for loss in trial.losses])


class Archive:
    """Adaptive grid archive of PAES: nondominated individuals, thinned out in crowded cells.

    inspyred's `adaptive_grid_archiver` forgets the newcomer it was called with (a later loop takes
    its name), so that no individual ever enters that is neither better nor worse than the others;
    and it overruns its grid with three objectives.

    Parameters
    ----------
    max_size : int
        Individuals to keep.
    divisions : int
        How often each objective's range is halved.
    """

    def __init__(self, max_size: int = 100, divisions: int = 4) -> None:
        self.max_size = max_size
        self.divisions = divisions
        self.grid_population: dict[tuple[int, ...], int] = {}

    def __call__(
        self,
        random: random.Random,  # noqa: ARG002
        population: Sequence[Any],
        archive: list[Any],
        args: Any,  # noqa: ARG002
    ) -> list[Any]:
        """Let newcomers in, in place, as inspyred's replacement expects."""
        for newcomer in population:
            if not any(
                individual.fitness == newcomer.fitness or individual > newcomer
                for individual in archive
            ):
                archive[:] = [individual for individual in archive if not newcomer > individual]
                archive.append(newcomer)
            self._locate([*archive, newcomer])
            if len(archive) > self.max_size:
                archive.remove(
                    max(
                        archive,
                        key=lambda individual: self.grid_population[individual.grid_location],
                    )
                )
        return archive

    def _locate(self, individuals: Sequence[Any]) -> None:
        """Find every individual's cell, and count those in a cell."""
        columns = list(zip(*(individual.fitness for individual in individuals), strict=True))
        cells = 2**self.divisions
        self.grid_population = {}
        for individual in individuals:
            individual.grid_location = tuple(
                min(
                    int(cells * (value - min(column)) / ((max(column) - min(column)) or 1)),
                    cells - 1,
                )
                for value, column in zip(individual.fitness, columns, strict=True)
            )
            self.grid_population[individual.grid_location] = (
                self.grid_population.get(individual.grid_location, 0) + 1
            )
