"""Which models does a process hold, by which names?"""

import gc
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gaussian_processes.errors import UserError
from gaussian_processes.files import format_bytes
from gaussian_processes.model import artifact
from gaussian_processes.model.model import Model


class AlreadyLoadedError(UserError):
    """A model of that name is there: HTTP 409."""


class InsufficientMemoryError(UserError):
    """There is no memory for the model until others are unloaded: HTTP 507."""


class NotLoadedError(UserError):
    """There is no model of that name: HTTP 404."""


@dataclass(frozen=True)
class Loaded:
    """A model, the folder that it came from, and the bytes of its files, which are mapped into memory."""

    model: Model
    url: str
    size: int


class ModelRegistry:
    """Models that are loaded and unloaded while others are asked.

    Parameters
    ----------
    most_bytes : int
        What their files may have together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._loaded: dict[str, Loaded] = {}
        self._loading: dict[str, int] = {}
        self._changing = threading.Lock()

    def load(self, name: str, url: str) -> None:
        """Load the model in a folder under a name.

        Raises
        ------
        AlreadyLoadedError, NoRoomError
        UserError
            If the folder holds no model that can be used.
        """
        # Predictions keep a copy of the points, as they are seen from their middle.
        files = [*Path(url).glob("*"), *Path(url).glob("points-*.npy")]
        size = sum(path.stat().st_size for path in files if path.is_file())
        with self._changing:
            if name in self._loaded or name in self._loading:
                raise AlreadyLoadedError(
                    f"model {name[:200]} is loaded already; unload it first, or use another name"
                )
            held = sum(loaded.size for loaded in self._loaded.values()) + sum(
                self._loading.values()
            )
            if held + size > self._most_bytes:
                room = format_bytes(max(self._most_bytes - held, 0))
                raise InsufficientMemoryError(
                    f"model {name[:200]} takes {format_bytes(size)} and there is room for {room}; unload others first"
                )
            self._loading[name] = size
        # Without the lock, since it takes as long as reading every byte of it does.
        try:
            model = artifact.load(Path(url))
            self._loaded[name] = Loaded(model, url, size)
        finally:
            del self._loading[name]

    def unload(self, name: str) -> None:
        """Forget a model; its memory is free unless a request is still using it.

        Raises
        ------
        NotLoadedError
        """
        if self._loaded.pop(name, None) is None:
            self.get(name)
        gc.collect()  # what refers to itself would keep its files mapped until some other time

    def get(self, name: str) -> Loaded:
        """Return the model of a name.

        Raises
        ------
        NotLoadedError
        """
        loaded = self._loaded.get(name)
        if loaded is None:
            raise NotLoadedError(f"there is no model {name[:200]}; load it with POST /models")
        return loaded

    def all(self) -> Mapping[str, Loaded]:
        """Return the models by their names, in the order in which they came."""
        return dict(self._loaded)
