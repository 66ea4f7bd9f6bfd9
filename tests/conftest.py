"""Fixtures for all tests."""

import os
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest

from verse_infer import runtime

# Whoever starts the tests in the background, or under nohup, hands ignored signals down to them and to the
# commands they start; what those do at a signal could not be seen then.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

# A deadline per example would measure how busy the machine is.
hypothesis.settings.register_profile("verse", deadline=None)
hypothesis.settings.load_profile("verse")


@pytest.fixture(scope="session", autouse=True)
def _float32():
    """Networks in this process compute in float32, whatever its processor can.

    A process has one precision; the command, and what it chooses, are tested in processes of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "processor_flags", frozenset)
        yield


@pytest.fixture
def open_room(tmp_path):
    """A folder that any user can reach, unlike pytest's own."""
    if os.getuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as room:
        Path(room).chmod(0o755)
        yield Path(room)
