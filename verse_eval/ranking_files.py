"""A ranking on disk: point table and p-value matrices as CSV, all of it as JSON for the report."""

import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_eval.ranking import SCHEMES, Comparison, Ranking, combine_points
from verse_eval.significance import SIGNIFICANCE
from verse_infer.errors import InputError
from verse_infer.files.atomic import atomic_write
from verse_infer.texts import read_json

FORMAT = "verse_eval ranking"
VERSION = 1
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
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"{content['format']} version {content['version']}")
        if content["scheme"] not in SCHEMES:
            raise ValueError(f"scheme {content['scheme']}")
        comparisons = tuple(_comparison(entry) for entry in content["comparisons"])
        points = {(one.phase, one.measure): one.points for one in comparisons}
        return combine_points(content["scheme"], tuple(content["teams"]), points, comparisons)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected a ranking of `verse_eval rank` (version {VERSION}), got: {error!r}"
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
        "format": FORMAT,
        "version": VERSION,
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
