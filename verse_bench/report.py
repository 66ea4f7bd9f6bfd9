"""What measurements say: ratios beside what was aimed at, tables, and how time grows with a scan."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from verse_bench.measurement import Machine, Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Target:
    """What was aimed at and what came. least: the value must not be below the bound; else not above."""

    text: str
    value: float
    bound: float
    least: bool

    @property
    def reached(self) -> bool:
        """Is the value on the right side of its bound?"""
        return self.value >= self.bound if self.least else self.value <= self.bound


def targets(measurements: Sequence[Measurement]) -> list[Target]:
    """All that can be said of these measurements."""
    found: list[Target] = []
    reference = {m.scan: m for m in measurements if m.path == "reference"}
    for one in (m for m in measurements if m.path != "reference"):
        name = f"{one.path}, {one.scan}"
        if one.scan in reference:
            bound = 15.0 if one.path == "bundled" else 6.0
            ratio = reference[one.scan].total / one.total
            found.append(Target(f"{name}: reference / this, seconds", ratio, bound, least=True))
            ratio = reference[one.scan].cpu_seconds / one.cpu_seconds
            found.append(Target(f"{name}: reference / this, CPU seconds", ratio, bound, least=True))
        found.append(Target(f"{name}: network calls / total", network_share(one), 0.6, least=True))
        text = f"{name}: stages / their bare network calls"
        found.append(Target(text, over_bare(one), 1.25, least=False))
        if one.path == "bundled" and one.scan in _MOST_GIB:
            peak = one.peak_bytes / GIB
            found.append(
                Target(f"{name}: peak memory, GiB", peak, _MOST_GIB[one.scan], least=False)
            )
        if one.path == "bundled" and one.scan == "whole-spine":
            found.append(Target(f"{name}: file to file, s", one.total, 45.0, least=False))
    return found


_MOST_GIB = {"whole-spine": 3.0, "whole-body": 4.0}


def network_share(one: Measurement) -> float:
    """Share of the total that is spent inside network calls."""
    return sum(calls.seconds for calls in one.calls.values()) / one.total


def over_bare(one: Measurement) -> float:
    """Time of the three stages over that of the same network calls when nothing else is done."""
    stages = sum(one.seconds[stage] for stage in one.calls)
    return stages / sum(calls.bare_seconds for calls in one.calls.values())


def rate(one: Measurement) -> float:
    """FLOP/s of the convolutions in the network calls of a scan."""
    calls = one.calls.values()
    return sum(c.flops for c in calls) / sum(c.seconds for c in calls)


def best_rate(measurements: Sequence[Measurement]) -> float:
    """The highest rate of any network's bare call: what this machine can do."""
    return max(
        calls.flops / calls.bare_seconds for one in measurements for calls in one.calls.values()
    )


_COLUMNS = (
    "scan",
    "path",
    "precision",
    "vertebrae",
    "read",
    "spine",
    "landmarks",
    "vertebrae s",
    "write",
    "total s",
    "CPU s",
    "load",
    "peak GiB",
    "network share",
    "stages/bare",
    "TFLOP/s",
)
_STEPS = (
    "read",
    "spine localisation",
    "vertebra localisation",
    "vertebra segmentation",
    "write",
)


def table(measurements: Sequence[Measurement]) -> str:
    """One line per scan and path; a star marks times that are scaled up from a part of the work."""
    rows = [_COLUMNS, *(_row(one) for one in measurements)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    if any(one.scaled for one in measurements):
        lines.append("* scaled up from some of the tiles and vertebrae")
    return "\n".join(lines)


def _row(one: Measurement) -> tuple[str, ...]:
    steps = [f"{one.seconds.get(step, 0.0):.2f}" for step in _STEPS]
    total = f"{one.total:.1f}{'*' if one.scaled else ''}"
    shares = ("-", "-") if one.scaled else (f"{network_share(one):.0%}", f"{over_bare(one):.2f}")
    known = (one.scan, one.path, one.precision, str(one.vertebrae))
    return (
        *known,
        *steps,
        total,
        f"{one.cpu_seconds:.1f}",
        f"{one.load:.1f}",
        f"{one.peak_bytes / GIB:.2f}",
        *shares,
        f"{rate(one) / 1e12:.2f}",
    )


def verdicts(measurements: Sequence[Measurement]) -> str:
    """Each target, its value and whether it is reached."""
    lines = [
        f"{'yes' if t.reached else 'NO ':>3}  {t.value:8.2f}  "
        f"({'at least' if t.least else 'at most'} {t.bound:g})  {t.text}"
        for t in targets(measurements)
    ]
    return "\n".join(lines)


def header(machine: Machine, measurements: Sequence[Measurement]) -> str:
    """The machine, and the best rate found on it."""
    best = best_rate(measurements) / 1e12
    facts = ", ".join(f"{name}: {_plain(value)}" for name, value in asdict(machine).items())
    return f"{facts}\nbest rate of a bare network call: {best:.2f} TFLOP/s"


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return " ".join(map(str, value))
    return str(value)


_STAGES = ("vertebra segmentation", "vertebra localisation", "spine localisation")


def growth_figure(
    by_vertebrae: Sequence[Measurement], by_volume: Sequence[Measurement]
) -> "Figure":
    """Two plots of seconds: over visible vertebrae, and over voxels of one field of view.

    A line is fitted to the CPU seconds, which others on the machine disturb least.
    """
    from matplotlib.figure import Figure

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


def _plot(axes: "Axes", places: Sequence[float], measurements: Sequence[Measurement]) -> None:
    axes.plot(places, [one.total for one in measurements], "o-", label="file to file")
    axes.plot(places, [_stages(one) for one in measurements], "s-", label="three stages")
    files = [one.seconds["read"] + one.seconds["write"] for one in measurements]
    axes.plot(places, files, "^-", label="read and write")
    work = [one.cpu_seconds for one in measurements]
    axes.plot(places, work, "x--", color="grey", label="CPU seconds, file to file")
    axes.grid(alpha=0.3)


def _stages(one: Measurement) -> float:
    return sum(one.seconds[stage] for stage in _STAGES)


def save_figure(figure: "Figure", path: Path) -> None:
    """As PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
