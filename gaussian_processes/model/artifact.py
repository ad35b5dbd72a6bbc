"""Artifacts: a model saved in a folder, as `model.json` and ``.npy`` files.

`model.json` holds everything but the arrays, and names their files with their checksums; the last
checksum is its own. Its keys are the attributes of `Model`. Nothing in the folder is believed: what
is loaded has its checksum and passes `validation`.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gaussian_processes import npy
from gaussian_processes.data.preprocessing import Preprocessor
from gaussian_processes.data.schema import Column, Schema
from gaussian_processes.errors import UserError
from gaussian_processes.files import (
    atomic_write,
    checksum,
    create_memmap,
    format_bytes,
    open_regular,
)
from gaussian_processes.gp import kernels
from gaussian_processes.gp.calibration import Calibration
from gaussian_processes.gp.levels import UnknownLevel
from gaussian_processes.gp.regression import GaussianProcess
from gaussian_processes.gp.replicates import Replicates
from gaussian_processes.gp.tails import Tails
from gaussian_processes.linalg.cholesky import PANEL_WIDTH, Factor, packed_panels
from gaussian_processes.model import regressors
from gaussian_processes.model.model import EnsembleMember, Member, Model, RegressorMember
from gaussian_processes.model.regressors import Regressor
from gaussian_processes.model.validation import validate
from gaussian_processes.resources import available_memory
from gaussian_processes.sagemaker.failures import platform_reason

Array = NDArray[Any]
Description = dict[str, Any]

# Raised by one whenever a program of the format before would misread what is written now.
FORMAT = 6
LIBRARIES = ("gaussian-processes", "numpy", "scipy")
# The files of a model: no other may be named, such as one of another folder.
ARRAY_FILE = re.compile(
    r"(points|alpha|factor|replicates|noise_scale|left_out)-\d+\.npy|background\.npy"
)
REGRESSOR_FILE = re.compile(r"regressor-\d+/[\w-][\w.-]*", re.ASCII)
# Of a process that has them.
OPTIONAL_ARRAYS = ("factor", "replicates", "noise_scale")
# The key of the checksum of all others.
OWN_CHECKSUM = "description_sha256"
# The data of the report, which predictions don't need, and the key of their checksum.
REPORT, REPORT_CHECKSUM = "report.json", "report_sha256"
# Bytes of `model.json` at most. A million categories take 20 MB.
MAX_DESCRIPTION_BYTES = 1 << 28
# Characters of a reason that a sentence quotes.
QUOTED_CHARACTERS = 500


def save(
    model: Model,
    folder: Path,
    record: Mapping[str, Any] | None = None,
    critical_section: AbstractContextManager[object] | None = None,
    report: Mapping[str, Any] | None = None,
) -> None:
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
    critical_section : context manager, optional
        Entered for the moment in which the folder comes to hold a whole model.
    report : mapping, optional
        Data of the model's report, for `report.json`, which is read for nothing else.

    Raises
    ------
    ValueError
        If the model is one that `load` would refuse.
    """
    validate(model)
    (folder / "model.json").unlink(missing_ok=True)
    for path in folder.glob("regressor-*"):
        shutil.rmtree(path)
    checksums = {}
    for name, array in _arrays(model).items():
        # Not synced: a checksum tells what a loss of power has spoiled.
        atomic_write(folder / name, partial(_write_array, array=array), sync=False)
        checksums[name] = checksum(folder / name)
    for index, member in enumerate(model.members):
        if isinstance(member, RegressorMember):
            checksums |= _save_regressor(member.regressor, folder / f"regressor-{index}")
    description = {
        "format": FORMAT,
        **(record or {}),
        "training_rows": model.processes[0].process.observations,
        "libraries": {name: version(name) for name in LIBRARIES},
        "schema": asdict(model.schema),
        "calibration": None if model.calibration is None else model.calibration.to_json(),
        "members": [_describe_member(member) for member in model.members],
        "panel_width": PANEL_WIDTH,
        "sha256": checksums,
    }
    (folder / REPORT).unlink(missing_ok=True)
    if report is not None:
        content = _canonical(report)
        atomic_write(folder / REPORT, lambda path: path.write_text(content))
        description[REPORT_CHECKSUM] = hashlib.sha256(content.encode()).hexdigest()
    description[OWN_CHECKSUM] = _own_checksum(description)
    text = json.dumps(description, indent=2, allow_nan=False) + "\n"
    with critical_section or nullcontext():
        atomic_write(folder / "model.json", lambda path: path.write_text(text))


