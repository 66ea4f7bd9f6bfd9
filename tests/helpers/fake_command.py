"""The whole command with a worker whose networks are played: `python -m tests.helpers.fake_command`."""

import sys
from pathlib import Path

from verse_infer import cli
from verse_infer.batch import supervisor

ROOT = Path(__file__).resolve().parents[2]


def fake_command(source, output, *arguments):
    """To be run in ROOT."""
    own = [sys.executable, "-m", "tests.helpers.fake_command"]
    return [*own, "--input", str(source), "--output", str(output), *map(str, arguments)]


if __name__ == "__main__":
    supervisor.WORKER_MODULE = "tests.helpers.fake_worker"
    sys.exit(cli.main())
