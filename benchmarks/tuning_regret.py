"""Regret of search strategies after a limited number of training jobs.

python -m benchmarks.tuning_regret [--seeds 20] [--first-seed 0] [--jobs 30] [--parallel 1 4]

The objectives are this package's own: the validation RMSE of an exact Gaussian process over q, l,
noise and bias (the GP post's by its formulas to the letter, which have no bias); on iris its
leave-one-out RMSE, and on iris and Friedman's data also over how rows are put on the sphere. The
search was developed on other splits and targets of the first three, and never on wine's and
Friedman's data. A search's regret is the distance of its best from the best that any search here,
or a grid, has found. The last table, if Random is among the strategies and there are two seeds at
least, says how many times smaller a strategy's regret is than Random's: the geometric mean for
every objective and for all together, these with two standard errors over the seeds.
"""

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import BaseSampler
from sklearn.datasets import load_diabetes, load_iris, load_wine, make_friedman1

from benchmarks import reporting
from gaussian_processes.data import preprocessing
from gaussian_processes.data.preprocessing import PreprocessingOptions
from gaussian_processes.gp import scores
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix, fit
from gaussian_processes.resources import available_cpus
from gaussian_processes.tuning.space import (
    LOGARITHMIC,
    CategoricalRange,
    NumericRange,
    Space,
    Value,
)
from gaussian_processes.tuning.strategies.bayesian import Bayesian
from gaussian_processes.tuning.strategies.evolution import PAES, Genetic, ParticleSwarm
from gaussian_processes.tuning.strategies.plain import Random

Array = NDArray[np.float64]
# Regrets of searches as parts of the best objective, by strategy and jobs at a time.
RelativeRegrets = Mapping[tuple[str, int], Sequence[float]]

SEED = 20261121
# A regret of less than this part of the best objective is none that anybody would notice; its
# logarithm must not decide.
NEGLIGIBLE = 1e-3
COMMON = (
    NumericRange("bias", 0.01, 100, scaling=LOGARITHMIC),
    NumericRange("l", 0, 4, integer=True),
    NumericRange("noise", 1e-8, 1, scaling=LOGARITHMIC),
    NumericRange("q", 0, 4, integer=True),
)


WITH_PROJECTION = (COMMON[0], CategoricalRange("projection", ("normalize", "sphere")), *COMMON[1:])


@dataclass(frozen=True)
class Problem:
    """Training and validation rows (n, d) and targets (n, 1), and the search space."""

    rows: Array
    targets: Array
    new: Array
    truth: Array
    space: Space
    projection: str = "sphere"

    def objective(self, values: Mapping[str, Value]) -> float:
        """Return the RMSE on the validation rows or, without any, the leave-one-out RMSE."""
        projection = str(values.get("projection", self.projection))
        bias = float(values.get("bias", 0)) if projection == "sphere" else 0.0
        preparation = PreprocessingOptions(projection=projection, bias=bias)
        learned = preprocessing.fit(self.rows, self.targets, [0] * self.rows.shape[1], preparation)
        kernel = ArcCosine(int(values["q"]), int(values["l"]))
        process = fit(
            GramMatrix(kernel, learned.points(self.rows), float(values["noise"])),
            learned.standardized_targets(self.targets),
        )
        if not len(self.new):
            mean, _ = process.leave_one_out(learned.standardized_targets(self.targets))
            return scores.rmse(self.targets, mean * learned.target_scale + learned.target_center)
        mean = process.mean(learned.points(self.new)) * learned.target_scale + learned.target_center
        return scores.rmse(self.truth, mean)


def _post() -> Problem:
    """Return the GP post's example, by its formulas to the letter: they have no bias."""
    generator = np.random.default_rng(SEED)
    x = generator.normal(size=(150, 2))
    y = x @ [1.5, 5.2] + generator.normal(size=150)
    return replace(_split(x, y, 100, Space(COMMON[1:])), projection="normalize")


def _diabetes() -> Problem:
    return _split(*load_diabetes(return_X_y=True, scaled=False), 300, Space(COMMON))


def _iris() -> Problem:
    """Sepal length from the rest, the species as a number."""
    found = load_iris()
    rows = np.column_stack([found.data[:, 1:], found.target])
    return _split(rows, found.data[:, 0], 150, Space(WITH_PROJECTION))


def _wine() -> Problem:
    """Alcohol from what else was measured of a wine."""
    rows = load_wine().data
    return _split(rows[:, 1:], rows[:, 0], 120, Space(COMMON))


def _friedman() -> Problem:
    return _split(*make_friedman1(250, noise=1.0, random_state=SEED), 150, Space(WITH_PROJECTION))


def _split(rows: Array, targets: Array, size: int, space: Space) -> Problem:
    order = np.random.default_rng(SEED).permutation(len(rows))
    first, rest = order[:size], order[size:]
    return Problem(
        rows[first], targets[first, np.newaxis], rows[rest], targets[rest, np.newaxis], space
    )


PROBLEMS = {
    "the GP post's": _post,
    "diabetes": _diabetes,
    "iris": _iris,
    "wine": _wine,
    "Friedman's": _friedman,
}
STRATEGIES: dict[str, Callable[[Space, int], BaseSampler]] = {
    "Bayesian": Bayesian,
    "Optuna's TPE": lambda _, seed: optuna.samplers.TPESampler(seed=seed),
    "Optuna's TPE, univariate": lambda _, seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=False
    ),
    "Random": Random,
    "Genetic": Genetic,
    "ParticleSwarm": ParticleSwarm,
    "PAES": PAES,
}


@cache
def problem(name: str) -> Problem:
    """Problem of a name, made once a process."""
    return PROBLEMS[name]()


