"""scikit-learn estimators over the training of ``train`` and the artifact of ``serve``.

Their parameters are the hyperparameters of ``train``, under the same names and with the same
values. `ONLY_OF_JOBS` says which of them an estimator has not, and why.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gaussian_processes.data import arrays, dataset
from gaussian_processes.data.cells import Cells, normalize_category
from gaussian_processes.data.schema import Schema
from gaussian_processes.data.schema_inference import SchemaOptions, infer_schema
from gaussian_processes.errors import UserError
from gaussian_processes.gp.distributions import PredictiveDistribution
from gaussian_processes.model import artifact
from gaussian_processes.model.explanations import with_background
from gaussian_processes.model.model import Model, Prediction
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.sagemaker.hyperparameters import parse as parse_hyperparameters
from gaussian_processes.training import evaluation, export
from gaussian_processes.training.checkpoints import Checkpoint
from gaussian_processes.training.preparation import training_rows
from gaussian_processes.training.reporting import describe_constant_targets
from gaussian_processes.training.trainer import Trainer

Array = NDArray[np.float64]
Parameter = str | float | Sequence[str] | Sequence[int]

# Hyperparameters of `train` that estimators are without, and what takes their place.
ONLY_OF_JOBS: Mapping[str, str] = MappingProxyType(
    {
        "target": "`fit` is given y",
        "label_size": "`fit` is given y",
        "features": "`fit` is given the columns of X",
        "ignore": "`fit` is given the columns of X",
        "header": "the names of columns are those of a data frame",
        "delimiter": "`fit` is given the columns of X",
        "decimal": "`fit` is given the columns of X",
        "ignore_files": "`fit` is given the columns of X",
        "strict": "remarks are of the files of a job",
        "missing_values": "missing cells of X are NaN or None, or what files mark them by",
        "sample_weight": "`fit` is given the weights themselves",
        "task": "the class of the estimator says it",
        "k_fold": "`sklearn.model_selection.cross_validate` scores folds",
        "stages": "they print metrics for tuners that stop jobs early",
        "leave_one_out": "it says which metrics a job prints",
        "solver": "a factor gives the log marginal likelihood that estimators keep",
        "deviations": "those of estimators come from the factor",
        "report": "it keeps what describe --html draws of a job",
    }
)
SCORE = "train:log_evidence"

logger = logging.getLogger(__name__)


class _GaussianProcess(BaseEstimator):
    """What regression and classification share."""

    _task: ClassVar[str]

    def __init__(  # noqa: PLR0913  each is a hyperparameter
        self,
        *,
        q: Parameter = "auto",
        l: Parameter = "auto",  # noqa: E741  the literature's own letter
        kernel: str = "auto",
        criterion: str = "loo",
        ensemble: str = "auto",
        members: str | Sequence[str] = "gp",
        likelihood: str = "auto",
        per_target: str | bool = "auto",
        noise: Parameter = "auto",
        bias: Parameter = "auto",
        projection: str = "sphere",
        scaling: str = "columns",
        ard: str | bool = "auto",
        encoding: str = "auto",
        normalize_y: str | bool = "auto",
        categories: Sequence[str | int] = (),
        missing: str = "auto",
        handle_unknown: str = "ignore",
        keep_factor: str | bool = "auto",
        precision: str = "auto",
        seed: int = 0,
    ) -> None:
        self.q = q
        self.l = l
        self.kernel = kernel
        self.criterion = criterion
        self.ensemble = ensemble
        self.members = members
        self.likelihood = likelihood
        self.per_target = per_target
        self.noise = noise
        self.bias = bias
        self.projection = projection
        self.scaling = scaling
        self.ard = ard
        self.encoding = encoding
        self.normalize_y = normalize_y
        self.categories = categories
        self.missing = missing
        self.handle_unknown = handle_unknown
        self.keep_factor = keep_factor
        self.precision = precision
        self.seed = seed

    def save(self, folder: str | Path) -> None:
        """Write the artifact that ``serve`` serves and ``describe`` prints.

        Parameters
        ----------
        folder : str or Path
            Made if it is missing; a model that is there already is replaced.
        """
        check_is_fitted(self)
        record = {
            "hyperparameters": self.hyperparameters_,
            "scores": {SCORE: self.log_marginal_likelihood_},
        }
        artifact.save(self.model_, Path(folder), record)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether there is a model."""
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing != "error"
        tags.input_tags.categorical = True
        return tags

    def _fit(self, x: Any, targets: Sequence[Cells], names: Sequence[str], weight: Array) -> None:
        """Train on the columns of X and of y, and the weights of the rows that have any."""
        hyperparameters = self._hyperparameters()
        kept = np.flatnonzero(weight)
        columns = arrays.columns(x)
        feature_names = getattr(self, "feature_names_in_", None)
        all_names = None if feature_names is None else (*feature_names, *names)
        cells = [column[kept] for column in (*columns, *targets)]
        table = arrays.table(cells, all_names, "X")
        positions = range(len(columns), len(cells))
        hyperparameters = replace(hyperparameters, target=tuple(map(table.column_name, positions)))
        options = SchemaOptions.from_attributes(hyperparameters)
        # No column of X is left out: whoever gives it asks for it.
        asked_for = tuple(map(table.column_name, range(len(columns))))
        schema = infer_schema(table, replace(options, features=asked_for))
        data = replace(dataset.from_table(table, schema), sample_weight=weight[kept])
        data = training_rows(data, schema)
        _log(data.warnings)
        # Folds of `cross_validate` may be constant by chance; a whole table hardly is.
        for sentence in (*schema.remarks, *describe_constant_targets(schema, data, "training")):
            logger.warning(sentence)
        self._learn(data, schema, hyperparameters)

    def _learn(
        self, data: dataset.Dataset, schema: Schema, hyperparameters: Hyperparameters
    ) -> None:
        """Fit the model, and keep what is known of it."""
        trainer = Trainer(hyperparameters, schema, logger=logger)
        with TemporaryDirectory(prefix="panels-") as scratch:
            model = trainer.select_and_fit(data, Checkpoint(Path(scratch)))
        self.log_marginal_likelihood_ = evaluation.log_marginal_likelihood(model, len(data))
        kept = export.keeps_factor(model.factor_bytes, hyperparameters.keep_factor)
        self.model_ = with_background(model if kept else model.without_factors(), data.X)
        self.hyperparameters_ = export.requested(hyperparameters)

    def _hyperparameters(self) -> Hyperparameters:
        """Return the parameters, checked as ``train`` checks hyperparameters."""
        given = {name: _as_text(value) for name, value in self.get_params(deep=False).items()}
        hyperparameters = parse_hyperparameters({**given, "task": self._task, "solver": "cholesky"})
        if hyperparameters.criterion == "validation":
            raise UserError(
                "criterion is validation, but fit is given no validation rows: set it to evidence"
                " or loo, or compare with GridSearchCV"
            )
        return hyperparameters

    def _restore(self, model: Model, record: artifact.Description) -> None:
        """Take over a model, and what its artifact records, as if it had been fitted here."""
        self.model_, self.hyperparameters_ = model, record["hyperparameters"]
        self.log_marginal_likelihood_ = record["scores"][SCORE]
        names = [column.name for column in model.schema.features]
        self.n_features_in_ = len(names)
        if model.schema.has_header:
            self.feature_names_in_ = np.array(names, object)

    def _predict(self, x: Any, variance: bool) -> Prediction:
        """Predict at the rows of X."""
        check_is_fitted(self)
        validated = self._validated(x)
        schema = self.model_.schema
        names = [column.name for column in schema.features] if schema.has_header else None
        cells = arrays.columns(x if _is_frame(x) else validated)
        with _value_errors():
            rows, warnings = dataset.encode_features(
                arrays.table(cells, names, "X"), schema, range(len(cells))
            )
            _log(warnings)
            return self.model_.predict(rows, variance)

    def _validated(self, x: Any, *y: Any, **checks: Any) -> Any:
        """Check the shapes of X, and of y in fitting; finite numbers, where X is an array."""
        finite: str | bool = "allow-nan" if self.missing != "error" else True
        return validate_data(
            self,
            arrays.without_datetimes(x) if _is_frame(x) else x,
            *y,
            reset=bool(y),
            dtype=None,
            ensure_all_finite=not _is_frame(x) and finite,
            ensure_min_samples=2 if y else 1,
            **checks,
        )


