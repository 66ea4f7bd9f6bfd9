"""The shape of one vertebra: body, arch, processes, as implicit functions in its own frame.

Local coordinates are x to the left, y to posterior, z up, in mm from the body's centre. Widths follow
endplate widths measured in 802 CTs (CTSpinoPelvic1K: T11 37.7, L1 40.9, L3 44.5, L5 50.9 mm) and, for
the rest and for depths and processes, Panjabi et al. (Spine 1991 cervical, 1991 thoracic, 1992
lumbar), rounded. They are means to look like a spine, not anatomical references.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of, name_of

Vector = NDArray[np.float64]
Inside = NDArray[np.bool_]

_LEVELS = ("C3", "C7", "T1", "T4", "T8", "T11", "L1", "L3", "L5")
#: Per level: body width, body depth, canal width, canal depth, half span of the transverse
#: processes, their sweep to posterior, spinous process length, its downward slope (mm per mm).
_TABLE = np.array(
    [
        [17.0, 15.0, 22.0, 14.0, 26.0, 2.0, 15.0, 0.25],
        [21.0, 17.0, 23.0, 14.0, 32.0, 8.0, 26.0, 0.35],
        [26.0, 17.0, 21.0, 15.0, 36.0, 14.0, 30.0, 0.45],
        [26.0, 21.0, 17.0, 15.0, 32.0, 18.0, 30.0, 0.90],
        [30.0, 27.0, 17.0, 15.0, 30.0, 20.0, 28.0, 1.00],
        [37.7, 30.0, 19.0, 16.0, 26.0, 14.0, 26.0, 0.50],
        [40.9, 32.0, 22.0, 17.0, 36.0, 8.0, 30.0, 0.20],
        [44.5, 34.0, 23.0, 17.0, 44.0, 8.0, 31.0, 0.15],
        [50.9, 35.0, 26.0, 18.0, 44.0, 10.0, 25.0, 0.15],
    ]
)
#: Body height as a share of the distance of neighbouring centres; the rest is disc.
_HEIGHT_SHARE = {"C": 0.72, "T": 0.82, "L": 0.78}
#: Half size of a box that holds the ring of C1 with its transverse processes, which has one size.
_ATLAS_HALF_MM = (40.0, 22.0, 10.0)


@dataclass(frozen=True, slots=True)
class VertebraShape:
    """Dimensions of one vertebra, mm.

    wedge: share of the body's height lost at its front. biconcave: share lost in the middle of its
    endplates. osteophytes: how far the rims of its endplates grow sideways and forward.
    """

    label: int
    width: float
    depth: float
    height: float
    canal_width: float
    canal_depth: float
    span: float
    sweep: float
    spinous: float
    slope: float
    wedge: float = 0.0
    biconcave: float = 0.0
    osteophytes: float = 0.0

    @property
    def canal_centre(self) -> float:
        """Local y of the middle of the spinal canal."""
        return 0.5 * (self.depth + self.canal_depth)


def shape_of(
    label: int, distance: float, rng: np.random.Generator, variation: float
) -> VertebraShape:
    """A vertebra of this level whose neighbours' centres are `distance` away; sizes vary by ±10 %."""
    rank = CRANIOCAUDAL_LABELS.index(label)
    known = [CRANIOCAUDAL_LABELS.index(label_of(name)) for name in _LEVELS]
    row = np.array([np.interp(rank, known, column) for column in _TABLE.T])
    row[:7] *= 1 + variation * rng.uniform(-0.1, 0.1, 7)
    return VertebraShape(
        label, row[0], row[1], _HEIGHT_SHARE[name_of(label)[0]] * distance, *row[2:]
    )


def deformed_shape(shape: VertebraShape, rng: np.random.Generator) -> VertebraShape:
    """A wedge fracture, a biconcave one, osteophytes, or both of the last.

    Losses of height reach from mild to severe after Genant (J Bone Miner Res 1993: 20 to 40 % and
    more). C1 has no body.
    """
    if shape.label == label_of("C1"):
        return shape
    kind = rng.integers(4)
    if kind == 0:
        return replace(shape, wedge=rng.uniform(0.15, 0.55))
    biconcave = 0.0 if kind == 1 else rng.uniform(0.15, 0.5)
    osteophytes = 0.0 if kind == 2 else rng.uniform(0.06, 0.16) * shape.depth
    return replace(shape, biconcave=biconcave, osteophytes=osteophytes)


def extent_mm(shape: VertebraShape) -> tuple[Vector, Vector]:
    """Lower and upper corner of a local box that holds the whole vertebra."""
    if shape.label == label_of("C1"):
        return -np.array(_ATLAS_HALF_MM), np.array(_ATLAS_HALF_MM)
    back = shape.canal_centre + shape.canal_depth / 2 + 6 + shape.spinous
    side = max(shape.span + 6, shape.width / 2 + 2, 30.0)
    drop = 0.8 * shape.height + shape.spinous * shape.slope + 8
    top = 1.25 * shape.height + 9 if shape.label == label_of("C2") else 1.6 * shape.height
    front = shape.depth / 2 + 4 + shape.osteophytes
    return np.array([-side, -front, -drop]), np.array([side, back, top])


def inside_vertebra(shape: VertebraShape, local: Vector) -> Inside:
    """Which local points (..., 3) are bone of this vertebra."""
    x, y, z = local[..., 0], local[..., 1], local[..., 2]
    if shape.label == label_of("C1"):
        return _atlas_ring(x, y, z)
    bone = _body(shape, x, y, z) | _arch(shape, x, y, z)
    bone |= _spinous_process(shape, x, y, z) | _transverse_processes(shape, np.abs(x), y, z)
    bone |= _articular_processes(shape, np.abs(x), y, z)
    if shape.label == label_of("C2"):
        bone |= _capsule(x, y, z, (0, 0, 0), (0, -1.0, 1.25 * shape.height + 4), 4.5)
    return np.asarray(bone & ~_canal(shape, x, y, 0.0))


