"""Share of small searches for kernel parameters that end below the best of many restarts.

python -m benchmarks.searches [--problems 120] [--restarts 20] [--searches 4] [--seed 0]

A problem is a small table of a random size, function and noise. The default job compares its
candidates on it; some of them, drawn at random, are searched for again from random starts, and the
maxima of the log posterior density compared. Each problem is also given to the job with its rows
shuffled.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import reporting
from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.gp.marginal_likelihood import (
    BOUNDS,
    KernelParameters,
    TrainingData,
    log_marginal_likelihood_and_gradient,
    log_prior_and_gradient,
    maximize_posterior,
)
from gaussian_processes.linalg.parallel import WorkerPool
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training.model_selection import (
    CandidateResult,
    ModelSelection,
    Sample,
    draw_sample,
    select,
)

Array = NDArray[np.float64]
Generator = np.random.Generator

# A maximum that is lower by one nat is hardly worth mentioning (Kass & Raftery 1995, section 3.2).
# The others say whether it would matter if another number had been taken.
TOLERANCES = (0.1, 1.0, 5.0)
TOLERANCE = 1.0
MIN_ROWS, MAX_ROWS, MAX_COLUMNS = 12, 120, 8
# Whence restarts are drawn, log-uniformly: where a person would look.
START_RANGES: Mapping[str, tuple[float, float]] = {
    "noise_ratio": (1e-6, 10.0),
    "bias": (0.1, 100.0),
    "gamma": (1e-3, 10.0),
}
# Deviation of the logarithms of the relevances that a restart begins at.
RELEVANCE_DEVIATION = 1.0
NOISES = (0.0, 0.05, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Problem:
    """Features of shape (n, c) and a target of shape (n, 1)."""

    x: Array
    y: Array

    @property
    def dataset(self) -> Dataset:
        """The rows, all of weight 1."""
        return Dataset(self.x, self.y, np.ones(len(self.x)), lambda row: f"row {row + 1}")

    @property
    def schema(self) -> Schema:
        """Numbers alone, the target first."""
        columns = [Column(str(index), index) for index in range(self.x.shape[1] + 1)]
        return Schema(False, len(columns), tuple(columns[1:]), (columns[0],))

    def shuffled(self, generator: Generator) -> "Problem":
        """Return the same rows in another order."""
        order = generator.permutation(len(self.x))
        return Problem(self.x[order], self.y[order])


@dataclass(frozen=True)
class Comparison:
    """Log posterior densities of one candidate, in nats, and whether the job blends it."""

    name: str
    found: float
    best: float
    has_weight: bool


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.searches", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--problems", type=int, default=120, help="tables (default 120)")
    parser.add_argument("--restarts", type=int, default=20, help="of a search (default 20)")
    parser.add_argument("--searches", type=int, default=4, help="of a problem (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    arguments = parser.parse_args()
    print(reporting.machine(), flush=True)
    comparisons: list[Comparison] = []
    changed = 0
    for number in range(arguments.problems):
        generator = np.random.default_rng([arguments.seed, number])
        problem = draw_problem(generator)
        selection = _select(problem)
        for index in _some(len(selection.candidates), arguments.searches, generator):
            found = _compare(problem, selection, index, generator, arguments.restarts)
            comparisons.append(found)
        changed += _select(problem.shuffled(generator)).to_json() != selection.to_json()
    _print_table(comparisons, arguments.restarts)
    print(
        f"\nOf {arguments.problems} tables, {changed} have another selection, in any digit, when"
        " their rows are shuffled."
    )


def draw_problem(generator: Generator) -> Problem:
    """Draw a small table: columns of several kinds, some of which the target does not depend on."""
    rows = int(np.exp(generator.uniform(np.log(MIN_ROWS), np.log(MAX_ROWS))))
    columns = int(generator.integers(1, MAX_COLUMNS + 1))
    x = generator.normal(size=(rows, columns))
    kinds = generator.integers(0, 4, columns)
    x[:, kinds == 1] = np.exp(x[:, kinds == 1])
    x[:, kinds == 2] = np.round(x[:, kinds == 2])
    function = FUNCTIONS[int(generator.integers(len(FUNCTIONS)))]
    clean = function(x, generator)
    deviation = float(generator.choice(NOISES)) * max(float(clean.std()), 1e-3)
    noise = (
        generator.standard_t(3, rows) if generator.random() < 0.3 else generator.normal(size=rows)
    )
    y = (clean + deviation * noise)[:, np.newaxis]
    return Problem(x, y)


def _linear(x: Array, generator: Generator) -> Array:
    return np.asarray(x @ generator.normal(size=x.shape[1]))


def _wave(x: Array, generator: Generator) -> Array:
    return np.asarray(np.sin(generator.uniform(1, 6) * x[:, 0]) + x[:, -1])


def _step(x: Array, generator: Generator) -> Array:
    return np.asarray(np.sign(x[:, 0] - generator.normal() / 2) + x[:, -1] / 2)


def _bump(x: Array, generator: Generator) -> Array:
    return np.asarray(np.exp(-np.square(x - generator.normal(size=x.shape[1])).sum(axis=1) / 2))


def _product(x: Array, _: Generator) -> Array:
    return np.asarray(x[:, 0] * x[:, -1])


def _nothing(x: Array, generator: Generator) -> Array:
    return generator.normal(size=len(x))


FUNCTIONS: Sequence[Callable[[Array, Generator], Array]] = (
    _linear,
    _wave,
    _step,
    _bump,
    _product,
    _nothing,
)


def _select(problem: Problem) -> ModelSelection:
    with WorkerPool() as parallel_map:
        return select(problem.dataset, problem.schema, Hyperparameters(), None, parallel_map)


def _some(count: int, wanted: int, generator: Generator) -> list[int]:
    chosen: list[int] = generator.choice(count, min(wanted, count), replace=False).tolist()
    return chosen


def _compare(
    problem: Problem, selection: ModelSelection, index: int, generator: Generator, restarts: int
) -> Comparison:
    """Search again for one of the candidates of a job."""
    sample = draw_sample(problem.dataset, problem.schema, Hyperparameters(), None)
    result = selection.candidates[index]
    names, data = _names(result, sample), sample.data[result.preparation]
    starts = [_random_start(result.parameters, names, generator) for _ in range(restarts)]
    ends = [maximize_posterior(start, names, data, start) for start in starts]
    found, *others = (_log_posterior(end, names, data) for end in [result.parameters, *ends])
    return Comparison(_kind(result), found, max(others), selection.weights[index] > 0)


def _names(result: CandidateResult, sample: Sample) -> list[str]:
    relevance = ["relevance"] if result.ard else []
    return [*sample.learned_parameters, *result.parameters.kernel.learned, *relevance]


def _kind(result: CandidateResult) -> str:
    own = "a relevance for each column" if result.ard else "one relevance"
    return f"{result.parameters.kernel.name}, {own}"


def _random_start(
    parameters: KernelParameters, names: Sequence[str], generator: Generator
) -> KernelParameters:
    """Draw parameters at which a search may start."""
    drawn = {
        name: float(np.exp(generator.uniform(*np.log(ends)))) for name, ends in START_RANGES.items()
    }
    kernel = parameters.kernel
    logs = RELEVANCE_DEVIATION * generator.normal(size=len(parameters.relevance))
    return KernelParameters(
        kernel.with_values(gamma=drawn["gamma"]) if kernel.learned else kernel,
        drawn["noise_ratio"],
        drawn["bias"],
        np.clip(np.exp(logs), *BOUNDS["relevance"])
        if "relevance" in names
        else parameters.relevance,
    )


def _log_posterior(parameters: KernelParameters, names: Sequence[str], data: TrainingData) -> float:
    likelihood, _ = log_marginal_likelihood_and_gradient(parameters, data)
    prior, _ = log_prior_and_gradient(parameters, names)
    return likelihood + prior


def _print_table(comparisons: Sequence[Comparison], restarts: int) -> None:
    """Print the shares by the kind of candidate, of those with a weight, and of all."""
    kinds = sorted({entry.name for entry in comparisons})
    groups = {kind: [entry for entry in comparisons if entry.name == kind] for kind in kinds}
    groups["with a weight in the blend"] = [entry for entry in comparisons if entry.has_weight]
    groups["all"] = list(comparisons)
    head = [
        f"below the best of {restarts} restarts",
        "searches",
        *(f"by more than {tolerance:g} nats" for tolerance in TOLERANCES),
        "most, nats",
        f"restarts' best lower by {TOLERANCE:g}",
    ]
    lines = [[name, *_cells(entries)] for name, entries in groups.items() if entries]
    print(f"\n{reporting.markdown(head, lines)}", flush=True)


def _cells(entries: Sequence[Comparison]) -> list[str]:
    short = np.array([entry.best - entry.found for entry in entries])
    shares = [f"{(short > tolerance).mean():.1%}" for tolerance in TOLERANCES]
    return [
        str(len(short)),
        *shares,
        f"{max(short.max(), 0):.2g}",
        f"{(short < -TOLERANCE).mean():.1%}",
    ]


if __name__ == "__main__":
    main()
