"""Scores of a team as JSON, which ranking and report read, and as CSV for a spreadsheet.

In JSON nan is null. Only the scans' scores are read back; all else in the file follows from them.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from verse_eval.case_scoring import TeamScores
from verse_eval.common_grid import GRID_MM
from verse_eval.field_of_view import field_of_view, transitional
from verse_eval.localisation import IDENTIFICATION_MM
from verse_eval.measures import MEASURES, all_right
from verse_eval.naming import one_level_shift
from verse_eval.scan_scores import ScanScore, VertebraScore
from verse_eval.summaries import Statistics, Summary, summarise
from verse_infer.anatomy import name_of, region_of
from verse_infer.errors import InputError
from verse_infer.files.atomic import atomic_write
from verse_infer.texts import read_json

FORMAT = "verse_eval scores"
VERSION = 1
_MASK_COLUMNS = ("dice", "hd_mm", "hd95_mm", "assd_mm")


def write_scores(path: Path, scores: TeamScores) -> None:
    """Write scores.json: per vertebra, per scan, and summaries of all groups."""
    content = {
        "format": FORMAT,
        "version": VERSION,
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
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"{content['format']} version {content['version']}")
        scans = tuple(_scan(entry) for entry in content["scans"])
        unpaired = tuple(content["predictions_without_reference"])
        return TeamScores(team or content["team"], scans, unpaired)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: expected scores of `verse_eval score` (version {VERSION}), got: {error!r}"
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
