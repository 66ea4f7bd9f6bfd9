"""Fixtures for all tests."""

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

# A deadline per example would measure how busy the machine is.
hypothesis.settings.register_profile("verse", deadline=None)
hypothesis.settings.load_profile("verse")


@pytest.fixture
def open_room(tmp_path):
    """A folder that any user can reach, unlike pytest's own."""
    if os.getuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as room:
        Path(room).chmod(0o755)
        yield Path(room)
