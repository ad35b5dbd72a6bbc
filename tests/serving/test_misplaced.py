"""Models that lie where `serve` does not look."""

import tarfile

import pytest

from gaussian_processes.serving.misplaced import misplaced_model


@pytest.mark.parametrize("below", ["model", "opt/model"])
def test_a_model_further_down_is_named_with_its_folder(tmp_path, below):
    (tmp_path / below).mkdir(parents=True)
    (tmp_path / below / "model.json").write_text("{}")

    sentence = misplaced_model(tmp_path)

    assert sentence.startswith(f"{tmp_path} has no model.json, but {tmp_path / below} has one;")


@pytest.mark.parametrize("name", ["model.tar.gz", "output/model.tar.gz", "model.tgz"])
def test_an_archive_that_is_not_unpacked_is_named(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    tarfile.open(tmp_path / name, "w:gz").close()

    sentence = misplaced_model(tmp_path)

    assert sentence.startswith(f"{tmp_path} has no model.json, but the archive {tmp_path / name};")


def test_a_model_in_its_folder_is_not_misplaced_and_an_empty_folder_has_none(tmp_path):
    assert misplaced_model(tmp_path) == ""
    assert misplaced_model(tmp_path / "absent") == ""
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "model.tar.gz").write_bytes(b"")
    assert misplaced_model(tmp_path) == ""
