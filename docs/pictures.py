"""Pictures of the pages: `python -m docs.pictures` draws them anew, with the extra `tuning`.

Light and dark pages show the same files: the ground is transparent, and every colour stands out
from white and from black. They are narrow, so that their letters are legible on a phone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import vl_convert
from numpy.typing import NDArray

from gaussian_processes import GaussianProcessRegressor
from gaussian_processes.gp.distributions import log_density
from gaussian_processes.gp.kernels import ArcCosine, Kernel
from gaussian_processes.gp.sphere import append_bias

Array = NDArray[np.float64]
Records = list[dict[str, Any]]

FOLDER = Path(__file__).parent / "pictures"
RESULTS = Path(__file__).parents[1] / "benchmarks/RESULTS.md"
GREY, BLUE = "#82868c", "#3b8ecb"
COLOURS = ["#3b8ecb", "#e8762c", "#3f9e57", "#b16bd0", "#c05a6a"]
# Ticks of logarithmic axes.
POWERS = [0.01, 0.1, 1, 10, 100]
# A panel of two in a row.
WIDTH, HEIGHT = 175, 130
COORDINATES = np.linspace(-3.0, 3.0, 101)


def kernels() -> Any:
    """Draw the arc-cosine kernels of four degrees and depths."""
    degrees = np.linspace(0.0, 180.0, 121)
    angles = np.column_stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    records: Records = []
    for l in range(4):  # noqa: E741  the literature's letter
        for q in range(4):
            values = ArcCosine(q, l)(angles, angles[:1])[:, 0]
            records += _records(angle=degrees, kernel=values, q=q, panel=f"l = {l}")
    lines = (
        _data(records).mark_line().encode(_x("angle", "angle, degrees"), _y("kernel"), _colour("q"))
    )
    return _panels(lines)


def prior() -> Any:
    """Draw functions from the priors of four degrees."""
    noise = np.random.default_rng(1).normal(size=(len(COORDINATES), 4))
    records: Records = []
    for q in range(4):
        covariance = _gram(ArcCosine(q, 1))
        values, vectors = np.linalg.eigh(covariance)
        draws = vectors @ (np.sqrt(np.maximum(values, 0))[:, np.newaxis] * noise)
        for number, draw in enumerate(draws.T):
            records += _records(x=COORDINATES, y=draw, function=number, panel=f"q = {q}")
    lines = _data(records).mark_line(strokeWidth=1.5)
    return _panels(lines.encode(_x("x"), _y("y"), _colour("function", legend=None)))


def fit() -> Any:
    """Draw a fit with its band."""
    x, y = _observations()
    model = GaussianProcessRegressor(q=2, l=1).fit(x[:, np.newaxis], y)
    return _fitted(model, "").properties(width=2 * WIDTH, height=1.5 * HEIGHT)


def effects() -> Any:
    """Draw the fits of the same observations with other hyperparameters."""
    settings: dict[str, Mapping[str, Any]] = {
        "noise = 0.0001": {"noise": 0.0001},
        "noise = 1": {"noise": 1.0},
        "bias = 0.1": {"bias": 0.1},
        "bias = 20": {"bias": 20.0},
        "q = 0": {"q": 0},
        "q = 3": {"q": 3},
        "kernel = arc_cosine_rbf": {"kernel": "arc_cosine_rbf"},
        "kernel = matern52": {"kernel": "matern52"},
    }
    x, y = _observations()
    charts = []
    for title, setting in settings.items():
        degrees = {} if setting.get("kernel") == "matern52" else {"q": 1, "l": 1}
        model = GaussianProcessRegressor(**{**degrees, **setting}).fit(x[:, np.newaxis], y)
        charts.append(_fitted(model, title))
    return alt.concat(*charts, columns=2)


def learning() -> Any:
    """Draw the error of new rows against the rows trained on, for three kernels (Friedman 1991)."""
    rng = np.random.default_rng(1)
    rows = rng.uniform(size=(2_400, 10))
    curve = 10 * np.sin(np.pi * rows[:, 0] * rows[:, 1]) + 20 * (rows[:, 2] - 0.5) ** 2
    clean = curve + 10 * rows[:, 3] + 5 * rows[:, 4]
    targets = clean + rng.normal(size=len(rows))
    settings = {
        "q = 0, l = 1": {"q": 0, "l": 1},
        "q = 1, l = 1": {"q": 1, "l": 1},
        "q = 1, l = 1, ard": {"q": 1, "l": 1, "ard": True},
    }
    records: Records = []
    for name, setting in settings.items():
        for count in (25, 50, 100, 200, 400, 800):
            model = GaussianProcessRegressor(**setting).fit(rows[:count], targets[:count])
            errors = model.predict(rows[1_600:]) - targets[1_600:]
            records.append({"rows": count, "RMSE": np.sqrt(np.mean(errors**2)), "model": name})
    noise = _data([{"RMSE": 1.0}]).mark_rule(color=GREY, strokeDash=[4, 3]).encode(y="RMSE:Q")
    lines = (
        _data(records)
        .mark_line(point=True)
        .encode(
            alt.X(
                "rows:Q",
                title="rows",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(values=[25, 100, 400, 800]),
            ),
            alt.Y("RMSE:Q", title="RMSE of new rows", scale=alt.Scale(domainMin=0)),
            _colour("model"),
        )
    )
    return alt.layer(noise, lines).properties(width=2 * WIDTH, height=1.5 * HEIGHT)


def scaling() -> Any:
    """Draw the seconds of a fit and its memory, from the table in benchmarks/RESULTS.md."""
    table = RESULTS.read_text().partition("## Scaling")[2].partition("## Mixed")[0]
    number = r"([\d.,]+)[^|]*\|"
    found = re.findall(rf"^\| {number} {number}[^|]*\|[^|]*\|[^|]*\| {number}", table, re.MULTILINE)
    records: Records = []
    for rows, seconds, gigabytes in found:
        count = int(rows.replace(",", ""))
        records.append({"rows": count, "value": float(seconds), "panel": "seconds"})
        records.append({"rows": count, "value": float(gigabytes), "panel": "memory, GB"})
    axis = alt.Axis(values=[1_000, 10_000, 50_000], format="~s")
    x = alt.X("rows:Q", scale=alt.Scale(type="log"), axis=axis)
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(type="log"),
        axis=alt.Axis(values=POWERS, format="~r"),
    )
    lines = _data(records).mark_line(point=True, color=BLUE).encode(x, y)
    return _panels(lines).resolve_scale(y="independent")


def blend() -> Any:
    """Draw the predictive densities of a blend and of its members, in a gap and beyond the rows."""
    x, y = _observations(np.sign, seed=7)
    model = GaussianProcessRegressor(q=[0, 3], l=[0, 2], ensemble="stack")
    model.fit(x[:, np.newaxis], y)
    records: Records = []
    for at, values in ((-0.3, np.linspace(-2, 1.5, 161)), (2.9, np.linspace(-0.5, 4.5, 161))):
        distribution = model.predict_distribution(np.full((len(values), 1), at))
        densities = {"blend": np.exp(distribution.log_density(values[:, np.newaxis]))}
        for number, degrees in enumerate(distribution.degrees_of_freedom):
            location, scale = distribution.locations[number], distribution.scales[number]
            density = np.exp(log_density(values[:, np.newaxis], location, scale, degrees))
            densities[f"member {number + 1}"] = density
        for name, density in densities.items():
            records += _records(y=values, density=density[:, 0], of=name, panel=f"x = {at}")
    width = alt.condition("datum.of == 'blend'", alt.value(3.5), alt.value(1.5))
    lines = _data(records).mark_line()
    lines = lines.encode(_x("y"), _y("density"), _colour("of", title=None), strokeWidth=width)
    return _panels(lines).resolve_scale(x="independent", y="independent")


def _wave(x: Array) -> Array:
    return np.sin(2.5 * x)


def _observations(curve: Callable[[Array], Array] = _wave, seed: int = 5) -> tuple[Array, Array]:
    """Return 24 noisy observations of a curve, with a gap between them."""
    rng = np.random.default_rng(seed)
    x = np.sort(np.concatenate([rng.uniform(-2.2, -0.6, 12), rng.uniform(0.2, 1.8, 12)]))
    return x, curve(x) + 0.6 * x + rng.normal(scale=0.15, size=len(x))


def _fitted(model: GaussianProcessRegressor, title: str) -> Any:
    """Draw a model of `_observations` with its interval of 95 per cent."""
    rows = COORDINATES[:, np.newaxis]
    low, high = model.predict_interval(rows, coverage=0.95).T
    curve = _data(_records(x=COORDINATES, y=model.predict(rows), low=low, high=high))
    x, y = _observations()
    band = curve.mark_area(color=BLUE, opacity=0.3, clip=True)
    scale = alt.Scale(domain=[-4, 4])
    axis = alt.Y("y:Q", title="y", scale=scale)
    layers = (
        band.encode(_x("x"), alt.Y("low:Q", title="y", scale=scale), y2="high:Q"),
        curve.mark_line(color=BLUE, clip=True).encode(_x("x"), axis),
        _data(_records(x=x, y=y))
        .mark_circle(color=COLOURS[1], size=22, opacity=1)
        .encode(_x("x"), axis),
    )
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title)


def _gram(kernel: Kernel) -> Array:
    points = append_bias(COORDINATES[:, np.newaxis], 1.0)
    return kernel(points, points)


def _records(**columns: Any) -> Records:
    """Return rows of columns, whose numbers and words stand in every row; four digits suffice."""
    length = max(np.size(column) for column in columns.values())
    wide = {name: np.broadcast_to(column, length).tolist() for name, column in columns.items()}
    return [dict(zip(wide, row, strict=True)) for row in zip(*wide.values(), strict=True)]


def _data(records: Sequence[Mapping[str, Any]]) -> Any:
    return alt.Chart(alt.Data(values=[dict(record) for record in records]))


def _x(name: str, title: str | None = None) -> Any:
    return alt.X(f"{name}:Q", title=title or name)


def _y(name: str) -> Any:
    return alt.Y(f"{name}:Q", title=name)


def _colour(name: str, **options: Any) -> Any:
    return alt.Color(f"{name}:N", scale=alt.Scale(range=COLOURS), **options)


def _panels(chart: Any) -> Any:
    """Repeat a chart for every value of the field `panel`, two in a row."""
    small = chart.properties(width=WIDTH, height=HEIGHT)
    return small.facet(facet=alt.Facet("panel:N", title=None, sort=None), columns=2)


def _svg(chart: Any) -> str:
    words = {"labelColor": GREY, "titleColor": GREY, "labelFontSize": 13, "titleFontSize": 13}
    spec = chart.configure(background="transparent", aria=False).configure_view(stroke=GREY)
    spec = spec.configure_axis(**words, domainColor=GREY, tickColor=GREY, grid=False, tickCount=5)
    spec = spec.configure_title(color=GREY, fontSize=13, fontWeight="normal")
    spec = spec.configure_legend(**words, orient="bottom", columns=4, columnPadding=20)
    spec = spec.configure_header(labelColor=GREY, labelFontSize=13)
    text: str = vl_convert.vegalite_to_svg(spec.to_dict())
    # Tenths of a pixel: the digits beyond are most of the file.
    return re.sub(r' (?:d|transform)="[^"]+"', _rounded, text) + "\n"


def _rounded(attribute: re.Match[str]) -> str:
    return re.sub(r"\d+\.\d{2,}", lambda digits: f"{float(digits[0]):.1f}", attribute[0])


PICTURES: tuple[Callable[[], Any], ...] = (
    kernels,
    prior,
    fit,
    effects,
    learning,
    scaling,
    blend,
)


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    for picture in PICTURES:
        (FOLDER / f"{picture.__name__}.svg").write_text(_svg(picture()))


if __name__ == "__main__":
    main()
