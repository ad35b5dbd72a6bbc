"""How is a trained model kept in a folder?

`model.json` says everything in words and numbers, and names the `.npy` files that hold the arrays, with their checksums.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gaussian_processes.data.preprocessing import Preprocessor
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write, create_memmap
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GaussianProcess
from gaussian_processes.linalg.cholesky import PANEL_WIDTH, Factor, slices
from gaussian_processes.model.model import EnsembleMember, Model

Array = NDArray[Any]
Record = dict[str, Any]

# Raised by one whenever a reader of the format before would misread what is written now.
FORMAT = 3
LIBRARIES = ("gaussian-processes", "numpy", "scipy")
# The files of a model: no other may be named, such as one of another folder.
NAME = re.compile(r"(points|alpha|factor)-\d+\.npy")
# Bytes that are read at a time for a checksum: enough to keep a disk busy.
BLOCK = 1 << 20


def save(model: Model, folder: Path, record: Mapping[str, Any]) -> None:
    """Write a model, and whatever else `record` tells of it, into a folder.

    Every file is written under a temporary name and then renamed, `model.json` last: a folder without it holds no model.

    Parameters
    ----------
    model : Model
    folder : Path
        Made if it is missing. A model that is there already is replaced.
    record : mapping
        Goes into `model.json` as it is: hyperparameters, scores, whatever JSON can hold.
    """
    (folder / "model.json").unlink(missing_ok=True)
    checksums = {}
    for index, member in enumerate(model.members):
        process = member.process
        arrays: dict[str, tuple[Array, ...]] = {
            "points": (process.points,),
            "alpha": (process.alpha,),
        }
        if process.factor is not None:
            arrays["factor"] = process.factor.panels
        for name, parts in arrays.items():
            path = folder / f"{name}-{index}.npy"
            shape = parts[0].shape if name != "factor" else (sum(part.size for part in parts),)
            atomic_write(path, partial(_write, dtype=parts[0].dtype, shape=shape, parts=parts))
            checksums[path.name] = _checksum(path)
    description = {
        "format": FORMAT,
        **record,
        "rows": len(model.members[0].process.points),
        "libraries": {name: version(name) for name in LIBRARIES},
        "schema": asdict(model.schema),
        "inverse_temperature": model.inverse_temperature,
        "members": [_described(member) for member in model.members],
        "panel_width": PANEL_WIDTH,
        "sha256": checksums,
    }
    text = json.dumps(description, indent=2, allow_nan=False) + "\n"
    atomic_write(folder / "model.json", lambda path: path.write_text(text))


def _described(member: EnsembleMember) -> dict[str, Any]:
    process = member.process
    return {
        "weight": member.weight,
        "preprocessor": {
            name: np.asarray(value).tolist() for name, value in asdict(member.preprocessor).items()
        },
        "kernel": asdict(process.kernel),
        "noise_ratio": process.noise_ratio,
        "jitter": process.jitter,
        "signal_variance": process.signal_variance.tolist(),
    }


def load(folder: Path) -> Model:
    """Read a model that `save` has written; its arrays are mapped, so that processes share one copy in memory.

    Raises
    ------
    UserError
        If there is no model, or it is not whole, or of another format.
    """
    path = folder / "model.json"
    try:
        return _model(folder, read(folder))
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} is missing; {folder} must hold what `train` has written there"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} can't be used ({type(error).__name__}: {error}); train the model again"
        ) from error


def read(folder: Path) -> Record:
    """Return what is written about the model in a folder: `model.json`."""
    description: Record = json.loads((folder / "model.json").read_text())
    return description


def _model(folder: Path, description: Record) -> Model:
    if description["format"] != FORMAT:
        raise UserError(
            f"{folder}/model.json is of format {description['format']} and this program reads {FORMAT}; train again"
        )
    if description["panel_width"] != PANEL_WIDTH:
        raise ValueError(
            f"its factor has panels of {description['panel_width']} columns, and this program's have {PANEL_WIDTH}"
        )
    for name, checksum in description["sha256"].items():
        if not NAME.fullmatch(name) or _checksum(folder / name) != checksum:
            raise UserError(
                f"{folder / name} is not what was saved: its checksum differs; copy the model again"
            )
    arrays = {
        name: np.asarray(np.load(folder / name, mmap_mode="r", allow_pickle=False))
        for name in description["sha256"]
    }
    members = [
        _member(index, member, arrays) for index, member in enumerate(description["members"])
    ]
    return Model(
        _schema(description["schema"]), tuple(members), float(description["inverse_temperature"])
    )


def _member(index: int, member: Mapping[str, Any], arrays: Mapping[str, Array]) -> EnsembleMember:
    points, packed = arrays[f"points-{index}.npy"], arrays.get(f"factor-{index}.npy")
    process = GaussianProcess(
        ArcCosine(**member["kernel"]),
        float(member["noise_ratio"]),
        float(member["jitter"]),
        points,
        arrays[f"alpha-{index}.npy"],
        np.array(member["signal_variance"]),
        None if packed is None else Factor(tuple(_panels(packed, len(points)))),
    )
    learned = member["preprocessor"]
    kinds = {"projection": str, "bias": float, "column": np.intp, "category": np.intp}
    values = {
        name: kinds[name](value)
        if name in {"projection", "bias"}
        else np.array(value, kinds.get(name, float))
        for name, value in learned.items()
    }
    return EnsembleMember(Preprocessor(**values), process, float(member["weight"]))


def _schema(described: Mapping[str, Any]) -> Schema:
    sample_weight = described["sample_weight"]
    return Schema(
        **{
            **described,
            "features": tuple(map(_column, described["features"])),
            "targets": tuple(map(_column, described["targets"])),
            "classes": tuple(described["classes"]),
            "ignored": tuple(described["ignored"]),
            "sample_weight": _column(sample_weight) if sample_weight else None,
        }
    )


def _column(described: Mapping[str, Any]) -> Column:
    categories = described["categories"]
    return Column(
        described["name"], described["position"], None if categories is None else tuple(categories)
    )


def _panels(packed: Array, size: int) -> Iterable[Array]:
    """Panels of a factor of `size` rows, of which the file holds one after the other."""
    end = 0
    for columns in slices(size):
        shape = (size - columns.start, columns.stop - columns.start)
        start, end = end, end + shape[0] * shape[1]
        yield packed[start:end].reshape(shape)
    if end != packed.size:
        raise ValueError(f"its factor has {packed.size} numbers, and {size} rows have {end}")


def _write(path: Path, dtype: DTypeLike, shape: tuple[int, ...], parts: Iterable[Array]) -> None:
    """Write arrays, one after the other, as the one array that they make up."""
    flat, end = create_memmap(path, dtype, shape).reshape(-1), 0
    for part in parts:
        start, end = end, end + part.size
        flat[start:end] = part.reshape(-1)


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
