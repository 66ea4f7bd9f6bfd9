"""The p-value matrices of a ranking as a picture (Sekuboyina et al. 2021, figures A.11 and A.12)."""

from typing import Any

import numpy as np

from verse_eval.measures import MEASURES
from verse_eval.pictures import new_figure, styled
from verse_eval.ranking import ONLY_PHASE, Comparison, Ranking
from verse_eval.significance import SIGNIFICANCE

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
