"""Registry of the models of a multi-model endpoint: loaded, listed and unloaded by name.

Names, urls and checksums are recorded in a file as well, so that they outlive the worker: the one
that takes its place loads a model again as soon as a request asks for it, and no other model than
the one that the name had.
"""

import gc
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from gaussian_processes.errors import UserError
from gaussian_processes.files import atomic_write, format_bytes
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model
from gaussian_processes.serving.memory import MemoryBudget
from gaussian_processes.serving.misplaced import misplaced_model

# Share of the budget that models may take; the rest is for requests.
MODELS_SHARE = 0.8
# Characters of a name, as SageMaker's TargetModel has them.
MAX_NAME_CHARACTERS = 1024
# Characters of a name that a message quotes.
QUOTED_CHARACTERS = 200


class AlreadyLoadedError(UserError):
    """A model of that name is loaded already: HTTP 409."""


class InsufficientMemoryError(UserError):
    """Memory does not suffice for the model until others are unloaded: HTTP 507."""


class NotLoadedError(UserError):
    """No model of that name is loaded: HTTP 404."""


class LostModelError(UserError):
    """A model was in the memory of a worker that has ended, and can't be loaded again: HTTP 503."""


@dataclass(frozen=True)
class _Origin:
    """Where a model was loaded from, and its checksum."""

    url: str
    checksum: str


@dataclass(frozen=True)
class RegisteredModel:
    """A model, and the bytes of memory that it takes."""

    model: Model
    size: int


