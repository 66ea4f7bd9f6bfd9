"""The report: one HTML page that needs no other file and no network."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from verse_eval.files import point_table
from verse_eval.measures import MEASURES, mean
from verse_eval.plots import (
    box_figure,
    field_of_view_figure,
    p_value_figure,
    region_figure,
    svg_uri,
    threshold_figure,
    vertebra_figure,
)
from verse_eval.ranking import Ranking
from verse_eval.scan_scores import ScanScore
from verse_eval.scoring import TeamScores
from verse_eval.summaries import Summary, one_level_shift, summarise
from verse_infer.anatomy import name_of

#: The benchmark's four measures, and the three that go with them.
_MAIN = ("id_rate", "d_mean_mm", "dice", "hd_mm")
_MORE = ("hd95_mm", "assd_mm", "label_accuracy")
#: Pooled scores shown per team, with their titles.
_POOLED = {
    "id_rate_glocker": "id.rate over the data set (Glocker)",
    "label_accuracy": "label accuracy",
    "kappa": "kappa, linear weights",
    "completeness_accuracy": "completeness accuracy",
    "completeness_false_positives": "incomplete ones reported, per scan",
    "completeness_false_negatives": "complete ones not found, per scan",
    "missing": "missing centroids",
    "extra": "extra centroids",
    "missing_in_mask": "missing in masks",
    "extra_in_mask": "extra in masks",
    "shifted_up": "scans one level up",
    "shifted_down": "scans one level down",
    "all_identified_rate": "scans all identified",
    "all_right_rate": "scans all right",
}
_GROUP_SCOPES = ("region", "field_of_view", "landmark", "transitional")

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.8em 0;font-size:13px}
th,td{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}
th:first-child,td:first-child,td.text,th.text{text-align:left}thead th{border-bottom:2px solid #888}
img{max-width:100%}div.wide{overflow-x:auto}p.note{color:#555;font-size:13px}h2{margin-top:2em}
"""


