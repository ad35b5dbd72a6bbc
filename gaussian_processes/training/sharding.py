"""Files of a channel whose files are spread over the hosts (ShardedByS3Key), gathered on each."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gaussian_processes.cluster.exchange import MESSAGE_BYTES, operation
from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.sagemaker.environment import Channel


def gather_channels(
    channels: Mapping[str, Channel], hosts: Hosts, scratch: Path
) -> dict[str, Channel]:
    """Return the channels with all their files on this host; a collective call.

    The files of a sharded channel go into a folder of `scratch`, so that they are read as if it
    were fully replicated, to the order of their names.
    """
    gathered = {}
    for name, channel in channels.items():
        spread = channel.sharded and len(hosts) > 1
        gathered[name] = _gather(channel, hosts, scratch / name) if spread else channel
    return gathered


def _gather(channel: Channel, hosts: Hosts, folder: Path) -> Channel:
    own = [path for path in sorted(channel.folder.rglob("*")) if path.is_file()]
    names = hosts.gather([str(path.relative_to(channel.folder)) for path in own])
    exchange = hosts.exchange
    folder.mkdir(parents=True)
    for path, name in zip(own, names[exchange.rank], strict=True):
        _make_parent(folder / name).symlink_to(path.absolute())
    with operation(exchange) as number:
        exchange.offer((number, "file"), lambda index, start: _read_piece(own[index], start))
        for rank, offered in enumerate(names):
            for index, name in enumerate(offered) if rank != exchange.rank else ():
                with suppress(FileExistsError), _make_parent(folder / name).open("xb") as file:
                    while content := exchange.request(
                        rank, (number, "file"), index, file.tell()
                    ).result():
                        file.write(content)
    return replace(channel, folder=folder)


def _read_piece(path: Path, start: int) -> bytes:
    """Read a file from a position on; nothing behind its end."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(MESSAGE_BYTES)


def _make_parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
