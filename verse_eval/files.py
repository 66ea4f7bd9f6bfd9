"""Scores and rankings on disk: JSON, which ranking and report read, and CSV for a spreadsheet.

In JSON nan is null. Of scores only the scans' are read back; all else in the file follows from them.
A ranking has its point table and p-value matrices as CSV.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_eval.grids import GRID_MM
from verse_eval.measures import MEASURES, all_right
from verse_eval.metrics import IDENTIFICATION_MM
from verse_eval.ranking import SCHEMES, SIGNIFICANCE, Comparison, Ranking, combine_points
from verse_eval.scan_scores import ScanScore, VertebraScore
from verse_eval.scoring import TeamScores
from verse_eval.summaries import (
    Statistics,
    Summary,
    field_of_view,
    one_level_shift,
    summarise,
    transitional,
)
from verse_infer.anatomy import name_of, region_of
from verse_infer.errors import InputError
from verse_infer.files.atomic import atomic_write
from verse_infer.texts import read_json

SCORES_FORMAT = "verse_eval scores"
SCORES_VERSION = 1
_MASK_COLUMNS = ("dice", "hd_mm", "hd95_mm", "assd_mm")


def write_scores(path: Path, scores: TeamScores) -> None:
    """Write scores.json: per vertebra, per scan, and summaries of all groups."""
    content = {
        "format": SCORES_FORMAT,
        "version": SCORES_VERSION,
        "team": scores.team,
        "grid_mm": GRID_MM,
        "identification_mm": IDENTIFICATION_MM,
        "predictions_without_reference": list(scores.unpaired),
        "summaries": [asdict(summary) for summary in summarise(scores.scans)],
        "scans": [_scan_entry(scan) for scan in scores.scans],
    }
    with atomic_write(path) as partial:
        text = json.dumps(_without_nan(content), indent=1, allow_nan=False, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_scores(path: Path, team: str | None = None) -> TeamScores:
    """Read scores.json; InputError unless write_scores wrote it. team: instead of the file's own."""
    try:
        content = read_json(path)
        if content["format"] != SCORES_FORMAT or content["version"] != SCORES_VERSION:
            raise ValueError(f"{content['format']} version {content['version']}")
        scans = tuple(_scan(entry) for entry in content["scans"])
        unpaired = tuple(content["predictions_without_reference"])
        return TeamScores(team or content["team"], scans, unpaired)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: expected scores of `verse_eval score` (version {SCORES_VERSION}), got: {error!r}"
        ) from error


