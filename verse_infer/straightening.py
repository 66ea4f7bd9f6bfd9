"""A spine straightened along its curve: one flat picture with a row for every millimetre and a half.

A person names vertebrae from a curved planar reformat: first and last rib, sacrum, dens, and counting.
The picture gives a network the same. Its rows cross the curve through the vertebral bodies at right
angles, from the lowest to the highest; its columns run across; its four channels are what is seen from
the side, from behind, of the ribs, and of what lies before the spine (lung, liver, kidneys).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.grid import Lattice, Point

Floats = NDArray[np.float32]
Vectors = NDArray[np.float64]
#: Columns of a picture; 109 of 1.5 mm reach 81 mm to either side.
COLUMNS = 109
#: Distance of rows, along the curve, and of columns, mm.
ROW_MM, COLUMN_MM = 1.5, 1.5
#: Channels of a picture.
CHANNELS = 4
#: How far before (negative) or behind the curve the planes of a channel lie, mm.
SLAB_MM = (-4.0, 0.0, 4.0)
RIBS_MM = tuple(np.arange(6.0, 61.0, 3.0).tolist())
FRONT_MM = tuple(np.arange(-70.0, -19.0, 3.0).tolist())
#: No place of a picture is farther from the curve than this along x, y or z, mm.
REACH_MM = 85.0
#: HU are divided by this and clipped; air is -1.02, metal 2.
HU_DIVISOR, LOWEST, HIGHEST = 1000.0, -1.02, 2.0
#: Standard deviations of the Gaussians that round the curve's corners, and its directions, mm.
ROUND_MM, TURN_MM = 8.0, 12.0
#: So far beyond the scan's ends the curve goes on: a slanted body's centre may lie in a row beyond them.
BEYOND_MM = 15.0
#: Steepest the curve may run against z, mm per mm.
STEEPEST = 1.5


@dataclass(frozen=True, slots=True)
class SpineCurve:
    """The curve through the bodies' centres at every row of a picture, feet to head; LPS mm.

    centre, across, back: (rows, 3); a row's place, and its unit vectors from the patient's right to the
    left and from front to back, at right angles to the curve.
    """

    centre: Vectors
    across: Vectors
    back: Vectors

    def place(self, point: Sequence[float]) -> tuple[float, float, float]:
        """Row (fractional), and mm across and behind the curve, of a point, LPS mm."""
        offset = np.asarray(point, np.float64) - self.centre
        row = int(np.argmin((offset**2).sum(axis=1)))
        along = np.cross(self.across[row], self.back[row])
        along = -along if along[2] < 0 else along
        fraction = float(np.clip(offset[row] @ along / ROW_MM, -0.5, 0.5))
        return (
            row + fraction,
            float(offset[row] @ self.across[row]),
            float(offset[row] @ self.back[row]),
        )

    def point(self, row: float, across_mm: float, back_mm: float) -> Point:
        """The point at a (fractional) row, LPS mm."""
        places = np.arange(len(self.centre))
        centre, across, back = (
            np.array([np.interp(row, places, part[:, d]) for d in range(3)])
            for part in (self.centre, self.across, self.back)
        )
        x, y, z = (centre + across_mm * across + back_mm * back).tolist()
        return x, y, z


def curve_through(
    points: Sequence[Sequence[float]] | Vectors, z_range: tuple[float, float]
) -> SpineCurve:
    """The curve through points (n, 3), LPS mm, in any order; n at least 1.

    It goes straight on beyond the outermost points, to BEYOND_MM outside both ends of z_range.
    """
    bottom, top = z_range[0] - BEYOND_MM, z_range[1] + BEYOND_MM
    ordered = np.asarray(points, np.float64).reshape(-1, 3)
    ordered = ordered[np.argsort(ordered[:, 2])]
    z = np.arange(bottom, max(top, bottom + 1.0) + 0.5)
    reach = max(top - ordered[0, 2], ordered[-1, 2] - bottom) + 1.0
    first = _beyond(ordered[:3][::-1], reach)
    last = _beyond(ordered[-3:], reach)
    knots = np.vstack([first, ordered, last])
    line = np.stack([np.interp(z, knots[:, 2], knots[:, d]) for d in (0, 1)], axis=1)
    line = scipy.ndimage.gaussian_filter1d(line, ROUND_MM, axis=0, mode="nearest")
    return along_line(np.column_stack([line, z]))


def along_line(line: Vectors) -> SpineCurve:
    """The curve along a line of points (n, 3), LPS mm, z ascending in steps of 1 mm."""
    slope = np.gradient(line, axis=0) if len(line) > 1 else np.array([[0.0, 0.0, 1.0]])
    slope = scipy.ndimage.gaussian_filter1d(slope, TURN_MM, axis=0, mode="nearest")
    length = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
    rows = np.arange(0.0, length[-1] + 1e-6, ROW_MM)
    centre, along = (
        np.stack([np.interp(rows, length, part[:, d]) for d in range(3)], axis=1)
        for part in (line, slope)
    )
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    back = np.array([0.0, 1.0, 0.0]) - along[:, 1:2] * along
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    return SpineCurve(centre, np.cross(back, along), back)


def _beyond(points: Vectors, reach: float) -> Vectors:
    """Where the line through the last few points has come to, `reach` mm of z beyond the last."""
    rise = points[-1, 2] - points[0, 2]
    direction = 1.0 if rise >= 0 else -1.0
    if abs(rise) < 5.0:
        slope = np.zeros(2)
        direction = 1.0 if len(points) < 2 else direction
    else:
        slope = np.clip((points[-1, :2] - points[0, :2]) / rise, -STEEPEST, STEEPEST)
    return np.asarray(points[-1] + direction * reach * np.array([*slope, 1.0]))


def picture_along(
    volume: NDArray[np.int16] | Floats, lattice: Lattice, curve: SpineCurve
) -> Floats:
    """The straightened picture; (rows, COLUMNS, CHANNELS), HU / 1000, clipped.

    volume: HU, z, y, x on an axis-aligned lattice; outside it is air.
    """
    columns: Vectors = COLUMN_MM * (np.arange(COLUMNS, dtype=np.float64) - (COLUMNS - 1) / 2)
    picture = np.empty((len(curve.centre), COLUMNS, CHANNELS), np.float32)
    side = _seen(volume, lattice, curve, np.asarray(SLAB_MM), columns)  # rows, back, across
    picture[..., 0] = side.mean(axis=2)
    depth = np.array([*SLAB_MM, *RIBS_MM, *FRONT_MM])
    front = _seen(volume, lattice, curve, columns, depth)
    slab, ribs = len(SLAB_MM), len(SLAB_MM) + len(RIBS_MM)
    picture[..., 1] = front[:, :slab].mean(axis=1)
    picture[..., 2] = front[:, slab:ribs].max(axis=1)
    picture[..., 3] = front[:, ribs:].mean(axis=1)
    return np.asarray(np.clip(picture / np.float32(HU_DIVISOR), LOWEST, HIGHEST), np.float32)


def mirrored(picture: Floats) -> Floats:
    """The picture of the patient seen in a mirror: the first channel's columns run from front to back."""
    turned = picture.copy()
    turned[..., 1:] = picture[:, ::-1, 1:]
    return turned


def _seen(
    volume: NDArray[np.int16] | Floats,
    lattice: Lattice,
    curve: SpineCurve,
    across: Vectors,
    back: Vectors,
) -> Floats:
    """HU at places across and behind the curve at each row; (rows, back, across)."""
    index = []
    for axis in (2, 1, 0):
        scale = 1.0 / lattice.spacing[axis]
        middle = (curve.centre[:, axis] - lattice.origin[axis]) * scale
        index.append(
            (
                middle[:, None, None]
                + (scale * curve.across[:, axis])[:, None, None] * across
                + (scale * curve.back[:, axis])[:, None, None] * back[:, None]
            ).astype(np.float32)
        )
    return np.asarray(
        scipy.ndimage.map_coordinates(
            volume,
            index,
            np.float32,
            order=1,
            mode="grid-constant",
            cval=LOWEST * HU_DIVISOR,
            prefilter=False,
        )
    )
