"""What a volume's values look like: padding, Hounsfield units, or something that only resembles them.

A CT's histogram follows from its physics: air about -1000, fat about -100, soft tissue about 50 HU, and a
tail of bone that few voxels reach. Padding hides it: a constant that a reconstruction circle or a
resampling leaves outside. So padding is looked for first, and what is left is compared with a CT.

The limits were set on 51 real CTs of all regions, heads and single vertebrae included, rounded and not: none
comes near them, while lost offsets, scales and windows of each of these lie beyond.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_infer.flags import Flag, FlagCode

#: Counted values, HU; what lies beyond counts at the ends.
COUNTED_HU = (-70_000, 70_000)
#: Voxels of a plane that are counted, about; and fewer than these in all say nothing of a distribution.
_PLANE_SAMPLE = 2**12
_FEWEST = 10_000

#: What a CT may have, HU: 12 bits, and room for noise below air and metal above bone.
_POSSIBLE = (-1150, 4000)
#: A constant in here is air itself, HU.
_AIR = (-1100, -850)
#: Fat, muscle, contrast and bone, HU. Coarsely rounded tissue may be as common as padding: a constant in
#: here is padding only where it fills the volume's edges.
_TISSUE = (-250, 2000)
_EDGE_SHARE = 0.9
#: Share of all voxels from which on a value is a constant, and the same of an impossible value.
_CONSTANT_SHARE, _IMPOSSIBLE_SHARE = 0.1, 0.05

#: Denser than contrast and most bone, HU, and how many voxels may be (in real heads 0.054).
_DENSE_HU, _MOST_DENSE = 800, 0.2
#: How many voxels may lie below what is possible, and above.
_MOST_COLD, _MOST_BEYOND = 0.05, 0.05
#: Bone reaches this, HU.
_LEAST_TOP_HU = 400
#: The lowest values are air's, or the thin tail of fat's: where they lie above this, HU, no more than this
#: share of the voxels is within this part of the span from them.
_LOWEST_FLOOR_HU, _FLOOR_PART, _MOST_AT_FLOOR = -850, 0.03, 0.04
#: Without air and fat, HU.
_OFFSET_HU = -100
#: Below saturation, HU, no more voxels than this share have the very highest value, or it is no more than
#: so many times as common as those below it.
_SATURATION_HU, _MOST_AT_TOP, _MOST_PILED = 2000, 1e-4, 5.0
#: Rarer values do not say where the lowest and the highest ones lie.
_TAIL = 0.0005


@dataclass(frozen=True, slots=True)
class Padding:
    """value: HU. share: of all voxels, 0 to 1. lowest: nothing is below it."""

    value: int
    share: float
    lowest: bool = False

    @property
    def may_be_measured(self) -> bool:
        """May single voxels inside a body have this value, too?"""
        return _POSSIBLE[0] <= self.value <= _POSSIBLE[1]

    def flag(self) -> Flag:
        """What was done about it."""
        message = f"padding of {self.value} HU ({self.share:.0%} of all voxels) taken as air"
        if self.lowest and self.value > _AIR[1]:
            message = (
                f"values begin at {self.value} HU ({self.share:.0%} of all voxels): cut to a window, or "
                "padding? Taken as air"
            )
        return Flag(FlagCode.PADDING, message, self.value)


class ValueCounts:
    """A histogram of whole HU over a sample of a volume's voxels."""

    def __init__(self) -> None:
        """No voxel yet."""
        self._counts = np.zeros(COUNTED_HU[1] - COUNTED_HU[0] + 1, np.int64)

    def add(self, values: NDArray[Any]) -> None:
        """Count a slab of finite values in HU; (i, j, k)."""
        step = max(1, int((values.shape[0] * values.shape[1] / _PLANE_SAMPLE) ** 0.5))
        sample = np.clip(values[::step, ::step], *COUNTED_HU)
        places = sample.astype(np.int32).ravel() - COUNTED_HU[0]
        self._counts += np.bincount(places, minlength=len(self._counts))

    def shares(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The values that occur, ascending, and the share of voxels of each; none of too small a sample."""
        total = self._counts.sum()
        places = np.flatnonzero(self._counts) if total >= _FEWEST else np.zeros(0, np.int64)
        return places + COUNTED_HU[0], self._counts[places] / max(1, total)


def paddings(counts: ValueCounts, hu: NDArray[np.int16]) -> tuple[Padding, ...]:
    """Constants that are padding: outside of what a body has, or filling the volume's edges.

    hu: the volume, in any orientation, its values cut to int16.
    """
    values, shares = counts.shares()
    found = []
    for value, share in zip(values.tolist(), shares.tolist(), strict=True):
        possible = _POSSIBLE[0] <= value <= _POSSIBLE[1]
        if share < (_CONSTANT_SHARE if possible else _IMPOSSIBLE_SHARE):
            continue
        in_tissue = _TISSUE[0] <= value <= _TISSUE[1]
        is_air = _AIR[0] <= value <= _AIR[1]
        if not is_air and (not in_tissue or _edge_share(hu, value) >= _EDGE_SHARE):
            found.append(Padding(value, share, value == values[0]))
    return tuple(found)


def _edge_share(hu: NDArray[np.int16], value: int) -> float:
    """How much of the four edges along an axis has the value; of the axis with the most, 0 to 1."""
    edges = (np.moveaxis(hu, axis, 0)[:, [0, 0, -1, -1], [0, -1, 0, -1]] for axis in range(3))
    return max(float((edge == value).mean()) for edge in edges)


@dataclass(frozen=True, slots=True)
class Measured:
    """What is neither padding nor constant air.

    values: HU, ascending. shares: of these voxels that have each; sum 1.
    """

    values: NDArray[np.int64]
    shares: NDArray[np.float64]

    @property
    def low(self) -> int:
        """The lowest value."""
        return int(self.values[0])

    @property
    def high(self) -> int:
        """The highest value."""
        return int(self.values[-1])

    def above(self, value: float) -> float:
        """Share of the voxels above a value."""
        return float(self.shares[self.values > value].sum())

    def quantile(self, share: float) -> int:
        """The value that so many of the voxels do not exceed."""
        place = int(np.searchsorted(np.cumsum(self.shares), share))
        return int(self.values[min(place, len(self.values) - 1)])

    def piled_at_top(self) -> bool:
        """Is the highest value far more common than those just below it?"""
        below = self.shares[-11:-1]
        return bool(
            self.shares[-1] > max(_MOST_AT_TOP, _MOST_PILED * (below.mean() if len(below) else 0.0))
        )


def measured(counts: ValueCounts, padding: Sequence[Padding]) -> Measured | None:
    """What is left without padding and constant air; None where that is nothing."""
    values, shares = counts.shares()
    air = (values >= _AIR[0]) & (values <= _AIR[1]) & (shares >= _CONSTANT_SHARE)
    kept = ~(air | np.isin(values, [one.value for one in padding]))
    if not kept.any():
        return None
    return Measured(values[kept], shares[kept] / shares[kept].sum())


def no_hounsfield_units(found: Measured) -> str | None:
    """What values look like of which no CT has so many; None where they may be a CT's."""
    beyond = found.above(_POSSIBLE[1])
    if beyond <= _MOST_BEYOND:
        return None
    looks = "scaled to 16 bits?"
    if found.low > 2**14:
        looks = "stored with an offset of 32768?"
    elif found.above(2**16 - 1200) > 0.9 * beyond:
        looks = "signed values read as unsigned?"
    return f"{beyond:.0%} of the voxels above {_POSSIBLE[1]} ({found.low} to {found.high}): {looks}"


def oddities(found: Measured) -> tuple[Flag, ...]:
    """Flags about values that may be Hounsfield units and look like something else; none for a CT."""
    floor, summit = found.quantile(_TAIL), found.quantile(1 - _TAIL)
    dense, cold = found.above(_DENSE_HU), 1 - found.above(_POSSIBLE[0] - 1)
    at_floor = 1 - found.above(floor + _FLOOR_PART * (summit - floor))
    span = f"({found.low} to {found.high} HU)"
    flags = []
    offset = found.low >= 0 or (dense > _MOST_DENSE and floor > _OFFSET_HU)
    if offset:
        looks = f"no value of air or fat {span}, {dense:.0%} of the voxels above {_DENSE_HU} HU"
        message = f"{looks}: stored with an offset of +1024? Taken as it is"
        flags.append(Flag(FlagCode.NO_NEGATIVE_VALUE, message, found.low))
    elif dense > _MOST_DENSE:
        message = f"{dense:.0%} of the voxels above {_DENSE_HU} HU {span}: inverted, or scaled?"
        flags.append(Flag(FlagCode.VALUES_SCALED, message, dense))
    if cold > _MOST_COLD:
        looks = f"{cold:.0%} of the voxels below {_POSSIBLE[0]} HU {span}"
        message = f"{looks}: stored with an offset of -1024, or scaled?"
        flags.append(Flag(FlagCode.VALUES_SCALED, message, cold))
    if not offset and floor > _LOWEST_FLOOR_HU and at_floor > _MOST_AT_FLOOR:
        looks = f"values begin at {found.low} HU, {at_floor:.0%} of the voxels there, none at air's"
        flags.append(Flag(FlagCode.VALUES_CUT, f"{looks}: cut to a window, or scaled?", found.low))
    if found.high < _LEAST_TOP_HU:
        message = f"values end at {found.high} HU, below bone's: cut to a window, or scaled?"
        flags.append(Flag(FlagCode.VALUES_CUT, message, found.high))
    elif found.high < _SATURATION_HU and found.piled_at_top():
        looks = f"values end at {found.high} HU, {found.shares[-1]:.2%} of the voxels there"
        flags.append(Flag(FlagCode.VALUES_CUT, f"{looks}: cut to a window?", found.high))
    return tuple(flags)
