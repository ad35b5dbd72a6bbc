"""Which hyperparameters does a training job take?

Each is declared once, as a field of `Hyperparameters`. What a job's strings mean, README's table and the text of ``train --help``
all come from there.
"""

import difflib
import json
import math
import re
import reprlib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from gaussian_processes.errors import UserError

# What the platform and its clients add to a job's hyperparameters: not ours to judge.
RESERVED_PREFIXES = ("_", "sagemaker_")
# A value that was not given, as Python's str(), JSON and an empty form field write it.
UNSET = ("None", "null", "")
# Names before 0.1.0, and what each is called now.
RENAMED = {
    "relevance": "ard",
    "weights": "sample_weight",
    "unknown_category": "handle_unknown",
    "standardize_targets": "normalize_y",
    "select": "criterion",
    "variance": "keep_factor",
    "inputs": "projection",
}
# Python's own float() would also take "nan", "infinity" and "1_000".
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A number from `least` to `greatest`, perhaps a whole one; `auto`, where it may be left to the program, is None."""

    least: float
    greatest: float = math.inf
    whole: bool = False
    auto: bool = False

    @property
    def rule(self) -> str:
        """What it takes, in words that follow "must be"."""
        kind = ("auto or " if self.auto else "") + ("a whole number" if self.whole else "a number")
        return f"{kind} {_interval(self.least, self.greatest)}"

    def read(self, text: str) -> float | None:
        """Return the value of a text, of which ``5.0`` is whole too; ValueError if it breaks the rule."""
        if self.auto and text.lower() == "auto":
            return None
        if not NUMBER.fullmatch(text):
            raise ValueError
        # A whole number is not read as a float, which would round a large seed.
        value = int(text) if self.whole and text.isdigit() else float(text)
        if (
            not self.least <= value <= self.greatest
            or value == math.inf
            or (self.whole and value % 1)
        ):
            raise ValueError
        return int(value) if self.whole else value


@dataclass(frozen=True)
class Word:
    """One of a few words, in capitals or not, each with the value it stands for."""

    values: Mapping[str, object]

    @property
    def rule(self) -> str:
        """What it takes, in words that follow "must be"."""
        *words, last = self.values
        return f"{', '.join(words)} or {last}"

    def read(self, text: str) -> object:
        """Return the value of a text, of which 1 and 0 say true and false; ValueError if it breaks the rule."""
        word = {"1": "true", "0": "false"}.get(text, text.lower())
        if word not in self.values:
            raise ValueError
        return self.values[word]


@dataclass(frozen=True)
class Several:
    """Whole numbers, one or more, from `least` to `greatest`; `auto` stands for the first `usual` of them."""

    least: int
    greatest: int
    usual: int

    @property
    def rule(self) -> str:
        """What it takes, in words that follow "must be"."""
        return (
            f"auto, or whole numbers {_interval(self.least, self.greatest)}, such as 1, 0,2 or 0-3"
        )

    def read(self, text: str) -> tuple[int, ...]:
        """Return the numbers that a list, a range, or a list of both names, each once; ValueError if it breaks the rule."""
        if text.lower() == "auto":
            return tuple(range(self.least, self.least + self.usual))
        numbers = (self._span(part) for part in _listed(text))
        return tuple(dict.fromkeys(number for span in numbers for number in span))

    def _span(self, text: str) -> range:
        kind = Number(self.least, self.greatest, whole=True)
        ends = (
            [kind.read(end.strip()) for end in text.split("-")]
            if re.search(r"\d\s*-", text)
            else [kind.read(text)]
        )
        first, last = (int(end or 0) for end in (ends[0], ends[-1]))
        if len(ends) > 2 or first > last:
            raise ValueError
        return range(first, last + 1)


@dataclass(frozen=True)
class Columns:
    """Some columns of the data."""

    most: float = math.inf

    @property
    def rule(self) -> str:
        """What it takes, in words that follow "must be"."""
        return (
            "the name or 0-based position of a column"
            if self.most == 1
            else "names or 0-based positions of columns"
        )

    def read(self, text: str) -> tuple[str, ...]:
        """Return the names and positions of a list; ValueError if it breaks the rule."""
        names = _listed(text) if text else ()
        if len(names) > self.most or not all(names):
            raise ValueError
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Range:
    """Where tuning searches unless it is told otherwise, ends included, in SageMaker's words for ranges."""

    least: float
    greatest: float
    scaling: str


