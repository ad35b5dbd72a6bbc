"""What can be asked of a prediction, and what is the answer?"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.errors import UserError
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.serving.formats.encoders import Output

Array = NDArray[np.float64]
Levels = tuple[float, ...]

# What an interval and quantiles are of, unless a request says otherwise: nine in ten observations, and the median between them.
INTERVAL: Levels = (0.9,)
QUANTILES: Levels = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class OutputRequest:
    """One output that is asked for.

    Parameters
    ----------
    name : str
    levels : tuple of float
        Of an interval the share of observations that it holds; of quantiles their probabilities; else none.
    """

    name: str
    levels: Levels = ()


@dataclass(frozen=True)
class _Kind:
    """How an output comes out of a prediction, of which model; and whether it needs the variance."""

    answer: Callable[[Model, Prediction, Levels], Output]
    needs_variance: bool = False
    levels: Levels = ()


def _mean(_: Model, prediction: Prediction, __: Levels) -> Output:
    return _by_row(prediction.mean)


def _variance(_: Model, prediction: Prediction, __: Levels) -> Output:
    return _by_row(_there(prediction.variance))


def _deviation(_: Model, prediction: Prediction, __: Levels) -> Output:
    return _by_row(np.sqrt(_there(prediction.variance)))


def _interval(model: Model, prediction: Prediction, levels: Levels) -> Output:
    """Ends of the interval about the mean that holds a share of the observations."""
    return _quantiles(model, prediction, ((1 - levels[0]) / 2, (1 + levels[0]) / 2))


def _quantiles(_: Model, prediction: Prediction, levels: Levels) -> Output:
    """Quantiles of the normal distribution of the mean and variance, for every target; also of a mixture."""
    steps = np.array([NormalDist().inv_cdf(level) for level in levels])
    deviation = np.sqrt(_there(prediction.variance))
    return _by_row(prediction.mean[..., np.newaxis] + deviation[..., np.newaxis] * steps)


def _label(model: Model, prediction: Prediction, _: Levels) -> Output:
    return [
        model.schema.classes[code]
        for code in _there(prediction.probabilities).argmax(axis=1).tolist()
    ]


def _probability(_: Model, prediction: Prediction, __: Levels) -> Output:
    return np.asarray(_there(prediction.probabilities).max(axis=1))


def _probabilities(_: Model, prediction: Prediction, __: Levels) -> Output:
    return list(map(tuple, _there(prediction.probabilities).tolist()))


def _labels(model: Model, prediction: Prediction, _: Levels) -> Output:
    return [model.schema.classes] * len(prediction.mean)


# Of numbers, and of classes in the words of SageMaker's XGBoost; the first is what is answered unless something else is asked.
NUMBERS: Mapping[str, _Kind] = {
    "mean": _Kind(_mean),
    "std": _Kind(_deviation, needs_variance=True),
    "variance": _Kind(_variance, needs_variance=True),
    "interval": _Kind(_interval, needs_variance=True, levels=INTERVAL),
    "quantiles": _Kind(_quantiles, needs_variance=True, levels=QUANTILES),
}
CLASSES: Mapping[str, _Kind] = {
    "predicted_label": _Kind(_label),
    "probability": _Kind(_probability),
    "probabilities": _Kind(_probabilities),
    "labels": _Kind(_labels),
}


def kinds(model: Model) -> Mapping[str, _Kind]:
    """Outputs that a model has, by their names."""
    return _kinds(bool(model.schema.classes))


def _kinds(classes: bool) -> Mapping[str, _Kind]:
    return CLASSES if classes else NUMBERS


def parse_custom_attributes(text: str, model: Model) -> tuple[OutputRequest, ...]:
    """Questions in a text such as ``trace=17; output=mean,interval; interval=0.8``; none if it does not ask.

    A level asks for its output by itself: ``interval=0.8`` is the usual output, and an interval. Names without ``output=``
    before them, as in ``SAGEMAKER_INFERENCE_OUTPUT=mean,std``, are no attributes: write them as `usual` reads them.

    Raises
    ------
    UserError
        If an output is not one of the model's, or needs a variance that it does not have, or a level is no probability.
    """
    return _questions(text, bool(model.schema.classes), model.has_variance)


@lru_cache  # requests ask for the same again and again
def _questions(text: str, classes: bool, has_variance: bool) -> tuple[OutputRequest, ...]:
    names: list[str] = []
    known = _kinds(classes)
    levels: dict[str, Levels] = {}
    # Commas stand between outputs, and between attributes if a name and an equals sign follow.
    for attribute in re.split(r"[;&]|[,\s]+(?=[^,;&\s=]+=)", text):
        key, _, value = (part.strip() for part in attribute.partition("="))
        if key == "output":
            names += [name.strip() for name in value.split(",")]
        elif key in {"interval", "quantiles"}:
            levels[key] = _levels(key, value)
    if levels and not names:
        names = [next(iter(known))]
    for name in [*names, *levels]:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f', did you mean "{near[0]}"' if near else ""
            raise UserError(
                f'"{name[:60]}" is not an output{guess}; the outputs are {", ".join(known)}'
            )
        if known[name].needs_variance and not has_variance:
            raise UserError(
                f"{name} needs the variance, and this model was trained without; train again with keep_factor=true"
            )
    return tuple(
        OutputRequest(name, levels.get(name, known[name].levels))
        for name in dict.fromkeys([*names, *levels])
    )


def usual(text: str, model: Model) -> tuple[OutputRequest, ...]:
    """Questions of a setting such as ``mean,std`` or ``mean,interval=0.8``; the first of the model's outputs if it is empty.

    Raises
    ------
    UserError
        As `parse_custom_attributes` does.
    """
    words = text.strip() or next(iter(kinds(model)))
    return parse_custom_attributes(
        words if "=" in words.partition(",")[0] else f"output={words}", model
    )


def need_variance(questions: Sequence[OutputRequest], model: Model) -> bool:
    """Whether any answer takes the variance of the prediction."""
    known = kinds(model)
    return any(known[question.name].needs_variance for question in questions)


def answers(
    questions: Sequence[OutputRequest], model: Model, prediction: Prediction
) -> dict[str, Output]:
    """Answer every question about some rows, by its name; the prediction has variances if the questions need them.

    Raises
    ------
    UserError
        If what would be answered is not finite.
    """
    known = kinds(model)
    for what, values in (("mean", prediction.mean), ("variance", prediction.variance)):
        if values is not None and not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise UserError(
                f"the {what} of row {row + 1} is {values[row, column]}; its numbers are too large to compute with"
            )
    return {
        question.name: known[question.name].answer(model, prediction, question.levels)
        for question in questions
    }


def _levels(name: str, text: str) -> Levels:
    try:
        levels = tuple(float(part) for part in text.split(","))
    except ValueError:
        levels = ()
    if (
        not levels
        or not all(level > 0 and (1 + level) / 2 < 1 for level in levels)
        or (name == "interval" and len(levels) > 1)
    ):
        form = "0.9" if name == "interval" else "0.05,0.5,0.95"
        raise UserError(
            f'{name} is "{text[:60]}"; send probabilities between 0 and 1, such as {name}={form}'
        )
    return levels


def _by_row(values: Array) -> Array:
    """Answers of the one target, if there is one; else of all, of shape (m, t) or (m, t, levels)."""
    return values[:, 0] if values.shape[1] == 1 else values


def _there(values: Array | None) -> Array:
    assert values is not None  # noqa: S101  whoever asked has seen to it
    return values
