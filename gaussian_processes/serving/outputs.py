"""Outputs of a response: which a request names, and how a prediction gives them."""

import difflib
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.model import explanations
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.serving.formats.encoders import Output, StructuredOutput
from gaussian_processes.serving.memory import Reservation, TooLargeError

Array = NDArray[np.float64]
Levels = tuple[float, ...]

# Default levels: nine in ten observations, and their ends with the median between them.
INTERVAL_LEVEL: Levels = (0.9,)
QUANTILE_LEVELS: Levels = (0.05, 0.5, 0.95)
# Levels of one output: a request of 100 numbers a row is large enough for any use that is known.
MAX_LEVELS = 100
# Seconds that the explanations of one request may take: SageMaker waits a minute for an answer.
MAX_EXPLAINED_SECONDS = 60.0
# Characters of custom attributes that SageMaker takes.
MAX_ATTRIBUTES_CHARACTERS = 1024
# Attributes whose values are levels; and what a level looks like.
LEVEL_KEYS = ("interval", "quantiles")
LEVEL = re.compile(r"0?\.[0-9]+")
# Characters of a key that are compared with the known ones.
MAX_KEY_CHARACTERS = 20
# What stands around the names and values of JSON.
QUOTES = string.whitespace + "\"'{}[]"
SEPARATORS = string.whitespace + ","
# A key behind a separator, with its equals sign. It begins where a word does, so that no character
# is looked at twice: a regex that consumes the separators takes quadratic time for a run of them.
KEY = re.compile(r"(?<=[,\s])[^,\s=]+=", re.ASCII)


@dataclass(frozen=True)
class OutputRequest:
    """An output that a request names.

    Parameters
    ----------
    name : str
    levels : tuple of float
        Coverage of an interval, or probabilities of quantiles; else none.
    """

    name: str
    levels: Levels = ()


@dataclass(frozen=True)
class _OutputKind:
    """How an output is computed from a prediction, and whether it needs the variance.

    One that explains the prediction is computed from the rows instead; it has a number of seconds
    a row, of which a request may take a minute.
    """

    compute: Callable[[Model, Prediction, Levels], Output] | None = None
    needs_variance: bool = False
    levels: Levels = ()
    explain: Callable[[Model, Array, int], Output] | None = None
    row_seconds: Callable[[Model], float] = lambda _: 0.0


def _mean(_: Model, prediction: Prediction, __: Levels) -> Output:
    return _by_row(prediction.mean)


def _variance(_: Model, prediction: Prediction, __: Levels) -> Output:
    return _by_row(_required(prediction.variance))


def _std(_: Model, prediction: Prediction, __: Levels) -> Output:
    return _by_row(np.sqrt(_required(prediction.variance)))


def _novelty(model: Model, prediction: Prediction, _: Levels) -> Output:
    """Posterior over prior variance of the function; that of one class is that of all."""
    novelty = _required(prediction.novelty)
    return novelty[:, 0] if model.schema.classes else _by_row(novelty)


def _interval(model: Model, prediction: Prediction, levels: Levels) -> Output:
    """Compute the ends of the central prediction interval of some coverage."""
    return _quantiles(model, prediction, ((1 - levels[0]) / 2, (1 + levels[0]) / 2))


def _quantiles(_: Model, prediction: Prediction, levels: Levels) -> Output:
    """Quantiles of the predictive distribution, for every target."""
    distribution = prediction.distribution
    return _by_row(np.stack([distribution.quantile(level) for level in levels], axis=-1))


def _label(model: Model, prediction: Prediction, _: Levels) -> Output:
    return [
        model.schema.classes[code]
        for code in _required(prediction.probabilities).argmax(axis=1).tolist()
    ]


def _probability(_: Model, prediction: Prediction, __: Levels) -> Output:
    return np.asarray(_required(prediction.probabilities).max(axis=1))


def _probabilities(_: Model, prediction: Prediction, __: Levels) -> Output:
    return list(map(tuple, _required(prediction.probabilities).tolist()))


