"""Artifacts: a model saved in a folder, as `model.json` and ``.npy`` files.

`model.json` holds everything but the arrays, and names their files with their checksums. Its keys
are the attributes of `Model`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussian_processes.data.preprocessing import Preprocessor
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write, create_memmap
from gaussian_processes.gp.calibration import Calibration
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GaussianProcess
from gaussian_processes.linalg.cholesky import PANEL_WIDTH, Factor, slices
from gaussian_processes.model.model import EnsembleMember, Model

Array = NDArray[Any]
Description = dict[str, Any]

# Raised by one whenever a program of the format before would misread what is written now.
FORMAT = 3
LIBRARIES = ("gaussian-processes", "numpy", "scipy")
# The files of a model: no other may be named, such as one of another folder.
ARRAY_FILE = re.compile(r"(points|alpha|factor)-\d+\.npy")
# Bytes that are read at a time for a checksum: enough to keep a disk busy.
BLOCK_BYTES = 1 << 20


def save(model: Model, folder: Path, record: Mapping[str, Any] | None = None) -> None:
    """Save a model into a folder.

    Every file is written under a temporary name and then renamed, `model.json` last: a folder
    without it holds no model.

    Parameters
    ----------
    model : Model
    folder : Path
        Made if it is missing. A model that is there already is replaced.
    record : mapping, optional
        Goes into `model.json` as it is: hyperparameters, scores, whatever JSON can hold.
    """
    (folder / "model.json").unlink(missing_ok=True)
    checksums = {}
    for index, member in enumerate(model.members):
        for name, array in _arrays(member.process).items():
            path = folder / f"{name}-{index}.npy"
            # Not synced: a checksum tells what a loss of power has spoiled.
            atomic_write(path, partial(_write_array, array=array), sync=False)
            checksums[path.name] = _checksum(path)
    description = {
        "format": FORMAT,
        **(record or {}),
        "training_rows": len(model.members[0].process.points),
        "libraries": {name: version(name) for name in LIBRARIES},
        "schema": asdict(model.schema),
        "calibration": None if model.calibration is None else model.calibration.to_json(),
        "members": [_describe_member(member) for member in model.members],
        "panel_width": PANEL_WIDTH,
        "sha256": checksums,
    }
    text = json.dumps(description, indent=2, allow_nan=False) + "\n"
    atomic_write(folder / "model.json", lambda path: path.write_text(text))


def load(folder: Path) -> Model:
    """Load the model that `save` has written into a folder.

    Its arrays are mapped, so that processes share one copy in memory.

    Raises
    ------
    UserError
        If there is no model, or it is not whole, or of another format.
    """
    path = folder / "model.json"
    try:
        return _model(folder, load_description(folder))
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} is missing; {folder} must hold what `train` has written there"
        ) from error
    # What a person, or another version, may have written into model.json.
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise UserError(
            f"{path} can't be used ({type(error).__name__}: {error}); train the model again"
        ) from error


def load_description(folder: Path) -> Description:
    """Load what `model.json` in a folder says."""
    description: Description = json.loads((folder / "model.json").read_text())
    return description


def _arrays(process: GaussianProcess) -> dict[str, Array | tuple[Array, ...]]:
    """Arrays of a process, and the panels of its factor, by the names of their files."""
    arrays: dict[str, Array | tuple[Array, ...]] = {
        "points": process.points,
        "alpha": process.alpha,
    }
    if process.factor is not None:
        arrays["factor"] = process.factor.panels
    return arrays


def _describe_member(member: EnsembleMember) -> Description:
    process = member.process
    return {
        "weight": member.weight,
        "preprocessor": member.preprocessor.to_json(),
        "process": {
            "kernel": asdict(process.kernel),
            "noise_ratio": process.noise_ratio,
            "jitter": process.jitter,
            "signal_variance": process.signal_variance.tolist(),
            "iterations": process.iterations,
        },
    }


def _model(folder: Path, description: Description) -> Model:
    if description["format"] != FORMAT:
        raise UserError(
            f"{folder}/model.json is of format {description['format']} and this program reads"
            f" {FORMAT}; train again"
        )
    if description["panel_width"] != PANEL_WIDTH:
        raise ValueError(
            f"its factor has panels of {description['panel_width']} columns, and this program's"
            f" have {PANEL_WIDTH}"
        )
    schema = _schema(description["schema"])
    arrays = _load_arrays(folder, description["sha256"])
    members = []
    for index, described in enumerate(description["members"]):
        member = _member(index, described, arrays)
        _check_shapes(member, schema)
        members.append(member)
    if not members:
        raise ValueError("it has no members")
    described = description["calibration"]
    calibration = None if described is None else Calibration.from_json(described)
    _check_calibration(calibration, schema)
    return Model(schema, tuple(members), calibration)


def _check_calibration(calibration: Calibration | None, schema: Schema) -> None:
    """Refuse classes without a calibration, or one of other classes."""
    found = 0 if calibration is None else len(calibration.offsets)
    if found != len(schema.classes):
        raise ValueError(f"it calibrates {found} classes, and its target has {len(schema.classes)}")


def _load_arrays(folder: Path, checksums: Mapping[str, str]) -> dict[str, Array]:
    arrays = {}
    for name, checksum in checksums.items():
        if not ARRAY_FILE.fullmatch(name) or _checksum(folder / name) != checksum:
            raise UserError(
                f"{folder / name} is not what was saved: its checksum differs; copy the model again"
            )
        mapped = np.load(folder / name, mmap_mode="r", allow_pickle=False)
        arrays[name] = np.asarray(mapped)
    return arrays


def _member(
    index: int, described: Mapping[str, Any], arrays: Mapping[str, Array]
) -> EnsembleMember:
    process = _process(
        described["process"],
        arrays[f"points-{index}.npy"],
        arrays[f"alpha-{index}.npy"],
        arrays.get(f"factor-{index}.npy"),
    )
    return EnsembleMember(
        Preprocessor.from_json(described["preprocessor"]), process, float(described["weight"])
    )


def _process(
    described: Mapping[str, Any], points: Array, alpha: Array, packed: Array | None
) -> GaussianProcess:
    return GaussianProcess(
        kernel=ArcCosine(**described["kernel"]),
        noise_ratio=float(described["noise_ratio"]),
        jitter=float(described["jitter"]),
        points=points,
        alpha=alpha,
        signal_variance=np.array(described["signal_variance"], float),
        factor=None if packed is None else Factor(tuple(_panels(packed, len(points)))),
        iterations=int(described["iterations"]),
    )


def _schema(described: Mapping[str, Any]) -> Schema:
    sample_weight = described["sample_weight"]
    values = {
        **described,
        "features": tuple(map(_column, described["features"])),
        "targets": tuple(map(_column, described["targets"])),
        "classes": tuple(described["classes"]),
        "ignored": tuple(described["ignored"]),
        "remarks": tuple(described["remarks"]),
        "sample_weight": _column(sample_weight) if sample_weight else None,
    }
    return Schema(**values)


def _column(described: Mapping[str, Any]) -> Column:
    categories = described["categories"]
    return Column(
        described["name"],
        described["position"],
        None if categories is None else tuple(categories),
        described["missing_indicator"],
    )


def _check_shapes(member: EnsembleMember, schema: Schema) -> None:
    """Refuse arrays that don't belong together, before a prediction fails or is wrong."""
    preprocessor, process = member.preprocessor, member.process
    rows, outputs, coordinates = len(process.points), schema.output_count, len(preprocessor.column)
    shapes = {
        "points": (process.points, (rows, coordinates + 1)),
        "alpha": (process.alpha, (rows, outputs)),
        "signal_variance": (process.signal_variance, (outputs,)),
        "category": (preprocessor.category, (coordinates,)),
        "imputation_values": (preprocessor.imputation_values, (len(schema.category_counts),)),
        "center": (preprocessor.center, (coordinates,)),
        "scale": (preprocessor.scale, (coordinates,)),
        "relevance": (preprocessor.relevance, (coordinates,)),
        "target_center": (preprocessor.target_center, (outputs,)),
        "target_scale": (preprocessor.target_scale, (outputs,)),
    }
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape} where {shape} belongs")


def _panels(packed: Array, size: int) -> Iterator[Array]:
    """Split a file's array into the panels of a factor of `size` rows."""
    end = 0
    for columns in slices(size):
        shape = (size - columns.start, columns.stop - columns.start)
        start, end = end, end + shape[0] * shape[1]
        yield packed[start:end].reshape(shape)
    if end != packed.size:
        raise ValueError(f"its factor has {packed.size} numbers, and {size} rows have {end}")


def _write_array(path: Path, array: Array | tuple[Array, ...]) -> None:
    """Write an array, or a factor's panels one after the other as one of one dimension."""
    if not isinstance(array, tuple):
        create_memmap(path, array.dtype, array.shape)[...] = array
        return
    packed = create_memmap(path, array[0].dtype, (sum(panel.size for panel in array),))
    end = 0
    for panel in array:
        start, end = end, end + panel.size
        packed[start:end] = panel.reshape(-1)


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
