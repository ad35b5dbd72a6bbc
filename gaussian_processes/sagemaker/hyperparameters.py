"""Hyperparameters of a training job: names, types, defaults, tuning ranges, descriptions.

Each is declared once, as a field of `Hyperparameters`. The values of a job's strings, README's
table, ``train --help`` and the specification for CreateAlgorithm all come from there.
"""

import difflib
import json
import reprlib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gaussian_processes.errors import UserError
from gaussian_processes.sagemaker.parameter_types import (
    PROCESS,
    CategoricalParameter,
    ColumnsParameter,
    ContinuousParameter,
    IntegerListParameter,
    IntegerParameter,
    MembersParameter,
    ParameterType,
    TuningRange,
    WordsParameter,
)

# Names that the platform and its clients add to a job's hyperparameters.
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
# Leaving one out takes as long as the fit: beyond these rows, more than a few seconds.
LEAVE_ONE_OUT_ROWS = 5_000
# Members of a stack: the weights of further ones are small, and each costs a factor.
MAX_MEMBERS = 4
# Rows up to which a blend is worth its factors without being asked for: four of them take seconds,
# and 400 MB.
STACKED_ROWS = 5_000
# The factor of 22,000 rows: it is uploaded, downloaded whenever an endpoint starts, and has to fit
# into its memory.
FACTOR_BYTES = 2_000_000_000
DELIMITERS: Mapping[str, str | None] = {
    "auto": None,
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "pipe": "|",
}
AUTO_TRUE_FALSE: Mapping[str, bool | None] = {"auto": None, "true": True, "false": False}


@dataclass(frozen=True)
class HyperparameterSpecification:
    """Declaration of one hyperparameter.

    Parameters
    ----------
    name : str
    parameter_type : ParameterType
    default : str
        As a client would write it.
    description : str
        One line, without ``|``, which would end a cell of the table in docs.
    tuning_range : TuningRange, optional
        None if it is not worth a search.
    """

    name: str
    parameter_type: ParameterType
    default: str
    description: str
    tuning_range: TuningRange | None = None


def _declared(
    parameter_type: ParameterType,
    default: str,
    description: str,
    tuning_range: TuningRange | None = None,
) -> Any:
    """Declare a field of `Hyperparameters`, whose default value is that of the string `default`."""
    entry = {
        "parameter_type": parameter_type,
        "default": default,
        "description": description,
        "tuning_range": tuning_range,
    }
    return field(default=parameter_type.parse(default), metadata=entry)