def _labels(model: Model, prediction: Prediction, _: Levels) -> Output:
    return [model.schema.classes] * len(prediction.mean)


def _shap(model: Model, rows: Array, first_row: int) -> Output:
    """Shapley values of the columns, by their names, and what they sum to."""
    found = [
        explanations.explain(model, row, _locating(first_row + index))
        for index, row in enumerate(rows)
    ]
    names = [column.name for column in model.schema.features]
    objects = []
    for explanation in found:
        described: dict[str, object] = {
            "baseline": _plain(explanation.baseline),
            "values": dict(zip(names, map(_plain, explanation.values), strict=True)),
        }
        if explanation.standard_errors.any():
            errors = map(_plain, explanation.standard_errors)
            described["standard_errors"] = dict(zip(names, errors, strict=True))
        objects.append(described)
    numbers = np.array([explanation.values for explanation in found])
    _check_finite("shap", numbers.reshape(len(rows), -1), first_row)
    return StructuredOutput(numbers, objects)


def _neighbours(model: Model, rows: Array, first_row: int) -> Output:
    """Training rows of the largest influence, by their numbers."""
    found = [
        explanations.neighbours(model, row, _locating(first_row + index))
        for index, row in enumerate(rows)
    ]
    objects = [
        [
            {"row": number, "influence": _plain(influence)}
            for number, influence in zip(own.rows, own.influences, strict=True)
        ]
        for own in found
    ]
    numbers = [np.column_stack([own.rows, own.influences]) for own in found]
    return StructuredOutput(np.array(numbers), objects)


def _locating(row: int) -> Callable[[int], str]:
    return lambda _: f"row {row}"


def _plain(values: Array) -> object:
    """Return the number of the only target, or a list of those of all."""
    return values.item() if len(values) == 1 else values.tolist()


EXPLANATIONS: Mapping[str, _OutputKind] = {
    "shap": _OutputKind(explain=_shap, row_seconds=explanations.explained_seconds),
    "neighbours": _OutputKind(
        explain=_neighbours, row_seconds=lambda model: model.estimated_seconds(1, variance=False)
    ),
}
# Outputs of regression, and of classification as SageMaker's XGBoost names them; the first of each
# is the default.
REGRESSION_OUTPUTS: Mapping[str, _OutputKind] = {
    "mean": _OutputKind(_mean),
    "std": _OutputKind(_std, needs_variance=True),
    "variance": _OutputKind(_variance, needs_variance=True),
    "interval": _OutputKind(_interval, needs_variance=True, levels=INTERVAL_LEVEL),
    "quantiles": _OutputKind(_quantiles, needs_variance=True, levels=QUANTILE_LEVELS),
    "novelty": _OutputKind(_novelty, needs_variance=True),
    **EXPLANATIONS,
}
CLASSIFICATION_OUTPUTS: Mapping[str, _OutputKind] = {
    "predicted_label": _OutputKind(_label),
    "probability": _OutputKind(_probability),
    "probabilities": _OutputKind(_probabilities),
    "labels": _OutputKind(_labels),
    "novelty": _OutputKind(_novelty, needs_variance=True),
    **EXPLANATIONS,
}


def available_outputs(model: Model) -> Mapping[str, _OutputKind]:
    """Return the outputs of a model, by name."""
    return _available_outputs(bool(model.schema.classes))


def _available_outputs(is_classifier: bool) -> Mapping[str, _OutputKind]:
    return CLASSIFICATION_OUTPUTS if is_classifier else REGRESSION_OUTPUTS