def report_page(teams: Sequence[TeamScores], ranking: Ranking | None = None) -> str:
    """The page as HTML. Teams with the same scans; ranking: of the same teams, or none."""
    summaries = {team.team: summarise(team.scans) for team in teams}
    body = [
        "<h1>Vertebra labelling and segmentation</h1>",
        _introduction(teams, summaries),
        *_ranking_section(ranking),
        "<h2>Scores</h2>",
        _score_table(summaries),
        _pooled_table(summaries),
        "<h2>Distribution over scans</h2>",
        _image(box_figure(teams, _MAIN), "box plots of id.rate, d_mean, Dice and HD per team"),
        _image(box_figure(teams, _MORE), "box plots of HD 95 %, ASSD and label accuracy per team"),
        "<h2>Fraction of scans above a threshold</h2>",
        _image(threshold_figure(teams, ("id_rate", "dice")), "fraction of scans above thresholds"),
        "<h2>Per vertebra</h2>",
        _image(vertebra_figure(teams, _MAIN), "means per vertebra"),
        "<h2>Per region</h2>",
        _image(region_figure(teams, _MAIN), "means per region"),
        "<h2>Per field of view</h2>",
        _image(field_of_view_figure(teams, ("id_rate", "dice")), "means per field of view"),
        _group_table(summaries),
        "<h2>Scans, worst first</h2>",
        _worst_table(teams),
        "<h2>Definitions</h2>",
        _DEFINITIONS,
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>VerSe evaluation</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def worst_first(teams: Sequence[TeamScores]) -> list[str]:
    """Names of scans by the mean of id.rate and Dice over all teams, lowest first.

    The paper ranks scans by the mean of all teams, too (section 4.1).
    """
    values: dict[str, list[float]] = {}
    for team in teams:
        for scan in team.scans:
            of_scan = [MEASURES["id_rate"].of(scan), MEASURES["dice"].of(scan)]
            values.setdefault(scan.name, []).append(mean(of_scan))
    means = {name: mean(of_teams) for name, of_teams in values.items()}
    return sorted(means, key=lambda name: (np.nan_to_num(means[name], nan=2.0), name))


def _introduction(teams: Sequence[TeamScores], summaries: dict[str, tuple[Summary, ...]]) -> str:
    first = summaries[teams[0].team][0]
    lost = [
        f"{escape(team.team)}: {len(team.problems)} scans without a whole prediction"
        for team in teams
        if team.problems
    ]
    text = f"<p>{len(teams)} teams, {first.scans} scans, {first.vertebrae} annotated vertebrae."
    return text + (f" <b>{'; '.join(lost)}.</b></p>" if lost else "</p>")


def _ranking_section(ranking: Ranking | None) -> list[str]:
    if ranking is None:
        return []
    header, rows = point_table(ranking)
    return [
        f"<h2>Ranking ({escape(ranking.scheme)})</h2>",
        _table(header, rows),
        '<p class="note">Per measure: teams that the team is significantly better than (one-sided '
        "Wilcoxon signed-rank test over scans, p &lt; 0.001), divided by the number of teams.</p>",
        _image(p_value_figure(ranking), "p-value matrices"),
    ]


def _score_table(summaries: dict[str, tuple[Summary, ...]]) -> str:
    header = ["mean (median) over scans", *(measure.heading for measure in MEASURES.values())]
    rows = []
    for team, (over_all, *_) in summaries.items():
        values = [over_all.measures[name] for name in MEASURES]
        rows.append([team, *(f"{_number(v.mean)} ({_number(v.median)})" for v in values)])
    return _table(header, rows)


def _pooled_table(summaries: dict[str, tuple[Summary, ...]]) -> str:
    header = ["over all vertebrae", *summaries]
    rows = [
        [title, *(_number(of_team[0].pooled[name]) for of_team in summaries.values())]
        for name, title in _POOLED.items()
    ]
    return _table(header, rows)


def _group_table(summaries: dict[str, tuple[Summary, ...]]) -> str:
    """A row per group and team: the four main measures and what is counted."""
    header = ["group", "team", "scans", "vertebrae", *(MEASURES[n].heading for n in _MAIN)]
    header += ["missing", "extra", "one level off", "all right"]
    rows = []
    groups = [s for s in next(iter(summaries.values())) if s.scope in _GROUP_SCOPES]
    for group in groups:
        for team, of_team in summaries.items():
            one = next((s for s in of_team if (s.scope, s.name) == (group.scope, group.name)), None)
            if one is None:
                continue
            pooled = one.pooled
            rows.append(
                [
                    f"{group.scope.replace('_', ' ')}: {group.name}",
                    team,
                    *map(str, (one.scans, one.vertebrae)),
                    *(_number(one.measures[name].mean) for name in _MAIN),
                    *(_number(pooled[name]) for name in ("missing", "extra")),
                    _number(pooled["shifted_up"] + pooled["shifted_down"]),
                    _number(pooled["all_right_rate"]),
                ]
            )
    return _table(header, rows, text_columns=2)


def _worst_table(teams: Sequence[TeamScores]) -> str:
    header = ["scan", "team", "id.rate", "d_mean (mm)", "Dice", "HD (mm)", "what is wrong"]
    tables = [(team.team, {scan.name: scan for scan in team.scans}) for team in teams]
    rows = []
    for name in worst_first(teams):
        for place, (team, scans) in enumerate(tables):
            if name not in scans:
                continue
            values = [_number(MEASURES[key].of(scans[name])) for key in _MAIN]
            rows.append(["" if place else name, team, *values, what_is_wrong(scans[name])])
    return _table(header, rows, text_columns=2, last_is_text=True)


def what_is_wrong(scan: ScanScore) -> str:
    """In words: a lost prediction, a shift, missing, extra, wrongly named and cut vertebrae."""
    missing = [v.label for v in scan.vertebrae if v.centroid_missing]
    unsegmented = [v.label for v in scan.vertebrae if v.mask_missing]
    renamed = [f"{name_of(a)} as {name_of(b)}" for a, b in scan.matched.items() if a != b]
    shift = one_level_shift(scan.matched)
    parts = [
        scan.problem or "",
        f"one level {shift}" if shift != "none" else "",
        _listed("missing", missing),
        _listed("no mask of", unsegmented) if unsegmented != missing else "",
        _listed("extra", sorted({*scan.extra, *scan.extra_in_mask})),
        "named " + ", ".join(renamed) if renamed and shift == "none" else "",
        _listed("incomplete but reported", scan.cut_reported),
    ]
    return "; ".join(part for part in parts if part)


def _listed(title: str, labels: Iterable[int]) -> str:
    names = [name_of(label) for label in labels]
    return f"{title} {' '.join(names)}" if names else ""


def _number(value: float) -> str:
    if np.isnan(value):
        return "–"
    if float(value).is_integer() and abs(value) >= 2:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    text_columns: int = 1,
    *,
    last_is_text: bool = False,
) -> str:
    """All cells are escaped; the first columns, and the last on demand, are set to the left."""

    def cells(tag: str, row: Sequence[str]) -> str:
        last = len(row) - 1 if last_is_text else -1
        return "".join(
            f"<{tag}{' class=text' if i < text_columns or i == last else ''}>{escape(cell)}</{tag}>"
            for i, cell in enumerate(row)
        )

    lines = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{cells("th", header)}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _image(figure: Any, alternative: str) -> str:
    return f'<p><img alt="{escape(alternative)}" src="{svg_uri(figure)}"></p>'


_DEFINITIONS = """<p class="note">
Masks are compared on the reference's field of view at 1 mm. <b>id.rate</b>: annotated vertebrae whose
predicted centroid lies within 20 mm and is nearer to the true one of its label than to those of other
labels that both have (the challenge's published code); <b>paper's text</b>: of the predicted centroids
that of the label is the nearest to the true one. <b>d_mean</b>: distance of the centroids that both
have. <b>Dice</b>: 0 for a missing vertebra. <b>HD</b>, <b>HD 95 %</b>, <b>ASSD</b>: on surface voxels,
missing vertebrae left out; where the title says so, a missing one counts as 1000 mm or 100 mm.
<b>Label accuracy</b>: of the annotated vertebrae, those where the predicted one lying on it has its
name; <b>kappa</b>: of those names with linear weights. <b>Completeness</b>: whole vertebrae found and
those cut by the scan left out. <b>One level up/down</b>: more than half of the scan's vertebrae named
like the next one. <b>All identified</b>: id.rate 1; <b>all right</b>: and nothing extra.
</p>"""