@dataclass(frozen=True)
class Hyperparameters:
    """Hyperparameters of a training job, checked; None where `auto` leaves a choice to training."""

    q: tuple[int, ...] = _declared(
        # Beyond degree 10 the kernel is next to 0 for most pairs, and its rounding grows.
        IntegerListParameter(0, 10, auto_count=4),
        default="auto",
        tuning_range=TuningRange(0, 4, "Linear"),
        description="degrees of the arc-cosine kernel to choose from: 0 gives rough functions,"
        " each further degree smoother ones; auto is 0-3",
    )
    l: tuple[int, ...] = _declared(  # noqa: E741  the literature's own letter
        # Beyond depth 20 all kernels but that of q = 1 only memorise.
        IntegerListParameter(0, 20, auto_count=4),
        default="auto",
        tuning_range=TuningRange(0, 4, "Linear"),
        description="depths to choose from: how many times the kernel is composed with itself"
        " beyond the first; auto is 0-3",
    )
    kernel: str = _declared(
        CategoricalParameter.of_words("auto", "arc_cosine", "arc_cosine_rbf", "matern52"),
        default="auto",
        description="arc_cosine; arc_cosine_rbf, its product with a Gaussian of the distance, with"
        " projection=sphere only; matern52, of smoothness 5/2, which has no q and l; auto compares"
        " the first two, where several q or l are compared",
    )
    criterion: str = _declared(
        CategoricalParameter.of_words("loo", "evidence", "validation"),
        default="loo",
        description="criterion of the selection among candidates: loo, the predictive density of"
        " every row given all others (of classes their log loss); evidence, the log"
        " marginal likelihood; or validation, the RMSE (log loss) of the validation channel",
    )
    ensemble: str = _declared(
        CategoricalParameter.of_words("auto", "none", "mean", "stack"),
        default="auto",
        description="none keeps the best candidate; mean blends all equally; stack blends at most"
        f" {MAX_MEMBERS}, or more of up to 200 rows, by the weights of the highest leave-one-out"
        " predictive density; auto"
        f" stacks up to {STACKED_ROWS:,} rows, where criterion is loo and several q or l are"
        " compared",
    )
    members: tuple[str, ...] = _declared(
        MembersParameter(),
        default="gp",
        description="kinds of members of the ensemble, in regression: gp, which is always there;"
        " boosting, trees of LightGBM; or module:Class, of an image derived from this one; others"
        " than gp are weighed by their out-of-fold predictive densities beside its leave-one-out"
        " ones",
    )
    k_fold: int = _declared(
        IntegerParameter(0, 100),  # each fold is a fit: more than these cost more than they teach
        default="0",
        description="folds of a cross-validation, which repeats the whole training on the rows of"
        " all folds but one; 0 does none",
    )
    stages: int = _declared(
        IntegerParameter(1, 20),  # a million rows begin with one or two
        default="1",
        description="how many parts of the rows are trained on, each half of the next and the"
        " last all of them; the validation metrics are printed after each, for tuners"
        " that stop a job early (Hyperband, with as many resources)",
    )
    likelihood: str = _declared(
        CategoricalParameter.of_words("auto", "normal", "student"),
        default="auto",
        description="of observations, in regression: student has the tails and the width that"
        " leave-one-out residuals show, in place of the process's own; normal never; auto where"
        " their density gains by more than 2 nats, where several q or l are compared. Wherever"
        " tails are looked for, outliers among up to 2,000 rows are rejected",
    )
    per_target: bool | None = _declared(
        CategoricalParameter(AUTO_TRUE_FALSE),
        default="auto",
        description="whether each of several targets has a kernel, noise and relevances of its own,"
        " and so a factor; auto: those whose leave-one-out density gains by more than 5 nats,"
        " where several q or l are compared",
    )
    noise: float | None = _declared(
        ContinuousParameter(0, auto=True),
        default="auto",
        # A large bias makes the kernel of all points nearly 1, and a small noise of what is left
        # is smaller still.
        tuning_range=TuningRange(1e-8, 1, "Logarithmic"),
        description="variance σ² of the noise, against a kernel whose value at t = 1 is 1,"
        " whatever the target's units; auto maximises the log marginal likelihood",
    )
    bias: float | None = _declared(
        ContinuousParameter(0, auto=True),
        default="auto",
        # Of standardised columns: from a bias that is lost among them to one that makes the
        # function nearly linear.
        tuning_range=TuningRange(0.01, 100, "Logarithmic"),
        description="constant appended to the standardised columns before the projection, with"
        " projection=sphere only; 0 appends none; auto maximises the log marginal likelihood",
    )
    projection: str = _declared(
        CategoricalParameter.of_words("sphere", "normalize", "unit"),
        default="sphere",
        description="how rows become points of the unit sphere: sphere standardises the columns,"
        " appends the bias and projects; normalize divides each row by its norm; unit"
        " refuses rows whose norm is not 1",
    )
    scaling: str = _declared(
        CategoricalParameter.of_words("columns", "overall", "none", "auto"),
        default="columns",
        description="unit of the features, with projection=sphere only: columns divides each"
        " column by its own standard deviation, overall all by one number (right for"
        " pixels), none leaves them; auto lets criterion choose between columns and"
        " overall",
    )
    ard: bool | None = _declared(
        CategoricalParameter(AUTO_TRUE_FALSE),
        default="auto",
        description="whether every column has a relevance of its own (automatic relevance"
        " determination), with projection=sphere only; auto compares both, where several"
        " q or l are compared",
    )
    encoding: str = _declared(
        CategoricalParameter.of_words(
            "auto", "none", "categories", "normal_scores", "both", "trend"
        ),
        default="auto",
        description="encoding of columns of numbers, with projection=sphere only: none;"
        " categories one-hot encodes those of 3 to 12 values as well; normal_scores"
        " replaces each by its normal scores; both; trend is none without the periods of"
        " dates; auto compares these, where several q or l are compared",
    )
    normalize_y: bool | None = _declared(
        CategoricalParameter(AUTO_TRUE_FALSE),
        default="auto",
        description="whether targets are centred and divided by their standard deviation; auto"
        " does unless projection=normalize",
    )
    task: str = _declared(
        CategoricalParameter.of_words("auto", "regression", "classification"),
        default="auto",
        description="regression, or classification by regression on the indicators of the"
        " classes; auto is regression unless the target holds words",
    )
    target: tuple[str, ...] = _declared(
        ColumnsParameter(),
        default="",
        description="columns to predict; the first unless it is given",
    )
    label_size: int | None = _declared(
        IntegerParameter(1, auto=True),
        default="auto",
        description="how many of the first columns are targets, where target is not given; auto"
        " is what the channel's content type says, or 1",
    )
    features: tuple[str, ...] = _declared(
        ColumnsParameter(),
        default="",
        description="columns to predict from; all others unless it is given",
    )
    ignore: tuple[str, ...] = _declared(
        ColumnsParameter(),
        default="",
        description="columns to leave out; requests may carry them",
    )
    categories: tuple[str, ...] = _declared(
        ColumnsParameter(),
        default="",
        description="columns of numbers that are categories; columns of words are so without it",
    )
    sample_weight: tuple[str, ...] = _declared(
        ColumnsParameter(max_count=1),
        default="",
        description="column of positive weights w: the noise of a row is σ²/w",
    )
    header: bool | None = _declared(
        CategoricalParameter(AUTO_TRUE_FALSE),
        default="auto",
        description="whether files of CSV begin with the names of the columns; auto: where a"
        " column of numbers begins with a word, or a column is asked for by a name in the first"
        " line",
    )
    delimiter: str | None = _declared(
        CategoricalParameter(DELIMITERS),
        default="auto",
        description="what is between the cells of CSV; auto is found from the first lines",
    )
    decimal: str | None = _declared(
        CategoricalParameter({"auto": None, "point": ".", "comma": ","}),
        default="auto",
        description="decimal mark of the numbers of CSV; auto is found from the first lines",
    )
    ignore_files: tuple[str, ...] | None = _declared(
        WordsParameter(),
        default="auto",
        description="names of files and folders of a channel that are skipped, with * and ?; auto"
        " is .*,_*,*.manifest,*manifest.json,*.metadata",
    )
    strict: bool = _declared(
        CategoricalParameter({"false": False, "true": True}),
        default="false",
        description="whether every remark about the data, which is otherwise a warning in the log,"
        " is an error",
    )
    missing: str = _declared(
        CategoricalParameter.of_words("auto", "mean", "error"),
        default="auto",
        description="missing values of features: auto imputes the column's mean beside an"
        " indicator column (of words: a category of its own); mean imputes the column's"
        " mean (of words: none of the categories); error refuses them",
    )
    missing_values: tuple[str, ...] | None = _declared(
        WordsParameter(),
        default="auto",
        description="words and numbers, such as NA,?,-9999, that mean missing, as an empty cell"
        " does; auto is NA, N/A, NaN in any case, null, NULL and None",
    )
    handle_unknown: str = _declared(
        CategoricalParameter.of_words("ignore", "error"),
        default="ignore",
        description="categories of rows to predict that training did not have: ignore encodes"
        " them as none of the categories; error refuses them",
    )
    leave_one_out: bool | None = _declared(
        CategoricalParameter(AUTO_TRUE_FALSE),
        default="auto",
        description="whether leave-one-out scores, which cost about as much again as the fit, are"
        f" computed; auto: up to {LEAVE_ONE_OUT_ROWS:,} rows",
    )
    keep_factor: bool | None = _declared(
        CategoricalParameter(AUTO_TRUE_FALSE),
        default="auto",
        description="whether the model keeps the factor that standard deviations are predicted"
        f" from; auto: up to {FACTOR_BYTES / 1e9:g} GB",
    )
    report: bool = _declared(
        CategoricalParameter({"false": False, "true": True}),
        default="true",
        description="whether the model keeps the data of its report, which describe --html draws:"
        " predictions of at most 500 rows and the features of at most 100",
    )
    precision: str = _declared(
        CategoricalParameter.of_words("auto", "float64", "mixed"),
        default="auto",
        description="float64; or mixed: a factor in float32, with weights refined in float64,"
        " takes half the memory; auto takes mixed where only that fits into memory",
    )
    solver: str = _declared(
        CategoricalParameter.of_words("auto", "cholesky", "cg"),
        default="auto",
        description="cholesky factorises; cg takes conjugate gradients, in memory that grows with"
        " the rows: the mean to a residual of 1e-6, without evidence, leave-one-out or standard"
        " deviations; auto takes cg where neither memory"
        " nor disk holds the factor",
    )
    deviations: str = _declared(
        CategoricalParameter.of_words("factor", "nearest"),
        default="factor",
        description="what standard deviations come from in a model without its factor: factor"
        " predicts none; nearest takes the 512 training rows of the highest covariance alone,"
        " so that none is smaller than that from all rows",
    )
    seed: int = _declared(
        IntegerParameter(0),
        default="0",
        description="seed of every random choice",
    )

    def __post_init__(self) -> None:
        """Refuse values that contradict each other; a projection without a bias has the bias 0."""
        if self.projection != "sphere":
            _check_projection(self)
            object.__setattr__(self, "bias", 0.0)
        if self.kernel == "matern52":
            _check_matern(self)
        if self.target and self.label_size is not None:
            raise UserError(
                f"hyperparameters target ({', '.join(self.target)}) and label_size"
                f" ({self.label_size}) both say what to predict: leave one out"
            )
        if self.solver == "cg":
            _check_iterative(self)
        if self.k_fold == 1:
            raise UserError(
                "hyperparameter k_fold is 1, but a fold is predicted from the others: set it to 2"
                " or more, or to 0"
            )

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns that are asked for, by name or position."""
        roles = (self.target, self.features, self.ignore, self.categories, self.sample_weight)
        return tuple(name for names in roles for name in names)

    @property
    def normalizes_y(self) -> bool:
        """Whether targets are centred and scaled: `auto` leaves the post's formulas as they are."""
        return self.projection != "normalize" if self.normalize_y is None else self.normalize_y

    @property
    def learned_parameters(self) -> tuple[str, ...]:
        """Kernel parameters that are learned, beside relevances, since no value is given."""
        learned = {"noise_ratio": self.noise is None, "bias": self.bias is None}
        return tuple(name for name, is_learned in learned.items() if is_learned)

    @property
    def may_iterate(self) -> bool:
        """Whether conjugate gradients answer all that is asked for: nothing needs the factor."""
        return self.solver != "cholesky" and not (self.keep_factor or self.leave_one_out)

    @property
    def regressors(self) -> tuple[str, ...]:
        """Members of the ensemble that are no Gaussian processes."""
        return tuple(name for name in self.members if name != PROCESS)

    @property
    def compares_kernels(self) -> bool:
        """Whether there is a choice of kernels: single values of q and l name the kernel."""
        return len(self.q) > 1 or len(self.l) > 1

    @property
    def compares_distances(self) -> bool:
        """Whether kernels of the angle alone are compared with kernels of the distance as well."""
        return self.kernel == "auto" and self.compares_kernels and self.projection == "sphere"

    @property
    def compares_relevances(self) -> bool:
        """Whether candidates with relevances of their own are compared with those without."""
        return self.ard is None and self.compares_kernels and self.projection == "sphere"

    @property
    def compares_encodings(self) -> bool:
        """Whether encodings of the columns of numbers are compared."""
        return self.encoding == "auto" and self.compares_kernels and self.projection == "sphere"

    def stacks(self, rows: int) -> bool:
        """Whether the candidates that were compared for so many rows are blended by stacking."""
        if self.ensemble != "auto":
            return self.ensemble == "stack"
        return self.compares_kernels and self.criterion == "loo" and rows <= STACKED_ROWS


