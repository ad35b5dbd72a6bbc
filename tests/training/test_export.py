"""Artifacts of trained models: with their factors, or without."""

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from fitted import fitted
from in_process_hosts import on_all_hosts

from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.model import artifact
from gaussian_processes.sagemaker.hyperparameters import Hyperparameters
from gaussian_processes.training import export


def test_a_shared_factor_that_the_disk_has_no_room_for_is_left_out_on_all_hosts(
    monkeypatch, caplog, tmp_path
):
    process = SimpleNamespace(
        points=np.zeros((1000, 1)),
        kept_factor=SimpleNamespace(dtype=np.dtype("float64")),
        nearest_points=0,
    )
    model = SimpleNamespace(
        processes=[SimpleNamespace(process=process)],
        has_factor=True,
        without_factors=lambda: "means only",
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


@pytest.mark.parametrize(
    ("keep_factor", "limit", "kept"),
    [(None, 1e9, True), (None, 100, False), (True, 100, True), (False, 1e9, False)],
)
def test_a_factor_is_kept_if_it_is_asked_for_or_small(
    monkeypatch, caplog, tmp_path, keep_factor, limit, kept
):
    monkeypatch.setattr(export, "FACTOR_BYTES", limit)
    caplog.set_level(logging.INFO)
    model, rows = fitted(), np.random.default_rng(31).normal(size=(5, 3))

    asked = Hyperparameters(keep_factor=keep_factor, q=(1,))
    found = export.Findings({"train:log_evidence": -7.0}, None)
    export.export(model, asked, found, tmp_path, nullcontext())

    saved = artifact.load(tmp_path)
    assert saved.has_variance == kept
    np.testing.assert_array_equal(saved.predict(rows).mean, model.predict(rows).mean)
    # Of 40 rows, a square of 8 bytes an entry.
    assert ("keeps" if kept else "leaves out") + " its factor (0.0 MB)" in caplog.text
    assert f"the model is in {tmp_path}" in caplog.text
    description = artifact.load_description(tmp_path)
    assert description["scores"] == {"train:log_evidence": -7.0}
    own = "auto" if keep_factor is None else keep_factor
    assert description["hyperparameters"]["keep_factor"] == own
    assert description["hyperparameters"]["noise"] == "auto"
    assert description["hyperparameters"]["q"] == [1]


def test_a_model_without_factors_is_saved_as_it_is(caplog, tmp_path):
    caplog.set_level(logging.INFO)
    model = fitted().without_factors()

    found = export.Findings({}, None)
    export.export(model, Hyperparameters(keep_factor=True), found, tmp_path, nullcontext())

    assert not artifact.load(tmp_path).has_variance
    assert "its factor" not in caplog.text