def _body(shape: VertebraShape, x: Vector, y: Vector, z: Vector) -> Inside:
    """Elliptic cylinder with a waist, as its deformities have changed it."""
    relative = np.clip(2 * z / shape.height, -1, 1)
    waist = 0.90 + 0.10 * relative**2
    # Spurs grow at the rims of the endplates, here more and there less, not towards the canal.
    spurs = shape.osteophytes * relative**6 * (1.2 + np.sin(3 * np.arctan2(y, x))) / 2.2
    spurs = np.where(y < 0.25 * shape.depth, spurs, 0.0)
    ellipse, spurred = (
        np.abs(2 * x / (shape.width * waist + grown)) ** 2.4
        + np.abs(2 * y / (shape.depth * waist + grown)) ** 2.4
        for grown in (0.0, 2 * spurs)
    )
    # Endplates are slightly concave.
    rim = np.clip(ellipse, 0, 1)
    half = shape.height / 2 * (0.93 + 0.07 * rim - shape.biconcave * (1 - rim))
    # The upper endplate of a wedge sinks more than the lower.
    loss = 2 * shape.wedge * np.clip(0.5 - y / shape.depth, 0, 1)
    return np.asarray((spurred < 1) & (z < half * (1 - 0.7 * loss)) & (z > half * (0.3 * loss - 1)))


def _canal(shape: VertebraShape, x: Vector, y: Vector, wall: float) -> Inside:
    half_width, half_depth = shape.canal_width / 2 + wall, shape.canal_depth / 2 + wall
    return np.asarray((x / half_width) ** 2 + ((y - shape.canal_centre) / half_depth) ** 2 < 1)


def _arch(shape: VertebraShape, x: Vector, y: Vector, z: Vector) -> Inside:
    """Pedicles in the upper half, laminae sloping down behind the canal."""
    wall = 0.20 * shape.canal_width + 1.5
    behind = np.clip((y - shape.depth / 2) / shape.canal_depth, 0, 1)
    middle = shape.height * (0.15 - 0.30 * behind)
    half = shape.height * (0.26 + 0.12 * behind)
    ring = _canal(shape, x, y, wall) & (y > 0.25 * shape.depth)
    return np.asarray(ring & (np.abs(z - middle) < half))


def _spinous_process(shape: VertebraShape, x: Vector, y: Vector, z: Vector) -> Inside:
    """A plate in the median plane, sloping down; thicker at its end."""
    start = shape.canal_centre + shape.canal_depth / 2
    along = (y - start) / shape.spinous
    middle = -0.15 * shape.height - np.clip(along, 0, 1) * shape.spinous * shape.slope
    tall = (0.34 if name_of(shape.label)[0] == "L" else 0.22) * shape.height
    thick = 2.2 + 1.3 * np.clip(along, 0, 1)
    rounded = np.clip(1 - 25 * np.clip(along - 0.8, 0, 1) ** 2, 0, 1)
    inside = (along > -0.1) & (along < 1) & (np.abs(x) < thick)
    return np.asarray(inside & (np.abs(z - middle) < tall * rounded))


def _transverse_processes(shape: VertebraShape, x: Vector, y: Vector, z: Vector) -> Inside:
    """x: distance from the median plane."""
    root_y = shape.depth / 2 + (0.0 if name_of(shape.label)[0] == "C" else 4.0)
    root = (shape.canal_width / 2 + 2, root_y, 0.1 * shape.height)
    tip = (shape.span, root_y + shape.sweep, 0.1 * shape.height)
    return _capsule(x, y, z, root, tip, 0.10 * shape.height + 2.0)


def _articular_processes(shape: VertebraShape, x: Vector, y: Vector, z: Vector) -> Inside:
    """Superior ones in front and outside of the inferior ones of the vertebra above."""
    side = shape.canal_width / 2 + 4
    front = shape.canal_centre + 1
    top = (side, front, 0.72 * shape.height)
    bottom = (side - 4, front + 6, -0.78 * shape.height)
    root = (side - 1, front + 2, 0.0)
    radius = 3.0 + 0.05 * shape.height
    upper = _capsule(x, y, z, root, top, radius)
    return np.asarray(upper | _capsule(x, y, z, root, bottom, radius))


def _atlas_ring(x: Vector, y: Vector, z: Vector) -> Inside:
    """C1: a ring around dens and cord, with lateral masses and transverse processes."""
    radius = np.sqrt((x / 21.0) ** 2 + (y / 21.0) ** 2)
    ring = (np.abs(radius - 0.86) < 0.15) & (np.abs(z) < 5.0)
    masses = ((np.abs(x) - 17) / 7.5) ** 2 + ((y + 3) / 8.5) ** 2 + (z / 8.5) ** 2 < 1
    sides = _capsule(np.abs(x), y, z, (20.0, 0.0, 0.0), (35.0, 3.0, -1.0), 4.0)
    return np.asarray(ring | masses | sides)


def _capsule(
    x: Vector,
    y: Vector,
    z: Vector,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    radius: float,
) -> Inside:
    """Points nearer than radius to a straight piece."""
    a, b = np.array(start), np.array(end)
    axis = b - a
    t = ((x - a[0]) * axis[0] + (y - a[1]) * axis[1] + (z - a[2]) * axis[2]) / (axis @ axis)
    t = np.clip(t, 0, 1)
    distance2 = (x - a[0] - t * axis[0]) ** 2
    distance2 += (y - a[1] - t * axis[1]) ** 2
    distance2 += (z - a[2] - t * axis[2]) ** 2
    return np.asarray(distance2 < radius**2)
