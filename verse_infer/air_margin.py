"""Leaving out what was added around a scan: outer planes of one constant value of air.

Without it, the ends of the padding would count as the ends of the scan: its middle, at which the
first stage looks, and its top and bottom, near which vertebrae are left out, would move.
"""

import numpy as np
from numpy.typing import NDArray

from verse_infer.ct import Ct
from verse_infer.geometry.lattice import Block

#: Padding is at most this, HU; measured air is noisy, so that no plane of it is constant.
AIR_HU = -900


def without_air_margin(ct: Ct) -> tuple[Ct, Block]:
    """The scan without its constant outer planes, as a view, and where it lies: slices z, y, x."""
    block = content_block(ct.hu)
    return Ct(ct.hu[block], ct.lattice.part(block), None, ct.flags), block


def content_block(hu: NDArray[np.int16]) -> Block:
    """Slices z, y, x of the smallest block outside which all planes are constant air.

    The whole volume where nothing else is left.
    """
    z, y, x = (_content(np.moveaxis(hu, axis, 0)) for axis in range(3))
    return z, y, x


def _content(planes: NDArray[np.int16]) -> slice:
    """Along the first axis."""
    first, last = 0, len(planes)
    while first < last and _is_padding(planes[first]):
        first += 1
    if first == last:
        return slice(0, len(planes))
    while _is_padding(planes[last - 1]):
        last -= 1
    return slice(first, last)


def _is_padding(plane: NDArray[np.int16]) -> bool:
    value = plane.flat[0]
    return bool(value <= AIR_HU and (plane == value).all())
