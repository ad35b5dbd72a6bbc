"""Dates: their notations, the columns that hold them, and the features that they become."""

import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from example_tables import fitted, table
from hypothesis import given
from hypothesis import strategies as st

from gaussian_processes.data import dataset, dates, preprocessing
from gaussian_processes.data.preprocessing import PreprocessingOptions, Preprocessor
from gaussian_processes.errors import UserError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), st.integers(-900, 900))
def test_what_python_and_pandas_write_is_the_instant_in_days_since_1970(moment, minutes):
    moment = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    expected = pytest.approx((moment - EPOCH) / DAY, rel=1e-15, abs=1e-9)
    assert dates.parse_date(moment.isoformat()) == expected
    assert dates.parse_date(str(moment)) == expected


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2024-01-05", "2024-01-05"),
        (" 2024-1-5 ", "2024-01-05"),
        ("2024/01/05", "2024-01-05"),
        ("2024-01-05T08:30", "2024-01-05T08:30"),
        ("2024-01-05 8:30:00", "2024-01-05T08:30"),
        ("2024-01-05T08:30:00.000Z", "2024-01-05T08:30"),
        ("2024-01-05T01:30:00+02:00", "2024-01-04T23:30"),
        ("2024-01-05T23:00-0130", "2024-01-06T00:30"),
        ("2024-01-05 08:30:00 UTC", "2024-01-05T08:30"),
        ("0001-01-01", "0001-01-01"),
        ("9999-12-31T23:59-10", "10000-01-01T09:59"),
    ],
)
def test_a_date_has_its_year_first_and_may_have_a_time_and_a_zone(text, written):
    assert dates.format_date(dates.parse_date(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        *("2024-02-30", "2023-02-29", "0000-00-00", "2024-13-01", "2024-01-05T24:00"),
        *("2024-01-05T08:60", "01/05/2024", "05.01.2024", "20240105", "2024", "2024-01"),
        *("08:30", "2024-01/05", "", "NaT", "2024-01-05 Europe/Berlin", "2024-01-05T08"),
        *("٢٠٢٤-٠١-٠٥", "2024-01-05\0"),
    ],
)
def test_what_is_no_day_or_not_certainly_one_is_no_date(text):
    assert dates.parse_date(text) is None


