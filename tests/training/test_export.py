from types import SimpleNamespace

import numpy as np
from in_process_hosts import on_all_hosts

from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.training import export


def test_a_shared_factor_that_the_disk_has_no_room_for_is_left_out_on_all_hosts(
    monkeypatch, caplog, tmp_path
):
    process = SimpleNamespace(
        points=np.zeros((1000, 1)), kept_factor=SimpleNamespace(dtype=np.dtype("float64"))
    )
    model = SimpleNamespace(
        members=[SimpleNamespace(process=process)], without_factors=lambda: "means only"
    )
    monkeypatch.setattr(export.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))

    found, _ = on_all_hosts(
        2, lambda exchange: export.gather_factors(model, True, Hosts(exchange), tmp_path)
    )

    # 768 columns of 1,000 rows and 232 of 232, of 8 bytes: 6.6 MB, twice.
    assert found == ["means only"] * 2
    (record,) = caplog.records
    assert "the factor (6.6 MB), which is spread over the hosts, is left out" in record.message
    assert f"{tmp_path} has no room for two copies of it" in record.message
