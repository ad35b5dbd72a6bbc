"""Parameter types of SageMaker's hyperparameters: the strings each takes, and their values."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# Python's own float() would also take "nan", "infinity" and "1_000".
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

# Kinds of members of an ensemble: the process, which is always there, trees, and classes of others.
PROCESS, BOOSTING = "gp", "boosting"
MEMBER_NAME = re.compile(rf"{PROCESS}|{BOOSTING}|[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)

# Digits and characters that are written for the words of categorical parameters.
SYNONYMS = {
    "1": "true",
    "0": "false",
    ",": "comma",
    ";": "semicolon",
    "|": "pipe",
    "\\t": "tab",
    ".": "point",
}


class ParameterType(Protocol):
    """Type of a hyperparameter."""

    @property
    def constraint(self) -> str:
        """Values that are accepted, in words that follow "must be"."""

    def parse(self, text: str, /) -> object:
        """Return the value of a text; ValueError if it breaks the constraint."""


@dataclass(frozen=True)
class ContinuousParameter:
    """Real number from `min_value` to `max_value`; None for `auto`, where that is accepted."""

    min_value: float
    max_value: float = math.inf
    auto: bool = False

    @property
    def constraint(self) -> str:
        """Values that are accepted, in words that follow "must be"."""
        return f"{_or_auto(self.auto)}a number {_interval(self.min_value, self.max_value)}"

    def parse(self, text: str) -> float | None:
        """Return the value of a text; ValueError if it breaks the constraint."""
        if self.auto and text.lower() == "auto":
            return None
        return _parse_number(text, self.min_value, self.max_value)


@dataclass(frozen=True)
class IntegerParameter:
    """Whole number from `min_value` to `max_value`; None for `auto`, where that is accepted."""

    min_value: int
    max_value: float = math.inf
    auto: bool = False

    @property
    def constraint(self) -> str:
        """Values that are accepted, in words that follow "must be"."""
        return f"{_or_auto(self.auto)}a whole number {_interval(self.min_value, self.max_value)}"

    def parse(self, text: str) -> int | None:
        """Return the value of a text, ``5.0`` included; ValueError if it breaks the constraint."""
        if self.auto and text.lower() == "auto":
            return None
        return _parse_integer(text, self.min_value, self.max_value)


@dataclass(frozen=True)
class CategoricalParameter:
    """One of a few words, in capitals or not, each with the value it stands for."""

    values: Mapping[str, object]

    @classmethod
    def of_words(cls, *words: str) -> "CategoricalParameter":
        """Words that stand for themselves."""
        return cls({word: word for word in words})

    @property
    def constraint(self) -> str:
        """Values that are accepted, in words that follow "must be"."""
        *words, last = self.values
        return f"{', '.join(words)} or {last}"

    def parse(self, text: str) -> object:
        """Return the value of a text or of the character it names; ValueError if unknown."""
        word = SYNONYMS.get(text, text.lower())
        if word not in self.values:
            raise ValueError
        return self.values[word]


@dataclass(frozen=True)
class IntegerListParameter:
    """Whole numbers from `min_value` to `max_value`; `auto` is the first `auto_count` of them."""

    min_value: int
    max_value: int
    auto_count: int

    @property
    def constraint(self) -> str:
        """Values that are accepted, in words that follow "must be"."""
        interval = _interval(self.min_value, self.max_value)
        return f"auto, or whole numbers {interval}, such as 1, 0,2 or 0-3"

    def parse(self, text: str) -> tuple[int, ...]:
        """Return the numbers of a list, a range, or a list of both, each once; or ValueError."""
        if text.lower() == "auto":
            return tuple(range(self.min_value, self.min_value + self.auto_count))
        spans = [self._parse_span(part) for part in _split_list(text)]
        return tuple(dict.fromkeys(number for span in spans for number in span))

    def _parse_span(self, text: str) -> range:
        parts = text.split("-") if re.search(r"\d\s*-", text) else [text]
        ends = [_parse_integer(part.strip(), self.min_value, self.max_value) for part in parts]
        if len(ends) > 2 or ends[0] > ends[-1]:
            raise ValueError
        return range(ends[0], ends[-1] + 1)


@dataclass(frozen=True)
class ColumnsParameter:
    """Columns of the data, `max_count` of them at most, by name or 0-based position."""

    max_count: float = math.inf

    @property
    def constraint(self) -> str:
        """Values that are accepted, in words that follow "must be"."""
        if self.max_count == 1:
            return "the name or 0-based position of a column"
        return "names or 0-based positions of columns"

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the names and positions of a list; ValueError if it breaks the constraint."""
        names = _split_list(text) if text else ()
        if len(names) > self.max_count or not all(names):
            raise ValueError
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class WordsParameter:
    """Words with commas between them; None for `auto`."""

    @property
    def constraint(self) -> str:
        """Values that are accepted, in words that follow "must be"."""
        return "auto, or words with commas between them"

    def parse(self, text: str) -> tuple[str, ...] | None:
        """Return the words of a list; ValueError if one is empty."""
        if text.lower() == "auto":
            return None
        words = _split_list(text)
        if not all(words):
            raise ValueError
        return tuple(dict.fromkeys(words))


@dataclass(frozen=True)
class MembersParameter:
    """Kinds of members of an ensemble: `gp`, and others beside it."""

    @property
    def constraint(self) -> str:
        """Values that are accepted, in words that follow "must be"."""
        return "gp, or a list such as gp,boosting or gp,module:Class"

    def parse(self, text: str) -> tuple[str, ...]:
        """Return the names of a list, each once; ValueError if one is none, or gp is missing."""
        names = tuple(dict.fromkeys(_split_list(text)))
        if PROCESS not in names or not all(map(MEMBER_NAME.fullmatch, names)):
            raise ValueError
        return names


@dataclass(frozen=True)
class TuningRange:
    """Range that a tuning job searches by default, ends included, with SageMaker's scaling type."""

    min_value: float
    max_value: float
    scaling_type: str


def _parse_number(text: str, min_value: float, max_value: float) -> float:
    if not NUMBER.fullmatch(text):
        raise ValueError
    value = float(text)
    if not min_value <= value <= max_value or value == math.inf:
        raise ValueError
    return value


def _parse_integer(text: str, min_value: int, max_value: float) -> int:
    if text.isdecimal() and text.isascii():
        value = int(text)  # a float would round a large seed
    else:
        number = _parse_number(text, min_value, max_value)
        if number % 1:
            raise ValueError
        value = int(number)
    if not min_value <= value <= max_value:
        raise ValueError
    return value


def _split_list(text: str) -> tuple[str, ...]:
    """Parts of a list with commas between them, or in JSON."""
    parts = json.loads(text) if text.startswith("[") else text.split(",")
    return tuple(str(part).strip() for part in parts)


def _or_auto(auto: bool) -> str:
    return "auto or " if auto else ""


def _interval(min_value: float, max_value: float) -> str:
    if max_value == math.inf:
        return f"from {min_value:g} up"
    return f"from {min_value:g} to {max_value:g}"
