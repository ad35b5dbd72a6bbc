"""Summary and table of training jobs on the page of a report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gaussian_processes.tuning.results import Results, Row
from gaussian_processes.tuning.space import NumericRange

STAR = "★ "


@dataclass(frozen=True)
class Column:
    """Column of the table, and whether it is sorted as numbers."""

    name: str
    is_number: bool = False


@dataclass(frozen=True)
class Cell:
    """Cell of the table: its text, what it is sorted by, and where its link leads."""

    text: str
    value: object
    kind: str = ""
    link: str = ""


@dataclass(frozen=True)
class Table:
    """Columns, and rows of as many cells."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def summary(search: Results, label: str) -> str:
    """Summarize a search in a line: its training jobs by their status, its time, and its best."""
    statuses = [row.status for row in search.rows]
    counts = [f"{statuses.count(status)} {status.lower()}" for status in dict.fromkeys(statuses)]
    jobs = f"{len(statuses)} training job{'s' * (len(statuses) != 1)}"
    line = f"{label}: {jobs} ({', '.join(counts)}){_elapsed(search.rows)}; "
    if not search.candidates:
        return line + "none has given its objective"
    return line + search.best_sentence


def _elapsed(rows: Sequence[Row]) -> str:
    started = [row.started for row in rows if row.started]
    ended = [row.ended for row in rows if row.ended]
    if not started or not ended:
        return ""
    minutes, seconds = divmod(round((max(ended) - min(started)).total_seconds()), 60)
    return f" in {minutes} min {seconds} s" if minutes else f" in {seconds} s"


def of_searches(searches: Sequence[Results], labels: Sequence[str], folder: Path) -> Table:
    """Make the table of all searches' training jobs.

    Parameters
    ----------
    searches : sequence of Results
    labels : sequence of str
        Their names.
    folder : Path
        Where the page will be, which links to the folders of training jobs begin from.
    """
    objectives = [objective.metric for objective in searches[0].objectives]
    spaces = [entry for search in searches for entry in search.space]
    is_number = {entry.name: isinstance(entry, NumericRange) for entry in spaces}
    columns = [
        Column("search"),
        Column("training job"),
        Column("status"),
        *(Column(name, True) for name in objectives),
        *(Column(name, number) for name, number in is_number.items()),
        Column("seconds", True),
        Column("reason of failure"),
    ]
    rows = []
    for search, label in zip(searches, labels, strict=True):
        best = search.best if search.candidates else None
        for row in search.rows:
            star = STAR if row is best else ""
            name = Cell(star + row.name, row.name, link=_link(search, row, folder))
            status = Cell(row.status, row.status)
            metrics = [_number(row.metrics.get(metric)) for metric in objectives]
            values = [_value(row.values.get(own), number) for own, number in is_number.items()]
            rows.append([Cell(label, label), name, status, *metrics, *values, *_ending(row)])
    return Table(columns, rows)


def _ending(row: Row) -> list[Cell]:
    return [_number(row.seconds), Cell(row.failure, row.failure, "text")]


def _link(search: Results, row: Row, folder: Path) -> str:
    """Relative address of a training job's folder; empty if it is not on this machine."""
    if search.folder is None:
        return ""
    target = search.folder / "trials" / row.name
    if not target.is_dir():
        return ""
    return quote(Path(os.path.relpath(target.resolve(), folder.resolve())).as_posix()) + "/"


def _number(value: float | None) -> Cell:
    return Cell("", "", "number") if value is None else Cell(f"{value:.6g}", value, "number")


def _value(value: Any, is_number: bool) -> Cell:
    if is_number:
        return _number(value)
    return Cell("", "") if value is None else Cell(str(value), value)
