"""Regression targets and preprocessing of a dataset, as the hyperparameters ask."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data import dates, preprocessing
from gaussian_processes.data.dataset import Dataset
from gaussian_processes.data.preprocessing import PreprocessingOptions, Preprocessor
from gaussian_processes.data.schema import Schema
from gaussian_processes.gp.marginal_likelihood import KernelParameters
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters

Array = NDArray[np.float64]


def regression_targets(dataset: Dataset, schema: Schema) -> Array:
    """Targets to regress on, of shape (n, t): in classification the indicators of the classes."""
    if not schema.classes:
        return dataset.y
    indicators: Array = (dataset.y == np.arange(len(schema.classes))).astype(float)
    return indicators


@dataclass(frozen=True)
class Preparation:
    """Preparation of the columns, of which there are several to compare.

    Parameters
    ----------
    scaling : str
        As the hyperparameter's.
    encoding : str
        `none`; `categories`: numbers of few values also as categories; `normal_scores`: numbers as
        their normal scores; `both`; or `trend`: dates without the periods that they span.
    """

    scaling: str = "columns"
    encoding: str = "none"


def preparations(
    dataset: Dataset, schema: Schema, hyperparameters: Hyperparameters
) -> list[Preparation]:
    """Return the preparations to compare, the plain one first."""
    scalings = [hyperparameters.scaling]
    if hyperparameters.scaling == "auto":
        scalings = ["columns", "overall"]
    if hyperparameters.encoding != "auto":
        return [Preparation(scaling, hyperparameters.encoding) for scaling in scalings]
    plain = [Preparation(scaling) for scaling in scalings]
    if not hyperparameters.compares_encodings or "columns" not in scalings:
        return plain
    encodings = []
    if preprocessing.few_valued_columns(dataset.X, schema.category_counts):
        encodings.append("categories")
    if not all(schema.category_counts):
        encodings.append("normal_scores")
    if len(encodings) > 1:
        encodings.append("both")
    if any(dates.periods(dataset.X[:, column]) for column in schema.dates):
        encodings.append("trend")
    return plain + [Preparation("columns", encoding) for encoding in encodings]


def fit_preprocessor(
    dataset: Dataset, schema: Schema, hyperparameters: Hyperparameters, preparation: Preparation
) -> Preprocessor:
    """Fit centres, scales and the encoding of categories to a dataset."""
    # A bias that is still to be found is positive; so is the 1 that stands for it until then.
    bias = 1.0 if hyperparameters.bias is None else hyperparameters.bias
    options = PreprocessingOptions(
        projection=hyperparameters.projection,
        scaling=preparation.scaling,
        normalize_y=hyperparameters.normalizes_y,
        bias=bias,
        few_values_as_categories=preparation.encoding in {"categories", "both"},
        normal_scores=preparation.encoding in {"normal_scores", "both"},
        periods=preparation.encoding != "trend",
    )
    # A wrong target would shift the center, and take the scale.
    targets = regression_targets(dataset, schema)[~dataset.is_rejected]
    return preprocessing.fit(dataset.X, targets, schema.category_counts, options, schema.dates)


def noise_weights(dataset: Dataset, schema: Schema, hyperparameters: Hyperparameters) -> Array:
    """Weights of training rows, of shape (n,): less for rejected rows and rows with far cells.

    Far cells do not matter where coordinates are taken as they are.
    """
    weights = dataset.sample_weight * dataset.robustness
    if hyperparameters.projection != "sphere":
        return weights
    return preprocessing.discount_far_rows(dataset.X, weights, schema.category_counts)


def training_rows(dataset: Dataset, schema: Schema) -> Dataset:
    """Training rows whose far cells can be computed with."""
    return replace(dataset, X=preprocessing.limit_far_cells(dataset.X, schema.category_counts))


def with_parameters(preprocessor: Preprocessor, parameters: KernelParameters) -> Preprocessor:
    """Give a preprocessor the bias and the relevance of the kernel's parameters.

    Training says nothing of the relevance of unknown levels: it is the root mean square of that of
    the column's known levels, at which their mean squared distances are alike.
    """
    relevance = parameters.relevance.copy()
    for coordinate, levels in preprocessor.unknown_levels:
        relevance[coordinate] = np.sqrt(np.square(relevance[levels]).mean())
    return replace(preprocessor, bias=parameters.bias, relevance=relevance)