def outcome(folder: Path, began: float) -> str:
    """Say whether a job that began at a time (in seconds since 1970) has left its model, or none.

    A folder with `model.json` holds a whole model, because `save` writes it last.
    """
    try:
        written = (folder / "model.json").stat().st_mtime
    except OSError:
        return "no model is left; start the job again"
    if written < began:
        return f"the model in {folder} is not of this job but of one before; start the job again"
    return f"the model in {folder} is whole all the same, and can be used"


def load(folder: Path) -> Model:
    """Load the model that `save` has written into a folder.

    Its arrays are read into memory, where nothing that happens to the files changes them any more;
    processes that are forked afterwards share one copy.

    Raises
    ------
    UserError
        If there is no model, it is not what was saved, of another format, or larger than the memory
        that is free.
    """
    with _refusing(folder):
        description = _read_description(folder)
        model = _model(folder, description)
        _check_record(description)
        return model


def load_description(folder: Path) -> Description:
    """Load what `model.json` in a folder says.

    Raises
    ------
    UserError
        If there is none, or it is not what was saved.
    """
    with _refusing(folder):
        return _read_description(folder)


def load_checksum(folder: Path) -> str:
    """Load the checksum of a model, which covers those of its files.

    Raises
    ------
    UserError
        If there is none, or `model.json` is not what was saved.
    """
    return str(load_description(folder)[OWN_CHECKSUM])


def load_report(folder: Path) -> dict[str, Any] | None:
    """Load the data of a model's report; None if it was saved without.

    Raises
    ------
    UserError
        If they are not what was saved.
    """
    with _refusing(folder):
        saved = _read_description(folder).get(REPORT_CHECKSUM)
        if saved is None:
            return None
        with open_regular(folder / REPORT) as file:
            content = file.read(MAX_DESCRIPTION_BYTES)
        _compare_checksum(folder / REPORT, hashlib.sha256(content).hexdigest(), saved)
        report: dict[str, Any] = json.loads(content)
        return report


@contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """Turn what a damaged or missing file raises into one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(platform_reason(error) or _unreadable(folder, error)) from error
    # What a person, a disk or another version may have made of the files.
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        MemoryError,
    ) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:QUOTED_CHARACTERS]
        raise UserError(
            f"{folder / 'model.json'} can't be used ({reason}); train the model again"
        ) from error


def _unreadable(folder: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} is missing; {folder} must hold what `train` has written there"
    return f"{folder} can't be read ({error}); copy the model again"


def _read_description(folder: Path) -> Description:
    """Read `model.json`, of this format and with its checksum."""
    path = folder / "model.json"
    with open_regular(path) as file:
        text = file.read(MAX_DESCRIPTION_BYTES + 1)
    if len(text) > MAX_DESCRIPTION_BYTES:
        raise ValueError(f"it has more than {format_bytes(MAX_DESCRIPTION_BYTES)}")
    description: Description = json.loads(text, parse_constant=_refuse_constant)
    if description["format"] != FORMAT:
        raise UserError(
            f"{path} is of format {description['format']!r:.60} and this program reads {FORMAT};"
            " train again"
        )
    if description.get(OWN_CHECKSUM) != _own_checksum(description):
        raise UserError(f"{path} is not what was saved: its checksum differs; copy the model again")
    return description


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _own_checksum(description: Mapping[str, Any]) -> str:
    """SHA-256 of a description's canonical text, without this checksum."""
    content = {name: value for name, value in description.items() if name != OWN_CHECKSUM}
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _canonical(content: Mapping[str, Any]) -> str:
    """Text of JSON that depends on nothing but its content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_record(description: Description) -> None:
    """Refuse what is said beside the model, and printed by `describe`, in another form."""
    for name in ("libraries", "scores", "hyperparameters"):
        if not isinstance(description.get(name, {}), dict):
            raise TypeError(f"{name} is no object")


def _save_regressor(regressor: Regressor, folder: Path) -> dict[str, str]:
    """Save a regressor's files into a folder of their own; return their checksums."""
    folder.mkdir(parents=True)
    regressor.save(folder)
    checksums = {}
    for path in sorted(folder.iterdir()):
        name = f"{folder.name}/{path.name}"
        if not (path.is_file() and REGRESSOR_FILE.fullmatch(name)):
            raise ValueError(f"{name} is no file of letters, digits, dots, _ and -; save others")
        checksums[name] = checksum(path)
    return checksums


