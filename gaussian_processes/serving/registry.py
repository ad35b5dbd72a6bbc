"""Registry of the models of a multi-model endpoint: loaded, listed and unloaded by name."""

import gc
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model
from gaussian_processes.resources import available_memory

# Share of the memory that is free at the start that models may take; the rest is for requests.
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


@dataclass(frozen=True)
class RegisteredModel:
    """A model, the folder that it was loaded from, and the bytes of its memory-mapped files."""

    model: Model
    url: str
    size: int


class ModelRegistry:
    """Models by name, which may be loaded and unloaded while others predict.

    Parameters
    ----------
    max_bytes : int
        Limit on the size of all models together.
    folders : sequence of Path
        Folders that hold the models which may be loaded.
    """

    def __init__(self, max_bytes: int, folders: Sequence[Path] = (Path("/"),)) -> None:
        self._max_bytes = max_bytes
        self._folders = [folder.resolve() for folder in folders]
        self._models: dict[str, RegisteredModel] = {}
        self._loading: dict[str, int] = {}  # sizes of the models that are being loaded
        self._lock = threading.Lock()

    @classmethod
    def of_free_memory(cls, folders: Sequence[Path]) -> "ModelRegistry":
        """Make an empty registry whose models may take most of the memory that is free now."""
        return cls(int(available_memory() * MODELS_SHARE), folders)

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
            self._reserve(name, size)
        # Without the lock: loading takes as long as reading every byte of the model.
        try:
            self._models[name] = RegisteredModel(artifact.load(folder), url, size)
        finally:
            del self._loading[name]

    def _confined(self, url: str) -> Path:
        """Folder of a url, whose links lead to no place outside of the folders of models."""
        try:
            folder = Path(url).resolve()
            folder.is_dir()
        except (ValueError, OSError) as error:  # NUL, half a surrogate pair, or too long
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

    def _reserve(self, name: str, size: int) -> None:
        """Reserve a name and memory for a model that is about to be loaded."""
        shown = name[:QUOTED_CHARACTERS]
        if name in self._models or name in self._loading:
            raise AlreadyLoadedError(
                f"model {shown} is loaded already; unload it first, or use another name"
            )
        used = sum(registered.size for registered in self._models.values())
        used += sum(self._loading.values())
        if used + size > self._max_bytes:
            free = format_bytes(max(self._max_bytes - used, 0))
            raise InsufficientMemoryError(
                f"model {shown} takes {format_bytes(size)} and {free} are free; unload others first"
            )
        self._loading[name] = size

    def unload(self, name: str) -> None:
        """Unload a model; its memory is free unless a request is still using it.

        Raises
        ------
        NotLoadedError
        """
        if self._models.pop(name, None) is None:
            self.get(name)
        gc.collect()  # reference cycles would keep its files mapped until a later collection

    def get(self, name: str) -> RegisteredModel:
        """Return the model of a name.

        Raises
        ------
        NotLoadedError
        """
        registered = self._models.get(name)
        if registered is None:
            raise NotLoadedError(
                f"there is no model {name[:QUOTED_CHARACTERS]}; load it with POST /models"
            )
        return registered

    def all(self) -> Mapping[str, RegisteredModel]:
        """Return the models by name, in the order in which they were loaded."""
        return dict(self._models)


def _check_name(name: str) -> None:
    """Refuse what is no TargetModel of SageMaker's: printable, and without a space at its front."""
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable() or name[:1].isspace():
        raise UserError(
            f"model_name is {name[:QUOTED_CHARACTERS]!a}; send at most {MAX_NAME_CHARACTERS:,}"
            " printable characters without a space at the front"
        )


def _size(folder: Path) -> int:
    """Bytes of a model in memory: its files, and the copy of the points that predictions keep."""
    files = [*folder.glob("*"), *folder.glob("points-*.npy")]
    return sum(path.stat().st_size for path in files if path.is_file())
