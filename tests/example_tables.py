"""Small tables for tests, with their schemas and datasets."""

import numpy as np

from gaussian_processes.data import dataset
from gaussian_processes.data.schema_inference import SchemaOptions, infer_schema
from gaussian_processes.data.table import Table
from gaussian_processes.sagemaker.hyperparameters import parse


def table(names=("y", "a", "kind", "w"), name="train/a.csv", **changed):
    """Table of a target, a number, a category and weights; `changed` replaces or adds columns."""
    columns = {
        "y": [1.0, 2, 3, 4],
        "a": [0.5, 1, 2, 3],
        "kind": ["red", "green", "red", "blue"],
        "w": [1.0, 2, 1, 4],
        **changed,
    }
    kept = [
        np.array(cells, object if any(isinstance(cell, str) for cell in cells) else float)
        for cells in columns.values()
    ]
    return Table(tuple(columns) if names else None, tuple(kept), [(name, len(kept[0]))])


def fitted(rows=None, **hyperparameters):
    """Schema and dataset of a table, the example by default."""
    rows = table() if rows is None else rows
    schema = infer_schema(rows, SchemaOptions.from_attributes(parse(hyperparameters)))
    return schema, dataset.from_table(rows, schema)