@dataclass(frozen=True)
class Hyperparameter:
    """All that is known of one hyperparameter.

    Parameters
    ----------
    default : str
        As a client would write it.
    meaning : str
        What it does, for README and ``train --help``: one line, without ``|``, which would end a cell of the table.
    tuning : Range, optional
        None: not worth a search.
    """

    name: str
    kind: Number | Word | Several | Columns
    default: str
    meaning: str
    tuning: Range | None = None


def _declared(
    kind: Number | Word | Several | Columns, default: str, meaning: str, tuning: Range | None = None
) -> Any:
    """Declare a field of `Hyperparameters`, which takes its default from the declaration."""
    entry = {"kind": kind, "default": default, "meaning": meaning, "tuning": tuning}
    return field(default=kind.read(default), metadata=entry)


# Leaving one out takes as long as the fit: beyond these rows, more than a few seconds.
LEAVE_ONE_OUT_ROWS = 5_000
# The factor of 22,000 rows. It is uploaded, downloaded whenever an endpoint starts, and has to fit into its memory.
FACTOR_BYTES = 2_000_000_000
AUTO: Mapping[str, bool | None] = {"auto": None, "true": True, "false": False}


@dataclass(frozen=True)
class Hyperparameters:
    """What a job asks for, checked; None where it leaves the choice to the program (`auto`)."""

    q: tuple[int, ...] = _declared(
        Several(
            0, 10, usual=4
        ),  # beyond, the kernel is next to 0 for most pairs, and its rounding grows
        default="auto",
        tuning=Range(0, 4, "Linear"),
        meaning="degrees of the arc-cosine kernel to choose from: 0 gives rough functions, each further degree smoother ones;"
        " auto is 0-3",
    )
    l: tuple[int, ...] = _declared(  # noqa: E741  the literature's own letter
        Several(0, 20, usual=4),  # beyond, all kernels but that of q = 1 only memorise
        default="auto",
        tuning=Range(0, 4, "Linear"),
        meaning="depths to choose from: how many times the kernel is composed with itself beyond the first; auto is 0-3",
    )
    criterion: str = _declared(
        Word({"evidence": "evidence", "loo": "loo", "validation": "validation"}),
        default="evidence",
        meaning="what chooses among several q, l or scalings: the log evidence; loo, the density of every row given all"
        " others; or validation, the RMSE (log loss of classes) of the validation channel",
    )
    ensemble: str = _declared(
        Word({"none": "none", "mean": "mean", "stack": "stack"}),
        default="none",
        meaning="none keeps the best candidate; mean blends all equally; stack by the weights of the highest leave-one-out"
        " predictive density",
    )
    k_fold: int = _declared(
        Number(0, 100, whole=True),  # each fold is a fit: more than these cost more than they teach
        default="0",
        meaning="folds of a cross-validation, which repeats the whole training on the rows of all folds but one; 0 does none",
    )
    stages: int = _declared(
        Number(1, 20, whole=True),  # a million rows begin with one or two
        default="1",
        meaning="how many parts of the rows are trained on, each half of the next and the last all of them; the validation"
        " metrics are printed after each, for tuners that stop a job early (Hyperband, with as many resources)",
    )
    noise: float | None = _declared(
        Number(0, auto=True),
        default="auto",
        # A large bias makes the kernel of all points nearly 1, and a small noise of what is left is smaller still.
        tuning=Range(1e-8, 1, "Logarithmic"),
        meaning="variance σ² of the noise, against a kernel whose value at t = 1 is 1, whatever the target's units; auto"
        " maximises the log evidence",
    )
    bias: float | None = _declared(
        Number(0, auto=True),
        default="auto",
        # Of standardised columns: from a bias that is lost among them to one that makes the function nearly linear.
        tuning=Range(0.01, 100, "Logarithmic"),
        meaning="constant appended to the standardised columns before the projection, with projection=sphere only; 0 appends"
        " none; auto maximises the log evidence",
    )
    projection: str = _declared(
        Word({"sphere": "sphere", "normalize": "normalize", "unit": "unit"}),
        default="sphere",
        meaning="how rows become points of the unit sphere: sphere standardises the columns, appends the bias and projects;"
        " normalize divides each row by its norm; unit refuses rows whose norm is not 1",
    )
    scaling: str = _declared(
        Word({"columns": "columns", "overall": "overall", "none": "none", "auto": "auto"}),
        default="columns",
        meaning="unit of the features, with projection=sphere only: columns divides each column by its own standard deviation,"
        " overall all by one number (right for pixels), none leaves them; auto lets criterion choose between columns and overall",
    )
    ard: str = _declared(
        Word({"none": "none", "auto": "auto"}),
        default="none",
        meaning="weight of every column (automatic relevance determination), with projection=sphere only: none weighs all alike;"
        " auto maximises the log evidence",
    )
    normalize_y: bool | None = _declared(
        Word(AUTO),
        default="auto",
        meaning="whether targets are centred and divided by their standard deviation; auto does unless projection=normalize",
    )
    task: str = _declared(
        Word({"auto": "auto", "regression": "regression", "classification": "classification"}),
        default="auto",
        meaning="regression, or classification by regression on the indicators of the classes; auto is regression unless the"
        " target holds words",
    )
    target: tuple[str, ...] = _declared(
        Columns(),
        default="",
        meaning="columns to predict; the first unless it is given",
    )
    label_size: int | None = _declared(
        Number(1, whole=True, auto=True),
        default="auto",
        meaning="how many of the first columns are targets, where target is not given; auto is what the channel's content type"
        " says, or 1",
    )
    features: tuple[str, ...] = _declared(
        Columns(),
        default="",
        meaning="columns to predict from; all others unless it is given",
    )
    ignore: tuple[str, ...] = _declared(
        Columns(),
        default="",
        meaning="columns to leave out; requests may carry them",
    )
    categories: tuple[str, ...] = _declared(
        Columns(),
        default="",
        meaning="columns of numbers that are names; those of words are found by themselves",
    )
    sample_weight: tuple[str, ...] = _declared(
        Columns(most=1),
        default="",
        meaning="column of positive weights w: the noise of a row is σ²/w",
    )
    header: bool | None = _declared(
        Word(AUTO),
        default="auto",
        meaning="whether files of CSV begin with the names of the columns; auto: where a column of numbers begins with a word",
    )
    missing: str = _declared(
        Word({"error": "error", "mean": "mean"}),
        default="error",
        meaning="what a missing value is: an error, or the column's mean (of a category: none of its levels)",
    )
    handle_unknown: str = _declared(
        Word({"ignore": "ignore", "error": "error"}),
        default="ignore",
        meaning="what a level that training did not have is in rows to predict: ignore takes it for none of the levels, error refuses it",
    )
    leave_one_out: bool | None = _declared(
        Word(AUTO),
        default="auto",
        meaning="whether leave-one-out scores, which cost about as much again as the fit, are computed; auto: up to"
        f" {LEAVE_ONE_OUT_ROWS:,} rows",
    )
    keep_factor: bool | None = _declared(
        Word(AUTO),
        default="auto",
        meaning="whether the model keeps the factor that standard deviations are predicted from; auto: up to"
        f" {FACTOR_BYTES / 1e9:g} GB",
    )
    precision: str = _declared(
        Word({"auto": "auto", "float64": "float64", "mixed": "mixed"}),
        default="auto",
        meaning="float64; or mixed: a factor in float32, with weights refined in float64, takes half the memory; auto takes"
        " mixed where only that fits into memory",
    )
    seed: int = _declared(
        Number(0, whole=True),
        default="0",
        meaning="seed of every random choice",
    )

    @property
    def normalizes_y(self) -> bool:
        """Whether targets are centred and scaled: `auto` keeps the post's formulas to the letter where they are asked for."""
        return self.projection != "normalize" if self.normalize_y is None else self.normalize_y