def parse_custom_attributes(text: str, model: Model) -> tuple[OutputRequest, ...]:
    """Parse the outputs that a request's custom attributes name; none if they name none.

    The text is such as ``trace=17; output=mean,interval; interval=0.8``. A level requests its
    output by itself: ``interval=0.8`` is the default output, and an interval. Names without
    ``output=``, as in ``SAGEMAKER_INFERENCE_OUTPUT=mean,std``, are read by `default_outputs`.

    Raises
    ------
    UserError
        If the text is longer than SageMaker's limit, an output is not one of the model's or needs a
        variance that it does not have, or a level is no probability.
    """
    if len(text) > MAX_ATTRIBUTES_CHARACTERS:
        raise UserError(
            f"the custom attributes have {len(text):,} characters;"
            f" send {MAX_ATTRIBUTES_CHARACTERS:,} at most"
        )
    return _parse(text, bool(model.schema.classes), model.has_variance)


@lru_cache  # successive requests mostly name the same
def _parse(text: str, is_classifier: bool, has_variance: bool) -> tuple[OutputRequest, ...]:
    available = _available_outputs(is_classifier)
    names, levels = _names_and_levels(text)
    if levels and not names:
        names = [next(iter(available))]
    names = list(dict.fromkeys([*names, *levels]))
    for name in names:
        _check_output(name, available, has_variance)
    return tuple(OutputRequest(name, levels.get(name, available[name].levels)) for name in names)


def _names_and_levels(text: str) -> tuple[list[str], dict[str, Levels]]:
    """Names of the requested outputs, and the levels of those that have them."""
    names: list[str] = []
    levels: dict[str, Levels] = {}
    for attribute in _split_attributes(text):
        key, _, value = (part.strip() for part in attribute.partition("="))
        if key == "output":
            names += [name.strip() for name in value.split(",")]
        elif key in LEVEL_KEYS:
            parsed = _parse_levels(key, value)
            if levels.setdefault(key, parsed) != parsed:
                raise UserError(f"{key} is given twice, and differs; send one")
        else:
            _refuse_misspelt(attribute)
    return names, levels


def _refuse_misspelt(attribute: str) -> None:
    """Refuse an attribute of another key, or of none, that can only be meant for the outputs.

    Its key is like one of theirs, and so is its value: others may well own ``outputs=none``, but
    not ``ouput=mean,std``, and not ``mean,std`` alone. What is like JSON has colons and quotes.
    """
    key, _, value = (part.strip(QUOTES) for part in re.sub("[:=]", "=", attribute).partition("="))
    known = {*REGRESSION_OUTPUTS, *CLASSIFICATION_OUTPUTS}
    if not value and known.issuperset(map(str.strip, key.split(","))):
        raise UserError(f'"{key[:60]}" has no attribute before it; send output={key[:60]}')
    matches = difflib.get_close_matches(
        key[:MAX_KEY_CHARACTERS].lower(), ("output", *LEVEL_KEYS), n=1, cutoff=0.8
    )
    if not matches:
        return
    words = [word.strip(QUOTES).lower() for word in value.split(",")]
    if matches[0] == "output":
        is_ours = not known.isdisjoint(words)
    else:
        is_ours = all(LEVEL.fullmatch(word) for word in words)
    if is_ours:
        raise UserError(f'"{key[:60]}" is not an attribute; did you mean "{matches[0]}"')


def _split_attributes(text: str) -> Iterator[str]:
    """Split custom attributes at semicolons and ampersands, and before every ``key=``."""
    for group in re.split("[;&]", text):
        start = 0
        for key in KEY.finditer(group):
            # A comma separates outputs too; before a key it separates attributes.
            yield group[start : key.start()].rstrip(SEPARATORS)
            start = key.start()
        yield group[start:]


def _check_output(name: str, available: Mapping[str, _OutputKind], has_variance: bool) -> None:
    """Refuse an output that the model does not have."""
    if name not in available:
        matches = difflib.get_close_matches(name, available, n=1)
        hint = f', did you mean "{matches[0]}"' if matches else ""
        raise UserError(
            f'"{name[:60]}" is not an output{hint}; the outputs are {", ".join(available)}'
        )
    if available[name].needs_variance and not has_variance:
        raise UserError(
            f"{name} needs the variance, and this model was trained without;"
            " train again with keep_factor=true, and not with solver=cg, or with"
            " deviations=nearest"
        )