def _arrays(model: Model) -> dict[str, Array | tuple[Array, ...]]:
    """Arrays of a model, and the panels of its factors, by the names of their files."""
    arrays = {}
    for index, member in enumerate(model.members):
        for name, array in _member_arrays(member).items():
            arrays[f"{name}-{index}.npy"] = array
    if model.background is not None:
        arrays["background.npy"] = model.background
    return arrays


def _member_arrays(member: Member) -> dict[str, Array | tuple[Array, ...]]:
    """Arrays of a member, and the panels of its factor, by their names."""
    if isinstance(member, RegressorMember):
        return {"left_out": member.left_out}
    process = member.process
    arrays: dict[str, Array | tuple[Array, ...]] = {
        "points": process.points,
        "alpha": process.alpha,
    }
    if process.factor is not None:
        arrays["factor"] = process.factor.panels
    if process.replicates is not None:
        arrays["replicates"] = process.replicates.to_array()
    if process.noise_scale is not None:
        arrays["noise_scale"] = process.noise_scale
    return arrays


def _describe_member(member: Member) -> Description:
    described = {
        "weight": member.weight,
        "targets": member.targets,
        "tails": None if member.tails is None else asdict(member.tails),
        "preprocessor": member.preprocessor.to_json(),
    }
    if isinstance(member, RegressorMember):
        own = {"name": member.name, "residual_variance": member.residual_variance}
        return {**described, "regressor": own}
    process = member.process
    return {
        **described,
        "unknown_levels": [level and asdict(level) for level in member.unknown_levels],
        "process": {
            "kernel": process.kernel.to_json(),
            "noise_ratio": process.noise_ratio,
            "jitter": process.jitter,
            "signal_variance": process.signal_variance.tolist(),
            "iterations": process.iterations,
            "nearest_points": process.nearest_points,
        },
    }


def _model(folder: Path, description: Description) -> Model:
    if description["panel_width"] != PANEL_WIDTH:
        raise ValueError(
            f"its factor has panels of {description['panel_width']} columns, and this program's"
            f" have {PANEL_WIDTH}"
        )
    schema = _schema(description["schema"])
    checksums = description["sha256"]
    arrays = _load_arrays(folder, checksums)
    rows = description["training_rows"]
    members: list[Member] = []
    for index, described in enumerate(description["members"]):
        if "regressor" in described:
            members.append(_regressor_member(folder, index, described, arrays, checksums))
        else:
            members.append(_ensemble_member(index, described, arrays, rows))
    described = description["calibration"]
    calibration = None if described is None else Calibration.from_json(described)
    model = Model(schema, tuple(members), calibration, arrays.get("background.npy"))
    validate(model)
    return model


def _load_arrays(folder: Path, checksums: Mapping[str, str]) -> dict[str, Array]:
    """Load the arrays that have a checksum, read-only, by the names of their files."""
    _check_files(folder, list(checksums))
    arrays = {}
    for name, saved in checksums.items():
        if ARRAY_FILE.fullmatch(name):
            array, found = npy.read(folder / name)
            _compare_checksum(folder / name, found, saved)
            array.flags.writeable = False
            arrays[name] = array
    return arrays


def _compare_checksum(path: Path, found: str, saved: str) -> None:
    if found != saved:
        raise UserError(f"{path} is not what was saved: its checksum differs; copy the model again")