HYPERPARAMETERS = tuple(
    Hyperparameter(entry.name, **entry.metadata) for entry in fields(Hyperparameters)
)


def parse(strings: Mapping[str, str]) -> Hyperparameters:
    """Settings that a job's hyperparameters ask for.

    Parameters
    ----------
    strings : mapping of str to str
        As any client writes them: bare (``rbf``), quoted as JSON (``"rbf"``), with spaces around them. ``None``, ``null`` and
        nothing ask for the default. Names that begin with ``_`` or ``sagemaker_`` are ignored.

    Raises
    ------
    UserError
        If a name is unknown, a value breaks its rule, or two values contradict each other. All wrong ones are named, since
        every attempt costs the start of a job.

    Examples
    --------
    >>> parse({"q": "0", "l": '"2"', "noise": " 0.1 "}).noise
    0.1
    """
    values: dict[str, Any] = {}
    wrong = []
    for name, text in strings.items():
        try:
            if not name.startswith(RESERVED_PREFIXES):
                values[name] = _value(_known(name), text)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("; ".join(wrong))
    return _consistent(Hyperparameters(**values))


def table() -> str:
    """README's table of the hyperparameters, in Markdown, without a final line break."""
    head = ["| name | values | default | tuned over | meaning |", "|---|---|---|---|---|"]
    rows = [
        f"| `{entry.name}` | {entry.kind.rule} | `{entry.default or ' '}` | {_tuned(entry.tuning)} | {entry.meaning} |"
        for entry in HYPERPARAMETERS
    ]
    return "\n".join(head + rows)