def default_outputs(text: str, model: Model) -> tuple[OutputRequest, ...]:
    """Parse a setting such as ``mean,std`` or ``mean,interval=0.8``; "" is the first output.

    Raises
    ------
    UserError
        As `parse_custom_attributes` does.
    """
    names = text.strip() or next(iter(available_outputs(model)))
    first_is_level = "=" in names.partition(",")[0]
    attributes = names if first_is_level else f"output={names}"
    return _parse(attributes, bool(model.schema.classes), model.has_variance)


def needs_variance(output_requests: Sequence[OutputRequest], model: Model) -> bool:
    """Whether any output is computed from the variance of the prediction."""
    available = available_outputs(model)
    return any(available[requested.name].needs_variance for requested in output_requests)


def compute_outputs(
    output_requests: Sequence[OutputRequest],
    model: Model,
    rows: Array,
    prediction: Prediction,
    first_row: int = 1,
) -> dict[str, Output]:
    """Compute every requested output, by name, from a prediction that has what they need.

    Explanations are computed from the rows, of shape (m, c).

    Raises
    ------
    UserError
        If the prediction is not finite; `first_row` is the number of its first row.
    """
    _check_finite("mean", prediction.mean, first_row)
    if prediction.variance is not None:
        _check_finite("variance", prediction.variance, first_row)
    computed: dict[str, Output] = {}
    for requested in output_requests:
        kind = available_outputs(model)[requested.name]
        if kind.compute is not None:
            computed[requested.name] = kind.compute(model, prediction, requested.levels)
        elif kind.explain is not None:
            computed[requested.name] = kind.explain(model, rows, first_row)
    return computed


def explains(output_requests: Sequence[OutputRequest]) -> bool:
    """Whether any output explains predictions, which takes long."""
    return any(requested.name in EXPLANATIONS for requested in output_requests)


def reserve_explanations(
    output_requests: Sequence[OutputRequest], model: Model, rows: int, memory: Reservation
) -> None:
    """Reserve the memory that explanations of some rows take, and refuse more than a minute of it.

    Raises
    ------
    TooLargeError, BusyError
    """
    kinds = [EXPLANATIONS[own.name] for own in output_requests if own.name in EXPLANATIONS]
    row_seconds = sum(kind.row_seconds(model) for kind in kinds)
    if rows > 1 and rows * row_seconds > MAX_EXPLAINED_SECONDS:
        possible = max(int(MAX_EXPLAINED_SECONDS / row_seconds), 1)
        raise TooLargeError(
            f"the explanations of {rows:,} rows take about {rows * row_seconds:.0f} seconds; send"
            f" {possible:,} rows at a time, or leave shap out"
        )
    if kinds:
        size = explanations.working_bytes(model)
        memory.grow(memory.size + size, "an explanation", "leave shap and neighbours out")


def _check_finite(name: str, values: Array, first_row: int) -> None:
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise UserError(
            f"the {name} of row {first_row + row} is {values[row, column]};"
            " its numbers are too large to compute with"
        )


def _parse_levels(name: str, text: str) -> Levels:
    try:
        levels = tuple(float(part) for part in text.split(","))
    except ValueError:
        levels = ()
    if len(levels) > MAX_LEVELS:
        raise UserError(f"{name} has {len(levels):,} levels; send {MAX_LEVELS} at most")
    if (
        not levels
        or not all(level > 0 and (1 + level) / 2 < 1 for level in levels)
        or (name == "interval" and len(levels) > 1)
    ):
        example = "0.9" if name == "interval" else "0.05,0.5,0.95"
        raise UserError(
            f'{name} is "{text[:60]}"; send probabilities between 0 and 1, such as {name}={example}'
        )
    return levels


def _by_row(values: Array) -> Array:
    """Values of the only target, or of all: of shape (m, t) or (m, t, levels)."""
    return values[:, 0] if values.shape[1] == 1 else values


def _required(values: Array | None) -> Array:
    assert values is not None  # noqa: S101  `needs_variance` has been asked
    return values
