"""Shapley values of games, by all orders or where a closed form is at hand."""

import itertools

import numpy as np
import pytest

from gaussian_processes.gp.shapley import coalition_count, shapley_values

OWN = np.random.default_rng(7).normal(size=12)


def of_three(coalitions):
    """Value of each player by itself, and 1 more where the first three are all there."""
    members = coalitions.astype(float)
    return (members[:, :3].prod(axis=1) + members @ OWN)[:, np.newaxis]


def test_of_few_players_values_are_the_mean_gains_over_all_orders():
    table = np.random.default_rng(8).normal(size=(16, 2))

    def value(coalitions):
        return table[coalitions @ (1 << np.arange(4))]

    found, squared_errors = shapley_values(value, 4)

    total, orders = np.zeros((4, 2)), list(itertools.permutations(range(4)))
    for order in orders:
        number = 0
        for player in order:
            total[player] += table[number + (1 << player)] - table[number]
            number += 1 << player
    np.testing.assert_allclose(found, total / len(orders), rtol=0, atol=1e-14)
    assert not squared_errors.any()


def test_of_many_players_a_game_of_pairs_is_exact_since_orders_come_with_their_reverse():
    pairs = np.random.default_rng(9).normal(size=(12, 12))

    def value(coalitions):
        members = coalitions.astype(float)
        return (members @ OWN + np.einsum("ki,ij,kj->k", members, pairs, members))[:, np.newaxis]

    found, _ = shapley_values(value, 12)

    # A pair's gain goes half to each; that of a player with itself is its own.
    np.testing.assert_allclose(found[:, 0], OWN + (pairs + pairs.T).sum(axis=1) / 2, atol=1e-12)


def test_of_many_players_values_are_sampled_with_their_errors_and_sum_exactly():
    found, squared_errors = shapley_values(of_three, 12)

    expected = OWN + np.array([1 / 3] * 3 + [0] * 9)
    assert found.sum() == pytest.approx(1 + OWN.sum(), abs=1e-12)
    errors = np.abs(found[:, 0] - expected)
    assert (errors <= 5 * np.sqrt(squared_errors[:, 0]) + 1e-12).all()
    assert (squared_errors[:3] > 0).all()


@pytest.mark.parametrize("players", [0, 1, 10, 11, 40])
def test_the_coalitions_that_are_counted_are_those_that_are_evaluated(players):
    evaluated = []

    def value(coalitions):
        evaluated.append(len(coalitions))
        return np.zeros((len(coalitions), 1))

    shapley_values(value, players)

    assert sum(evaluated) == coalition_count(players)


def test_of_several_games_with_one_generator_the_errors_are_independent():
    """Of means of 16 equal games, over 100 seeds: errors are as large as they are said to be."""
    expected = OWN + np.array([1 / 3] * 3 + [0] * 9)
    ratios = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        games = [shapley_values(of_three, 12, generator) for _ in range(16)]
        error = np.mean([values[0, 0] for values, _ in games]) - expected[0]
        ratios.append(error / np.sqrt(sum(squared[0, 0] for _, squared in games) / 16**2))

    # The mean square of 100 values of unit variance has a deviation of .14: within four of those.
    assert np.square(ratios).mean() == pytest.approx(1, abs=0.55)
