"""Ranges, and their scales."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gaussian_processes.tuning.space import (
    LINEAR,
    LOGARITHMIC,
    REVERSE,
    CategoricalRange,
    NumericRange,
    Space,
    text,
)

RANGES = [
    NumericRange("a", -3, 5),
    NumericRange("b", 1e-8, 1, scaling=LOGARITHMIC),
    NumericRange("c", 0.0, 0.999, scaling=REVERSE),
    NumericRange("d", 1, 1000, integer=True, scaling=LOGARITHMIC),
    NumericRange("e", 0, 4, integer=True),
    CategoricalRange("f", ("x", "y", "z")),
]


@pytest.mark.parametrize("entry", RANGES, ids=lambda entry: entry.name)
@given(unit=some.floats(0, 1))
def test_every_coordinate_is_a_value_that_optuna_and_a_job_take(entry, unit):
    value = entry.value(unit)
    distribution = entry.distribution

    assert entry.contains(value)
    assert distribution._contains(distribution.to_internal_repr(entry.to_optuna(value)))
    assert entry.parse(text(value)) == value
    if entry.scaling == REVERSE:  # 1 - (1 - x) rounds
        assert entry.from_optuna(entry.to_optuna(value)) == pytest.approx(value, abs=1e-15)
    else:
        assert entry.from_optuna(entry.to_optuna(value)) == value
    assert (
        entry.value(entry.unit(value)) == pytest.approx(value, rel=1e-12, abs=1e-12)
        if not isinstance(value, str)
        else True
    )


def test_scales_are_laws_of_their_middles():
    assert NumericRange("a", 1, 9, scaling=LINEAR).value(0.5) == 5
    assert NumericRange("a", 1, 9, scaling=LOGARITHMIC).value(0.5) == pytest.approx(
        3
    )  # the geometric mean
    # As far from 1 as the geometric mean of both ends' distances from it.
    assert 1 - NumericRange("a", 0.9, 0.999, scaling=REVERSE).value(0.5) == pytest.approx(
        math.sqrt(0.1 * 0.001)
    )


def test_whole_numbers_and_words_share_the_coordinates_alike():
    units = np.linspace(0, 1, 1001)[:-1]

    for entry, size in (
        (NumericRange("a", 0, 4, integer=True), 5),
        (CategoricalRange("b", ("x", "y", "z", "w")), 4),
    ):
        counts = np.unique([str(entry.value(unit)) for unit in units], return_counts=True)[1]
        assert len(counts) == size
        assert counts.max() - counts.min() <= 2  # a half is rounded to the even number


def test_two_words_are_as_far_apart_as_the_ends_of_a_range():
    words, numbers = CategoricalRange("a", ("x", "y", "z")), NumericRange("b", 0, 1)

    assert math.dist(words.coordinates("x"), words.coordinates("z")) == pytest.approx(1)
    assert math.dist(numbers.coordinates(0), numbers.coordinates(1)) == 1


def test_a_space_counts_its_combinations():
    assert Space((RANGES[4], RANGES[5])).size == 15
    assert Space(tuple(RANGES)).size == math.inf