def search(name: str, strategy: str, jobs: int, parallel: int, seed: int) -> list[float]:
    """Run a search whose training jobs all take equally long; return the objectives in order."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    asked = problem(name)
    study = optuna.create_study(sampler=STRATEGIES[strategy](asked.space, seed))
    running: list[optuna.trial.Trial] = []
    found: list[float] = []
    known: dict[tuple[Value, ...], float] = {}
    while len(found) < jobs:
        while len(running) < parallel and len(running) + len(found) < jobs:
            running.append(study.ask(asked.space.distributions))
        trial = running.pop(0)
        values = asked.space.from_optuna(trial.params)
        key = tuple(values.values())
        found.append(known.setdefault(key, asked.objective(values)))
        study.tell(trial, found[-1])
    return found


def best_of_grid(name: str) -> float:
    """Best objective of a grid, for a search to be measured against, should none find better."""
    asked = problem(name)
    units = [[entry.unit(value) for value in _values(entry)] for entry in asked.space]
    return min(asked.objective(asked.space.at(list(one))) for one in product(*units))


def _values(entry: NumericRange | CategoricalRange) -> Sequence[Value]:
    if isinstance(entry, CategoricalRange):
        return entry.categories
    return (
        range(int(entry.min_value), int(entry.max_value) + 1)
        if entry.integer
        else [entry.value(unit) for unit in np.linspace(0, 1, 9)]
    )


def main() -> None:
    """Measure, and print a table for every objective and one for all."""
    asked = _parser().parse_args()
    print(reporting.machine(), flush=True)
    found: dict[str, RelativeRegrets] = {}
    with ProcessPoolExecutor(available_cpus()) as pool:
        for name in asked.problems:
            print(f"{name} …", file=sys.stderr, flush=True)
            best, bests = _measured(name, asked, pool)
            _report(name, asked, best, bests)
            found[name] = {key: [one / best - 1 for one in ones] for key, ones in bests.items()}
    if "Random" in asked.strategies and asked.seeds > 1:
        _summary(asked, found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.tuning_regret", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--seeds", type=int, default=20, help="searches of every strategy (default 20)"
    )
    parser.add_argument(
        "--first-seed", type=int, default=0, help="seed of the first of them (default 0)"
    )
    parser.add_argument(
        "--jobs", type=int, default=30, help="training jobs of a search (default 30)"
    )
    parser.add_argument(
        "--parallel",
        type=int,
        nargs="+",
        default=[1, 4],
        help="training jobs at a time (default 1 4)",
    )
    parser.add_argument(
        "--strategies",
        nargs="+",
        choices=STRATEGIES,
        default=list(STRATEGIES),
        help="which (default all)",
    )
    parser.add_argument(
        "--problems",
        nargs="+",
        choices=PROBLEMS,
        default=list(PROBLEMS),
        help="which (default all)",
    )
    return parser


def _measured(
    name: str, asked: argparse.Namespace, pool: ProcessPoolExecutor
) -> tuple[float, dict[tuple[str, int], list[float]]]:
    """Best objective known, and the final ones by strategy and parallel jobs."""
    grid = pool.submit(best_of_grid, name)
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    bests = {
        (strategy, parallel): [
            min(one)
            for one in pool.map(partial(search, name, strategy, asked.jobs, parallel), seeds)
        ]
        for strategy in asked.strategies
        for parallel in asked.parallel
    }
    return min(grid.result(), *(min(ones) for ones in bests.values())), bests


def _report(
    name: str,
    asked: argparse.Namespace,
    best: float,
    bests: Mapping[tuple[str, int], Sequence[float]],
) -> None:
    what = f"regret of the RMSE after {asked.jobs} training jobs, whose best is {best:.5g}"
    print(f"\n{name} data: {what}; {asked.seeds} seeds from {asked.first_seed}\n")
    head = [name, *(f"{parallel} at a time: median, mean (worst)" for parallel in asked.parallel)]
    lines = [
        [
            strategy,
            *(
                _regret([one - best for one in bests[strategy, parallel]])
                for parallel in asked.parallel
            ),
        ]
        for strategy in asked.strategies
    ]
    print(reporting.markdown(head, lines), flush=True)


def _regret(regrets: Sequence[float]) -> str:
    return f"{statistics.median(regrets):.2g}, {statistics.fmean(regrets):.2g} ({max(regrets):.2g})"


def _summary(asked: argparse.Namespace, found: Mapping[str, RelativeRegrets]) -> None:
    print(
        f"\nHow many times smaller than Random's regret is, after {asked.jobs} training jobs;"
        f" {asked.seeds} seeds\n"
    )
    head = ["strategy", "jobs at a time", *found, "all (two standard errors)"]
    lines = [
        [strategy, f"{parallel}", *_times_smaller(strategy, parallel, found)]
        for strategy in asked.strategies
        for parallel in asked.parallel
    ]
    print(reporting.markdown(head, lines), flush=True)


def _times_smaller(strategy: str, parallel: int, found: Mapping[str, RelativeRegrets]) -> list[str]:
    """Cells of a line of the summary."""
    logs = np.array(
        [
            np.log(
                np.maximum(regrets["Random", parallel], NEGLIGIBLE)
                / np.maximum(regrets[strategy, parallel], NEGLIGIBLE)
            )
            for regrets in found.values()
        ]
    )
    by_seed = logs.mean(axis=0)  # the same seeds for every objective
    error = by_seed.std(ddof=1) / np.sqrt(len(by_seed))
    low, middle, high = np.exp(by_seed.mean() + error * np.array([-2, 0, 2]))
    return [
        *(f"{one:.2g}" for one in np.exp(logs.mean(axis=1))),
        f"{middle:.2g} ({low:.2g} to {high:.2g})",
    ]


if __name__ == "__main__":
    main()
