"""From stored values to Hounsfield units, and what their range says of a file."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_infer.errors import InputError

LOWEST_HU, HIGHEST_HU = -1024, 32767
#: Real CTs reach from air to bone: a span below this cannot show both.
SMALLEST_SPAN_HU = 200


def to_hounsfield(
    slabs: Iterable[NDArray[Any]], scaling: tuple[float, float], hu: NDArray[np.int16], name: str
) -> tuple[str, ...]:
    """Fill hu with stored values scaled; flags. InputError where they cannot be HU.

    slabs: the volume's parts along its last axis. scaling: slope and inter. hu: on the same grid, may
    be a view with turned axes. No second volume is needed, and while a part is worked on the next may
    be read.
    """
    slope, inter = scaling
    if not (np.isfinite(slope) and np.isfinite(inter)) or slope == 0:
        raise InputError(f"{name}: expected a finite scaling, got slope {slope} and inter {inter}")
    low, high, broken, eight_bit, place = np.inf, -np.inf, 0, False, 0
    for slab in slabs:
        values, unknown = _scaled(slab, slope, inter)
        lowest, highest = values.min(), values.max()
        within = lowest >= LOWEST_HU and highest <= HIGHEST_HU
        part = hu[..., place : place + slab.shape[-1]]
        part[...] = values if within else np.clip(values, LOWEST_HU, HIGHEST_HU)
        low, high = min(low, float(lowest)), max(high, float(highest))
        broken, place = broken + unknown, place + slab.shape[-1]
        eight_bit = slab.dtype.itemsize == 1 and (slope, inter) == (1.0, 0.0)
    flags = _value_flags(name, low, high, eight_bit=eight_bit)
    if broken:
        flags = (*flags, f"{broken} voxels without a finite value set to {LOWEST_HU} HU")
    return flags


def _scaled(stored: NDArray[Any], slope: float, inter: float) -> tuple[NDArray[Any], int]:
    """Values in HU, of a type that holds them, and how many voxels had no finite value."""
    if stored.dtype.kind == "u" or (slope, inter) != (1.0, 0.0):
        wide = stored.astype(np.float64)  # a value beyond the type would wrap around
        with np.errstate(over="ignore", invalid="ignore"):
            stored = wide * slope + inter
    if stored.dtype.kind != "f":
        return stored, 0
    finite = np.isfinite(stored)
    return np.rint(np.where(finite, stored, LOWEST_HU)), stored.size - int(finite.sum())


def _value_flags(name: str, low: float, high: float, *, eight_bit: bool) -> tuple[str, ...]:
    if low == high:
        raise InputError(f"{name}: expected a CT, got the constant value {low:g}")
    if eight_bit or (low >= 0 and high <= 255):
        raise InputError(
            f"{name}: expected Hounsfield units, got an 8-bit picture, values {low:g} to {high:g}"
        )
    if high - low < SMALLEST_SPAN_HU:
        raise InputError(
            f"{name}: expected Hounsfield units from air to bone, got values {low:g} to {high:g}"
        )
    flags = []
    if low >= 0:
        flags.append(
            f"no value below 0 ({low:g} to {high:g}): stored with an offset of +1024? Taken as it is"
        )
    if low < LOWEST_HU:
        flags.append(f"values below {LOWEST_HU} HU (down to {low:g}) set to {LOWEST_HU}")
    if high > HIGHEST_HU:
        flags.append(f"values above {HIGHEST_HU} HU (up to {high:g}) set to {HIGHEST_HU}")
    return tuple(flags)
