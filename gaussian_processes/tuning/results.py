"""Results of a search: its training jobs, the best of them, and their table."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from gaussian_processes.errors import UserError
from gaussian_processes.tuning import jobfile
from gaussian_processes.tuning.backends import COMPLETED, STOPPED
from gaussian_processes.tuning.job import Objective, TuningJob
from gaussian_processes.tuning.space import Space, Value, text

JOB, TABLE = "job.json", "trials.csv"
# The columns of HyperparameterTuningJobAnalytics.dataframe(), after the hyperparameters, and then
# ours.
NAME, STATUS, FINAL = "TrainingJobName", "TrainingJobStatus", "FinalObjectiveValue"
STARTED, ENDED, SECONDS = "TrainingStartTime", "TrainingEndTime", "TrainingElapsedTimeSeconds"
FAILURE, MODEL = "FailureReason", "ModelArtifacts"
COLUMNS = (NAME, STATUS, FINAL, STARTED, ENDED, SECONDS, FAILURE, MODEL)


@dataclass(frozen=True)
class Row:
    """One training job of a search.

    Parameters
    ----------
    values : mapping
        The hyperparameters that were searched over.
    metrics : mapping of str to float
        The last value of each, the objectives among them.
    model : str
        A folder of this machine, or an S3 address.
    """

    values: Mapping[str, Value]
    name: str
    status: str
    metrics: Mapping[str, float]
    started: datetime | None = None
    ended: datetime | None = None
    failure: str = ""
    model: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it ran."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None


@dataclass(frozen=True)
class Results:
    """All training jobs of a search, in the order of their start, with its objectives and space.

    Parameters
    ----------
    name : str
        Of the tuning job.
    folder : Path, optional
        Where the search is; None if it is SageMaker's.
    """

    name: str
    objectives: tuple[Objective, ...]
    space: Space
    static: Mapping[str, str]
    rows: tuple[Row, ...]
    strategy: str = ""
    folder: Path | None = None

    @property
    def label(self) -> str:
        """Name of the search among others: its folder, or else its job, and its strategy."""
        name = self.folder.resolve().name if self.folder else self.name
        return f"{name} ({self.strategy})" if self.strategy else name

    def losses(self, row: Row) -> tuple[float, ...] | None:
        """Objectives of a job, signed so that less is better; None if it lacks one."""
        found = [
            objective.sign * row.metrics[objective.metric]
            for objective in self.objectives
            if objective.metric in row.metrics
        ]
        return tuple(found) if len(found) == len(self.objectives) else None

    @property
    def evaluated(self) -> list[tuple[Row, tuple[float, ...]]]:
        """Jobs with losses; one that failed does not count, whatever it printed before."""
        pairs = ((row, self.losses(row)) for row in self.rows if row.status in (COMPLETED, STOPPED))
        return [(row, losses) for row, losses in pairs if losses is not None]

    @property
    def candidates(self) -> list[tuple[Row, tuple[float, ...]]]:
        """Jobs that may be the best: those that completed; where none did, all that count.

        What a stopped one printed may be of a part of the rows.
        """
        return [
            (row, losses) for row, losses in self.evaluated if row.status == COMPLETED
        ] or self.evaluated

    @property
    def pareto_front(self) -> list[Row]:
        """Nondominated candidates; the best in the first objective comes first."""
        ranked = sorted(self.candidates, key=lambda pair: pair[1])
        return [
            row
            for row, losses in ranked
            if not any(_dominates(other, losses) for _, other in ranked)
        ]

    @property
    def best(self) -> Row:
        """The best job; of several objectives, the one of the front that is best in the first.

        Raises
        ------
        UserError
            If no job has given its objective.
        """
        if not self.candidates:
            raise UserError(
                f"no training job of {self.name} has given its objective; see the failures in its"
                " table"
            )
        return self.pareto_front[0]

    @property
    def best_sentence(self) -> str:
        """Objectives of the best job, its values, and its name."""
        values = " ".join(f"{name}={value}" for name, value in self.best.values.items())
        objectives = " ".join(
            f"{objective.metric}={self.best.metrics[objective.metric]:.6g}"
            for objective in self.objectives
        )
        return f"best {objectives} with {values} ({self.best.name})"

    def hyperparameters(self, row: Row) -> dict[str, str]:
        """All hyperparameters of a job, as its file has them."""
        return {**self.static, **{name: text(value) for name, value in row.values.items()}}


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def of_job(job: TuningJob, rows: Iterable[Row], folder: Path | None = None) -> Results:
    """Results of a job's rows."""
    return Results(
        job.name, job.objectives, job.space, job.static, tuple(rows), job.strategy, folder
    )


def records(results: Results) -> list[dict[str, Any]]:
    """Lines of the table, every one with all columns; None where there is nothing."""
    metrics = list(dict.fromkeys(name for row in results.rows for name in row.metrics))
    first = results.objectives[0].metric
    return [
        {
            **{entry.name: row.values.get(entry.name) for entry in results.space},
            NAME: row.name,
            STATUS: row.status,
            FINAL: row.metrics.get(first),
            STARTED: row.started,
            ENDED: row.ended,
            SECONDS: row.seconds,
            FAILURE: row.failure or None,
            MODEL: row.model or None,
            **{name: row.metrics.get(name) for name in metrics},
        }
        for row in results.rows
    ]


def write(results: Results, folder: Path) -> None:
    """Write the table, whole or not at all."""
    partial = folder / f"{TABLE}.partial"
    with partial.open("w", newline="") as file:
        print_table(results, file)
    partial.replace(folder / TABLE)


def print_table(results: Results, file: TextIO) -> None:
    """Write the table as CSV."""
    lines = records(results)
    columns = list(lines[0]) if lines else [*(entry.name for entry in results.space), *COLUMNS]
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)


def read(folder: Path) -> Results:
    """Results that a search left in its folder.

    Raises
    ------
    UserError
        If there is no search in it.
    """
    if not (folder / JOB).is_file() or not (folder / TABLE).is_file():
        raise UserError(
            f"{folder} holds no search: there is no {JOB} or no {TABLE} in it; name the folder of"
            " --out"
        )
    request = json.loads((folder / JOB).read_text())
    job = jobfile.check(request, folder, "process")
    with (folder / TABLE).open(newline="") as file:
        rows = [_row(line, job.space) for line in csv.DictReader(file)]
    return of_job(job, rows, folder)


def _row(line: Mapping[str, str], space: Space) -> Row:
    searched = {entry.name for entry in space}
    return Row(
        values={entry.name: entry.parse(line[entry.name]) for entry in space},
        name=line[NAME],
        status=line[STATUS],
        metrics={
            name: float(cell)
            for name, cell in line.items()
            if cell and name not in searched | set(COLUMNS)
        },
        started=_time(line[STARTED]),
        ended=_time(line[ENDED]),
        failure=line[FAILURE],
        model=line[MODEL],
    )


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else text(value)


def _time(cell: str) -> datetime | None:
    return datetime.fromisoformat(cell) if cell else None
