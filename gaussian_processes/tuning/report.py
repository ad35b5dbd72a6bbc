"""What does a search look like?

One page of Vega charts with their JavaScript in it, and one picture of the same.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt

from gaussian_processes.errors import UserError
from gaussian_processes.tuning.backends import FAILED
from gaussian_processes.tuning.results import Results, records
from gaussian_processes.tuning.space import LOGARITHMIC, REVERSE, NumericRange, Range

HTML, PNG = "report.html", "report.png"
# Two charts of this width side by side fill a laptop's screen.
WIDTH, HEIGHT = 420, 240
# Pixels of the picture for each of the page's.
PICTURE_SCALE = 2
# A field's name in Vega may hold neither dots nor brackets nor colons; these hold none.
RUN, ORDER, BEST, STATUS, NAME, FAILED_FIELD, FRONT = (
    "run",
    "order",
    "best_so_far",
    "status",
    "name",
    "failed",
    "front",
)


def write(searches: Sequence[Results], folder: Path) -> list[Path]:
    """Write ``report.html`` and ``report.png``; return their paths.

    Parameters
    ----------
    searches : sequence of Results
        One, or several to compare, which have to be for the same objectives.

    Raises
    ------
    UserError
        If they are for different objectives, or none has a training job.
    """
    if len({one.objectives for one in searches}) > 1:
        raise UserError(
            "these searches are for different objectives, which can't share an axis; report them one by one"
        )
    if not any(one.rows for one in searches):
        raise UserError("there is no training job to show yet; run the search first")
    folder.mkdir(parents=True, exist_ok=True)
    page = chart(searches)
    page.save(folder / HTML, inline=True)
    page.save(folder / PNG, scale_factor=PICTURE_SCALE)
    return [folder / HTML, folder / PNG]


def chart(searches: Sequence[Results]) -> Any:
    """All charts; what is selected in one is selected in all."""
    with warnings.catch_warnings():
        # Several charts share one selection, which is what is wanted of it.
        warnings.filterwarnings("ignore", message="Automatically deduplicated selection parameter")
        return _charts(searches)


def _charts(searches: Sequence[Results]) -> Any:
    page = _Page(searches)
    points = [
        page.over_time(),
        page.density(),
        *map(page.against, page.ranges),
        *([page.pareto()] if page.several else []),
    ]
    by_search = alt.vconcat(*_pairs(points)).resolve_scale(color="shared")  # and so with one legend
    by_value = [*([page.heat_map()] if page.crossed else []), page.parallel_coordinates()]
    title = alt.TitleParams(
        " · ".join(one.name for one in searches),
        subtitle="Drag in a chart to select training jobs in all; click a name in the legend to see one search.",
        anchor="start",
    )
    return (
        alt.vconcat(by_search, *by_value, data=alt.InlineData(values=page.values), title=title)
        .resolve_scale(color="independent")
        .configure_view(stroke="#dddddd")
        .configure_axis(gridColor="#eeeeee")
    )


def _pairs(charts: Sequence[Any]) -> list[Any]:
    return [
        alt.hconcat(*charts[at : at + 2]).resolve_scale(color="shared")
        for at in range(0, len(charts), 2)
    ]


class _Page:
    """The charts of some searches, which share their rows and their selections."""

    def __init__(self, searches: Sequence[Results]) -> None:
        self.searches = searches
        self.objectives = searches[0].objectives
        # Hyperparameters that all have: only those can be compared.
        names = set.intersection(*({entry.name for entry in one.space} for one in searches))
        self.ranges = [entry for entry in searches[0].space if entry.name in names]
        self.values = [row for one in searches for row in _rows(one)]
        self.brush = alt.selection_interval(name="brush", encodings=["x"], resolve="intersect")
        self.legend = alt.selection_point(name="legend", fields=[RUN], bind="legend")

    @property
    def objective(self) -> str:
        return _field(self.objectives[0].metric)

    @property
    def _extent(self) -> list[float]:
        """Ends of the objective's density, a little beyond those of what was seen."""
        found = [row[self.objective] for row in self.values if row[self.objective] is not None] or [
            0.0
        ]
        beyond = 0.15 * (max(found) - min(found)) or 1.0
        return [min(found) - beyond, max(found) + beyond]

    @property
    def several(self) -> bool:
        """Whether there are several objectives."""
        return len(self.objectives) > 1

    @property
    def crossed(self) -> bool:
        """Whether there are two whole numbers, such as q and l, to cross in a table."""
        return len(self._whole) >= 2

    @property
    def _whole(self) -> list[Range]:
        whole: list[Range] = [
            entry for entry in self.ranges if isinstance(entry, NumericRange) and entry.whole
        ]
        return sorted(whole, key=lambda entry: {"q": 0, "l": 1}.get(entry.name, 2))[:2]

    def over_time(self) -> Any:
        """The objective of every job as they ended, the best so far, and where jobs failed."""
        # A drag begins within the chart's frame, so that the first and the last job have to stand away from it.
        scale = alt.Scale(zero=False, nice=False, padding=8)
        x = alt.X(
            ORDER,
            type="quantitative",
            title="training job",
            scale=scale,
            axis=alt.Axis(tickMinStep=1),
        )
        points = self._points(alt.Chart().mark_point(filled=True, size=60), x).add_params(
            self.brush, self.legend
        )
        best = (
            alt.Chart()
            .mark_line(interpolate="step-after", strokeDash=[4, 2])
            .encode(
                x=x,
                y=alt.Y(BEST, type="quantitative"),
                color=self._color,
                opacity=alt.condition(self.legend, alt.value(1), alt.value(0.1)),
            )
            .transform_filter(f"isValid(datum.{BEST})")
        )
        failed = (
            alt.Chart()
            .mark_point(shape="cross", angle=45, size=90, color="#d62728", filled=True)
            .encode(x=x, y=alt.value(HEIGHT - 6), tooltip=self._tooltip([FAILED_FIELD]))
            .transform_filter(f"datum.{STATUS} == '{FAILED}'")
        )
        # Names of the legend that all charts share answer to a click only if the first layer of the first chart brings it.
        return _sized(
            alt.layer(points, best, failed),
            "Over time: every training job, the best so far, and failures (×)",
        )

    def density(self) -> Any:
        """How often which objective came out."""
        drawn = (
            alt.Chart()
            .transform_filter(f"isValid(datum.{self.objective})")
            .transform_filter(self.brush & self.legend)
            .transform_density(
                self.objective, groupby=[RUN], as_=[self.objective, "density"], extent=self._extent
            )
            .mark_area(opacity=0.4)
            .encode(
                x=self._axis("x"),
                y=alt.Y("density", type="quantitative", stack=None),
                color=self._color,
            )
        )
        return _sized(drawn, "Density of the objective")

    def against(self, entry: Range) -> Any:
        """The objective against one hyperparameter, on its own scale."""
        name = _field(entry.name)
        if isinstance(entry, NumericRange):
            logarithmic = entry.scaling in (LOGARITHMIC, REVERSE)
            title = f"1 - {entry.name}" if entry.scaling == REVERSE else entry.name
            scale = (
                alt.Scale(type="log", padding=8, nice=False)
                if logarithmic
                else alt.Scale(zero=False, padding=8)
            )
            axis = (
                alt.Axis(tickMinStep=1)
                if entry.whole
                else alt.Axis(format="~e" if logarithmic else "~g", labelSeparation=6)
            )
            x = alt.X(name, type="quantitative", title=title, scale=scale, axis=axis)
        else:
            x = alt.X(
                name,
                type="nominal",
                title=entry.name,
                sort=list(entry.categories),
                axis=alt.Axis(labelAngle=0),
            )
        drawn = self._points(alt.Chart().mark_point(filled=True, size=60), x)
        return _sized(
            drawn.add_params(self.brush) if isinstance(entry, NumericRange) else drawn,
            f"Against {entry.name}",
        )

    def heat_map(self) -> Any:
        """The best objective of every pair of two whole numbers."""
        first, second = self._whole
        best = "max" if self.objectives[0].maximize else "min"
        axes = {
            "x": alt.X(
                _field(first.name), type="ordinal", title=first.name, axis=alt.Axis(labelAngle=0)
            ),
            "y": alt.Y(_field(second.name), type="ordinal", title=second.name, sort="descending"),
        }
        aggregate = (
            alt.Chart()
            .transform_filter(f"isValid(datum.{self.objective})")
            .transform_filter(self.legend)
            .transform_aggregate(
                value=f"{best}({self.objective})",
                jobs="count()",
                groupby=[_field(first.name), _field(second.name)],
            )
        )
        scale = alt.Scale(scheme="viridis", reverse=not self.objectives[0].maximize)
        color = alt.Color(
            "value", type="quantitative", scale=scale, title=self.objectives[0].metric
        )
        squares = aggregate.mark_rect(opacity=0.6).encode(
            **axes, color=color, tooltip=[alt.Tooltip("value", type="quantitative"), "jobs:Q"]
        )
        numbers = aggregate.mark_text(color="black").encode(
            **axes, text=alt.Text("value", type="quantitative", format=".4~g")
        )
        return _sized(
            alt.layer(squares, numbers), f"Best of {first.name} × {second.name}"
        ).resolve_scale(color="independent")

    def pareto(self) -> Any:
        """Two objectives against each other, with the jobs that no other is better than."""
        second = _field(self.objectives[1].metric)
        y = alt.Y(
            second,
            type="quantitative",
            title=self.objectives[1].metric,
            scale=alt.Scale(zero=False, padding=8),
        )
        seen = alt.Chart().transform_filter(
            f"isValid(datum.{self.objective}) && isValid(datum.{second})"
        )
        points = seen.mark_point(filled=True, size=60).encode(
            x=self._axis("x"),
            y=y,
            color=self._color,
            opacity=self._opacity,
            tooltip=self._tooltip([]),
        )
        front = (
            seen.transform_filter(f"datum.{FRONT}")
            .mark_line(interpolate="step-after", point=alt.OverlayMarkDef(shape="diamond", size=90))
            .encode(
                x=self._axis("x"),
                y=y,
                color=self._color,
                order=alt.Order(self.objective, type="quantitative"),
            )
        )
        return _sized(alt.layer(points, front), "Pareto front")

    def parallel_coordinates(self) -> Any:
        """A line for every job, through all its hyperparameters and its objective, each from its least to its greatest."""
        axes = [*(entry.name for entry in self.ranges), self.objectives[0].metric]
        color = alt.Color(
            self.objective,
            type="quantitative",
            title=self.objectives[0].metric,
            scale=alt.Scale(scheme="viridis", reverse=not self.objectives[0].maximize),
        )
        lines = (
            alt.Chart()
            .transform_filter(f"isValid(datum.{self.objective})")
            .transform_fold([_at(name) for name in axes], as_=["axis", "position"])
            .transform_calculate(axis="slice(datum.axis, 3)")
            .mark_line(strokeWidth=2)
            .encode(
                x=alt.X(
                    "axis",
                    type="nominal",
                    title=None,
                    sort=[_at(name)[3:] for name in axes],
                    axis=alt.Axis(labelAngle=0, grid=True),
                ),
                y=alt.Y(
                    "position",
                    type="quantitative",
                    title="from least to greatest",
                    axis=alt.Axis(labels=False, ticks=False),
                ),
                detail=[alt.Detail(NAME, type="nominal"), alt.Detail(RUN, type="nominal")],
                color=color,
                opacity=self._opacity,
                tooltip=self._tooltip([]),
            )
        )
        return _sized(lines, "Parallel coordinates", width=2 * WIDTH + 80).resolve_scale(
            color="independent"
        )

    def _points(self, marks: Any, x: Any) -> Any:
        return marks.encode(
            x=x,
            y=self._axis("y"),
            color=self._color,
            opacity=self._opacity,
            shape=self._shape,
            tooltip=self._tooltip([]),
        ).transform_filter(f"isValid(datum.{self.objective})")

    def _axis(self, which: str) -> Any:
        channel = alt.X if which == "x" else alt.Y
        return channel(
            self.objective,
            type="quantitative",
            title=self.objectives[0].metric,
            scale=alt.Scale(zero=False, padding=8),
        )

    @property
    def _color(self) -> Any:
        return alt.Color(RUN, type="nominal", title="search")

    @property
    def _shape(self) -> Any:
        domain = ["Completed", "Stopped", "InProgress", FAILED]
        return alt.Shape(
            STATUS,
            type="nominal",
            scale=alt.Scale(domain=domain, range=["circle", "triangle", "square", "cross"]),
        )

    @property
    def _opacity(self) -> Any:
        return alt.condition(self.brush & self.legend, alt.value(0.85), alt.value(0.08))

    def _tooltip(self, more: Sequence[str]) -> list[Any]:
        named = [NAME, STATUS, *more]
        numbers = [*(entry.name for entry in self.ranges), *(one.metric for one in self.objectives)]
        return [
            *(alt.Tooltip(name, type="nominal") for name in named),
            *(alt.Tooltip(_shown(name), type="nominal", title=name) for name in numbers),
        ]


