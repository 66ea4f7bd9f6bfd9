"""The command as a user runs it, and the networks in this process; with the bundled weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.geometry import run_file
from verse_infer.networks import load_networks
from verse_infer.pipeline import Pipeline
from verse_infer.weights import BUNDLED_WEIGHTS
from verse_train.synthetic.sample import write_sample

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


@pytest.fixture(scope="session")
def scan(tmp_path_factory):
    """The synthetic sample scan."""
    return write_sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def pipeline():
    return Pipeline(load_networks(BUNDLED_WEIGHTS, "cpu", "float32"))


@pytest.fixture(scope="session")
def usual(scan, pipeline):
    """Result and lattice of the sample scan as it is."""
    return run_file(pipeline, scan)
