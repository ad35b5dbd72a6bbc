"""Explanations of predictions: Shapley values of the columns, and training rows of influence.

The Shapley values are interventional [1]_: the value of a coalition of columns is the mean
prediction of the row whose other columns are those of background rows. What is explained is the
mean or, of classes, the probabilities.

References
----------
.. [1] D. Janzing, L. Minorics and P. Blöbaum, "Feature relevance quantification in explainable AI:
   A causal problem", AISTATS 2020; S. M. Lundberg and S.-I. Lee, "A Unified Approach to
   Interpreting Model Predictions", NIPS 2017.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.preprocessing import locate_request_row
from gaussian_processes.data.schema import Schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp.shapley import SEED, Coalitions, coalition_count, shapley_values
from gaussian_processes.model.model import MAX_BACKGROUND_ROWS, Model

Array = NDArray[np.float64]

# Training rows that the background is chosen from; of more, evenly spaced ones.
BACKGROUND_SAMPLE = 1_000
# Seconds that a core of 2020 may take to predict what explains a row, for which the background is
# made smaller, and the least background. What else there is to do brings it to 0.2 s.
EXPLAINED_SECONDS, MIN_BACKGROUND_ROWS = 0.15, 4
# Rows that are predicted at once, so that no call of NumPy holds the interpreter's lock for long.
PREDICTED_BLOCK_ROWS = 1_024
# Copies of these rows, and of their coordinates, on their way to points of the sphere: three at
# most were measured, of numbers, categories and dates, and as many are for what was not.
POINT_COPIES = 6
# Training rows of the largest influence that are named.
NEIGHBOURS = 5


@dataclass(frozen=True)
class Explanation:
    """Shapley values of the columns of one row.

    Parameters
    ----------
    values, standard_errors : ndarray of shape (c, t)
        A row for every feature, an entry for every target or class. Errors are those of sampling:
        0 where the values are exact.
    baseline : ndarray of shape (t,)
        Mean prediction of the background rows: the values sum to the prediction less it.
    """

    values: Array
    standard_errors: Array
    baseline: Array


@dataclass(frozen=True)
class Neighbours:
    """Training rows with the largest influence on the mean of one row.

    Parameters
    ----------
    rows : list of int
        Their numbers, counted from 1 over all files as they were read. Of rows that are alike in
        all columns, the first.
    influences : ndarray of shape (k, t)
        k(x, x_i) α_i, in the units of the targets: over all training rows they sum to the mean of
        the prediction less the mean of the targets.
    """

    rows: list[int]
    influences: Array


def with_background(model: Model, rows: Array) -> Model:
    """Return the model with a background of its training rows, of shape (n, c).

    They are chosen greedily so that their mean kernel is near that of all rows (kernel herding,
    Y. Chen, M. Welling and A. Smola, "Super-Samples from Kernel Herding", UAI 2010), as the member
    of the largest weight has it.
    """
    order = np.lexsort(rows.T[::-1])
    count = min(len(rows), BACKGROUND_SAMPLE)
    sample = rows[order[np.linspace(0, len(rows) - 1, count).round().astype(np.intp)]]
    member = max(model.processes, key=lambda member: member.weight)
    points = member.preprocessor.points(sample)
    gram = member.process.kernel(points, points)
    size = _background_size(model, count)
    return replace(model, background=sample[_herd(gram, size)])


def _background_size(model: Model, rows: int) -> int:
    """Count of background rows with which a row is explained soon enough."""
    affordable = int(EXPLAINED_SECONDS / _seconds(model, 1))
    return min(rows, MAX_BACKGROUND_ROWS, max(MIN_BACKGROUND_ROWS, affordable))


def _herd(gram: Array, size: int) -> list[int]:
    """Choose rows one by one, so that their mean kernel is near that of all; return indices."""
    mean, total = gram.mean(axis=1), np.zeros(len(gram))
    chosen: list[int] = []
    for count in range(1, size + 1):
        gain = mean - total / count
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        total += gram[chosen[-1]]
    return chosen


def explained_seconds(model: Model) -> float:
    """Estimate how long a core of 2020 takes to explain one row."""
    return _seconds(
        model, MAX_BACKGROUND_ROWS if model.background is None else len(model.background)
    )


def _seconds(model: Model, background_rows: int) -> float:
    """Seconds of a core of 2020 to explain one row against so many background rows."""
    players = len(model.schema.features)
    return model.estimated_seconds(background_rows * coalition_count(players), variance=False)


def working_bytes(model: Model) -> int:
    """Memory that an explanation takes at most, in bytes."""
    coordinates = max(len(member.preprocessor.column) for member in model.members)
    width = len(model.schema.category_counts) + coordinates
    # And a byte for every player of every coalition of an order.
    return 8 * PREDICTED_BLOCK_ROWS * width * POINT_COPIES + (len(model.schema.features) + 1) ** 2


def explain(
    model: Model, row: Array, locate_row: Callable[[int], str] = locate_request_row
) -> Explanation:
    """Explain the prediction of a row by the Shapley values of its columns.

    A category is one column, as are a date and a number with its indicator. Against each background
    row, columns that are as in it take no part; the values are exact where at most
    `shapley.MAX_EXACT_PLAYERS` others do.

    Parameters
    ----------
    model : Model
        With a background.
    row : ndarray of shape (c,)
        As `schema` encodes it.
    locate_row : callable
        Location of the row, for messages.

    Raises
    ------
    UserError
        If the model has no background, or its projection takes no mixtures of rows.
    """
    background = _background(model)
    owner = _owners(model.schema)
    values = np.zeros((len(model.schema.features), model.schema.output_count))
    squared_errors = np.zeros_like(values)
    generator = np.random.default_rng(SEED)
    for other in background:
        players = _players(model, owner, row, other)
        mixture = _Mixture(model, row, other, _positions(players, owner), locate_row)
        shapley, squared = shapley_values(mixture.values, len(players), generator)
        values[players] += shapley / len(background)
        squared_errors[players] += squared / len(background) ** 2
    baseline = _predicted(model, background).mean(axis=0)
    return Explanation(values, np.sqrt(squared_errors), baseline)


def _background(model: Model) -> Array:
    if model.background is None:
        raise UserError("this model keeps no background rows for shap; train again")
    if any(member.preprocessor.projection == "unit" for member in model.members):
        raise UserError(
            "shap mixes the columns of rows, and projection=unit takes rows of norm 1 only; train"
            " with another projection"
        )
    return model.background


def _owners(schema: Schema) -> NDArray[np.intp]:
    """Feature of every column of X: indicators of missing numbers belong to these."""
    return np.array([*range(len(schema.features)), *schema.indicated_features], np.intp)


def _players(model: Model, owner: NDArray[np.intp], row: Array, other: Array) -> NDArray[np.intp]:
    """Features that a member uses, and that differ between two rows."""
    used = np.zeros(len(row), np.bool_)
    for member in model.members:
        used[member.preprocessor.column] = True
    differs = (row != other) & ~(np.isnan(row) & np.isnan(other))
    players: NDArray[np.intp] = np.unique(owner[used & differs])
    return players


def _positions(players: NDArray[np.intp], owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """Position among the players of every column's owner; p where it is none of them."""
    positions = np.searchsorted(players, owner)
    return np.where(np.isin(owner, players), positions, len(players))


