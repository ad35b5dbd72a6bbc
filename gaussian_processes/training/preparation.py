"""Regression targets and preprocessing of a dataset, as the hyperparameters ask."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data import preprocessing
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


def fit_preprocessor(
    dataset: Dataset, schema: Schema, hyperparameters: Hyperparameters, scaling: str
) -> Preprocessor:
    """Fit centres, scales and the encoding of categories to a dataset."""
    # A bias that is still to be found is positive; so is the 1 that stands for it until then.
    bias = 1.0 if hyperparameters.bias is None else hyperparameters.bias
    options = PreprocessingOptions(
        hyperparameters.projection, scaling, hyperparameters.normalizes_y, bias
    )
    targets = regression_targets(dataset, schema)
    return preprocessing.fit(dataset.X, targets, schema.category_counts, options)


def with_parameters(preprocessor: Preprocessor, parameters: KernelParameters) -> Preprocessor:
    """Give a preprocessor the bias and the relevance of the kernel's parameters."""
    return replace(preprocessor, bias=parameters.bias, relevance=parameters.relevance)