def _check_projection(hyperparameters: Hyperparameters) -> None:
    """Refuse what only the projection `sphere` has."""
    given = {
        "bias": bool(hyperparameters.bias),
        "ard": bool(hyperparameters.ard),
        "encoding": hyperparameters.encoding not in {"auto", "none"},
        "scaling": hyperparameters.scaling != "columns",
        "kernel": hyperparameters.kernel not in {"auto", "arc_cosine"},
    }
    for name, is_given in given.items():
        if is_given:
            raise UserError(
                f"hyperparameter {name} is {getattr(hyperparameters, name)} and projection is"
                f" {hyperparameters.projection}, but only projection=sphere has a {name}:"
                f" leave {name} out, or set projection to sphere"
            )


def _check_iterative(hyperparameters: Hyperparameters) -> None:
    """Refuse what a model without a factor does not have, and a matrix without noise."""
    needs_factor = {
        "keep_factor": bool(hyperparameters.keep_factor),
        "leave_one_out": bool(hyperparameters.leave_one_out),
        "precision": hyperparameters.precision != "auto",
        "members": bool(hyperparameters.regressors),
    }
    for name, is_given in needs_factor.items():
        if is_given:
            value = getattr(hyperparameters, name)
            text = ",".join(value) if isinstance(value, tuple) else str(value).lower()
            raise UserError(
                f"hyperparameter {name} is {text} and solver is cg, which makes no factor: leave"
                f" {name} out, or set solver to cholesky"
            )
    if hyperparameters.noise == 0:
        raise UserError(
            "hyperparameter noise is 0 and solver is cg, which needs some: give more, or set solver"
            " to cholesky"
        )