def write_table(path: Path, scores: TeamScores) -> None:
    """Write a CSV: a row per vertebra, then per scan, then per group; empty where undefined."""
    rows = [row for scan in scores.scans for row in _vertebra_rows(scan)]
    rows += [_scan_row(scan) for scan in scores.scans]
    rows += [row for summary in summarise(scores.scans) for row in _summary_rows(summary)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with (
        atomic_write(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(_without_nan(row) for row in rows)


def _scan_entry(scan: ScanScore) -> dict[str, Any]:
    return {
        **asdict(scan),
        "field_of_view": field_of_view(scan.labels),
        "transitional": sorted(transitional(scan.labels)),
        "shift": one_level_shift(scan.matched),
        "all_right": all_right(scan),
        "missing": [v.label for v in scan.vertebrae if v.centroid_missing],
        "missing_in_mask": [v.label for v in scan.vertebrae if v.mask_missing],
        "measures": {name: measure.of(scan) for name, measure in MEASURES.items()},
    }


def _scan(entry: Mapping[str, Any]) -> ScanScore:
    return ScanScore(
        entry["name"],
        tuple(_vertebra(v) for v in entry["vertebrae"]),
        tuple(entry["extra"]),
        tuple(entry["extra_in_mask"]),
        tuple(entry["cut"]),
        tuple(entry["cut_reported"]),
        entry["problem"],
    )


def _vertebra(entry: Mapping[str, Any]) -> VertebraScore:
    measured = ("distance_mm", *_MASK_COLUMNS)
    numbers = {name: math.nan if entry[name] is None else entry[name] for name in measured}
    return VertebraScore(**{**entry, **numbers})


def _vertebra_rows(scan: ScanScore) -> list[dict[str, Any]]:
    return [
        {
            "scope": "vertebra of scan",
            "name": scan.name,
            "vertebra": name_of(v.label),
            "region": region_of(v.label),
            **asdict(v),
            "assigned": "" if v.assigned is None else name_of(v.assigned),
        }
        for v in scan.vertebrae
    ]


def _scan_row(scan: ScanScore) -> dict[str, Any]:
    return {
        "scope": "scan",
        "name": scan.name,
        **{name: measure.of(scan) for name, measure in MEASURES.items()},
        "scans": 1,
        "vertebrae": len(scan.vertebrae),
        "missing": _names(v.label for v in scan.vertebrae if v.centroid_missing),
        "extra": _names(scan.extra),
        "shift": one_level_shift(scan.matched),
        "problem": scan.problem or "",
    }


def _summary_rows(summary: Summary) -> list[dict[str, Any]]:
    """One row per statistic of the group."""
    head = {"scope": summary.scope, "scans": summary.scans, "vertebrae": summary.vertebrae}
    rows = []
    for statistic in ("mean", "median", "sd"):
        values = {key: _value(one, statistic) for key, one in summary.measures.items()}
        pooled = summary.pooled if statistic == "mean" else {}
        rows.append({**head, "name": summary.name, "statistic": statistic, **values, **pooled})
    return rows


def _value(statistics: Statistics, name: str) -> float:
    return float(getattr(statistics, name))


def _names(labels: Iterable[int]) -> str:
    return " ".join(name_of(label) for label in labels)


def _without_nan(value: Any) -> Any:
    """The same with None for every nan."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return value


RANKING_FORMAT = "verse_eval ranking"
RANKING_VERSION = 1
JSON_NAME = "ranking.json"
TABLE_NAME = "ranking.csv"


def write_ranking(folder: Path, ranking: Ranking) -> None:
    """Write ranking.json, ranking.csv and pvalues_PHASE_MEASURE.csv into a folder."""
    _write_json(folder / JSON_NAME, ranking)
    header, rows = point_table(ranking)
    _write_csv(folder / TABLE_NAME, [header, *rows])
    for one in ranking.comparisons:
        matrix: list[list[Any]] = [["p that row is no better than column", *ranking.teams]]
        for team, row in zip(ranking.teams, one.p_values, strict=True):
            matrix.append([team, *("" if math.isnan(p) else f"{p:.6g}" for p in row)])
        _write_csv(folder / f"pvalues_{one.phase}_{one.measure}.csv", matrix)


def read_ranking(path: Path) -> Ranking:
    """Read ranking.json; InputError unless write_ranking wrote it."""
    try:
        content = read_json(path)
        if content["format"] != RANKING_FORMAT or content["version"] != RANKING_VERSION:
            raise ValueError(f"{content['format']} version {content['version']}")
        if content["scheme"] not in SCHEMES:
            raise ValueError(f"scheme {content['scheme']}")
        comparisons = tuple(_comparison(entry) for entry in content["comparisons"])
        points = {(one.phase, one.measure): one.points for one in comparisons}
        return combine_points(content["scheme"], tuple(content["teams"]), points, comparisons)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected a ranking of `verse_eval rank` (version {RANKING_VERSION}), got: {error!r}"
        ) from error


def point_table(ranking: Ranking) -> tuple[list[str], list[list[str]]]:
    """Header and a row per team, best first: scores of phases and tasks, points per measure."""
    header = ["place", "team", "score"]
    columns: list[NDArray[Any]] = []
    phases = list(ranking.phases)
    for phase in phases:
        prefix = f"{phase} " if len(phases) > 1 else ""
        if prefix:
            header.append(phase)
            columns.append(ranking.phases[phase])
        for task, weights in SCHEMES[ranking.scheme].items():
            header.append(prefix + task)
            columns.append(ranking.tasks[phase, task])
            header += [f"{prefix}{measure}" for measure in weights]
            columns += [ranking.normalised[phase, measure] for measure in weights]
    order = sorted(range(len(ranking.teams)), key=lambda i: (ranking.places[i], ranking.teams[i]))
    rows = [
        [
            str(ranking.places[i]),
            ranking.teams[i],
            *(f"{column[i]:.4f}" for column in (ranking.final, *columns)),
        ]
        for i in order
    ]
    return header, rows


def _comparison(entry: dict[str, Any]) -> Comparison:
    p = np.array([[math.nan if v is None else v for v in row] for row in entry["p_values"]])
    with np.errstate(invalid="ignore"):
        points = (p < SIGNIFICANCE).sum(axis=1)
    return Comparison(entry["phase"], entry["measure"], entry["scans"], p, points)


def _write_json(path: Path, ranking: Ranking) -> None:
    content = {
        "format": RANKING_FORMAT,
        "version": RANKING_VERSION,
        "scheme": ranking.scheme,
        "significance": SIGNIFICANCE,
        "teams": list(ranking.teams),
        "places": list(ranking.places),
        "scores": ranking.final.tolist(),
        "comparisons": [
            {
                "phase": one.phase,
                "measure": one.measure,
                "scans": one.scans,
                "points": one.points.tolist(),
                "p_values": [
                    [None if math.isnan(p) else p for p in row] for row in one.p_values.tolist()
                ],
            }
            for one in ranking.comparisons
        ],
    }
    with atomic_write(path) as partial:
        text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")


def _write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    with (
        atomic_write(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows(rows)
