"""Figures without a display, saved as PNG or turned into SVG for a page.

Scores of several teams as boxes, curves, vertebrae and regions; the p-value matrices of a ranking
(Sekuboyina et al. 2021, figures A.11 and A.12).
"""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from verse_eval.measures import MEASURES, Measure, mean
from verse_eval.ranking import ONLY_PHASE, SIGNIFICANCE, Comparison, Ranking
from verse_eval.scan_scores import ScanScore
from verse_eval.scoring import TeamScores
from verse_eval.summaries import FIELDS_OF_VIEW, REGIONS, field_of_view, restrict
from verse_infer.anatomy import CRANIOCAUDAL_LABELS, name_of, region_of
from verse_infer.files.atomic import atomic_write

#: Told apart by colour-blind readers, too (Okabe and Ito 2008), then darker repeats.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7F7F7F",
    "#004466",
    "#803800",
    "#005F45",
    "#7A4965",
    "#8A5F00",
)
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "svg.hashsalt": "verse",  # the same figure gives the same bytes
}
_PNG_DPI = 130


def new_figure(width: float, height: float) -> Any:
    """An empty figure, inches; laid out so that labels do not overlap."""
    with matplotlib.rc_context(_STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def styled() -> Any:
    """Context in which axes get the style of all pictures; they take it when they are made."""
    return matplotlib.rc_context(_STYLE)


def colour(place: int) -> str:
    """Colour of the team at a place in the list of teams."""
    return COLOURS[place % len(COLOURS)]


def save_png(figure: Any, path: Path) -> None:
    """Write a figure as PNG."""
    with atomic_write(path) as partial, styled():
        figure.savefig(partial, format="png", dpi=_PNG_DPI, metadata={"Software": None})


def svg_uri(figure: Any) -> str:
    """The figure as a data address of an SVG image, for the src of an <img>."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


#: Distances beyond are drawn at the upper edge of box plots, mm.
_LONGEST_DRAWN_MM = 60.0
_MARKERS = "osD^vP*X<>hp"


def box_figure(teams: Sequence[TeamScores], names: Sequence[str]) -> Any:
    """A panel per measure with a box per team over its scans; triangle: mean, line: median.

    Boxes reach from quartile to quartile, whiskers at most 1.5 times as far; points lie beyond.
    """
    with styled():
        figure = new_figure(2.6 + 0.45 * len(teams) * len(names), 3.6)
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            _draw_boxes(axes, teams, MEASURES[name])
    return figure


def _draw_boxes(axes: Any, teams: Sequence[TeamScores], measure: Measure) -> None:
    values = [[v for v in map(measure.of, team.scans) if not np.isnan(v)] for team in teams]
    boxes = axes.boxplot(
        values,
        widths=0.6,
        showmeans=True,
        patch_artist=True,
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": "0.4"},
        meanprops={"marker": "^", "markersize": 5, "markerfacecolor": "k", "markeredgecolor": "w"},
        medianprops={"color": "black"},
    )
    for place, box in enumerate(boxes["boxes"]):
        box.set_facecolor(colour(place))
        box.set_alpha(0.55)
    axes.set_title(measure.heading)
    axes.set_xticks(range(1, len(teams) + 1), [team.team for team in teams], rotation=90)
    if measure.unit == "mm":
        beyond = sum(v > _LONGEST_DRAWN_MM for one in values for v in one)
        highest = max((v for one in values for v in one), default=1.0)
        axes.set_ylim(0, max(min(highest, _LONGEST_DRAWN_MM) * 1.05, 0.1))
        if beyond:
            axes.set_title(f"{measure.heading}; {beyond} beyond")
    else:
        axes.set_ylim(-0.03, 1.03)


def threshold_figure(teams: Sequence[TeamScores], names: Sequence[str]) -> Any:
    """Fraction of scans whose measure lies above a threshold (Sekuboyina et al. 2021, figure 8a)."""
    with styled():
        figure = new_figure(4.2 * len(names) + 1.8, 3.6)
        panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        thresholds = np.linspace(0.0, 1.0, 201)
        for axes, name in zip(panels, names, strict=True):
            for place, team in enumerate(teams):
                fraction = fraction_above(team.scans, MEASURES[name], thresholds)
                axes.plot(thresholds, fraction, color=colour(place), label=team.team)
            axes.set_xlabel(f"threshold of {MEASURES[name].title}")
            axes.set_xlim(0, 1)
        panels[0].set_ylabel("fraction of scans above")
        panels[0].set_ylim(0, 1.03)
        _legend(figure, panels[0])
    return figure


def fraction_above(scans: Sequence[ScanScore], measure: Measure, thresholds: Any) -> list[float]:
    """Per threshold the fraction of scans that reach it; scans without the measure do not count."""
    values = np.array([v for v in map(measure.of, scans) if not np.isnan(v)])
    if not values.size:
        return [float("nan")] * len(thresholds)
    return [float((values >= threshold - 1e-9).mean()) for threshold in thresholds]


def vertebra_figure(teams: Sequence[TeamScores], names: Sequence[str]) -> Any:
    """Mean of each measure per vertebra, from head to foot (figure 7, left)."""
    shown = [k for k in CRANIOCAUDAL_LABELS if any(k in s.labels for t in teams for s in t.scans)]
    groups = [(name_of(k), lambda label, k=k: label == k) for k in shown]
    with styled():
        figure = new_figure(max(5.0, 0.36 * len(shown) + 2.6), 2.6 * len(names))
        panels = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
        _draw_groups(figure, panels, teams, names, groups)
    return figure


def region_figure(teams: Sequence[TeamScores], names: Sequence[str]) -> Any:
    """Mean of each measure per region of the spine (figure 7, right)."""
    groups = [
        (region, lambda label, region=region: region_of(label) == region) for region in REGIONS
    ]
    with styled():
        figure = new_figure(3.0 * len(names) + 1.8, 3.2)
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        _draw_groups(figure, panels, teams, names, groups)
    return figure


def _draw_groups(
    figure: Any,
    panels: Any,
    teams: Sequence[TeamScores],
    names: Sequence[str],
    groups: Sequence[tuple[str, Callable[[int], bool]]],
) -> None:
    """A panel per measure: means of scans restricted to the labels of each group."""
    for axes, name in zip(panels, names, strict=True):
        for place, team in enumerate(teams):
            means = [_group_mean(team, MEASURES[name], of_group) for _, of_group in groups]
            axes.plot(
                np.arange(len(groups)) + _offset(place, len(teams)),
                means,
                color=colour(place),
                marker=_MARKERS[place % len(_MARKERS)],
                markersize=4,
                linewidth=0.7,
                label=team.team,
            )
        axes.set_xticks(range(len(groups)), [title for title, _ in groups])
        axes.set_ylabel(MEASURES[name].heading)
        axes.grid(axis="x", color="0.92")
        if MEASURES[name].unit:
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(-0.03, 1.03)
    _legend(figure, panels[0])


def _group_mean(team: TeamScores, measure: Measure, of_group: Callable[[int], bool]) -> float:
    labels = [k for k in CRANIOCAUDAL_LABELS if of_group(k)]
    return mean(measure.of(restrict(scan, labels)) for scan in team.scans)


def field_of_view_figure(teams: Sequence[TeamScores], names: Sequence[str]) -> Any:
    """Mean of each measure per field of view (figure 8b); below each how many scans it has."""
    counts = [sum(field_of_view(s.labels) == f for s in teams[0].scans) for f in FIELDS_OF_VIEW]
    groups = [(f, n) for f, n in zip(FIELDS_OF_VIEW, counts, strict=True) if n]
    with styled():
        figure = new_figure(max(5.0, 1.1 * len(groups) + 2.2), 2.5 * len(names))
        panels = figure.subplots(len(names), 1, squeeze=False, sharex=True)[:, 0]
        width = 0.8 / len(teams)
        for axes, name in zip(panels, names, strict=True):
            for place, team in enumerate(teams):
                of = MEASURES[name].of
                means = [
                    mean(of(s) for s in team.scans if field_of_view(s.labels) == group)
                    for group, _ in groups
                ]
                x = np.arange(len(groups)) + width * (place - (len(teams) - 1) / 2)
                axes.bar(x, means, width, color=colour(place), alpha=0.8, label=team.team)
            axes.set_ylabel(MEASURES[name].heading)
            axes.set_ylim(0, None if MEASURES[name].unit else 1.03)
            axes.set_xticks(range(len(groups)), [f"{group}\n{n} scans" for group, n in groups])
        _legend(figure, panels[0])
    return figure


def _offset(place: int, count: int) -> float:
    """Sideways shift that keeps the marks of teams apart."""
    return 0.0 if count == 1 else 0.36 * (place / (count - 1) - 0.5)


def _legend(figure: Any, axes: Any) -> None:
    handles, titles = axes.get_legend_handles_labels()
    figure.legend(handles, titles, loc="outside right upper")


#: p-values below are drawn in the last colour.
_SMALLEST_P = 1e-6


def p_value_figure(ranking: Ranking) -> Any:
    """p that the row's team is no better than the column's, and below it where that is < 0.001.

    A column of panels per measure, two rows per phase. Places without a comparison stay grey.
    """
    phases = list(ranking.phases)
    teams, columns = ranking.teams, len(ranking.comparisons) // len(phases)
    side = max(2.1, 0.3 * len(teams))
    with styled():
        figure = new_figure((side + 0.3) * columns + 2.5, 2 * len(phases) * (side + 0.4) + 1.2)
        panels = figure.subplots(2 * len(phases), columns, squeeze=False, sharex=True, sharey=True)
        for place, one in enumerate(ranking.comparisons):
            row, column = 2 * (place // columns), place % columns
            shown = _draw_p(panels[row, column], one)
            _draw_points(panels[row + 1, column], one)
        for axes in panels.ravel():
            _name(axes, teams)
        bar = figure.colorbar(shown, ax=panels, shrink=0.5, label="p (log₁₀)")
        bar.ax.axhline(np.log10(SIGNIFICANCE), color="black", linewidth=2)
    return figure


def _title(one: Comparison) -> str:
    phase = "" if one.phase == ONLY_PHASE else f"{one.phase}: "
    return f"{phase}{MEASURES[one.measure].title}"


def _draw_p(axes: Any, one: Comparison) -> Any:
    logarithms = np.log10(np.clip(one.p_values, _SMALLEST_P, 1.0))
    axes.set_facecolor("0.85")
    shown = axes.imshow(logarithms, vmin=np.log10(_SMALLEST_P), vmax=0, cmap="viridis_r")
    axes.set_title(_title(one))
    return shown


def _draw_points(axes: Any, one: Comparison) -> None:
    binary = np.where(np.isnan(one.p_values), np.nan, one.p_values < SIGNIFICANCE)
    axes.set_facecolor("0.85")
    axes.imshow(binary, vmin=0, vmax=1, cmap="Greys")
    axes.set_title(f"black: p < {SIGNIFICANCE:g}")


def _name(axes: Any, teams: tuple[str, ...]) -> None:
    axes.set_xticks(range(len(teams)), teams, rotation=90)
    axes.set_yticks(range(len(teams)), teams)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(True)
