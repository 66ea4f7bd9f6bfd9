"""python -m verse_train: sample scan, data preparation, training, export, check of results."""

import argparse
import logging
import os
from collections.abc import Sequence

from verse_infer.errors import VerseError
from verse_infer.surroundings import open_standard_streams
from verse_train.commands import cases, scans, trainings, weights

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    open_standard_streams()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    arguments = command_line().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except VerseError as error:
        logger.error("%s", error)
        return 2


def command_line() -> argparse.ArgumentParser:
    """The commands with their options."""
    parser = argparse.ArgumentParser(prog="python -m verse_train")
    commands = parser.add_subparsers(required=True)
    for room in (scans, cases, trainings, weights):
        room.add_to(commands)
    return parser
