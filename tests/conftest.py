"""Fixtures for all tests."""

import os
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def open_room(tmp_path):
    """A folder that any user can reach, unlike pytest's own."""
    if os.getuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as room:
        Path(room).chmod(0o755)
        yield Path(room)