class GaussianProcessRegressor(RegressorMixin, _GaussianProcess):
    """Exact Gaussian-process regression with arc-cosine kernels on the unit sphere.

    Parameters
    ----------
    q, l : int, sequence of int, or "auto"
        Degrees and depths of the kernels that are compared: "auto" is 0 to 3 of each.
    kernel : {"auto", "arc_cosine", "arc_cosine_rbf", "matern52"}
        Arc-cosine, its product with a Gaussian of the distance, or Matérn of smoothness 5/2; "auto"
        compares the first two, where several q or l are compared.
    criterion : {"loo", "evidence"}
        What chooses among them: the leave-one-out density, or the log marginal likelihood.
    ensemble : {"auto", "none", "mean", "stack"}
        The best kernel alone, all blended alike, or at most four by stacking; "auto" stacks up to
        5,000 rows, where several kernels are compared.
    likelihood : {"auto", "normal", "student"}
        Of observations: "student" has the tails and the width that leave-one-out residuals show;
        "auto" where theirs are heavy and several kernels are compared.
    per_target : bool or "auto"
        Whether each of several targets has a kernel, noise and relevances of its own; "auto": where
        leave-one-out says so and several kernels are compared.
    noise : float or "auto"
        Noise variance relative to the signal's; "auto" maximises the log marginal likelihood.
    bias : float or "auto"
        Constant that is appended to the standardised columns before they are projected onto the
        sphere.
    projection : {"sphere", "normalize", "unit"}
        How rows become points of the unit sphere.
    scaling : {"columns", "overall", "none", "auto"}
        Unit of the features.
    ard : bool or "auto"
        Automatic relevance determination, a weight of its own for every column; "auto" compares
        both, where several kernels are compared.
    encoding : {"auto", "none", "categories", "normal_scores", "both", "trend"}
        Of columns of numbers: those of few values also as categories, all as their normal scores;
        "trend" leaves out the periods of dates; "auto" compares these, where several kernels are
        compared.
    normalize_y : bool or "auto"
        Whether targets are centred and scaled.
    categories : sequence of str or int
        Columns of numbers that are names, by name or position in X; columns of words and of
        truth values are categories of themselves.
    missing : {"auto", "mean", "error"}
        Whether a missing value is imputed by the mean of its column, with an indicator column
        beside it ("auto") or without, or refused.
    handle_unknown : {"ignore", "error"}
        What a category is in `predict` that `fit` did not have.
    keep_factor : bool or "auto"
        Whether the Cholesky factor, which standard deviations need, is kept: "auto" up to 2 GB.
    precision : {"auto", "float64", "mixed"}
        Of the factor.
    seed : int
        Of every random choice.

    Attributes
    ----------
    model_ : Model
        What was learned, with the schema of the columns.
    log_marginal_likelihood_ : float
        Of the targets in their units, summed over them; of an ensemble the weighted mean.
    hyperparameters_ : dict
        What the model was fitted with, as its artifact records it.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X was a data frame.

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)[:, np.newaxis]
    >>> y = 2 * x[:, 0] + 1
    >>> process = GaussianProcessRegressor(q=1, l=0).fit(x, y)
    >>> print(process.predict([[0.5]]).round(3))
    [2.]
    """

    _task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Fit to rows and targets.

        Parameters
        ----------
        X : array-like or data frame of shape (n, c)
            Of numbers, words, truth values and dates.
        y : array-like of shape (n,) or (n, t)
        sample_weight : array-like of shape (n,), optional
            w: the noise of a row is σ²/w. Rows of weight 0 are left out.

        Raises
        ------
        ValueError
            If a parameter, a cell or a shape is none that training takes.
        """
        x, targets = self._validated(X, y, multi_output=True, y_numeric=True)
        if targets.dtype.kind in "mM":
            raise ValueError(
                "y holds dates or durations, but targets are numbers: give days or hours"
            )
        self._y_is_flat = targets.ndim == 1
        columns = targets.reshape(len(targets), -1).astype(np.float64).T
        names = _target_names(y, len(columns), getattr(self, "feature_names_in_", ()))
        weight = _weights(sample_weight, x)
        with _value_errors():
            self._fit(X if _is_frame(X) else x, tuple(columns), names, weight)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:  # noqa: N803
        """Predict means, and standard deviations of new observations if they are asked for.

        Parameters
        ----------
        X : array-like or data frame of shape (m, c)
        return_std : bool

        Returns
        -------
        mean : ndarray of shape (m,) or (m, t)
            As y was in `fit`, in its units.
        std : ndarray of the same shape
            Only with `return_std`; the noise of an observation of weight 1 included.
        """
        prediction = self._predict(X, return_std)
        if prediction.variance is None:
            return self._shaped(prediction.mean)
        return self._shaped(prediction.mean), self._shaped(np.sqrt(prediction.variance))

    def predict_distribution(self, X: Any) -> PredictiveDistribution:  # noqa: N803
        """Predict the distributions of new observations: their densities, cdf and quantiles.

        Parameters
        ----------
        X : array-like or data frame of shape (m, c)

        Returns
        -------
        PredictiveDistribution
            Of m rows and t targets, in the units of y; of one target t is 1.
        """
        return self._predict(X, variance=True).distribution

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Array:  # noqa: N803
        """Predict the central intervals that hold a share of new observations.

        Parameters
        ----------
        X : array-like or data frame of shape (m, c)
        coverage : float
            Between 0 and 1.

        Returns
        -------
        ndarray of shape (m, 2) or (m, t, 2)
            Lower and upper ends: quantiles of the predictive distribution.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage is {coverage}, but it is a share: give one between 0 and 1")
        distribution = self.predict_distribution(X)
        ends = [distribution.quantile((1 + sign * coverage) / 2) for sign in (-1, 1)]
        return np.stack([self._shaped(end) for end in ends], axis=-1)

    def _restore(self, model: Model, record: artifact.Description) -> None:
        super()._restore(model, record)
        self._y_is_flat = len(model.schema.targets) == 1

    def _shaped(self, values: Array) -> Array:
        return values[:, 0] if self._y_is_flat else values

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn may know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class GaussianProcessClassifier(ClassifierMixin, _GaussianProcess):
    """Classification by exact Gaussian-process regression on the indicators of the classes.

    The parameters are those of `GaussianProcessRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
        Sorted.
    model_, log_marginal_likelihood_, hyperparameters_, n_features_in_, feature_names_in_
        As of `GaussianProcessRegressor`; the likelihood is that of the indicators.

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)[:, np.newaxis]
    >>> process = GaussianProcessClassifier(q=1, l=0).fit(x, np.where(x[:, 0] < 0.5, "low", "high"))
    >>> print(process.predict([[0.1], [0.9]]))
    ['low' 'high']
    """

    _task = "classification"

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Fit to rows and classes.

        Parameters
        ----------
        X : array-like or data frame of shape (n, c)
        y : array-like of shape (n,)
            Numbers, words or truth values, two different ones at least.
        sample_weight : array-like of shape (n,), optional
            w: the noise of a row is σ²/w. Rows of weight 0 are left out.

        Raises
        ------
        ValueError
            If a parameter, a cell or a shape is none that training takes.
        """
        x, labels = self._validated(X, y)
        check_classification_targets(labels)
        weight = _weights(sample_weight, x)
        self.classes_ = np.unique(labels[weight > 0])
        names = _target_names(y, 1, getattr(self, "feature_names_in_", ()))
        with _value_errors():
            self._fit(X if _is_frame(X) else x, [arrays.cells(labels)], names, weight)
        self._order = _class_order(self.classes_, self.model_.schema)
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Predict the most probable class of every row, of shape (m,)."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Predict probabilities of shape (m, k), a column for each of `classes_`."""
        probabilities = self._predict(X, variance=False).probabilities
        return np.asarray(probabilities)[:, self._order]

    def _restore(self, model: Model, record: artifact.Description) -> None:
        super()._restore(model, record)
        self.classes_ = np.array(model.schema.classes)
        self._order = _class_order(self.classes_, model.schema)


