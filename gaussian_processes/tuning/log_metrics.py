"""Metrics of a training job, found in its log by regular expressions."""

import math
import re
from collections.abc import Mapping


def values(log: str, regex: str) -> list[float]:
    r"""Return all values of a metric, in their order.

    As SageMaker finds them: the first group of every match that is a number.

    Examples
    --------
    >>> log = "validation:RMSE=3.5;\nvalidation:RMSE=nan;\nvalidation:RMSE=1.2e-05;"
    >>> values(log, "validation:RMSE=(.*?);")
    [3.5, 1.2e-05]
    """
    return [
        number for match in re.finditer(regex, log) if (number := _number(match[1])) is not None
    ]


def last(log: str, regexes: Mapping[str, str]) -> dict[str, float]:
    """Return the last value of every metric that the log has: SageMaker's final ones."""
    found = {name: values(log, regex) for name, regex in regexes.items()}
    return {name: numbers[-1] for name, numbers in found.items() if numbers}


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
