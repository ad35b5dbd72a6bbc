"""Dates: cells of days and times as numbers of days, and their periods as points on circles.

Training's readers and serving's decoders share `parse_date`, so that a date means the same in a
file and in a request.
"""

import re
from collections.abc import Collection
from datetime import date

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Year, month and day of ISO 8601, also with slashes or without leading zeros, since no one writes
# the year first and the day second. A time may follow, and a zone the time.
DATE = re.compile(
    r"(?P<year>\d{4})(?P<mark>[-/])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})"
    r"([T ](?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2}([.,]\d{1,9})?))?"
    r" ?(?P<zone>Z|UTC|[+-]\d{2}(:?\d{2})?)?)?",
    re.ASCII | re.IGNORECASE,
)
# What a person may have meant for a date or a time, though which is not certain: 01/05/2024 is in
# January in one country and in May in another, and 8:30 may be an hour or a duration.
MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
LIKELY_DATE = re.compile(
    r"\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})( .{0,20})?|\d{4}[-/]\d{1,2}|\d{1,2}:\d{2}(:\d{2})?"
    rf"( ?[ap]m)?|\d{{1,2}}[ -]({MONTHS})[a-z]{{0,6}}[ -]\d{{2,4}}( .{{0,20}})?"
    rf"|({MONTHS})[a-z]{{0,6}}[ -](\d{{1,2}},? )?\d{{2,4}}",
    re.ASCII | re.IGNORECASE,
)
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
MINUTES_PER_DAY, SECONDS_PER_DAY = 24 * 60, 24 * 60 * 60
# Days that are written as whole numbers, such as 20240105, of the years that most data are of:
# any eight digits would do otherwise.
COMPACT_DATE = re.compile(r"(?:19|20)\d{6}", re.ASCII)
# Periods of a date, and their days: the place in the year, the day of the week, the hour.
PERIOD_DAYS = {"month": 365.25, "weekday": 7.0, "hour": 1.0}
# Periods that training must span at least for one to be a feature: what comes back can't be told
# from a trend before it has come back.
MIN_PERIODS = 2
# Coordinates of a period's circle; December lies beside January on it, and Sunday beside Monday.
CIRCLE_COORDINATES = tuple(
    f"{period}, {function}" for period in PERIOD_DAYS for function in ("cos", "sin")
)
# 1970-01-01 was a Thursday, three days after a Monday.
EPOCH_WEEKDAY = 3
# What messages show as an example of a date.
DATE_EXAMPLE = "2024-01-31 or 2024-01-31T08:30"


def parse_date(text: str) -> float | None:
    """Parse a date, with or without a time: its days since 1970, or None if it is no date.

    A time with a zone is converted to UTC; one without is taken for UTC.

    Examples
    --------
    >>> parse_date("1970-01-02"), parse_date("1970-01-02T18:00+06:00"), parse_date("1970-02-30")
    (1.0, 1.5, None)
    """
    found = DATE.fullmatch(text.strip())
    if found is None:
        return None
    try:
        day = date(*(int(found[name]) for name in ("year", "month", "day")))
    except ValueError:
        return None
    seconds = _seconds(found)
    return None if seconds is None else day.toordinal() - EPOCH_ORDINAL + seconds / SECONDS_PER_DAY


def _seconds(found: re.Match[str]) -> float | None:
    """Seconds since midnight in UTC; None if there is no such time."""
    hour, minute = int(found["hour"] or 0), int(found["minute"] or 0)
    second = float((found["second"] or "0").replace(",", "."))
    if hour >= 24 or minute >= 60 or second >= 60:
        return None
    zone = (found["zone"] or "").upper()
    if zone in {"", "Z", "UTC"}:
        return 3600 * hour + 60 * minute + second
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = 3600 * int(digits[:2]) + 60 * int(digits[2:])
    return 3600 * hour + 60 * minute + second - (offset if zone[0] == "+" else -offset)


def parse_dates(cells: Collection[object]) -> Array:
    """Days since 1970 of each cell, of shape (n,): NaN where it is no date."""
    found: dict[object, float | None] = {}
    for cell in cells:
        if cell not in found:
            found[cell] = parse_date(cell) if isinstance(cell, str) else None
    return np.array([found[cell] for cell in cells], np.float64)


def format_date(days: float) -> str:
    """Format days since 1970 as a date, with the time where it is not midnight.

    Examples
    --------
    >>> format_date(0.0), format_date(1.5)
    ('1970-01-01', '1970-01-02T12:00')
    """
    return str(np.datetime64(round(days * MINUTES_PER_DAY), "m")).removesuffix("T00:00")


def phase(period: str, days: Array) -> Array:
    """Position of dates in a period, from 0 to 1: NaN where there is none.

    Months go evenly by the days of their year, weekdays by whole days from Monday.
    """
    if period == "hour":
        return days % 1
    if period == "weekday":
        weekday: Array = (np.floor(days) + EPOCH_WEEKDAY) % 7 / 7
        return weekday
    present = np.where(np.isnan(days), 0.0, days)
    year = np.floor(present).astype("datetime64[D]").astype("datetime64[Y]")
    start, end = (edge.astype("datetime64[D]").astype(np.float64) for edge in (year, year + 1))
    position: Array = np.where(np.isnan(days), np.nan, (present - start) / (end - start))
    return position


def circle(coordinate: str, days: Array) -> Array:
    """Coordinate of the points of dates on the unit circle of a period.

    Parameters
    ----------
    coordinate : str
        One of `CIRCLE_COORDINATES`.
    days : ndarray of shape (n,)
        Since 1970. A missing date is 0, the center, which is as near to every point as to any.
    """
    period, function = coordinate.split(", ")
    angle = 2 * np.pi * phase(period, days)
    point = np.cos(angle) if function == "cos" else np.sin(angle)
    return np.where(np.isnan(days), 0.0, point)


def periods(days: Array) -> list[str]:
    """Periods that dates of training can tell from a trend.

    They span two of each at least, and are not all at the same place of it.
    """
    present = days[~np.isnan(days)]
    if not len(present):
        return []
    span = np.ptp(present)
    return [
        period
        for period, length in PERIOD_DAYS.items()
        if span >= MIN_PERIODS * length and np.ptp(phase(period, present)) > 0
    ]


def is_likely_date(cell: object) -> bool:
    """Whether a cell may be meant for a date or a time, also in a notation that is not read."""
    if not isinstance(cell, str):
        return False
    return bool(LIKELY_DATE.fullmatch(cell.strip())) or parse_date(cell) is not None


def is_compact_date(number: float) -> bool:
    """Whether a number is a date without separators, such as 20240105."""
    text = f"{number:.0f}"
    if number % 1 or not COMPACT_DATE.fullmatch(text):
        return False
    return parse_date(f"{text[:4]}-{text[4:6]}-{text[6:]}") is not None