def usage() -> str:
    """List the hyperparameters for ``train --help``."""
    return "\n".join(
        f"  {entry.name}: {entry.kind.rule}{f' (default {entry.default})' if entry.default else ''}\n"
        + textwrap.indent(textwrap.fill(entry.meaning), " " * 6)
        for entry in HYPERPARAMETERS
    )


def _known(name: str) -> Hyperparameter:
    entries = {entry.name: entry for entry in HYPERPARAMETERS}
    if name in entries:
        return entries[name]
    if name in RENAMED:
        raise UserError(
            f"hyperparameter {name} is now called {RENAMED[name]}: rename it, its values"
            f" are {entries[RENAMED[name]].kind.rule}"
        )
    nearest = difflib.get_close_matches(name.strip().lower(), entries, n=1)
    remedy = (
        f"correct it to {nearest[0]}, or remove it"
        if nearest
        else f"remove it, or use one of {', '.join(entries)}"
    )
    raise UserError(f"hyperparameter {reprlib.repr(name)} is unknown: {remedy}")


def _value(entry: Hyperparameter, text: str) -> object:
    try:
        word = _bare(text)
        return entry.kind.read(entry.default if word in UNSET else word)
    except ValueError as error:
        # SageMaker shows 1,024 characters of a failure, and a value can have 2,500.
        raise UserError(
            f"hyperparameter {entry.name} is {reprlib.repr(text)}, but it must be {entry.kind.rule}:"
            f" correct it, or leave it out for the default {entry.default}".rstrip()
        ) from error


def _bare(text: str) -> str:
    """Text without the spaces and the quotes of JSON that a client put around it."""
    text = text.strip()
    if not text.startswith('"'):
        return text
    word = json.loads(text)  # a stray quote is a ValueError, as any other bad value
    return str(word).strip()


def _listed(text: str) -> tuple[str, ...]:
    """Parts of a list with commas between them, or in JSON."""
    parts = json.loads(text) if text.startswith("[") else text.split(",")
    return tuple(str(part).strip() for part in parts)


def _consistent(settings: Hyperparameters) -> Hyperparameters:
    """Refuse what contradicts itself, and set the bias to what its absence means."""
    on_the_sphere = {
        "bias": settings.bias is not None,
        "ard": settings.ard == "auto",
        "scaling": settings.scaling != "columns",
    }
    for name in (
        name for name, asked in on_the_sphere.items() if asked and settings.projection != "sphere"
    ):
        raise UserError(
            f"hyperparameter {name} is {getattr(settings, name)} and projection is {settings.projection}, but only projection=sphere has a"
            f" {name}: leave {name} out, or set projection to sphere"
        )
    if settings.target and settings.label_size is not None:
        raise UserError(
            f"hyperparameters target ({', '.join(settings.target)}) and label_size ({settings.label_size}) both say what to"
            " predict: leave one out"
        )
    if settings.k_fold == 1:
        raise UserError(
            "hyperparameter k_fold is 1, but a fold is predicted from the others: set it to 2 or more, or to 0"
        )
    return settings if settings.projection == "sphere" else replace(settings, bias=0.0)


def _tuned(tuning: Range | None) -> str:
    return f"{tuning.least:g} to {tuning.greatest:g}, {tuning.scaling.lower()}" if tuning else ""


def _interval(least: float, greatest: float) -> str:
    return f"from {least:g} up" if greatest == math.inf else f"from {least:g} to {greatest:g}"
