"""Runs of the command as a user runs it: in a process of its own, with the bundled weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def run_command():
    """run_command(*arguments) -> the finished process of `python entrypoint.py …`."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, str(ROOT / "entrypoint.py"), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3"),
            timeout=900,
        )

    return run