def _check_matern(hyperparameters: Hyperparameters) -> None:
    """Refuse degrees and depths of a kernel that has none."""
    for name in ("q", "l"):
        values = getattr(hyperparameters, name)
        if values != getattr(Hyperparameters, name):
            raise UserError(
                f"hyperparameter {name} is {','.join(map(str, values))} and kernel is matern52,"
                f" which has no {name}: leave {name} out, or set kernel to arc_cosine"
            )


HYPERPARAMETERS = tuple(
    HyperparameterSpecification(entry.name, **entry.metadata) for entry in fields(Hyperparameters)
)


def format_value(name: str, value: object) -> str:
    """Text that a hyperparameter's value, also one read from JSON, was parsed from.

    Examples
    --------
    >>> format_value("q", [0, 1]), format_value("strict", False), format_value("decimal", ",")
    ('0,1', 'false', 'comma')
    """
    if isinstance(value, list | tuple):
        parts = [str(part) for part in value]
        # Names may have commas of their own.
        return json.dumps(parts) if any("," in part for part in parts) else ",".join(parts)
    for entry in HYPERPARAMETERS:
        if entry.name == name and isinstance(entry.parameter_type, CategoricalParameter):
            words = {own: word for word, own in entry.parameter_type.values.items()}
            return words.get(value, str(value))
    return str(value)


