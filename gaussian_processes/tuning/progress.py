"""Progress of a search on a terminal or in a log."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from gaussian_processes.errors import UserError
from gaussian_processes.tuning.backends import FAILED, RUNNING
from gaussian_processes.tuning.results import Results, Row
from gaussian_processes.tuning.space import text


@dataclass
class Progress:
    """A line for every training job that has ended, and, on a terminal, a bar below them.

    The bar shows the time left; without a terminal, each line does.

    Parameters
    ----------
    jobs : float
        How many training jobs there will be at most.
    clock : callable
        Gives seconds.
    """

    jobs: float
    clock: Callable[[], float] = time.monotonic
    reported: set[str] = field(default_factory=set)
    bar: Any = None
    earlier: int = 0
    began: float = 0.0

    def __call__(self, results: Results, running: int) -> None:
        """Show what has changed."""
        if self.bar is None:
            self._begin(results)
        for row in results.rows:
            if row.status != RUNNING and row.name not in self.reported:
                self.reported.add(row.name)
                self.bar.write(line(results, row) + self._time_left(), file=sys.stderr)
                self.bar.update()
        failed = sum(row.status == FAILED for row in results.rows)
        self.bar.set_postfix_str(f"best {_best(results)}, {running} running, {failed} failed")

    def _begin(self, results: Results) -> None:
        # Jobs that an earlier run has ended are no measure of this one's speed.
        self.reported = {row.name for row in results.rows if row.status != RUNNING}
        self.earlier, self.began = len(self.reported), self.clock()
        self.bar = tqdm(
            total=int(self.jobs),
            initial=self.earlier,
            unit="job",
            disable=None,
            dynamic_ncols=True,
            leave=False,
        )

    def _time_left(self) -> str:
        """Return jobs done and time left, for a line where there is no bar."""
        if not self.bar.disable:
            return ""
        done = len(self.reported)
        seconds = (self.clock() - self.began) / (done - self.earlier) * (self.jobs - done)
        return f" [{done}/{self.jobs:g}, {tqdm.format_interval(seconds)} left]"

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()


def line(results: Results, row: Row) -> str:
    """Describe a training job that has ended, in one line."""
    values = " ".join(f"{name}={_short(value)}" for name, value in row.values.items())
    found = " ".join(
        f"{objective.metric}={row.metrics[objective.metric]:.6g}"
        for objective in results.objectives
        if objective.metric in row.metrics
    )
    reason = f" ({row.failure.splitlines()[0]})" if row.failure else ""
    return f"{row.name} {row.status}: {values} → {found or 'no objective'}{reason}"


def _short(value: int | float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else text(value)


def _best(results: Results) -> str:
    try:
        best = results.best
    except UserError:
        return "none yet"
    return " ".join(f"{best.metrics[objective.metric]:.6g}" for objective in results.objectives)
