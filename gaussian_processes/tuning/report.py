"""Report of searches: a page of a summary, Vega charts and a table, and a picture of the charts."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write
from gaussian_processes.report.page import render
from gaussian_processes.tuning import importance, trials_table
from gaussian_processes.tuning.charts import FULL_WIDTH, WIDTH, Charts
from gaussian_processes.tuning.results import Results

HTML, PNG = "report.html", "report.png"
# Pixels of the picture for each of the page's.
PICTURE_SCALE = 2

Specification = dict[str, Any]


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
    charts = Charts(searches)
    drawn = page(charts)
    text = _html(searches, charts, drawn, folder)
    atomic_write(folder / HTML, lambda path: path.write_text(text))
    picture = vl_convert.vegalite_to_png(drawn, scale=PICTURE_SCALE)
    atomic_write(folder / PNG, lambda path: path.write_bytes(picture))
    return [folder / HTML, folder / PNG]


def _html(searches: Sequence[Results], charts: Charts, drawn: Specification, folder: Path) -> str:
    table = trials_table.of_searches(searches, charts.labels, folder)
    pairs = zip(searches, charts.labels, strict=True)
    notes = []
    if not charts.importances:
        notes.append(
            f"Importance is drawn from {importance.MIN_JOBS} training jobs on whose objectives"
            " differ."
        )
    return render(
        "tuning/report.html",
        title=_heading(charts.labels),
        summary=[trials_table.summary(search, label) for search, label in pairs],
        notes=notes,
        columns=table.columns,
        rows=table.rows,
        libraries=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
        charts=drawn,
        widths=[WIDTH, FULL_WIDTH],
    )


def page(charts: Charts) -> Specification:
    """Lay out all charts, as Vega-Lite; what is selected in one is selected in all."""
    with warnings.catch_warnings():
        # Several charts share one selection, which is what is wanted of it.
        warnings.filterwarnings("ignore", message="Automatically deduplicated selection parameter")
        drawn: Specification = _page(charts).to_dict()
    # Altair would copy the records for every chart on the way.
    return {**drawn, "data": {"values": charts.records}}


def _page(charts: Charts) -> Any:
    by_search = [charts.over_time(), charts.density(), *map(charts.against, charts.ranges)]
    if charts.several_objectives:
        by_search.append(charts.pareto_front())
    if len(charts.labels) > 1:
        by_search.append(charts.regret())
    if charts.importances:
        by_search.append(charts.importance())
    by_value = [charts.parallel_coordinates()]
    if charts.has_heat_map:
        by_value.insert(0, charts.heat_map())
    # One scale of colours, and so one legend.
    colored = alt.concat(*by_search, columns=2).resolve_scale(color="shared")
    return (
        alt.vconcat(
            colored,
            *by_value,
            data=alt.NamedData(name="jobs"),
            title=alt.TitleParams(_title(charts.labels), anchor="start"),
        )
        .resolve_scale(color="independent")
        .configure_view(stroke="#dddddd")
        .configure_axis(gridColor="#eeeeee")
        .configure_legend(orient="top")
    )


def _heading(labels: Sequence[str]) -> str:
    return f"{len(labels)} searches compared" if len(labels) > 1 else labels[0]


def _title(labels: Sequence[str]) -> str:
    return " · ".join(labels)