@dataclass(frozen=True)
class _Mixture:
    """Rows that have some players' columns of one row, and the others of another.

    `player` is the position of the player to which each column of X belongs, of shape (c,), and p
    for a column of none.
    """

    model: Model
    row: Array
    other: Array
    player: NDArray[np.intp]
    locate_row: Callable[[int], str]

    def values(self, coalitions: Coalitions) -> Array:
        """Predictions for coalitions of players, of shape (k, t)."""
        blocks = []
        for start in range(0, len(coalitions), PREDICTED_BLOCK_ROWS):
            block = coalitions[start : start + PREDICTED_BLOCK_ROWS]
            mask = np.pad(block, ((0, 0), (0, 1)))[:, self.player]
            rows = np.where(mask, self.row, self.other)
            blocks.append(_predicted(self.model, rows, lambda _: self.locate_row(0)))
        return np.concatenate(blocks)


def _predicted(
    model: Model, rows: Array, locate_row: Callable[[int], str] = locate_request_row
) -> Array:
    """Means or, of classes, probabilities, of shape (m, t)."""
    prediction = model.predict(rows, locate_row=locate_row)
    return prediction.mean if prediction.probabilities is None else prediction.probabilities


def neighbours(
    model: Model, row: Array, locate_row: Callable[[int], str] = locate_request_row
) -> Neighbours:
    """Find the training rows of the largest influence on the mean of a row, of shape (c,).

    Of classes it is the influence on the means of their indicators, before the probabilities are
    made of them. Over several targets, influences are compared by their root mean square in units
    of the targets' deviations.
    """
    observations = model.processes[0].process.observations
    total = np.zeros((observations, model.schema.output_count))
    for member in model.processes:
        points = member.preprocessor.points(row[np.newaxis], lambda _: locate_row(0))
        influence = member.process.influence(points)[0] * member.preprocessor.target_scale
        total[member.process.first_observations] += member.weight * influence
    strength = np.square(total / model.processes[0].preprocessor.target_scale).sum(axis=1)
    # Rows that are not the first of their kind have none; equal ones come in their order.
    largest = np.argsort(-strength, kind="stable")[:NEIGHBOURS]
    return Neighbours((largest + 1).tolist(), total[largest])
