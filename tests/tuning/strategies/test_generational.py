"""Generational strategies: replays of inspyred's own loop."""

import random
from pathlib import Path

import inspyred
import optuna
import pytest
from tuning.toys import limits, request

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import jobfile, journal, strategies
from gaussian_processes.tuning.ledger import Ledger
from gaussian_processes.tuning.space import NumericRange, Space
from gaussian_processes.tuning.strategies.generational import Generational

SPACE = Space((NumericRange("a", 0.0, 1.0), NumericRange("b", 0.0, 1.0)))
SEED, SIZE = 3, 6


def loss(values):
    return (values["a"] - 0.3) ** 2 + (values["b"] - 0.8) ** 2


def search(strategy, jobs, parallel=1):
    """Values in the order in which they were proposed; a slot stays free while none is ready."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=strategy)
    running, found = [], []
    while len(found) < jobs and (running or strategy.is_ready(study)):
        while len(running) < parallel and len(found) < jobs and strategy.is_ready(study):
            running.append(study.ask(SPACE.distributions))
            found.append(SPACE.from_optuna(running[-1].params))
        trial = running.pop(0)
        study.tell(trial, loss(SPACE.from_optuna(trial.params)))
    return found


def evolved_by_inspyred(computation, **arguments):
    """The oracle: candidates in the order in which inspyred's own loop evaluates them."""
    prng, evaluated = random.Random(f"{SEED} 0"), []  # noqa: S311  it has no secret to keep

    def evaluate(candidates, args):
        evaluated.extend(tuple(candidate) for candidate in candidates)
        return [-loss({"a": a, "b": b}) for a, b in candidates]

    evolution = computation(prng)
    evolution.terminator = inspyred.ec.terminators.generation_termination
    evolution.evolve(
        lambda random, args: [random.random() for _ in SPACE],
        evaluate,
        pop_size=SIZE,
        bounder=inspyred.ec.Bounder(0.0, 1.0),
        **arguments,
    )
    return list(dict.fromkeys(evaluated))


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize(
    "computation", [inspyred.ec.DEA, inspyred.ec.EDA, inspyred.ec.SA, inspyred.swarm.PSO]
)
def test_a_search_evaluates_what_inspyreds_own_loop_does(computation, parallel):
    arguments = {
        "max_generations": 4,
        "num_selected": SIZE,
        "tournament_size": 2,
        "mutation_rate": 0.5,
        "gaussian_stdev": 0.1,
    }
    expected = evolved_by_inspyred(computation, **arguments)

    strategy = Generational(SPACE, SEED, computation, {**arguments, "pop_size": SIZE})
    found = search(strategy, len(expected) + 10, parallel)

    assert [(values["a"], values["b"]) for values in found] == expected


def strategy(text, **config):
    job = jobfile.check(
        request(Strategy=text, ResourceLimits=limits(40), **config), Path(), "process"
    )
    return strategies.load(job, SEED)


@pytest.mark.parametrize(
    "text",
    [
        "inspyred.ec:DEA(pop_size=6, max_generations=3)",
        "inspyred.ec:GA(pop_size=6, variator=['blend_crossover', 'gaussian_mutation'])",
        "inspyred.ec:ES(pop_size=4)",
        "inspyred.ec:SA(temperature=10.0, cooling_rate=0.1)",
        "inspyred.swarm:PSO(pop_size=6, neighborhood_size=5)",
        "inspyred.ec.emo:PAES(max_archive_size=100, num_grid_divisions=4)",
        "inspyred.ec.emo:NSGA2(pop_size=6)",
        "optuna.samplers:TPESampler(n_startup_trials=2)",
        "optuna.samplers:NSGAIISampler(population_size=4)",
        "optuna.samplers:RandomSampler",
    ],
)
def test_a_class_is_named_with_its_arguments_in_one_line(text):
    job = jobfile.check(request(Strategy=text, ResourceLimits=limits(12)), Path(), "process")
    ledger = Ledger(job, journal.create_study(job))

    values = []
    while (trial := ledger.propose()) is not None and len(values) < 12:
        values.append(tuple(trial.row.values.values()))
        ledger.record(trial)
        ledger.study.tell(trial.trial, sum(map(float, trial.row.values.values())))

    assert len(set(values)) == 12


def test_a_generation_waits_for_the_one_before():
    ledger_job = jobfile.check(
        request(Strategy="inspyred.ec:DEA(pop_size=3)", ResourceLimits=limits(9, parallel=9)),
        Path(),
        "process",
    )
    ledger = Ledger(ledger_job, journal.create_study(ledger_job))
    first = []
    while (trial := ledger.propose()) is not None:
        ledger.record(trial)
        first.append(trial)

    assert len(first) == 3
    for trial in first[:2]:
        ledger.study.tell(trial.trial, 1.0)
    assert ledger.propose() is None
    ledger.study.tell(first[2].trial, state=optuna.trial.TrialState.FAIL)  # which counts as worst
    assert ledger.propose() is not None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("inspyred.ec:DEA(6)", "arguments that can't be read"),
        ("inspyred.ec:DEA(pop_size=os.getpid())", "arguments that can't be read"),
        ("inspyred.ec:GA(variator='teleport')", "there is no variator teleport"),
        ("inspyred.swarm:ACS", "can't search over ranges"),
        ("optuna.samplers:TPESampler(startup=2)", "can't be made"),
        ("inspyred.ec:GA(mutaton_rate=0.1)", "reads no argument mutaton_rate; name mutation_rate"),
        ("inspyred.ec:SA(pop_sizes=3)", "reads no argument pop_sizes; name pop_size"),
    ],
)
def test_arguments_that_a_class_does_not_take_are_refused(text, complaint):
    with pytest.raises(UserError, match=complaint):
        strategy(text)


def test_one_objective_is_what_most_of_inspyreds_classes_take():
    several = [
        {"Type": "Minimize", "MetricName": "validation:RMSE"},
        {"Type": "Maximize", "MetricName": "validation:NLPD"},
    ]

    assert strategy("inspyred.ec.emo:NSGA2", HyperParameterTuningJobObjective=several)
    with pytest.raises(UserError, match="takes one objective"):
        strategy("inspyred.ec:DEA", HyperParameterTuningJobObjective=several)