def _sized(drawn: Any, title: str, width: int = WIDTH) -> Any:
    return drawn.properties(width=width, height=HEIGHT, title=title)


def _field(name: str) -> str:
    """Name that Vega's expressions can say."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _at(name: str) -> str:
    """Where a value stands between 0 and 1; an axis shows what follows the first three letters."""
    return f"at {name.translate(str.maketrans('.[]', '___'))}"


def _shown(name: str) -> str:
    return f"shown_{_field(name)}"


def _rows(search: Results) -> list[dict[str, Any]]:
    """One object for every training job, in the order in which they ended."""
    lines = records(search)
    order = sorted(
        range(len(lines)), key=lambda at: (search.rows[at].ended is None, search.rows[at].ended, at)
    )
    front = {row.name for row in search.pareto_front}
    first = search.objectives[0]
    judged = {row.name for row, _ in search.evaluated}
    candidates = {row.name: losses for row, losses in search.candidates}
    rows, best = [], None
    for position, at in enumerate(order, start=1):
        row, line = search.rows[at], lines[at]
        if row.name in candidates:
            loss = candidates[row.name][0]
            best = loss if best is None else min(best, loss)
        shown = [
            *(entry.name for entry in search.space),
            *(one.metric for one in search.objectives),
        ]
        rows.append(
            {
                RUN: search.name,
                ORDER: position,
                NAME: row.name,
                STATUS: row.status,
                FAILED_FIELD: row.failure[:200],
                FRONT: row.name in front,
                BEST: None if best is None else first.sign * best,
                **{_shown(name): _in_words(line.get(name)) for name in shown},
                **{
                    _field(one.metric): row.metrics.get(one.metric) if row.name in judged else None
                    for one in search.objectives
                },
                **{
                    _field(entry.name): _drawn(entry, row.values.get(entry.name))
                    for entry in search.space
                },
                **{
                    _at(entry.name): entry.unit(row.values[entry.name])
                    for entry in search.space
                    if entry.name in row.values
                },
            }
        )
    return _placed(rows, first.metric)


def _placed(rows: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """Rows with their objective between 0 and 1, for the parallel coordinates."""
    found = [row[_field(metric)] for row in rows if row[_field(metric)] is not None]
    for row in rows:
        value = row[_field(metric)]
        row[_at(metric)] = (
            None if value is None else (value - min(found)) / ((max(found) - min(found)) or 1)
        )
    return rows


def _drawn(entry: Range, value: Any) -> Any:
    """Value on an axis: of a reverse logarithm, the distance from 1, on a logarithmic one."""
    return (
        1 - value
        if isinstance(entry, NumericRange) and entry.scaling == REVERSE and value is not None
        else value
    )


def _in_words(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
