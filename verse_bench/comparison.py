"""From measurements to the ratios that count, and whether they reach what was aimed at."""

from collections.abc import Sequence
from dataclasses import dataclass

from verse_bench.measurement import Measurement

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
