"""The folder of a channel."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """Return the empty folder of a folder."""
    (tmp_path / "train").mkdir()
    return tmp_path / "train"
