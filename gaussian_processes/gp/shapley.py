"""Shapley values [1]_ of the players of a game: exact for few, by sampled permutations for many.

The value of a player is its mean gain over all orders in which the players may come. Of many
players some orders are drawn [2]_, each together with its reverse, whose gains err the other way
[3]_. Either way the values sum to the value of all players less that of none.

References
----------
.. [1] L. S. Shapley, "A Value for n-Person Games", 1953.
.. [2] J. Castro, D. Gómez and J. Tejada, "Polynomial calculation of the Shapley value based on
   sampling", Computers & Operations Research 36, 2009.
.. [3] R. Mitchell, J. Cooper, E. Frank and G. Holmes, "Sampling Permutations for Shapley Value
   Estimation", JMLR 23, 2022.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Coalitions of players, of shape (k, p), and their values, of shape (k, t).
Coalitions = NDArray[np.bool_]
Value = Callable[[Coalitions], Array]

# Players up to which all coalitions are evaluated, 1,024 of them; every further one doubles them.
MAX_EXACT_PLAYERS = 10
# Coalitions that are evaluated for more players, about, and the least number of pairs of orders: of
# one alone there is no error to estimate.
SAMPLED_COALITIONS = 1 << MAX_EXACT_PLAYERS
MIN_PAIRS = 2
SEED = 0


def shapley_values(
    value: Value, players: int, generator: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """Shapley values of a game of vectors.

    Parameters
    ----------
    value : callable
        Values of some coalitions.
    players : int
        p.
    generator : Generator, optional
        Of the orders; one generator for several games makes their errors independent. The first
        orders of `SEED` unless it is given.

    Returns
    -------
    values, squared_errors : ndarray of shape (p, t)
        And the squares of their standard errors, which are 0 where all coalitions were evaluated.
    """
    if players > MAX_EXACT_PLAYERS:
        return _sampled(value, players, generator or np.random.default_rng(SEED))
    exact = _exact(value, players)
    return exact, np.zeros_like(exact)


def coalition_count(players: int) -> int:
    """Count the coalitions that `shapley_values` evaluates, of so many players."""
    if players > MAX_EXACT_PLAYERS:
        return 2 * _pairs(players) * (players + 1)
    return 1 << players


def _exact(value: Value, players: int) -> Array:
    """Mean gain over all coalitions, each size of which weighs the same."""
    coalitions = _all_coalitions(players)
    values = value(coalitions)
    outputs = values.shape[1]
    values = values.reshape((2,) * players + (outputs,))
    sizes = _all_coalitions(max(players - 1, 0)).sum(axis=1).tolist()
    weights = np.array([1 / (players * math.comb(players - 1, size)) for size in sizes if players])
    exact = np.empty((players, outputs))
    for player in range(players):
        gains = np.diff(values, axis=player).reshape(-1, outputs)
        exact[player] = weights @ gains
    return exact


def _all_coalitions(players: int) -> Coalitions:
    """All coalitions, of shape (2^p, p), counted in binary digits."""
    numbers = np.arange(1 << players)[:, np.newaxis]
    coalitions: Coalitions = (numbers >> np.arange(players)[::-1] & 1).astype(np.bool_)
    return coalitions


def _pairs(players: int) -> int:
    return max(MIN_PAIRS, SAMPLED_COALITIONS // (2 * (players + 1)))


def _sampled(value: Value, players: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Mean gain over pairs of orders, and the square of its standard error."""
    gains = []
    for _ in range(_pairs(players)):
        order = generator.permutation(players)
        gains.append((_gains(value, order) + _gains(value, order[::-1])) / 2)
    stacked = np.array(gains)
    return stacked.mean(axis=0), stacked.var(axis=0, ddof=1) / len(gains)


def _gains(value: Value, order: NDArray[np.intp]) -> Array:
    """Gain of every player where they come in some order, of shape (p, t)."""
    rank = np.argsort(order)
    coalitions = rank < np.arange(len(order) + 1)[:, np.newaxis]
    gains: Array = np.diff(value(coalitions), axis=0)[rank]
    return gains