def load(folder: str | Path) -> GaussianProcessRegressor | GaussianProcessClassifier:
    """Read the model that ``train``, or an estimator's `save`, has written.

    Parameters
    ----------
    folder : str or Path
        The one with ``model.json``: an unpacked ``model.tar.gz``.

    Returns
    -------
    GaussianProcessRegressor or GaussianProcessClassifier
        Fitted, with the hyperparameters of the training job as its parameters.

    Raises
    ------
    ValueError
        If there is no model, or it is not whole, or of another format.
    """
    with _value_errors():
        model, record = artifact.load(Path(folder)), artifact.load_description(Path(folder))
    kind = GaussianProcessClassifier if model.schema.classes else GaussianProcessRegressor
    estimator = kind(**_parameters(record["hyperparameters"], model.schema))
    estimator._restore(model, record)
    return estimator


def _parameters(recorded: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Parameters of an estimator that trains again as an artifact records."""
    names = set(_GaussianProcess().get_params()) & recorded.keys()
    parameters = {name: _as_parameter(recorded[name]) for name in names}
    if recorded["projection"] != "sphere":
        del parameters["bias"]  # the 0 that is recorded stands for none
    return {**parameters, "categories": _categories(schema)}


@contextmanager
def _value_errors() -> Iterator[None]:
    """Raise what scikit-learn's callers catch where training or a model refuses something."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error


def _log(sentences: Sequence[str]) -> None:
    """Log what stands in for what is missing or unknown."""
    for sentence in sentences:
        logger.info(sentence)


def _is_frame(x: Any) -> bool:
    """Whether X is a pandas data frame, whose columns each have a type of their own."""
    return hasattr(x, "iloc") and hasattr(x, "columns")


def _weights(sample_weight: ArrayLike | None, x: Array) -> Array:
    """Weights of the rows, of which one at least is not zero."""
    weight: Array = _check_sample_weight(
        sample_weight, x, dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise ValueError("every sample_weight is zero, which leaves no row: give one above zero")
    return weight


def _target_names(y: Any, count: int, taken: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of y, its own where it has any that no column of X has."""
    own = list(getattr(y, "columns", [getattr(y, "name", None)]))
    if len(own) != count or not all(isinstance(name, str) for name in own):
        own = ["target"] if count == 1 else [f"target_{index}" for index in range(count)]
    while set(own) & set(taken):
        own = [f"{name}_" for name in own]
    return tuple(own)


def _class_order(classes: NDArray[Any], schema: Schema) -> NDArray[np.intp]:
    """Positions among the classes of a schema, which are words, of the classes of an estimator."""
    positions = {normalize_category(label): code for code, label in enumerate(schema.classes)}
    words = [normalize_category(cell) for cell in arrays.cells(classes).tolist()]
    if len(set(words)) < len(words):
        raise ValueError(
            f"two of the classes {', '.join(map(repr, classes.tolist()))[:300]} are written alike:"
            " give each a name of its own"
        )
    return np.array([positions[word] for word in words])


def _as_text(value: Any) -> str:
    """Return a parameter as a client of SageMaker writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence | np.ndarray | range):
        return json.dumps([str(part) for part in value]) if len(value) else ""
    return str(value)


def _as_parameter(value: Any) -> Any:
    """Return a recorded hyperparameter as it is given to an estimator."""
    if not isinstance(value, list):
        return value
    return value[0] if len(value) == 1 else tuple(value)


def _categories(schema: Schema) -> tuple[str | int, ...]:
    """Columns that a schema takes for categories, by name or else by position in X."""
    return tuple(
        column.name if schema.has_header else position
        for position, column in enumerate(schema.features)
        if column.categories is not None
    )
