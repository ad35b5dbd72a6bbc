"""Which models does a process hold, by which names?"""

import gc
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gaussian_processes import artifact
from gaussian_processes.artifact import in_words
from gaussian_processes.errors import UserError
from gaussian_processes.model import Model


class AlreadyLoadedError(UserError):
    """A model of that name is there: HTTP 409."""


class NoRoomError(UserError):
    """There is no memory for the model until others are unloaded: HTTP 507."""


class NotLoadedError(UserError):
    """There is no model of that name: HTTP 404."""


@dataclass(frozen=True)
class Loaded:
    """A model, the folder that it came from, and the bytes of its files, which are mapped into memory."""

    model: Model
    url: str
    size: int


class Models:
    """Models that are loaded and unloaded while others are asked.

    Parameters
    ----------
    most_bytes : int
        What their files may have together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._loaded: dict[str, Loaded] = {}
        self._changing = threading.Lock()

    def load(self, name: str, url: str) -> None:
        """Load the model in a folder under a name.

        Raises
        ------
        AlreadyLoadedError, NoRoomError
        UserError
            If the folder holds no model that can be used.
        """
        with self._changing:
            if name in self._loaded:
                raise AlreadyLoadedError(f"model {name} is loaded already; unload it first, or use another name")
            size = sum(path.stat().st_size for path in Path(url).glob("*") if path.is_file())
            held = sum(loaded.size for loaded in self._loaded.values())
            if held + size > self._most_bytes:
                room = in_words(max(self._most_bytes - held, 0))
                raise NoRoomError(f"model {name} takes {in_words(size)} and there is room for {room}; unload others first")
            self._loaded[name] = Loaded(artifact.load(Path(url)), url, size)

    def unload(self, name: str) -> None:
        """Forget a model; its memory is free unless a request is still using it.

        Raises
        ------
        NotLoadedError
        """
        with self._changing:
            self.get(name)
            del self._loaded[name]
        gc.collect()  # what refers to itself would keep its files mapped until some other time

    def get(self, name: str) -> Loaded:
        """Return the model of a name.

        Raises
        ------
        NotLoadedError
        """
        if name not in self._loaded:
            raise NotLoadedError(f"there is no model {name[:200]}; load it with POST /models")
        return self._loaded[name]

    def all(self) -> Mapping[str, Loaded]:
        """Return the models by their names, in the order in which they came."""
        return dict(self._loaded)
