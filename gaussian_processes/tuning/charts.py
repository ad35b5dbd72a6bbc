"""Charts of a report: each is a Vega-Lite chart over the records of `chart_data`."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from gaussian_processes.tuning import chart_data
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, STOPPED
from gaussian_processes.tuning.chart_data import (
    BEST_SO_FAR,
    FAILURE,
    NAME,
    ON_FRONT,
    ORDER,
    SEARCH,
    STATUS,
    axis_label,
    field,
    position_field,
    text_field,
)
from gaussian_processes.tuning.results import Results
from gaussian_processes.tuning.space import LOGARITHMIC, REVERSE, NumericRange, Range

# Two charts of this width side by side fill a laptop's screen.
WIDTH, HEIGHT = 420, 240
SYMBOLS = {COMPLETED: "circle", STOPPED: "triangle", RUNNING: "square", FAILED: "cross"}
# The objective's density is drawn beyond what was seen, by this part of the spread.
DENSITY_MARGIN = 0.15
# A drag begins within the chart's frame: the first and the last job have to stand away from it.
PADDING = 8


class Charts:
    """Charts of some searches, which share their records and their selections.

    Parameters
    ----------
    searches : sequence of Results
        All for the same objectives.

    Attributes
    ----------
    ranges : list of Range
        Of the hyperparameters that all searches tune: only those can be compared.
    labels : list of str
        Names of the searches in the legend.
    records : list of dict
    """

    def __init__(self, searches: Sequence[Results]) -> None:
        self.objectives = searches[0].objectives
        shared = set.intersection(*({entry.name for entry in search.space} for search in searches))
        self.ranges = [entry for entry in searches[0].space if entry.name in shared]
        self.labels = chart_data.labels(searches)
        self.records = [
            record
            for search, label in zip(searches, self.labels, strict=True)
            for record in chart_data.records(search, label)
        ]
        self._metric = self.objectives[0].metric
        self._objective = field(self._metric)
        self._brush = alt.selection_interval(name="brush", encodings=["x"], resolve="intersect")
        self._legend = alt.selection_point(name="legend", fields=[SEARCH], bind="legend")

    @property
    def several_objectives(self) -> bool:
        """Whether there is a Pareto front to draw."""
        return len(self.objectives) > 1

    @property
    def has_heat_map(self) -> bool:
        """Whether there are two integers, such as q and l, to cross in a table."""
        return len(self._integers) >= 2

    @property
    def _integers(self) -> list[Range]:
        integers: list[Range] = [
            entry for entry in self.ranges if isinstance(entry, NumericRange) and entry.integer
        ]
        return sorted(integers, key=lambda entry: {"q": 0, "l": 1}.get(entry.name, 2))[:2]

    def over_time(self) -> Any:
        """Draw the objective of every job as they ended, the best so far, and the failures."""
        x = alt.X(
            ORDER,
            type="quantitative",
            title="training job",
            scale=alt.Scale(zero=False, nice=False, padding=PADDING),
            axis=alt.Axis(tickMinStep=1),
        )
        # The legend that all charts share answers to a click only if the first layer of the first
        # chart brings its selection.
        points = self._points(x).add_params(self._brush, self._legend)
        return _sized(
            alt.layer(points, self._best_line(x), self._failures(x)),
            "Over time: every training job, the best so far, and failures (×)",
        )

    def _best_line(self, x: Any) -> Any:
        return (
            alt.Chart()
            .mark_line(interpolate="step-after", strokeDash=[4, 2])
            .encode(
                x=x,
                y=alt.Y(BEST_SO_FAR, type="quantitative"),
                color=self._color,
                opacity=alt.condition(self._legend, alt.value(1), alt.value(0.1)),
            )
            .transform_filter(f"isValid(datum.{BEST_SO_FAR})")
        )

    def _failures(self, x: Any) -> Any:
        return (
            alt.Chart()
            .mark_point(shape="cross", angle=45, size=90, color="#d62728", filled=True)
            .encode(x=x, y=alt.value(HEIGHT - 6), tooltip=self._tooltip([FAILURE]))
            .transform_filter(f"datum.{STATUS} == '{FAILED}'")
        )

    def density(self) -> Any:
        """Draw the density of the objective."""
        drawn = (
            self._valid([self._objective])
            .transform_filter(self._brush & self._legend)
            .transform_density(
                self._objective,
                groupby=[SEARCH],
                as_=[self._objective, "density"],
                extent=self._density_extent,
            )
            .mark_area(opacity=0.4)
            .encode(
                x=self._objective_axis(alt.X),
                y=alt.Y("density", type="quantitative", stack=None),
                color=self._color,
            )
        )
        return _sized(drawn, "Density of the objective")

    @property
    def _density_extent(self) -> list[float]:
        found = [record[self._objective] for record in self.records]
        values = [value for value in found if value is not None] or [0.0]
        margin = DENSITY_MARGIN * (max(values) - min(values)) or 1.0
        return [min(values) - margin, max(values) + margin]

    def against(self, entry: Range) -> Any:
        """Draw the objective against one hyperparameter, on its own scale."""
        points = self._points(_value_axis(entry))
        if isinstance(entry, NumericRange):
            points = points.add_params(self._brush)
        return _sized(points, f"Against {entry.name}")

    def heat_map(self) -> Any:
        """Draw the best objective of every pair of two integers."""
        first, second = self._integers
        best = self._best_of_pairs(field(first.name), field(second.name))
        label = alt.Axis(labelAngle=0)
        axes = {
            "x": alt.X(field(first.name), type="ordinal", title=first.name, axis=label),
            "y": alt.Y(field(second.name), type="ordinal", title=second.name, sort="descending"),
        }
        squares = best.mark_rect(opacity=0.6).encode(
            **axes,
            color=self._good_to_bad("value"),
            tooltip=[alt.Tooltip("value", type="quantitative"), "jobs:Q"],
        )
        number = alt.Text("value", type="quantitative", format=".4~g")
        numbers = best.mark_text(color="black").encode(**axes, text=number)
        drawn = _sized(alt.layer(squares, numbers), f"Best of {first.name} × {second.name}")
        return drawn.resolve_scale(color="independent")

    def _best_of_pairs(self, first: str, second: str) -> Any:
        best = "max" if self.objectives[0].maximize else "min"
        return (
            self._valid([self._objective])
            .transform_filter(self._legend)
            .transform_aggregate(
                value=f"{best}({self._objective})", jobs="count()", groupby=[first, second]
            )
        )

    def pareto_front(self) -> Any:
        """Draw two objectives against each other, with the Pareto front."""
        metric = self.objectives[1].metric
        scale = alt.Scale(zero=False, padding=PADDING)
        y = alt.Y(field(metric), type="quantitative", title=metric, scale=scale)
        x, valid = self._objective_axis(alt.X), self._valid([self._objective, field(metric)])
        points = valid.mark_point(filled=True, size=60).encode(
            x=x, y=y, color=self._color, opacity=self._opacity, tooltip=self._tooltip([])
        )
        order = alt.Order(self._objective, type="quantitative")
        diamonds = alt.OverlayMarkDef(shape="diamond", size=90)
        front = (
            valid.transform_filter(f"datum.{ON_FRONT}")
            .mark_line(interpolate="step-after", point=diamonds)
            .encode(x=x, y=y, color=self._color, order=order)
        )
        return _sized(alt.layer(points, front), "Pareto front")

    def parallel_coordinates(self) -> Any:
        """Draw a line for every job through its hyperparameters and its objective."""
        names = [*(entry.name for entry in self.ranges), self._metric]
        lines = (
            self._valid([self._objective])
            .transform_fold([position_field(name) for name in names], as_=["axis", "position"])
            .transform_calculate(axis=f"slice(datum.axis, {len(chart_data.POSITION)})")
            .mark_line(strokeWidth=2)
            .encode(
                x=_parallel_axes(names),
                y=alt.Y(
                    "position",
                    type="quantitative",
                    title="from least to greatest",
                    axis=alt.Axis(labels=False, ticks=False),
                ),
                detail=[alt.Detail(NAME, type="nominal"), alt.Detail(SEARCH, type="nominal")],
                color=self._good_to_bad(self._objective),
                opacity=self._opacity,
                tooltip=self._tooltip([]),
            )
        )
        drawn = _sized(lines, "Parallel coordinates", width=2 * WIDTH + 80)
        return drawn.resolve_scale(color="independent")

    def _points(self, x: Any) -> Any:
        return (
            self._valid([self._objective])
            .mark_point(filled=True, size=60)
            .encode(
                x=x,
                y=self._objective_axis(alt.Y),
                color=self._color,
                opacity=self._opacity,
                shape=self._shape,
                tooltip=self._tooltip([]),
            )
        )

    @staticmethod
    def _valid(fields: Sequence[str]) -> Any:
        """Jobs that have a value in some fields."""
        condition = " && ".join(f"isValid(datum.{name})" for name in fields)
        return alt.Chart().transform_filter(condition)

    def _objective_axis(self, channel: Any) -> Any:
        scale = alt.Scale(zero=False, padding=PADDING)
        return channel(self._objective, type="quantitative", title=self._metric, scale=scale)

    def _good_to_bad(self, name: str) -> Any:
        scale = alt.Scale(scheme="viridis", reverse=not self.objectives[0].maximize)
        return alt.Color(name, type="quantitative", title=self._metric, scale=scale)

    @property
    def _color(self) -> Any:
        # Names of folders are longer than Vega lets a label be.
        legend = alt.Legend(labelLimit=0)
        return alt.Color(SEARCH, type="nominal", title="search", legend=legend)

    @property
    def _shape(self) -> Any:
        scale = alt.Scale(domain=list(SYMBOLS), range=list(SYMBOLS.values()))
        return alt.Shape(STATUS, type="nominal", scale=scale)

    @property
    def _opacity(self) -> Any:
        return alt.condition(self._brush & self._legend, alt.value(0.85), alt.value(0.08))

    def _tooltip(self, more: Sequence[str]) -> list[Any]:
        numbers = [
            *(entry.name for entry in self.ranges),
            *(objective.metric for objective in self.objectives),
        ]
        return [
            *(alt.Tooltip(name, type="nominal") for name in (NAME, STATUS, *more)),
            *(alt.Tooltip(text_field(name), type="nominal", title=name) for name in numbers),
        ]


def _value_axis(entry: Range) -> Any:
    """Axis of a hyperparameter, on its declared scale."""
    name = field(entry.name)
    if not isinstance(entry, NumericRange):
        order, label = list(entry.categories), alt.Axis(labelAngle=0)
        return alt.X(name, type="nominal", title=entry.name, sort=order, axis=label)
    logarithmic = entry.scaling in (LOGARITHMIC, REVERSE)
    title = f"1 - {entry.name}" if entry.scaling == REVERSE else entry.name
    if logarithmic:
        scale = alt.Scale(type="log", padding=PADDING, nice=False)
    else:
        scale = alt.Scale(zero=False, padding=PADDING)
    if entry.integer:
        axis = alt.Axis(tickMinStep=1)
    else:
        axis = alt.Axis(format="~e" if logarithmic else "~g", labelSeparation=6)
    return alt.X(name, type="quantitative", title=title, scale=scale, axis=axis)


def _parallel_axes(names: Sequence[str]) -> Any:
    order, axis = [axis_label(name) for name in names], alt.Axis(labelAngle=0, grid=True)
    return alt.X("axis", type="nominal", title=None, sort=order, axis=axis)


def _sized(drawn: Any, title: str, width: int = WIDTH) -> Any:
    return drawn.properties(width=width, height=HEIGHT, title=title)
