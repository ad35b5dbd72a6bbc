"""Records that the charts draw: one object for every training job, with a field for every column.

Names of fields that Vega's expressions can say hold letters, digits and underscores alone.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from gaussian_processes.tuning import results
from gaussian_processes.tuning.results import Results, Row
from gaussian_processes.tuning.space import REVERSE, NumericRange, Range

SEARCH, ORDER, BEST_SO_FAR, STATUS = "run", "order", "best_so_far", "status"
NAME, FAILURE, ON_FRONT, IS_BEST, REGRET = "name", "failed", "front", "best", "regret"
# What the name of a field of positions begins with; an axis shows the rest.
POSITION = "at "
MAX_FAILURE_CHARACTERS = 200
# Bounds of a metric, by the words of its name. Others have none.
NOT_NEGATIVE = {"rmse", "mse", "mae", "mape", "loss", "error"}
SHARES = {"accuracy", "auc", "f1", "precision", "recall"}
AT_MOST_ONE = {"r2"}
# Values that an axis of the parallel coordinates names at most, and where it has more, these.
MAX_LABELS = 6
LABELLED_POSITIONS = (0.0, 0.5, 1.0)


def field(name: str) -> str:
    """Field of a metric or of a hyperparameter, whose value is drawn."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def text_field(name: str) -> str:
    """Field of a metric or of a hyperparameter as it is written in a tooltip."""
    return f"shown_{field(name)}"


def position_field(name: str) -> str:
    """Field of a position between 0 and 1, on an axis of the parallel coordinates."""
    return f"{POSITION}{name.translate(str.maketrans('.[]', '___'))}"


def axis_label(name: str) -> str:
    """Label of an axis of the parallel coordinates."""
    return position_field(name).removeprefix(POSITION)


def bounds(metric: str) -> tuple[float, float]:
    """Least and greatest value that a metric can have, by its name.

    Examples
    --------
    >>> bounds("validation:RMSE"), bounds("validation:accuracy"), bounds("validation:NLPD")
    ((0.0, inf), (0.0, 1.0), (-inf, inf))
    """
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    if words & SHARES:
        return 0.0, 1.0
    return 0.0 if words & NOT_NEGATIVE else -math.inf, 1.0 if words & AT_MOST_ONE else math.inf


def axis_values(entry: Range) -> list[tuple[float, str]]:
    """Positions and texts of the values that an axis of the parallel coordinates names."""
    if not isinstance(entry, NumericRange):
        return [(entry.unit(category), category) for category in entry.categories]
    if entry.integer and entry.size <= MAX_LABELS:
        integers = range(int(entry.min_value), int(entry.max_value) + 1)
        return [(entry.unit(value), str(value)) for value in integers]
    values = [entry.value(position) for position in LABELLED_POSITIONS]
    return [(entry.unit(value), _short(value)) for value in values]


def objective_values(records: Sequence[dict[str, Any]], metric: str) -> list[tuple[float, str]]:
    """Positions and texts on the objective's axis, from the least to the greatest seen value."""
    values = [record[field(metric)] for record in records if record[field(metric)] is not None]
    if not values:
        return []
    low, high = min(values), max(values)
    return [(at, _short(low + at * (high - low))) for at in LABELLED_POSITIONS]


def _short(value: float) -> str:
    return f"{value:.3g}"


def labels(searches: Sequence[Results]) -> list[str]:
    """Return names of searches that differ: by folder and strategy, else by the folder's path."""
    short = [search.label for search in searches]
    if len(set(short)) == len(short):
        return short
    return [
        f"{search.folder.resolve()} ({search.strategy})" if search.folder else search.label
        for search in searches
    ]


def records(search: Results, label: str) -> list[dict[str, Any]]:
    """Return the records of a search, in the order in which its training jobs ended."""
    lines = dict(zip((row.name for row in search.rows), results.records(search), strict=True))
    front = {row.name for row in search.pareto_front}
    best, winner = _best_so_far(search), search.best.name if search.candidates else None
    return [
        {
            SEARCH: label,
            ORDER: order,
            NAME: row.name,
            STATUS: row.status,
            FAILURE: row.failure[:MAX_FAILURE_CHARACTERS],
            ON_FRONT: row.name in front,
            IS_BEST: row.name == winner,
            BEST_SO_FAR: best[row.name],
            **_texts(search, lines[row.name]),
            **_objectives(search, row),
            **_hyperparameters(search, row),
        }
        for order, row in enumerate(_by_end(search), start=1)
    ]


def of_searches(searches: Sequence[Results]) -> list[dict[str, Any]]:
    """Return the records of all searches, with their regret and the objective's axis.

    The simple regret is how far the best so far is from the best of all searches.
    """
    found = [
        record
        for search, label in zip(searches, labels(searches), strict=True)
        for record in records(search, label)
    ]
    objective = searches[0].objectives[0]
    best = [record[BEST_SO_FAR] for record in found if record[BEST_SO_FAR] is not None]
    overall = (max if objective.maximize else min)(best, default=0.0)
    for record in found:
        value = record[BEST_SO_FAR]
        record[REGRET] = None if value is None else abs(value - overall)
    return _with_objective_position(found, objective.metric)


def _by_end(search: Results) -> list[Row]:
    numbered = sorted(
        enumerate(search.rows),
        key=lambda pair: (pair[1].ended is None, pair[1].ended, pair[0]),
    )
    return [row for _, row in numbered]


def _best_so_far(search: Results) -> dict[str, float | None]:
    """Best value of the first objective when each job had ended, by the job's name."""
    candidates = {row.name: losses[0] for row, losses in search.candidates}
    sign, best = search.objectives[0].sign, None
    found: dict[str, float | None] = {}
    for row in _by_end(search):
        loss = candidates.get(row.name)
        if loss is not None:
            best = loss if best is None else min(best, loss)
        found[row.name] = None if best is None else sign * best
    return found


def _texts(search: Results, line: dict[str, Any]) -> dict[str, str]:
    names = [entry.name for entry in search.space]
    names += [objective.metric for objective in search.objectives]
    return {text_field(name): _text(line.get(name)) for name in names}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _objectives(search: Results, row: Row) -> dict[str, float | None]:
    """Objectives of a job; None for one that does not count."""
    counts = row.name in {other.name for other, _ in search.evaluated}
    return {
        field(objective.metric): row.metrics.get(objective.metric) if counts else None
        for objective in search.objectives
    }


def _hyperparameters(search: Results, row: Row) -> dict[str, Any]:
    """Values of a job, and their positions between 0 and 1 on the declared scales."""
    found: dict[str, Any] = {}
    for entry in search.space:
        found[field(entry.name)] = _drawn(entry, row.values.get(entry.name))
        if entry.name in row.values:
            found[position_field(entry.name)] = entry.unit(row.values[entry.name])
    return found


def _drawn(entry: Range, value: Any) -> Any:
    """Return a value as its axis has it: of a reverse logarithm, the distance from 1."""
    reverse = isinstance(entry, NumericRange) and entry.scaling == REVERSE
    return 1 - value if reverse and value is not None else value


def _with_objective_position(found: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """Add the position of the objective between the least and the greatest that was seen."""
    values = [record[field(metric)] for record in found if record[field(metric)] is not None]
    for record in found:
        value = record[field(metric)]
        if value is not None:
            value = (value - min(values)) / ((max(values) - min(values)) or 1)
        record[position_field(metric)] = value
    return found
