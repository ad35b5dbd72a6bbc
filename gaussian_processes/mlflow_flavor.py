"""MLflow's pyfunc flavour of a trained model: its artifact, logged as it is, and loaded by MLflow.

A logged model holds the artifact and the name of this module; nothing is serialised otherwise.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec
from mlflow.types import Schema as InputSchema

from gaussian_processes import __version__
from gaussian_processes.data import arrays, dataset
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model
from gaussian_processes.serving.outputs import compute_outputs, default_outputs, needs_variance

# What the endpoint's attribute of this name says: "mean,std" or "quantiles=0.1,0.9".
PARAMETER = "output"


class ServedModel:
    """Model as MLflow predicts with it: data frames in, the endpoint's outputs by name back."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(
        self, model_input: Any, params: Mapping[str, str] | None = None
    ) -> dict[str, list[Any]]:
        """Predict the rows of a data frame.

        Parameters
        ----------
        model_input : pandas.DataFrame
            The columns of training, by name and in any order where training had names, else in
            their order.
        params : mapping, optional
            `output`: the names of the outputs; "" is the endpoint's own.

        Returns
        -------
        dict of str to list
            A value for every row, by the name of the output.

        Raises
        ------
        UserError
            If a cell is not what its column holds, or an output is none of the model's.
        """
        model = self._model
        requested = default_outputs((params or {}).get(PARAMETER, ""), model)
        columns = arrays.columns(model_input)
        table = arrays.table(columns, _names(model.schema), "model_input")
        rows, _ = dataset.encode_features(table, model.schema, range(len(columns)))
        prediction = model.predict(rows, needs_variance(requested, model))
        outputs = compute_outputs(requested, model, rows, prediction)
        return {name: list(values) for name, values in outputs.items()}


def log_model(folder: str | Path, name: str = "model", **options: Any) -> Any:
    """Log the model of a folder to the active run; return MLflow's description of it.

    Parameters
    ----------
    folder : str or Path
        What `train` has left in /opt/ml/model, unpacked, or an estimator's `save`.
    name : str
    **options
        Of `mlflow.pyfunc.log_model`, such as `registered_model_name`.
    """
    return mlflow.pyfunc.log_model(name=name, **_description(Path(folder)), **options)


def save_model(folder: str | Path, path: str | Path, **options: Any) -> None:
    """Save the model of a folder as an MLflow model at a path; options as of `log_model`."""
    mlflow.pyfunc.save_model(path=str(path), **_description(Path(folder)), **options)


def _load_pyfunc(path: str) -> ServedModel:
    """Load what was logged; MLflow calls it by this name."""
    return ServedModel(artifact.load(Path(path)))


def _description(folder: Path) -> dict[str, Any]:
    """Describe a model to MLflow: where its files are, what loads them, and its columns."""
    schema = artifact.load(folder).schema
    return {
        "loader_module": __name__,
        "data_path": str(folder),
        "signature": _signature(schema),
        "pip_requirements": [f"gaussian-processes=={__version__}"],
    }


def _signature(schema: Schema) -> ModelSignature:
    """Signature of the columns: numbers and words, by name where training had names."""
    parameters = ParamSchema([ParamSpec(PARAMETER, DataType.string, "")])
    columns = [_column_spec(column, schema.has_header) for column in schema.features]
    return ModelSignature(inputs=InputSchema(list(columns)), params=parameters)


def _column_spec(column: Column, has_header: bool) -> ColSpec:
    """Type of a column, with its name where training had names."""
    kind = DataType.double if column.categories is None else DataType.string
    return ColSpec(kind, column.name) if has_header else ColSpec(kind)


def _names(schema: Schema) -> list[str] | None:
    return [column.name for column in schema.features] if schema.has_header else None
