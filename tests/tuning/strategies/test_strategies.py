"""What strategies propose, on toys whose best is known and on an objective of ours."""

import math
import statistics

import inspyred
import numpy as np
import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from gaussian_processes.tuning.space import LOGARITHMIC, CategoricalRange, NumericRange, Space
from gaussian_processes.tuning.strategies.base import History, PastTrial
from gaussian_processes.tuning.strategies.bayesian import Bayesian
from gaussian_processes.tuning.strategies.evolution import PAES, Archive, Genetic, ParticleSwarm
from gaussian_processes.tuning.strategies.plain import Grid, Random
from gaussian_processes.tuning.strategies.surrogate import fit_surrogate

SPACE = Space(
    (
        CategoricalRange("projection", ("a", "b", "c")),
        NumericRange("noise", 1e-6, 1, scaling=LOGARITHMIC),
        NumericRange("q", 0, 9, integer=True),
    )
)


def bowl(values):
    """Least at projection=b, noise=1e-3, q=6, where it is 0."""
    return (
        (values["projection"] != "b")
        + (math.log10(values["noise"]) + 3) ** 2 / 9
        + (values["q"] - 6) ** 2 / 36
    )


def search(
    strategy, jobs, parallel=1, seed=0, objective=bowl, space=SPACE, directions=("minimize",)
):
    """Values and objectives, in the order in which they came in."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=strategy(space, seed), directions=list(directions))
    running, found = [], []
    while len(found) < jobs:
        while len(running) < parallel and len(running) + len(found) < jobs:
            running.append(study.ask(space.distributions))
        trial = running.pop(0)
        values = space.from_optuna(trial.params)
        found.append((values, objective(values)))
        study.tell(trial, found[-1][1])
    return found


def best(found):
    return min(loss for _, loss in found)


@pytest.mark.parametrize(
    ("strategy", "jobs"), [(Bayesian, 24), (Genetic, 60), (ParticleSwarm, 60), (PAES, 60)]
)
def test_what_learns_proposes_ever_better_values(strategy, jobs):
    early, late = [], []
    for seed in range(3):
        losses = [loss for _, loss in search(strategy, jobs, parallel=3, seed=seed)]
        early += losses[: jobs // 3]
        late += losses[-jobs // 3 :]

    assert statistics.median(late) < 0.7 * statistics.median(early)


def test_bayesian_comes_close_to_the_best_of_mixed_ranges():
    regrets = [best(search(Bayesian, 22, seed=seed)) for seed in range(3)]

    assert statistics.median(regrets) < 0.03


def test_bayesian_maximises_too():
    found = search(Bayesian, 20, objective=lambda values: -bowl(values), directions=("maximize",))

    assert max(value for _, value in found) > -0.1


def test_bayesian_never_repeats_itself_whatever_is_running():
    found = search(
        Bayesian,
        24,
        parallel=6,
        space=Space((SPACE.ranges[0], SPACE.ranges[2])),
        objective=lambda v: v["q"],
    )

    assert len({tuple(values.values()) for values, _ in found}) == 24


def test_what_is_running_promises_less():
    """The law behind fantasies: what is taken for granted lowers the improvement there."""
    generator = np.random.default_rng(0)
    seen = [
        PastTrial(i, values, (bowl(values),), {})
        for i, values in enumerate(SPACE.at(u) for u in generator.random((10, 3)).tolist())
    ]
    surrogate = fit_surrogate(SPACE, History(seen, [], []))
    z = generator.normal(size=(1, surrogate.z.shape[1]))
    best_yet = float(surrogate.y.min())

    before, after = (
        one.expected_improvement(z, best_yet)[0] for one in (surrogate, surrogate.fantasize(z))
    )

    assert after < 0.2 * before


def test_expected_improvement_is_the_mean_of_the_improvement():
    """By drawing from the normal distribution that the surrogate predicts."""
    generator = np.random.default_rng(1)
    seen = [
        PastTrial(i, values, (bowl(values),), {})
        for i, values in enumerate(SPACE.at(u) for u in generator.random((10, 3)).tolist())
    ]
    surrogate = fit_surrogate(SPACE, History(seen, [], []))
    z = generator.normal(size=(5, surrogate.z.shape[1]))
    mean, deviation = surrogate.predict(z)

    drawn = mean + deviation * generator.normal(size=(200_000, 5))

    np.testing.assert_allclose(
        surrogate.expected_improvement(z, 0.0), np.maximum(-drawn, 0).mean(axis=0), atol=0.01
    )


def test_a_failed_trial_is_not_tried_nearby():
    values = {"projection": "b", "noise": 1e-3, "q": 6}
    seen = [
        PastTrial(i, SPACE.at(u), (float(i),), {})
        for i, u in enumerate(np.random.default_rng(2).random((9, 3)).tolist())
    ]
    without, with_failure = (
        fit_surrogate(SPACE, History(seen, failed, []))
        for failed in ([], [PastTrial(9, values, (), {})])
    )
    z = np.array([SPACE.coordinates(values)])

    assert with_failure.predict(z)[0] > without.predict(z)[0]


def transformed_losses(losses):
    """Losses of trials as the surrogate sees them."""
    units = np.random.default_rng(3).random((len(losses), 3)).tolist()
    seen = [PastTrial(i, SPACE.at(u), (losses[i],), {}) for i, u in enumerate(units)]
    return fit_surrogate(SPACE, History(seen, [], [])).y[:, 0]


@pytest.mark.slow
@given(
    some.lists(some.integers(-1000, 1000), min_size=2, max_size=12),
    some.sampled_from([1e-6, 0.5, 1e9]),
)
def test_a_search_sees_losses_in_order_whatever_their_unit(whole, unit):
    losses = np.array(whole, float)
    assume(len(set(whole)) > 1)

    seen = transformed_losses(losses)

    assert [seen.mean(), seen.std()] == pytest.approx([0, 1], abs=1e-9)
    assert (np.diff(seen[np.argsort(losses, kind="stable")]) > -1e-9).all()
    np.testing.assert_allclose(transformed_losses(losses * unit - 3 * unit), seen, atol=1e-6)


def test_what_differs_by_rounding_looks_alike_and_what_differs_by_little_does_not():
    far = [1.0, 2.0, 3.0, 4.0]

    rounded, little = (
        transformed_losses(np.array([*(0.1 + step * i for i in range(4)), *far]))
        for step in (1e-12, 1e-3)
    )

    assert np.ptp(rounded[:4]) < 1e-6
    assert np.ptp(little[:4]) > 0.3


def test_random_is_uniform_on_the_declared_scale():
    strategy = Random(SPACE, 0)

    drawn = [strategy.propose(number, History([], [], []))[0] for number in range(2000)]

    logs = np.log10([values["noise"] for values in drawn])
    assert np.quantile(logs, [0.25, 0.5, 0.75]) == pytest.approx([-4.5, -3, -1.5], abs=0.25)
    assert {values["q"] for values in drawn} == set(range(10))


def test_grid_has_every_combination_once():
    space = Space((CategoricalRange("a", ("1", "2", "3")), CategoricalRange("b", ("x", "y"))))

    found = search(Grid, 6, parallel=2, space=space, objective=lambda _: 0.0)

    assert sorted(tuple(values.values()) for values, _ in found) == [
        (a, b) for a in "123" for b in "xy"
    ]


def test_genes_mutate():
    """The post's genetic algorithm never made a value that its first generation did not have."""
    found = search(Genetic, 30)

    assert len({values["noise"] for values, _ in found}) > 25


@given(
    some.lists(
        some.tuples(some.integers(0, 5), some.integers(0, 5), some.integers(0, 5)),
        min_size=1,
        max_size=30,
    )
)
def test_the_archive_holds_the_front_of_all_it_has_seen(points):
    archive, held = Archive(), []

    for point in points:
        individual = inspyred.ec.Individual(list(point))
        individual.fitness = inspyred.ec.emo.Pareto([float(number) for number in point])
        archive(None, [individual], held, {})

    better = [
        [all(x >= y for x, y in zip(a, b, strict=True)) and a != b for a in points] for b in points
    ]
    front = {point for point, others in zip(points, better, strict=True) if not any(others)}
    assert {tuple(one.candidate) for one in held} == front


def test_paes_spreads_over_a_front_of_three_objectives():
    def objectives(values):
        noise = math.log10(values["noise"])
        return noise**2, (noise + 6) ** 2, float(values["q"])

    found = search(PAES, 40, parallel=3, objective=objectives, directions=("minimize",) * 3)

    assert len({values["noise"] for values, _ in found}) > 10
