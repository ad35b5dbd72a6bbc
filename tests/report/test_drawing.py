"""Charts as SVG: their marks are read from it and compared with the numbers."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from gaussian_processes.report import drawing

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart):
    return ElementTree.fromstring(drawing.svg(chart, "a title"))  # noqa: S314  drawn here


def groups(picture, role):
    """Groups of a role."""
    return [own for own in picture.iter(f"{SVG}g") if role in own.get("class", "").split()]


def marks(picture, role):
    """Paths of the marks of a kind, in the order of the records."""
    for group in picture.iter(f"{SVG}g"):
        if f"mark-{role} role-mark" in group.get("class", ""):
            yield [path for path in group if path.tag == f"{SVG}path"]


def corner_and_size(bar):
    """Left end and lengths of a bar, whose path is a rectangle."""
    numbers = map(float, re.findall(r"-?[\d.]+(?:e-?\d+)?", bar.get("d")))
    left, _, width, height, *_ = numbers
    return left, width, height


def test_a_bar_is_as_high_as_its_share_and_as_wide_as_its_powers_of_ten():
    starts, ends = [0.001, 0.01, 0.03], [0.01, 0.03, 1.0]
    shares = [0.5, 0.3, 0.2]
    columns = {"start": starts, "end": ends, "share": shares}
    records = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]

    (bars,) = marks(drawn(drawing.shares(records, "novelty", "rows", [0.001, 1.0])), "rect")

    lefts, widths, heights = np.array([corner_and_size(bar) for bar in bars]).T
    np.testing.assert_allclose(abs(heights) / abs(heights).sum(), shares, rtol=1e-6)
    decades = np.log10(ends) - np.log10(starts)
    np.testing.assert_allclose(widths / widths.sum(), decades / 3, atol=0.01)
    assert lefts.tolist() == sorted(lefts)


def test_a_prediction_has_a_point_at_its_place_and_an_interval():
    records = [
        {"mean": mean, "target": target, "lower": mean - 1, "upper": mean + 1}
        for mean, target in [(1.0, 2.0), (2.0, 4.0), (4.0, 3.0)]
    ]

    picture = drawn(drawing.predicted(records, "price"))

    (points,) = marks(picture, "symbol")
    places = np.array(
        [[float(n) for n in re.findall(r"-?[\d.]+", point.get("transform"))] for point in points]
    )
    across, down = places.T
    np.testing.assert_allclose(np.diff(across) / np.ptp(across), [1 / 3, 2 / 3], atol=1e-3)
    np.testing.assert_allclose(np.diff(down) / np.ptp(down), [-1, 0.5], atol=1e-3)
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"a title", "price", "predicted price"} <= set(words)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("kind", "values"), [("Q", [1.0, 2.0]), ("N", ["a", "b"]), ("T", ["2026-01-01", "2026-06-01"])]
)
def test_a_dependence_has_a_curve_an_output_of_any_kind_of_column(kind, values, several):
    outputs = ["first", "second"] if several else ["first"]
    records = [
        {"value": value, "output": output, "mean": place, "lower": place - 1, "upper": place + 1}
        for output in outputs
        for place, value in enumerate(values)
    ]

    picture = drawn(drawing.dependence(records, kind, "price", several))

    if kind == "N":
        (points,) = marks(picture, "symbol")
        assert len(points) == len(records)
    else:
        assert len([line for own in marks(picture, "line") for line in own]) == len(outputs)
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert (set(outputs) <= set(words)) == several


def test_long_names_that_begin_alike_stay_apart():
    names = [f"a_rather_long_column_name_{number}" for number in range(12)]
    records = [{"column": name, "relevance": 1.0} for name in names]

    picture = drawn(drawing.bars(records))

    labels = [text.text for text in picture.iter(f"{SVG}text") if "…" in text.text]
    assert len(set(labels)) == len(names)
    assert all(text.startswith("a_rather_…") for text in labels)


@pytest.mark.parametrize(("length", "lines"), [(3, 1), (12, 2), (40, 3)])
def test_a_legend_has_as_many_columns_as_its_names_have_room_for(length, lines):
    outputs = [letter * length for letter in "abc"]
    records = [
        {"value": value, "output": output, "mean": value, "lower": 0.0, "upper": 3.0}
        for output in outputs
        for value in (1.0, 2.0)
    ]

    picture = drawn(drawing.dependence(records, "Q", "price", True))

    (legend,) = groups(picture, "role-legend-entry")
    (entries,) = groups(legend, "role-scope")
    places = [entry.get("transform") for entry in entries]
    heights = {round(float(re.findall(r"[\d.]+", place)[1])) for place in places}
    assert len(places) == 3
    assert len(heights) == lines


def test_an_axis_writes_years_and_small_numbers_as_the_tables_do():
    records = [
        {"value": at, "output": "y", "mean": 1e-7, "lower": 0.0, "upper": 3e-7}
        for at in (2019.0, 2024.0)
    ]

    picture = drawn(drawing.dependence(records, "Q", "price", False))

    words = {text.text for text in picture.iter(f"{SVG}text")}
    assert "2020" in words
    assert not any("," in word or "0000" in word for word in words)


def test_a_confusion_matrix_writes_its_numbers():
    labels = ["no", "yes"]
    records = [
        {"class": a, "predicted": b, "rows": 10 * i + j, "share": 0.5}
        for i, a in enumerate(labels, start=1)
        for j, b in enumerate(labels, start=1)
    ]

    picture = drawn(drawing.confusion(records, labels))

    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"11", "12", "21", "22", "no", "yes"} <= set(words)
