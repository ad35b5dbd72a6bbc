"""Files of a channel's folder: links are followed, and what is no file is refused."""

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from gaussian_processes.data.readers.interface import ReadOptions
from gaussian_processes.errors import UserError


def walk(folder: Path, options: ReadOptions) -> Iterator[tuple[str, Path]]:
    """Yield the entries below a folder that are no folders, by their paths in it.

    Raises
    ------
    UserError
        If a folder can't be read, or is a link to one that holds it.
    OSError
        If the channel's own can't be read; one that is missing has no entries.
    """

    def refuse(error: OSError) -> None:
        if error.filename == str(folder):
            if isinstance(error, FileNotFoundError):
                return
            raise error
        relative = Path(error.filename).relative_to(folder).as_posix()
        if ignoring_pattern(relative, options.ignored_patterns):
            return
        raise UserError(
            f"{options.channel}/{relative} can't be read ({error.strerror}): let this user read it,"
            " or remove it"
        ) from error

    for root, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        for name in folders:
            _check_no_cycle(Path(root, name), options.channel, folder)
        for name in files:
            path = Path(root, name)
            yield path.relative_to(folder).as_posix(), path


def ignoring_pattern(relative: str, patterns: Sequence[str]) -> str | None:
    """Pattern that a file's name, or that of a folder on its path, matches; None if there is none.

    Examples
    --------
    >>> ignoring_pattern("a/_temporary/b.csv", (".*", "_*")), ignoring_pattern("a.csv", ("_*",))
    ('_*', None)
    """
    parts = relative.split("/")
    matching = (pattern for pattern in patterns for part in parts if fnmatchcase(part, pattern))
    return next(matching, None)


def check_is_file(name: str, path: Path) -> None:
    """Refuse a link that leads nowhere, and what is neither a file nor a folder."""
    if path.is_file():
        return
    if path.is_symlink() and not path.exists():
        raise UserError(
            f"{name} is a link to {path.readlink()}, which is not there: give the file itself, or"
            " remove the link"
        )
    kind = "a FIFO" if path.is_fifo() else "neither a file nor a folder"
    raise UserError(f"{name} is {kind}: write its rows into a file, or remove it")


def _check_no_cycle(path: Path, channel: str, folder: Path) -> None:
    """Refuse a link to a folder that holds it, which would be followed for ever."""
    real = os.path.realpath(path)
    if path.is_symlink() and Path(os.path.realpath(path.parent)).is_relative_to(real):
        name = path.relative_to(folder).as_posix()
        raise UserError(f"{channel}/{name} is a link to a folder that holds it: remove the link")
