"""Report of searches: one page of Vega charts with their JavaScript, and one picture of it."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt

from gaussian_processes.errors import UserError
from gaussian_processes.tuning.charts import Charts
from gaussian_processes.tuning.results import Results

HTML, PNG = "report.html", "report.png"
# Pixels of the picture for each of the page's.
PICTURE_SCALE = 2


def write(searches: Sequence[Results], folder: Path) -> list[Path]:
    """Write ``report.html`` and ``report.png``; return their paths.

    Parameters
    ----------
    searches : sequence of Results
        One, or several to compare, which have to be for the same objectives.
    folder : Path

    Raises
    ------
    UserError
        If they are for different objectives, or none has a training job.
    """
    if len({search.objectives for search in searches}) > 1:
        raise UserError(
            "these searches are for different objectives, which can't share an axis; report them"
            " one by one"
        )
    if not any(search.rows for search in searches):
        raise UserError("there is no training job to show yet; run the search first")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = page(searches)
    drawn.save(folder / HTML, inline=True)
    drawn.save(folder / PNG, scale_factor=PICTURE_SCALE)
    return [folder / HTML, folder / PNG]


def page(searches: Sequence[Results]) -> Any:
    """Lay out all charts; what is selected in one is selected in all."""
    with warnings.catch_warnings():
        # Several charts share one selection, which is what is wanted of it.
        warnings.filterwarnings("ignore", message="Automatically deduplicated selection parameter")
        return _page(searches)


def _page(searches: Sequence[Results]) -> Any:
    charts = Charts(searches)
    by_search = [charts.over_time(), charts.density(), *map(charts.against, charts.ranges)]
    if charts.several_objectives:
        by_search.append(charts.pareto_front())
    by_value = [charts.parallel_coordinates()]
    if charts.has_heat_map:
        by_value.insert(0, charts.heat_map())
    # One scale of colours, and so one legend.
    colored = alt.vconcat(*_pairs(by_search)).resolve_scale(color="shared")
    return (
        alt.vconcat(
            colored,
            *by_value,
            data=alt.InlineData(values=charts.records),
            title=_title(charts.labels),
        )
        .resolve_scale(color="independent")
        .configure_view(stroke="#dddddd")
        .configure_axis(gridColor="#eeeeee")
    )


def _title(labels: Sequence[str]) -> Any:
    return alt.TitleParams(
        " · ".join(labels),
        subtitle="Drag in a chart to select training jobs in all; click a name in the legend to"
        " see one search.",
        anchor="start",
    )


def _pairs(charts: Sequence[Any]) -> list[Any]:
    """Rows of two charts."""
    return [
        alt.hconcat(*charts[at : at + 2]).resolve_scale(color="shared")
        for at in range(0, len(charts), 2)
    ]