def parse(strings: Mapping[str, str]) -> Hyperparameters:
    """Parse a job's hyperparameters.

    Parameters
    ----------
    strings : mapping of str to str
        As any client writes them: bare (``rbf``), quoted as JSON (``"rbf"``), with spaces around
        them. ``None``, ``null`` and nothing ask for the default. Names that begin with ``_`` or
        ``sagemaker_`` are ignored.

    Raises
    ------
    UserError
        If a name is unknown, a value breaks its constraint, or two values contradict each other.
        All wrong ones are named, since every attempt costs the start of a job.

    Examples
    --------
    >>> parse({"q": "0", "l": '"2"', "noise": " 0.1 "}).noise
    0.1
    """
    values: dict[str, Any] = {}
    errors = []
    for name, text in strings.items():
        if name.startswith(RESERVED_PREFIXES):
            continue
        try:
            values[name] = _parse_value(_specification(name), text)
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise UserError("; ".join(errors))
    return Hyperparameters(**values)


def table() -> str:
    """Return the table of the hyperparameters, in Markdown, without a final line break."""
    rows = ["| name | values | default | tuned over | meaning |", "|---|---|---|---|---|"]
    for entry in HYPERPARAMETERS:
        cells = (
            f"`{entry.name}`",
            entry.parameter_type.constraint,
            f"`{entry.default or ' '}`",
            _describe_range(entry.tuning_range),
            entry.description,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def usage() -> str:
    """List the hyperparameters for ``train --help``."""
    lines = []
    for entry in HYPERPARAMETERS:
        default = f" (default {entry.default})" if entry.default else ""
        lines.append(f"  {entry.name}: {entry.parameter_type.constraint}{default}")
        lines.append(textwrap.indent(textwrap.fill(entry.description), " " * 6))
    return "\n".join(lines)


def _specification(name: str) -> HyperparameterSpecification:
    entries = {entry.name: entry for entry in HYPERPARAMETERS}
    if name in entries:
        return entries[name]
    if name in RENAMED:
        raise UserError(
            f"hyperparameter {name} is now called {RENAMED[name]}: rename it, its values are"
            f" {entries[RENAMED[name]].parameter_type.constraint}"
        )
    nearest = difflib.get_close_matches(name.strip().lower(), entries, n=1)
    if nearest:
        remedy = f"correct it to {nearest[0]}, or remove it"
    else:
        remedy = f"remove it, or use one of {', '.join(entries)}"
    raise UserError(f"hyperparameter {reprlib.repr(name)} is unknown: {remedy}")


def _parse_value(entry: HyperparameterSpecification, text: str) -> object:
    try:
        value = _unquote(text)
        return entry.parameter_type.parse(entry.default if value in UNSET else value)
    except ValueError as error:
        # SageMaker shows 1,024 characters of a failure, and a value can have 2,500.
        raise UserError(
            f"hyperparameter {entry.name} is {reprlib.repr(text)}, but it must be"
            f" {entry.parameter_type.constraint}: correct it, or leave it out for the default"
            f" {entry.default}".rstrip()
        ) from error


def _unquote(text: str) -> str:
    """Remove the spaces and the quotes of JSON that a client put around a text."""
    text = text.strip()
    if not text.startswith('"'):
        return text
    word = json.loads(text)  # a stray quote is a ValueError, as any other bad value
    return str(word).strip()


def _describe_range(tuning_range: TuningRange | None) -> str:
    if tuning_range is None:
        return ""
    interval = f"{tuning_range.min_value:g} to {tuning_range.max_value:g}"
    return f"{interval}, {tuning_range.scaling_type.lower()}"
