import numpy as np
import pytest
from in_process_hosts import on_all_hosts

from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.sagemaker.environment import Channel
from gaussian_processes.training import sharding
from gaussian_processes.training.sharding import gather_channels


# Files that are empty, shorter than a piece, one piece, several, and several and a part.
@pytest.mark.parametrize("sizes", [(0, 1, 99), (100, 200), (1_050,), ()])
def test_every_host_has_the_files_of_all_in_pieces(tmp_path, monkeypatch, sizes):
    monkeypatch.setattr(sharding, "MESSAGE_BYTES", 100)
    generator = np.random.default_rng(0)
    contents = {}
    for rank in range(3):
        folder = tmp_path / f"data-{rank}"
        folder.mkdir()
        for index, size in enumerate(sizes if rank != 1 else ()):
            name = f"part-{rank}-{index}.csv"
            contents[name] = generator.bytes(size)
            (folder / name).write_bytes(contents[name])

    def gather(exchange):
        channel = Channel("train", tmp_path / f"data-{exchange.rank}", sharded=True)
        scratch = tmp_path / f"scratch-{exchange.rank}"
        return gather_channels({"train": channel}, Hosts(exchange), scratch)["train"].folder

    folders, _ = on_all_hosts(3, gather)

    for folder in folders:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
