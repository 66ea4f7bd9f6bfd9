"""python -m verse_eval: score predictions, rank teams, write a report."""

import argparse
import logging
import os
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from verse_eval.files import (
    JSON_NAME,
    point_table,
    read_ranking,
    read_scores,
    write_ranking,
    write_scores,
    write_table,
)
from verse_eval.measures import MEASURES
from verse_eval.pairs import case_key, find_references
from verse_eval.ranking import FEWEST_SCANS, SCHEMES, rank_teams
from verse_eval.scan_scores import ScanScore
from verse_eval.scoring import TeamScores, score_folders
from verse_eval.summaries import summarise
from verse_infer.errors import UsageError, VerseError
from verse_infer.files.atomic import atomic_write
from verse_infer.surroundings import open_standard_streams
from verse_infer.texts import read_text

logger = logging.getLogger(__name__)

ALL_SCORED, WRONG_USAGE, SOME_MISSING = 0, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 wrong usage, 3 predictions missing or damaged."""
    open_standard_streams()
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    arguments = command_line().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except VerseError as error:
        logger.error("%s", error)
        return WRONG_USAGE


def command_line() -> argparse.ArgumentParser:
    """The commands with their options."""
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
    rank = commands.add_parser("rank", help="rank teams by pairwise Wilcoxon signed-rank tests")
    _add_scores(rank)
    rank.add_argument(
        "--scheme", choices=tuple(SCHEMES), required=True, help="measures and weights"
    )
    rank.add_argument(
        "--phase",
        nargs=2,
        metavar=("public=SCANS", "hidden=SCANS"),
        help="which scan is of which phase: a text file with a name per line, or a reference folder",
    )
    rank.add_argument("--output", type=Path, required=True, help="folder for tables and picture")
    rank.set_defaults(command=_rank)
    report = commands.add_parser("report", help="write a page with tables and plots")
    _add_scores(report)
    report.add_argument("--ranking", type=Path, help="folder that rank wrote, to be shown, too")
    report.add_argument("--output", type=Path, required=True, help="the page, .html")
    report.set_defaults(command=_report)
    return parser


def _add_scores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scores",
        nargs="+",
        required=True,
        metavar="[TEAM=]FILE",
        help="scores of the teams; a folder stands for all .json files in it",
    )


def _score(arguments: argparse.Namespace) -> int:
    teams = [named_path(entry) for entry in arguments.prediction]
    several = len(teams) > 1
    if len({team for team, _ in teams}) < len(teams):
        raise UsageError(f"expected each team once, got {' '.join(team for team, _ in teams)}")
    problems = 0
    for team, folder in teams:
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


def _rank(arguments: argparse.Namespace) -> int:
    phases = dict(_phase(entry) for entry in arguments.phase or ())
    ranking = rank_teams(read_teams(arguments.scores), arguments.scheme, phases)
    for one in ranking.comparisons:
        if one.scans < FEWEST_SCANS:
            logger.warning(
                "%s, %s: %d scans; with fewer than %d no difference can be significant",
                *(one.phase, one.measure, one.scans, FEWEST_SCANS),
            )
    write_ranking(arguments.output, ranking)
    _need_matplotlib()
    from verse_eval.plots import p_value_figure, save_png

    save_png(p_value_figure(ranking), arguments.output / "pvalues.png")
    for row in point_table(ranking)[1]:
        logger.info("%s. %s %s", *row[:3])
    return ALL_SCORED


def _report(arguments: argparse.Namespace) -> int:
    teams = read_teams(arguments.scores)
    ranking = read_ranking(arguments.ranking / JSON_NAME) if arguments.ranking else None
    _need_matplotlib()
    from verse_eval.report import report_page

    page = report_page(teams, ranking)
    with atomic_write(arguments.output) as partial:
        partial.write_text(page, encoding="utf-8")
    logger.info("report written: %s", arguments.output)
    return ALL_SCORED


def read_teams(entries: Sequence[str]) -> tuple[TeamScores, ...]:
    """Scores of every team named on the command line.

    A folder stands for its .json files; a team named several times has its scans in several files.
    """
    if len(entries) == 1 and Path(entries[0]).is_dir():
        entries = [str(path) for path in sorted(Path(entries[0]).glob("*.json"))]
    files: dict[str, list[TeamScores]] = {}
    for entry in entries:
        team, path = named_path(entry)
        scores = read_scores(path, team if "=" in entry else None)
        files.setdefault(scores.team, []).append(scores)
    return tuple(_joined(parts) for parts in files.values())


def _joined(parts: Sequence[TeamScores]) -> TeamScores:
    scans = tuple(scan for part in parts for scan in part.scans)
    twice = [name for name, count in Counter(scan.name for scan in scans).items() if count > 1]
    if twice:
        raise UsageError(f"expected each scan of {parts[0].team} once, got {twice[0]} twice")
    return TeamScores(parts[0].team, scans, tuple(n for part in parts for n in part.unpaired))


def _phase(entry: str) -> tuple[str, frozenset[str]]:
    """Phase and names of its scans, from PHASE=FOLDER or PHASE=FILE."""
    phase, _, place = entry.partition("=")
    path = Path(place)
    if path.is_dir():
        return phase, frozenset(find_references(path))
    try:
        lines = read_text(path).split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--phase {entry}: expected a folder or a text file of scan names: {error}"
        ) from error
    return phase, frozenset(case_key(line) for line in lines)


def _need_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise UsageError(
            "expected matplotlib for pictures, it is not installed: pip install .[eval]"
        )


def named_path(entry: str) -> tuple[str, Path]:
    """Team and path from TEAM=PATH, or from PATH, which names the team by its last part."""
    name, found, path = entry.partition("=")
    if not found:
        return Path(entry).resolve().stem, Path(entry)
    if not name or "/" in name:
        raise UsageError(f"expected TEAM=PATH with a plain name, got {entry}")
    return name, Path(path)


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
