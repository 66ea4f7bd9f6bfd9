"""python -m verse_eval: score predictions, rank teams, write a report."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from verse_eval.case_scoring import TeamScores, score_folders
from verse_eval.measures import MEASURES
from verse_eval.scan_scores import ScanScore
from verse_eval.score_files import write_scores, write_table
from verse_eval.summaries import summarise
from verse_infer.errors import UsageError, VerseError

logger = logging.getLogger(__name__)

ALL_SCORED, WRONG_USAGE, SOME_MISSING = 0, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 wrong usage, 3 predictions missing or damaged."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except VerseError as error:
        logger.error("%s", error)
        return WRONG_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m verse_eval", description=__doc__)
    commands = parser.add_subparsers(required=True)
    score = commands.add_parser("score", help="compare predictions with a reference")
    score.add_argument("--reference", type=Path, required=True, help="folder of annotated scans")
    score.add_argument(
        "--prediction",
        nargs="+",
        required=True,
        metavar="[TEAM=]DIR",
        help="folder of predictions; several teams at once: TEAM=DIR TEAM=DIR …",
    )
    score.add_argument(
        "--output", type=Path, required=True, help="scores.json; with several teams a folder"
    )
    score.add_argument("--csv", type=Path, help="a table, too; with several teams a folder")
    score.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="scans at a time (default: cores)"
    )
    score.set_defaults(command=_score)
    return parser


def _score(arguments: argparse.Namespace) -> int:
    teams = named_paths(arguments.prediction)
    several = len(teams) > 1
    problems = 0
    for team, folder in teams.items():
        logger.info("%s:", team)
        scores = score_folders(team, arguments.reference, folder, arguments.jobs, _log_scan)
        output = arguments.output / f"{team}.json" if several else arguments.output
        write_scores(output, scores)
        if arguments.csv:
            write_table(arguments.csv / f"{team}.csv" if several else arguments.csv, scores)
        if scores.unpaired:
            logger.warning("predictions without a reference: %s", " ".join(scores.unpaired))
        for name, problem in scores.problems.items():
            logger.warning("%s: %s", name, problem)
        problems += len(scores.problems)
        logger.info("%s: %s", output, headline(scores))
    return SOME_MISSING if problems else ALL_SCORED


def named_paths(entries: Sequence[str]) -> dict[str, Path]:
    """TEAM=PATH or PATH (named by its last part) as a table; UsageError where a name comes twice."""
    teams: dict[str, Path] = {}
    for entry in entries:
        name, _, path = entry.rpartition("=")
        name = name or Path(path).resolve().stem
        if name in teams or "/" in name:
            raise UsageError(f"expected TEAM=PATH with each team once, got {name} in {entry}")
        teams[name] = Path(path)
    return teams


def _log_scan(scan: ScanScore) -> None:
    values = (f"{m.title} {m.of(scan):.3g}" for m in list(MEASURES.values())[:4])
    logger.info("  %s: %s", scan.name, ", ".join(values))


def headline(scores: TeamScores) -> str:
    """One line over all scans."""
    over_all = summarise(scores.scans)[0]
    values = (
        f"{measure.title} {over_all.measures[name].mean:.4g} {measure.unit}".rstrip()
        for name, measure in list(MEASURES.items())[:4]
    )
    return f"{over_all.scans} scans, {over_all.vertebrae} vertebrae, {', '.join(values)}"


if __name__ == "__main__":
    sys.exit(main())
