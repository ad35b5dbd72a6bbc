"""Charts of a report: each is a Vega-Lite chart over the records of `chart_data`."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from gaussian_processes.tuning import chart_data, importance
from gaussian_processes.tuning.backends import COMPLETED, FAILED, RUNNING, STOPPED
from gaussian_processes.tuning.chart_data import (
    BEST_SO_FAR,
    FAILURE,
    IS_BEST,
    NAME,
    ON_FRONT,
    ORDER,
    REGRET,
    SEARCH,
    STATUS,
    axis_label,
    field,
    position_field,
    text_field,
)
from gaussian_processes.tuning.results import Results
from gaussian_processes.tuning.space import LOGARITHMIC, REVERSE, NumericRange, Range

# Two charts of this width side by side fill a laptop's screen, one of the full width beneath them.
# The page replaces both by what its screen has room for.
WIDTH, HEIGHT, FULL_WIDTH = 420, 240, 921
# A filled × has no name in Vega.
CROSS = "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z"
STAR = (
    "M0,-1L.2245,-.309L.9511,-.309L.3633,.118L.5878,.809L0,.382L-.5878,.809L-.3633,.118"
    "L-.9511,-.309L-.2245,-.309Z"
)
SYMBOLS = {COMPLETED: "circle", STOPPED: "triangle", RUNNING: "square", FAILED: CROSS}
# What a page in dark mode replaces.
PAPER, RULE = "#ffffff", "#dddddd"
FAILED_COLOR, STAR_COLOR, STAR_EDGE = "#d62728", "#ffc400", "#5c4300"
# From bad to good: the good end stands out from white and from black alike.
BAD_TO_GOOD = ("#c8ccd2", "#3b8ecb", "#0067b3")
# The objective's density is drawn beyond what was seen, by this part of the spread.
DENSITY_MARGIN = 0.15
# A drag begins within the chart's frame: the first and the last job have to stand away from it.
PADDING = 8
# Of a declared range, at either end.
RANGE_MARGIN = 0.04
# Cells of a heat map in a row or column at most, and with numbers in them that don't collide.
MAX_CELLS, NUMBERED_CELLS = 24, 5
# Cells are seen through, so that numbers can be read on them; a star stands beside the number.
CELL_OPACITY, STAR_OFFSET = 0.5, -22
# Powers of ten from which on an axis needs no other ticks.
MIN_POWERS = 3
# Integers up to which each has a tick of its own.
MAX_TICKS = 12


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
        self.records = chart_data.of_searches(searches)
        self.importances = [
            {SEARCH: label, "hyperparameter": name, "importance": share}
            for search, label in zip(searches, self.labels, strict=True)
            for name, share in importance.importances(search).items()
            if name in shared
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
    def _integers(self) -> list[NumericRange]:
        integers = [
            entry
            for entry in self.ranges
            if isinstance(entry, NumericRange) and entry.integer and entry.size <= MAX_CELLS
        ]
        return sorted(integers, key=lambda entry: {"q": 0, "l": 1}.get(entry.name, 2))[:2]

    def over_time(self) -> Any:
        """Draw the objective of every job as they ended, the best so far, and the failures."""
        # The legend that all charts share answers to a click only if the first layer of the first
        # chart brings its selection.
        points = self._points(self._order).add_params(self._brush, self._legend)
        return _sized(
            alt.layer(
                points,
                self._best_line(self._order),
                self._failures(self._order),
                self._stars(x=self._order, y=self._objective_axis(alt.Y)),
            ),
            "Over time, with the best so far",
        )

    @property
    def _order(self) -> Any:
        return alt.X(
            ORDER,
            type="quantitative",
            title="training job",
            scale=alt.Scale(zero=False, nice=False, padding=PADDING),
            axis=alt.Axis(tickMinStep=1, format="d"),
        )

    def _stars(self, offset: float = 0, **encoding: Any) -> Any:
        """Mark the best training job of each search."""
        return (
            self._valid([self._objective])
            .transform_filter(f"datum.{IS_BEST}")
            .mark_point(
                shape=STAR,
                size=130,
                filled=True,
                color=STAR_COLOR,
                stroke=STAR_EDGE,
                strokeWidth=1,
                xOffset=offset,
                aria=False,  # the job's own point is read out
            )
            .encode(
                tooltip=self._tooltip([]),
                opacity=alt.condition(self._legend, alt.value(1), alt.value(0)),
                **encoding,
            )
        )

    def regret(self) -> Any:
        """Draw the simple regret of every search, side by side."""
        y = alt.Y(REGRET, type="quantitative", title=f"regret of {self._metric}")
        lines = self._best_line(self._order, y)
        return _sized(
            alt.layer(lines, self._stars(x=self._order, y=y)),
            "Regret of the best so far",
        )

    def importance(self) -> Any:
        """Draw the share of the objective's variance that each hyperparameter explains."""
        axis = alt.Axis(format="%", tickCount=5)
        drawn = (
            alt.Chart(alt.InlineData(values=self.importances))
            .transform_filter(self._legend)
            .mark_bar()
            .encode(
                x=alt.X("importance", type="quantitative", title="share of variance", axis=axis),
                y=alt.Y("hyperparameter", type="nominal", sort="-x", title=None),
                yOffset=alt.YOffset(SEARCH, type="nominal"),
                color=self._color,
                tooltip=[alt.Tooltip("importance", type="quantitative", format=".1%")],
            )
        )
        return _sized(drawn, "Importance (fANOVA)")

    def _best_line(self, x: Any, y: Any = None) -> Any:
        return (
            alt.Chart()
            .mark_line(interpolate="step-after", strokeDash=[4, 2])
            .encode(
                x=x,
                y=y or alt.Y(BEST_SO_FAR, type="quantitative"),
                color=self._color,
                opacity=alt.condition(self._legend, alt.value(1), alt.value(0.1)),
            )
            .transform_filter(f"isValid(datum.{BEST_SO_FAR})")
        )

    def _failures(self, x: Any) -> Any:
        return (
            alt.Chart()
            .mark_point(shape=CROSS, size=60, color=FAILED_COLOR, filled=True)
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
        stars = self._stars(x=self._objective_axis(alt.X), y=alt.value(HEIGHT - PADDING))
        return _sized(alt.layer(drawn, stars), "Density of the objective")

    @property
    def _density_extent(self) -> list[float]:
        found = [record[self._objective] for record in self.records]
        values = [value for value in found if value is not None] or [0.0]
        margin = DENSITY_MARGIN * (max(values) - min(values)) or 1.0
        least, greatest = chart_data.bounds(self._metric)
        return [max(min(values) - margin, least), min(max(values) + margin, greatest)]

    def against(self, entry: Range) -> Any:
        """Draw the objective against one hyperparameter, on its own scale."""
        axis = _value_axis(entry)
        points = self._points(axis)
        if isinstance(entry, NumericRange):
            points = points.add_params(self._brush)
        stars = self._stars(x=axis, y=self._objective_axis(alt.Y))
        return _sized(alt.layer(points, stars), f"Against {entry.name}")

    def heat_map(self) -> Any:
        """Draw the best objective of every pair of two integers, over their declared ranges."""
        first, second = self._integers
        best = self._best_of_pairs(field(first.name), field(second.name))
        columns, rows = _integers_of(first), _integers_of(second)[::-1]
        axes = {"x": _cells(alt.X, first, columns), "y": _cells(alt.Y, second, rows)}
        pairs = [{field(first.name): a, field(second.name): b} for a in columns for b in rows]
        cells = alt.Chart(alt.InlineData(values=pairs))
        layers = [
            cells.mark_rect(fill="transparent", stroke=RULE).encode(**axes),
            best.mark_rect(opacity=CELL_OPACITY).encode(
                **axes,
                color=self._bad_to_good("value", alt.Legend(gradientOpacity=CELL_OPACITY)),
                tooltip=[alt.Tooltip("value", type="quantitative"), "jobs:Q"],
            ),
        ]
        has_numbers = first.size <= NUMBERED_CELLS
        if has_numbers:
            number = alt.Text("value", type="quantitative", format=".4~g")
            layers.append(best.mark_text(color="black").encode(**axes, text=number))
        layers.append(self._stars(STAR_OFFSET * has_numbers, **axes))
        drawn = _sized(alt.layer(*layers), f"Best of {first.name} × {second.name}")
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
        return _sized(alt.layer(points, front, self._stars(x=x, y=y)), "Pareto front")

    def parallel_coordinates(self) -> Any:
        """Draw a line for every job through its hyperparameters and its objective."""
        names = [*(entry.name for entry in self.ranges), self._metric]
        x = _parallel_axes(names)
        y = alt.Y("position", type="quantitative", axis=None, scale=alt.Scale(domain=[0, 1]))
        lines = (
            self._folded(self._valid([self._objective]), names)
            .mark_line(strokeWidth=2)
            .encode(
                x=x,
                y=y,
                detail=[alt.Detail(NAME, type="nominal"), alt.Detail(SEARCH, type="nominal")],
                color=self._bad_to_good(self._objective),
                opacity=self._opacity,
                tooltip=self._tooltip([]),
            )
        )
        stars = self._folded(self._stars(x=x, y=y), names)
        values = self._axis_values(x, y)
        drawn = _sized(alt.layer(lines, *values, stars), "Parallel coordinates", width=FULL_WIDTH)
        return drawn.resolve_scale(color="independent")

    @staticmethod
    def _folded(chart: Any, names: Sequence[str]) -> Any:
        """Give a job a record for every axis."""
        fields = [position_field(name) for name in names]
        return chart.transform_fold(fields, as_=["axis", "position"]).transform_calculate(
            axis=f"slice(datum.axis, {len(chart_data.POSITION)})"
        )

    def _axis_values(self, x: Any, y: Any) -> list[Any]:
        """Values beside the axes of the parallel coordinates, on a halo that hides the lines."""
        marked = {entry.name: chart_data.axis_values(entry) for entry in self.ranges}
        marked[self._metric] = chart_data.objective_values(self.records, self._metric)
        values = [
            {"axis": axis_label(name), "position": position, "text": text}
            for name, found in marked.items()
            for position, text in found
        ]
        text = alt.Text("text", type="nominal")
        base = alt.Chart(alt.InlineData(values=values)).encode(x=x, y=y, text=text)
        mark: dict[str, Any] = {"align": "left", "baseline": "middle", "dx": 5, "limit": 80}
        halo = base.mark_text(**mark, stroke=PAPER, strokeWidth=7, color=PAPER, aria=False)
        return [halo, base.mark_text(**mark)]

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

    def _bad_to_good(self, name: str, legend: Any = alt.Undefined) -> Any:
        """Colour of an objective."""
        colors = list(BAD_TO_GOOD if self.objectives[0].maximize else BAD_TO_GOOD[::-1])
        scale = alt.Scale(range=colors, nice=False, zero=False)
        title = self._metric
        return alt.Color(name, type="quantitative", title=title, scale=scale, legend=legend)

    @property
    def _color(self) -> Any:
        # Names of folders are longer than Vega lets a label be.
        legend = alt.Legend(labelLimit=0, columns=1)
        domain = alt.Scale(domain=self.labels)
        return alt.Color(SEARCH, type="nominal", title="search", legend=legend, scale=domain)

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
    scale = alt.Scale(
        type="log" if logarithmic else "linear",
        domain=_domain(entry, logarithmic),
        nice=False,
        zero=False,
    )
    axis = _ticks(entry, logarithmic)
    return alt.X(name, type="quantitative", title=title, scale=scale, axis=axis)


def _ends(entry: NumericRange) -> list[float]:
    """Return the ends of the declared range as they are drawn."""
    if entry.scaling == REVERSE:
        return [1 - entry.max_value, 1 - entry.min_value]
    return [entry.min_value, entry.max_value]


def _domain(entry: NumericRange, logarithmic: bool) -> list[float]:
    """Return the declared range with a margin, because a drag begins within the chart's frame."""
    low, high = (math.log(end) if logarithmic else end for end in _ends(entry))
    margin = RANGE_MARGIN * (high - low)
    ends = [low - margin, high + margin]
    return [math.exp(end) for end in ends] if logarithmic else ends


def _ticks(entry: NumericRange, logarithmic: bool) -> Any:
    """Ticks of a hyperparameter: of integers at integers alone, of logarithms at powers of ten."""
    if entry.integer and entry.size <= MAX_TICKS:
        return alt.Axis(values=_integers_of(entry), format="d")
    if entry.integer:
        return alt.Axis(tickMinStep=1, format="d", labelOverlap=True)
    if not logarithmic:
        return alt.Axis(format="~g", labelOverlap=True)
    low, high = (math.log10(end) for end in _ends(entry))
    powers = [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]
    values = powers if len(powers) >= MIN_POWERS else alt.Undefined
    return alt.Axis(values=values, format="~e", labelSeparation=6, labelOverlap=True)


def _integers_of(entry: NumericRange) -> list[int]:
    return list(range(int(entry.min_value), int(entry.max_value) + 1))


def _cells(channel: Any, entry: NumericRange, values: list[int]) -> Any:
    """Axis of a heat map, with every value of the declared range."""
    scale, axis = alt.Scale(domain=values), alt.Axis(labelAngle=0, labelOverlap=True)
    return channel(field(entry.name), type="ordinal", title=entry.name, scale=scale, axis=axis)


def _parallel_axes(names: Sequence[str]) -> Any:
    # Names at a slant stay apart on a phone.
    axis = alt.Axis(labelAngle=-20, labelAlign="right", grid=True, labelLimit=0)
    order = [axis_label(name) for name in names]
    return alt.X("axis", type="nominal", title=None, sort=order, axis=axis)


def _sized(drawn: Any, title: str, width: int = WIDTH) -> Any:
    return drawn.properties(width=width, height=HEIGHT, title=title)
