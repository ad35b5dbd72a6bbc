"""Charts of a model's report, each drawn by Vega as SVG that a page's style makes light or dark."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

# Pictures with their axes, of which a laptop shows four in a row and a phone one; plots without.
WIDTH, HEIGHT = 290, 180
BLUE, ORANGE = "#3b8ecb", "#e8762c"
# What stands out from white and from black alike.
GREY = "#8a9099"
# Names are cut in their middle, since those of many columns begin alike: this many characters stay,
# which take some 6 pixels each.
LABEL_CHARACTERS, CHARACTER_PIXELS = 19, 6
LABEL = (
    "length(datum.label) > {0} ? slice(datum.label, 0, {1}) + '…' + slice(datum.label, -{1})"
    " : datum.label"
).format(LABEL_CHARACTERS, LABEL_CHARACTERS // 2)
# The symbol of an entry of a legend and what stands between two; and the numbers of an axis, beside
# which the legend begins.
SYMBOL_PIXELS, AXIS_PIXELS = 24, 40
Records = Sequence[Mapping[str, Any]]


def svg(chart: Any, title: str) -> str:
    """Draw a chart as SVG."""
    spec = chart.properties(width=WIDTH, title=title, autosize="fit-x")
    # Names of every mark for screen readers would be four fifths of the page.
    # Numbers as the tables have them: neither 2,024 for a year nor eight zeros.
    spec = spec.configure(background="transparent", aria=False, numberFormat=".6~g")
    spec = spec.configure_view(stroke="#dddddd").configure_title(limit=WIDTH)
    limit = LABEL_CHARACTERS * CHARACTER_PIXELS
    spec = spec.configure_axis(titlePadding=8, labelLimit=limit)
    spec = spec.configure_axisX(
        tickCount=5, labelOverlap=True, labelSeparation=CHARACTER_PIXELS, titleLimit=WIDTH
    )
    spec = spec.configure_axisY(titleLimit=HEIGHT)
    text: str = vl_convert.vegalite_to_svg(spec.to_dict())
    return text


def predicted(records: Records, unit: str) -> Any:
    """Draw targets against predictions with their intervals, and the line where both agree."""
    ends = [record[name] for record in records for name in ("mean", "target")]
    line = [{"mean": at, "target": at} for at in (min(ends), max(ends))]
    x = _number("mean", alt.X, f"predicted {unit}")
    data = _chart(records)
    intervals = data.mark_rule(color=BLUE, opacity=0.25).encode(x=x, y="lower:Q", y2="upper:Q")
    points = data.mark_point(filled=True, size=14, color=BLUE, opacity=0.8).encode(
        x=x, y=_number("target", alt.Y, unit)
    )
    return alt.layer(intervals, points, _dashes(line, "mean", "target")).properties(height=HEIGHT)


def residuals(records: Records, unit: str) -> Any:
    """Draw residuals against predictions."""
    zero = _chart([{"residual": 0}]).mark_rule(color=GREY, strokeDash=[4, 3]).encode(y="residual:Q")
    points = _chart(records).mark_point(filled=True, size=14, color=BLUE, opacity=0.6)
    x = _number("mean", alt.X, f"predicted {unit}")
    y = _number("residual", alt.Y, "actual less predicted")
    return alt.layer(zero, points.encode(x=x, y=y)).properties(height=HEIGHT)


def histogram(records: Records, expected: Mapping[str, float]) -> Any:
    """Draw the histogram of the probability integral transform, and the band of a uniform one."""
    bars = (
        _chart(records)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("start:Q", title="probability integral transform"),
            x2="end:Q",
            y=alt.Y("rows:Q", title="rows"),
            y2=alt.datum(0),
        )
    )
    band = _chart([expected]).mark_rect(color=GREY, opacity=0.35).encode(y="low:Q", y2="high:Q")
    return alt.layer(bars, band).properties(height=HEIGHT)


def shares(records: Records, x: str, y: str, ticks: Sequence[float]) -> Any:
    """Draw which share of rows lies in each bin of a positive quantity, on a logarithmic axis."""
    scale = alt.Scale(type="log", nice=False)
    bars = _chart(records).mark_bar(color=BLUE)
    return bars.encode(
        x=alt.X("start:Q", title=x, scale=scale, axis=alt.Axis(values=ticks, format="~g")),
        x2="end:Q",
        y=alt.Y("share:Q", title=y, axis=alt.Axis(format="%", tickCount=5)),
        y2=alt.datum(0),
    ).properties(height=HEIGHT)


def diagonal(records: Records, x: str, y: str) -> Any:
    """Draw what was found against what was announced, with its 95 % interval."""
    axes = {
        "x": alt.X("announced:Q", title=x, axis=alt.Axis(format="%", tickCount=5)),
        "y": alt.Y("found:Q", title=y, axis=alt.Axis(format="%", tickCount=5)),
    }
    band = _chart(records).mark_area(color=BLUE, opacity=0.25)
    line = _chart(records).mark_line(color=BLUE, point={"color": BLUE, "size": 25})
    ideal = [{"announced": 0, "found": 0}, {"announced": 1, "found": 1}]
    return alt.layer(
        band.encode(x=axes["x"], y="low:Q", y2="high:Q"),
        line.encode(**axes),
        _dashes(ideal, "announced", "found"),
    ).properties(height=HEIGHT)


def confusion(records: Records, labels: Sequence[str]) -> Any:
    """Draw the confusion matrix: rows are the classes, columns what was predicted."""
    axis = alt.Axis(labelAngle=-60, labelOverlap=False, labelExpr=LABEL)
    base = _chart(records).encode(
        x=alt.X("predicted:N", sort=list(labels), title="predicted", axis=axis),
        y=alt.Y("class:N", sort=list(labels), title="class", axis=alt.Axis(labelExpr=LABEL)),
    )
    cells = base.mark_rect(color=BLUE).encode(
        opacity=alt.Opacity("share:Q", scale=alt.Scale(range=[0, 0.7]), legend=None)
    )
    return alt.layer(cells, base.mark_text().encode(text="rows:Q")).properties(height=HEIGHT)


def bars(records: Records) -> Any:
    """Draw the relevance of columns."""
    return (
        _chart(records)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("relevance:Q", title="relevance"),
            y=alt.Y("column:N", sort=None, title=None, axis=alt.Axis(labelExpr=LABEL)),
        )
        .properties(height=alt.Step(18))
    )


def dependence(records: Records, kind: str, title: str, several: bool) -> Any:
    """Draw the partial dependence on a column, with its band.

    Parameters
    ----------
    records : sequence of mappings
    kind : str
        Vega-Lite's type of the column: "N", "T" or "Q".
    title : str
        Of what is predicted.
    several : bool
        Whether it has several outputs.
    """
    color: Any = alt.Color("output:N", title=None, legend=_legend(records))
    if not several:
        color = alt.value(BLUE)
    y = _number("mean", alt.Y, title)
    data = _chart(records)
    if kind == "N":
        axis = alt.Axis(labelAngle=-30, labelOverlap=False, labelExpr=LABEL)
        x: Any = alt.X("value:N", title=None, sort=None, axis=axis)
        band = data.mark_rule(opacity=0.6).encode(x=x, y="lower:Q", y2="upper:Q", color=color)
        mean = data.mark_point(filled=True, size=40).encode(x=x, y=y, color=color)
    else:
        x = alt.X(f"value:{kind}", title=None, scale=alt.Scale(zero=False))
        if kind == "T":
            x = alt.X("value:T", title=None, scale=alt.Scale(type="utc"))
        band = data.mark_area(opacity=0.25).encode(x=x, y="lower:Q", y2="upper:Q", color=color)
        mean = data.mark_line().encode(x=x, y=y, color=color)
    return alt.layer(band, mean).properties(height=HEIGHT)


def _legend(records: Records) -> Any:
    """Make the legend of outputs, in as many columns as their names have room for."""
    longest = max(len(record["output"]) for record in records)
    width = min(longest, LABEL_CHARACTERS) * CHARACTER_PIXELS + SYMBOL_PIXELS
    columns = max((WIDTH - AXIS_PIXELS) // width, 1)
    return alt.Legend(orient="bottom", columns=columns, labelExpr=LABEL)


def curve(records: Records, metric: str) -> Any:
    """Draw a metric against the rows of training."""
    axis = alt.Axis(values=[record["rows"] for record in records], format=",")
    return (
        _chart(records)
        .mark_line(color=BLUE, point={"color": BLUE})
        .encode(
            x=alt.X("rows:Q", scale=alt.Scale(type="log", nice=False), axis=axis),
            y=_number("value", alt.Y, metric),
        )
        .properties(height=HEIGHT)
    )


def _chart(records: Records) -> Any:
    return alt.Chart(alt.InlineData(values=[dict(record) for record in records]))


def _number(name: str, channel: Any, title: str | None) -> Any:
    return channel(f"{name}:Q", title=title, scale=alt.Scale(zero=False))


def _dashes(records: Records, x: str, y: str) -> Any:
    line = _chart(records).mark_line(color=ORANGE, strokeDash=[4, 3], strokeWidth=1.5)
    return line.encode(x=f"{x}:Q", y=f"{y}:Q")
