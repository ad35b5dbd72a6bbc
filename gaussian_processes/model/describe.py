"""What is in a model, for a person to read?

Run as ``describe``, or ``python -m gaussian_processes.model.describe``.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gaussian_processes import __version__
from gaussian_processes.data.preprocessing import NO_CATEGORY, Preprocessor
from gaussian_processes.errors import UserError
from gaussian_processes.model import artifact
from gaussian_processes.model.model import EnsembleMember, Model
from gaussian_processes.sagemaker import environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a model; return the exit code."""
    parser = argparse.ArgumentParser(
        "describe", description="Print what a trained model is and how good it was."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    usual = environment.base_folder(os.environ) / "model"
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=usual,
        help=f"what `train` has written (default {usual})",
    )
    folder = parser.parse_args(arguments).folder
    try:
        model, record = artifact.load(folder), artifact.read(folder)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    for line in _lines(model, record):
        print(line)
    return 0


def _lines(model: Model, record: artifact.Record) -> Iterator[str]:
    schema = model.schema
    versions = ", ".join(f"{name} {version}" for name, version in record["libraries"].items())
    yield f"a Gaussian process of {record['rows']:,} training rows ({versions})"
    yield f"target: {', '.join(column.name for column in schema.targets)}"
    if schema.classes:
        yield f"classes: {', '.join(map(str, schema.classes))}; probabilities: softmax of {model.inverse_temperature:.4g} times the means"
    yield f"features: {len(schema.features)} columns, in this order in a request"
    for index, column in enumerate(schema.features):
        yield f"  {schema.column_label(index)}: " + (
            "numbers" if column.categories is None else f"one of {', '.join(column.categories)}"
        )
    if schema.ignored:
        yield f"ignored: {', '.join(schema.ignored)}"
    for member in model.members:
        yield from _member(model, member)
    yield "standard deviations: " + (
        "yes" if model.has_variance else "no, it was trained with keep_factor=false or is too large"
    )
    for name, value in record["scores"].items():
        if isinstance(value, float):
            yield f"{name}: {value:.6g}"
    asked = {
        name: value
        for name, value in record["hyperparameters"].items()
        if value not in ("auto", [], "none")
    }
    yield "hyperparameters: " + ", ".join(f"{name}={value}" for name, value in asked.items())


def _member(model: Model, member: EnsembleMember) -> Iterator[str]:
    process, learned = member.process, member.preprocessor
    share = f", {member.weight:.1%} of the model" if len(model.members) > 1 else ""
    yield f"kernel: arc-cosine q={process.kernel.q}, l={process.kernel.l}{share}"
    jitter = f" (and {process.jitter:g} of jitter)" if process.jitter else ""
    yield f"  projection={learned.projection}, bias={learned.bias:.6g}, noise={process.noise_ratio:.6g}{jitter}"
    for column, signal in zip(
        model.schema.targets, process.signal_variance * learned.target_scale**2, strict=False
    ):
        if not model.schema.classes:
            noise = np.sqrt(signal * process.noise_ratio)
            yield f"  {column.name}: standard deviation of the noise {noise:.6g}, of the function {np.sqrt(signal):.6g}"
    if (learned.relevance != 1).any():
        yield "  relevance: " + ", ".join(_relevance(model, learned))


def _relevance(model: Model, learned: Preprocessor) -> Iterator[str]:
    for source, level, weight in zip(
        learned.column.tolist(), learned.category.tolist(), learned.relevance, strict=True
    ):
        column = model.schema.features[source]
        name = (
            column.name
            if level == NO_CATEGORY or column.categories is None
            else f"{column.name}={column.categories[level]}"
        )
        yield f"{name} {weight:.3g}"


if __name__ == "__main__":
    sys.exit(main())
