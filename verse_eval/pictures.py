"""Matplotlib figures without a display: made, saved as PNG, or turned into SVG for a page."""

import base64
import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

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
_STYLE = {
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