class ModelRegistry:
    """Models by name, which may be loaded and unloaded while others predict.

    Parameters
    ----------
    memory : MemoryBudget
        That of the requests, of which models take `MODELS_SHARE` at most.
    folders : sequence of Path
        Folders that hold the models which may be loaded.
    record : Path, optional
        File of the names, urls and checksums. It is read when a registry is first used, which is
        after the fork of the worker.
    """

    def __init__(
        self,
        memory: MemoryBudget,
        folders: Sequence[Path] = (Path("/"),),
        record: Path | None = None,
    ) -> None:
        self._memory = memory
        self._folders = [folder.resolve() for folder in folders]
        self._record = record
        self._models: dict[str, RegisteredModel] = {}
        self._loading: dict[str, int] = {}  # sizes of the models that are being loaded
        self._lock = threading.Lock()
        self._restoring = threading.Lock()

    @cached_property
    def _origins(self) -> dict[str, _Origin]:
        """Origins of the models by name, in the order in which they were loaded."""
        if self._record is None or not self._record.exists():
            return {}
        recorded = json.loads(self._record.read_text())
        return {name: _Origin(**origin) for name, origin in recorded.items()}

    def load(self, name: str, url: str) -> None:
        """Load the model in the folder `url` under a name.

        Raises
        ------
        AlreadyLoadedError, InsufficientMemoryError
        UserError
            If the name is not one of SageMaker's, or the folder is outside of the folders of models
            or holds no model that can be loaded.
        """
        _check_name(name)
        folder = self._confined(url)
        size = _size(folder)
        with self._lock:
            self._check_unknown(name)
            self._reserve(name, size)
        checksum = self._load_reserved(name, folder)
        with self._lock:
            self._origins[name] = _Origin(url, checksum)
            self._write_record()

    def _load_reserved(self, name: str, folder: Path, expected: str | None = None) -> str:
        """Load a model without the lock: that takes as long as reading every byte of it.

        Return its checksum, and refuse another one than is expected.
        """
        size = self._loading[name]
        try:
            if hint := misplaced_model(folder):
                raise UserError(hint)
            checksum = artifact.load_checksum(folder)
            if expected not in {None, checksum}:
                raise UserError(
                    f"{folder} holds another model than the one that was loaded; unload it, and"
                    " load what is there now"
                )
            self._models[name] = RegisteredModel(artifact.load(folder), size)
        except BaseException:
            with self._lock:
                self._memory.add_model(-size)
            raise
        finally:
            del self._loading[name]
        return checksum

    def _write_record(self) -> None:
        if self._record is not None:
            text = json.dumps({name: asdict(origin) for name, origin in self._origins.items()})
            atomic_write(self._record, lambda path: path.write_text(text), sync=False)

    def _confined(self, url: str) -> Path:
        """Folder of a url, whose links lead to no place outside of the folders of models."""
        try:
            folder = Path(url).resolve()
            folder.is_dir()
        # NUL, half a surrogate pair, too long, or (until Python 3.13) links that lead in a circle.
        except (ValueError, OSError, RuntimeError) as error:
            raise UserError(
                f"url is {url[:QUOTED_CHARACTERS]!a}; send the path of a folder"
            ) from error
        if not any(folder.is_relative_to(allowed) for allowed in self._folders):
            allowed_folders = ":".join(map(str, self._folders))
            raise UserError(
                f"url is {url[:QUOTED_CHARACTERS]}, outside of {allowed_folders};"
                " move the model, or set SERVING_MODEL_FOLDERS"
            )
        return folder

    def _check_unknown(self, name: str) -> None:
        """Refuse a name that another model has, or is about to have."""
        if name in self._origins or name in self._loading:
            raise AlreadyLoadedError(
                f"model {name[:QUOTED_CHARACTERS]} is loaded already; unload it first, or use"
                " another name"
            )

    def _reserve(self, name: str, size: int) -> None:
        """Reserve memory for a model that is about to be loaded."""
        used = sum(registered.size for registered in self._models.values())
        used += sum(self._loading.values())
        free = int(MODELS_SHARE * self._memory.total_bytes) - used
        if size > free or not self._memory.add_model(size):
            raise InsufficientMemoryError(
                f"model {name[:QUOTED_CHARACTERS]} takes {format_bytes(size)} and"
                f" {format_bytes(max(free, 0))} are free beside requests; unload others first"
            )
        self._loading[name] = size

    def unload(self, name: str) -> None:
        """Unload a model; its memory is free unless a request is still using it.

        Raises
        ------
        NotLoadedError
        """
        self.url(name)
        with self._lock:
            registered = self._models.pop(name, None)
            if registered:
                self._memory.add_model(-registered.size)
            self._origins.pop(name, None)
            self._write_record()
        gc.collect()  # reference cycles would keep its arrays until a later collection

    def get(self, name: str) -> RegisteredModel:
        """Return the model of a name; load it again if the worker that had it has ended.

        Raises
        ------
        NotLoadedError, LostModelError
        """
        registered = self._models.get(name)
        return registered or self._restore(name)

    def needs_restoring(self, name: str) -> bool:
        """Whether `get` will take as long as loading the model."""
        return name in self._origins and name not in self._models

    def _restore(self, name: str) -> RegisteredModel:
        """Load a model again that is recorded and not in memory; others wait meanwhile."""
        url = self.url(name)
        with self._restoring:
            if name not in self._models:
                try:
                    folder = self._confined(url)
                    with self._lock:
                        self._reserve(name, _size(folder))
                    self._load_reserved(name, folder, self._origins[name].checksum)
                except UserError as error:
                    raise LostModelError(
                        f"model {name[:QUOTED_CHARACTERS]} can't be loaded again: {error}"
                    ) from error
            return self._models[name]

    def url(self, name: str) -> str:
        """Return the url that a model was loaded from.

        Raises
        ------
        NotLoadedError
        """
        if name not in self._origins:
            raise NotLoadedError(
                f"there is no model {name[:QUOTED_CHARACTERS]}; load it with POST /models"
            )
        return self._origins[name].url

    def urls(self) -> Mapping[str, str]:
        """Return the urls by name, in the order in which the models were loaded."""
        return {name: origin.url for name, origin in self._origins.items()}


def _check_name(name: str) -> None:
    """Refuse what is no TargetModel of SageMaker's: printable, and without a space at its front."""
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable() or name[:1].isspace():
        raise UserError(
            f"model_name is {name[:QUOTED_CHARACTERS]!a}; send at most {MAX_NAME_CHARACTERS:,}"
            " printable characters without a space at the front"
        )


def _size(folder: Path) -> int:
    """Bytes of a model in memory: its files, and the copy of the points that predictions keep."""
    files = [*folder.rglob("*"), *folder.glob("points-*.npy")]
    return sum(path.stat().st_size for path in files if path.is_file())