def with_dates(cells, **changed):
    """Table whose third feature holds some cells, as often as need be."""
    rows = len(cells)
    a = np.random.default_rng(3).normal(size=rows).tolist()
    plain = {"y": a, "a": a, "kind": ["red", "blue"] * (rows // 2), "w": [1.0] * rows}
    return table(**{**plain, "when": cells, **changed})


DAYS = [str(day) for day in np.arange("2024-01-01", "2024-04-10", dtype="M8[D]")]


def test_a_column_of_dates_is_a_number_of_days_and_is_not_left_out():
    schema, data = fitted(with_dates(DAYS))

    (when,) = (column for column in schema.features if column.name == "when")
    assert when.is_date
    assert when.categories is None
    assert np.diff(data.X[:, 3]).tolist() == [1] * 99
    assert schema.remarks == ()
    assert fitted(with_dates(DAYS), categories="when")[0].features[3].category_count == 100


def test_a_gap_in_dates_is_imputed_beside_an_indicator():
    schema, data = fitted(with_dates([*DAYS[:-1], None]))

    assert np.isnan(data.X[-1, 3])
    assert data.X[:, 4].tolist() == [1] * 99 + [0]
    assert schema.column_label(4) == "column 4 (when), whether missing"


@pytest.mark.parametrize("cell", ["2024-02-30", "soon", "05.01.2024", "45000", "?"])
def test_a_cell_that_is_no_date_among_dates_is_refused_with_its_place(cell):
    where = f"row 100, column 5 (when) of train/a.csv is {cell!r}, but cells of that column are"

    with pytest.raises(UserError, match=re.escape(f"{where} dates (as 2024-01-01 in row 1")):
        fitted(with_dates([*DAYS[:-1], cell]))


def test_a_cell_that_is_no_date_is_refused_in_another_channel_too():
    schema, _ = fitted(with_dates(DAYS))
    other = with_dates(["2024-01-01", "1/2/2024"], name="validation/b.csv")

    with pytest.raises(UserError, match=r"row 2, column 5 \(when\) of validation/b\.csv is '1/2/"):
        dataset.from_table(other, schema)


@pytest.mark.parametrize(
    ("cells", "example", "kind"),
    [
        (["01/05/2024", "02/05/2024"] * 50, "01/05/2024", "words"),
        (["05.01.2024", "06.01.2024"] * 50, "05.01.2024", "words"),
        (["2024-01", "2024-02"] * 50, "2024-01", "words"),
        (["08:30", "9:45 pm"] * 50, "08:30", "words"),
        (["Jan 5, 2024", "6-Feb-2024"] * 50, "Jan 5, 2024", "words"),
        (["2024-01-05"] * 60 + ["soon"] * 40, "2024-01-05", "words"),
        ([float(f"202401{day:02}") for day in range(1, 26)] * 4, "20240101", "numbers"),
    ],
)
def test_what_may_be_dates_but_is_not_read_as_such_is_remarked_on(cells, example, kind):
    schema, _ = fitted(with_dates(cells))

    (remark,) = schema.remarks
    assert remark.startswith(
        f"column 5 (when) looks like dates or times, such as {example}, which are read as {kind}"
    )
    assert not schema.dates


@pytest.mark.parametrize("cells", [[1990.0 + year for year in range(20)] * 5, [19900101.5] * 100])
def test_years_and_other_numbers_are_numbers_without_a_remark(cells):
    schema, _ = fitted(with_dates(cells))

    assert schema.remarks == ()


@given(st.dates(datetime(1900, 1, 1).date(), datetime(2100, 1, 1).date()), st.integers(0, 23))
def test_phases_are_those_of_pandas(day, hour):
    moment = pd.Timestamp(day) + pd.Timedelta(hours=hour)
    days = np.array([(moment - pd.Timestamp(0)) / pd.Timedelta(days=1)])

    length = 366 if moment.is_leap_year else 365
    of_year = (moment.day_of_year - 1 + hour / 24) / length
    assert dates.phase("month", days)[0] == pytest.approx(of_year, abs=1e-9)
    assert dates.phase("weekday", days)[0] * 7 == pytest.approx(moment.weekday())
    assert dates.phase("hour", days)[0] * 24 == pytest.approx(hour, abs=1e-6)


@pytest.mark.parametrize(
    ("first", "last", "step", "expected"),
    [
        ("2024-01-01", "2024-01-12", "1D", []),
        ("2024-01-01", "2024-03-01", "1D", ["weekday"]),
        ("2020-01-01", "2024-03-01", "1D", ["month", "weekday"]),
        ("2020-01-06", "2024-03-01", "7D", ["month"]),
        ("2024-01-01", "2024-01-05", "1h", ["hour"]),
        ("2020-01-01", "2024-01-01", "5h", ["month", "weekday", "hour"]),
    ],
)
def test_a_period_is_a_feature_where_dates_span_two_of_it_at_different_places(
    first, last, step, expected
):
    moments = pd.date_range(first, last, freq=step)
    days = (moments - pd.Timestamp(0)) / pd.Timedelta(days=1)

    assert dates.periods(np.array([*days, np.nan])) == expected


def test_points_on_a_circle_are_as_far_apart_as_their_phases():
    days = np.array([float(dates.parse_date(day)) for day in ("2023-12-31", "2024-01-01")])
    years = np.arange(0, 2000.0)
    columns = np.column_stack([np.concatenate([years, days]), np.ones(2002)])
    preprocessor = preprocessing.fit(
        columns, np.arange(2002.0)[:, np.newaxis], [0, 0], PreprocessingOptions(), [0]
    )

    points = preprocessor.standardized(columns)[:, preprocessor.circle == "month, cos"]
    across = np.hypot(*np.diff(preprocessor.standardized(columns)[-2:, 1:3], axis=0)[0])

    assert preprocessor.circle.tolist() == ["", *dates.CIRCLE_COORDINATES[:4]]
    # Of the angle 2π/365, on a circle of radius √2: December lies beside January.
    assert across == pytest.approx(2 * np.sqrt(2) * np.sin(np.pi / 365), rel=1e-9)
    assert np.abs(points).max() == pytest.approx(np.sqrt(2), rel=1e-4)
    again = Preprocessor.from_json(preprocessor.to_json())
    np.testing.assert_array_equal(again.standardized(columns), preprocessor.standardized(columns))


def test_a_missing_date_is_the_center_of_every_circle():
    days = np.append(np.arange(1000.0), np.nan)[:, np.newaxis]
    preprocessor = preprocessing.fit(
        days, np.arange(1001.0)[:, np.newaxis], [0], PreprocessingOptions(), [0]
    )

    assert preprocessor.standardized(days)[-1, 1:].tolist() == [0, 0, 0, 0]