def _check_files(folder: Path, names: Sequence[str]) -> None:
    """Refuse names of other files, and files that memory does not suffice for."""
    for name in names:
        if not (ARRAY_FILE.fullmatch(name) or REGRESSOR_FILE.fullmatch(name)):
            raise ValueError(f"{name:.60} is no file of a model")
    size, free = sum((folder / name).stat().st_size for name in names), available_memory()
    if size > free:
        raise UserError(
            f"{', '.join(names)[:QUOTED_CHARACTERS]} take"
            f" {format_bytes(size)} and {format_bytes(free)} of memory are free; use an instance"
            " with more memory, or train again with keep_factor=false"
        )


def _regressor_member(
    folder: Path,
    index: int,
    described: Mapping[str, Any],
    arrays: Mapping[str, Array],
    checksums: Mapping[str, str],
) -> RegressorMember:
    common, own = _common_fields(described), described["regressor"]
    coordinates = len(common["preprocessor"].column)
    with _checked_copy(folder, f"regressor-{index}", checksums) as copy:
        regressor = regressors.load(own["name"], copy, coordinates)
    return RegressorMember(
        name=own["name"],
        regressor=regressor,
        left_out=arrays[f"left_out-{index}.npy"],
        residual_variance=float(own["residual_variance"]),
        **common,
    )


@contextmanager
def _checked_copy(folder: Path, name: str, checksums: Mapping[str, str]) -> Iterator[Path]:
    """Copy of a folder's files, for as long as they are read, whose bytes have their checksums.

    The class that reads them opens files by itself: what lies in `folder` may have changed since
    its checksum was taken, or have none.
    """
    with tempfile.TemporaryDirectory() as copy:
        for path in (folder / file for file in checksums if file.startswith(f"{name}/")):
            with open_regular(path) as file:
                content = file.read()
            found = hashlib.sha256(content).hexdigest()
            _compare_checksum(path, found, checksums[f"{name}/{path.name}"])
            (Path(copy) / path.name).write_bytes(content)
        yield Path(copy)


def _ensemble_member(
    index: int, described: Mapping[str, Any], arrays: Mapping[str, Array], rows: int
) -> EnsembleMember:
    own = {name: arrays.get(f"{name}-{index}.npy") for name in OPTIONAL_ARRAYS}
    own |= {name: arrays[f"{name}-{index}.npy"] for name in ("points", "alpha")}
    process = _process(described["process"], own, rows)
    unknown = tuple(map(UnknownLevel.from_json, described["unknown_levels"]))
    return EnsembleMember(process=process, unknown_levels=unknown, **_common_fields(described))


def _common_fields(described: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that members of all kinds have."""
    tails, targets = described["tails"], described["targets"]
    return {
        "preprocessor": Preprocessor.from_json(described["preprocessor"]),
        "weight": float(described["weight"]),
        "tails": None if tails is None else Tails(**tails),
        "targets": None if targets is None else tuple(targets),
    }


def _process(described: Mapping[str, Any], arrays: Mapping[str, Any], rows: int) -> GaussianProcess:
    points, alpha, packed = arrays["points"], arrays["alpha"], arrays["factor"]
    replicates = arrays["replicates"]
    return GaussianProcess(
        kernel=kernels.from_json(described["kernel"]),
        noise_ratio=float(described["noise_ratio"]),
        jitter=float(described["jitter"]),
        points=points,
        alpha=alpha,
        signal_variance=np.array(described["signal_variance"], float),
        factor=None if packed is None else Factor(tuple(packed_panels(packed, len(points)))),
        observations=rows,
        varies=(alpha != 0).any(axis=0),
        iterations=int(described["iterations"]),
        nearest_points=described["nearest_points"],
        noise_scale=arrays["noise_scale"],
        replicates=None if replicates is None else Replicates.from_array(replicates),
    )


def _schema(described: Mapping[str, Any]) -> Schema:
    sample_weight, words = described["sample_weight"], described["missing_values"]
    values = {
        **described,
        "features": tuple(map(_column, described["features"])),
        "targets": tuple(map(_column, described["targets"])),
        "classes": tuple(described["classes"]),
        "ignored": tuple(described["ignored"]),
        "missing_values": None if words is None else tuple(words),
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
        described["is_date"],
    )


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
