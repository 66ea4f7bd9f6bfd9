"""The measurements as text."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from verse_bench.comparison import GIB, best_rate, network_share, over_bare, rate, targets
from verse_bench.machine import Machine
from verse_bench.measurement import Measurement

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
