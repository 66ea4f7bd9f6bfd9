"""How time grows with vertebrae, and with the number of voxels around the same spine."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from verse_bench.measurement import Measurement

_STAGES = ("vertebra segmentation", "vertebra localisation", "spine localisation")


def growth_figure(by_vertebrae: Sequence[Measurement], by_volume: Sequence[Measurement]) -> Figure:
    """Two plots of seconds: over visible vertebrae, and over voxels of one field of view.

    A line is fitted to the CPU seconds, which others on the machine disturb least.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = [one.vertebrae for one in by_vertebrae]
    _plot(left, counts, by_vertebrae)
    slope, start = np.polyfit(counts, [one.cpu_seconds for one in by_vertebrae], 1)
    ends = np.array([0, max(counts)])
    label = f"{slope:.2f} CPU seconds per vertebra + {start:.1f}"
    left.plot(ends, start + slope * ends, ":", color="black", label=label)
    left.set(xlabel="visible vertebrae, the spine as long", ylabel="seconds", ylim=0, xlim=0)
    _plot(right, [one.voxels / 1e6 for one in by_volume], by_volume)
    right.set(xlabel="million voxels of the same five vertebrae", ylim=0, xlim=0)
    left.legend()  # the same lines on the right
    return figure


def _plot(axes: Axes, places: Sequence[float], measurements: Sequence[Measurement]) -> None:
    axes.plot(places, [one.total for one in measurements], "o-", label="file to file")
    axes.plot(places, [_stages(one) for one in measurements], "s-", label="three stages")
    files = [one.seconds["read"] + one.seconds["write"] for one in measurements]
    axes.plot(places, files, "^-", label="read and write")
    work = [one.cpu_seconds for one in measurements]
    axes.plot(places, work, "x--", color="grey", label="CPU seconds, file to file")
    axes.grid(alpha=0.3)


def _stages(one: Measurement) -> float:
    return sum(one.seconds[stage] for stage in _STAGES)


def save_figure(figure: Figure, path: Path) -> None:
    """As PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
