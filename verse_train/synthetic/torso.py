"""What surrounds an invented spine: ribs, sacrum and pelvis, skull base, trunk, lungs, vessels, gut."""

from collections.abc import Sequence

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of, name_of
from verse_infer.grid import Lattice
from verse_train.synthetic.anatomy_map import Tissue
from verse_train.synthetic.boxes import axes_mm
from verse_train.synthetic.spine_curve import Posed

Vector = NDArray[np.float64]
Tissues = NDArray[np.uint8]
#: Length of the ribs 1 to 12 (and a 13th) as an angle around the chest, degrees from the back.
_RIB_END_DEG = (150, 158, 162, 164, 166, 166, 164, 158, 148, 130, 95, 60, 45)


def soft_tissue(lattice: Lattice, spine: Sequence[Posed], rng: np.random.Generator) -> Tissues:
    """Trunk or neck around the spine, without bone; z, y, x on an axis-aligned lattice."""
    x, y, z = axes_mm(lattice)
    axis_x, axis_y = _spine_at(z, spine)
    dx, dy = x[None, None, :] - axis_x[:, None, None], y[None, :, None] - axis_y[:, None, None]
    neck = _neck_share(z, spine)[:, None, None]
    half_width = rng.uniform(150, 185) * (1 - neck) + rng.uniform(55, 70) * neck
    half_depth = rng.uniform(95, 130) * (1 - neck) + rng.uniform(55, 68) * neck
    # The back's skin lies this far behind the vertebral bodies.
    middle = rng.uniform(74, 90) * (1 - neck) + rng.uniform(58, 66) * neck - half_depth
    outline = np.sqrt((dx / half_width) ** 2 + ((dy - middle) / half_depth) ** 2)
    outline = outline * (1 + _waves(lattice, rng, 0.03))
    fat = rng.uniform(0.06, 0.2)
    tissue = np.full(lattice.shape, Tissue.AIR, np.uint8)
    tissue[outline < 1] = Tissue.SKIN
    tissue[outline < 0.985] = Tissue.FAT
    tissue[outline < 1 - fat] = Tissue.MUSCLE
    tissue[outline < 0.86 - fat] = Tissue.FAT
    _fill_cavity(tissue, (dx, dy), outline, z, spine, (lattice, rng))
    back = ((np.abs(dx) - 28) / 30) ** 2 + ((dy - 42) / 22) ** 2 < 1
    front = ((np.abs(dx) - 40) / 18) ** 2 + ((dy - 2) / 22) ** 2 < 1
    tissue[back & (outline < 0.96)] = Tissue.MUSCLE
    tissue[front & (neck < 0.5) & (_level_below(z, spine, "T12")[:, None, None])] = Tissue.MUSCLE
    return tissue


def _fill_cavity(
    tissue: Tissues,
    offsets: tuple[Vector, Vector],
    outline: Vector,
    z: Vector,
    spine: Sequence[Posed],
    how: tuple[Lattice, np.random.Generator],
) -> None:
    """Lungs above the diaphragm, organs and gut below, great vessels, airway in the neck."""
    (dx, dy), (lattice, rng) = offsets, how
    cavity = (outline < 0.80) & (dy < 18)
    blobs = _waves(lattice, rng, 1.0)
    dome = np.interp(np.abs(dx), [0, 60, 120], [0, 25, -20])
    diaphragm = _height_of(spine, "T11") + dome
    lungs = cavity & (z[:, None, None] > diaphragm) & (z[:, None, None] < _height_of(spine, "T1"))
    lungs &= (np.abs(dx) > 32) | (dy < -95)
    abdomen = cavity & (z[:, None, None] <= diaphragm)
    tissue[abdomen & (blobs > -0.25)] = Tissue.SOFT_ORGAN
    tissue[abdomen & (blobs < -0.75) & (dy < -35)] = Tissue.BOWEL_GAS
    tissue[cavity & (z[:, None, None] > diaphragm) & ~lungs] = Tissue.SOFT_ORGAN
    tissue[lungs] = Tissue.LUNG
    below = z[:, None, None] < _height_of(spine, "T4")
    tissue[((dx - 12) ** 2 + (dy + 32) ** 2 < 12**2) & below & (outline < 0.9)] = Tissue.BLOOD
    airway = (np.abs(dx) / 9) ** 2 + ((dy + 38) / 8) ** 2 < 1
    tissue[airway & (z[:, None, None] > _height_of(spine, "T4"))] = Tissue.AIR


def add_ribs(tissue: Tissues, lattice: Lattice, spine: Sequence[Posed]) -> None:
    """Ribs from the costovertebral joints around the chest, as thick curves; bone stays bone."""
    points = [_rib(vertebra, side) for vertebra in spine for side in (-1, 1) if _rib_rank(vertebra)]
    if points:
        _stamp(tissue, lattice, np.concatenate(points), 4.2, Tissue.RIB)


def _rib_rank(vertebra: Posed) -> int:
    """1 to 12 for T1 to T12, 13 for T13, else 0."""
    name = name_of(vertebra.label)
    return int(name[1:]) if name[0] == "T" else 0


def _rib(vertebra: Posed, side: int) -> Vector:
    rank = _rib_rank(vertebra)
    size = float(np.interp(rank, [1, 4, 8, 13], [0.55, 0.85, 1.0, 0.95]))
    angle = np.deg2rad(np.arange(12, _RIB_END_DEG[rank - 1], 0.5))
    # An ellipse around the chest that starts beside the vertebral body, falling towards the front.
    lateral = 125 * size * np.sin(angle) ** 0.8 + 12 * np.cos(angle / 2)
    depth = -70 * size + (88 * size) * np.cos(angle) + 14
    fall = -(10 + 55 * size) * (angle - angle[0]) / np.pi
    curve = np.stack([side * lateral, depth, fall + 5], axis=1)
    return np.asarray(vertebra.centre + curve)


def add_pelvis(
    tissue: Tissues, lattice: Lattice, spine: Sequence[Posed], rng: np.random.Generator
) -> None:
    """Sacrum and iliac wings below the last lumbar vertebra, if there is one."""
    last = spine[-1]
    if name_of(last.label)[0] != "L":
        return
    x, y, z = axes_mm(lattice)
    tilt = np.deg2rad(rng.uniform(30, 50))
    start = last.centre + np.array([0.0, 4.0, -0.95 * last.distance])
    down = np.array([0.0, np.sin(tilt), -np.cos(tilt)])
    for piece in range(5):
        centre = start + down * 24 * piece + np.array([0.0, -0.9, 0.0]) * piece**2
        radii = np.array([52 - 8 * piece, 19 - 2.0 * piece, 15 - 0.5 * piece])
        shape = _ellipsoid(x, y, z, centre, radii)
        tissue[shape & ~_is_vertebra(tissue)] = Tissue.SACRUM
    for side in (-1, 1):
        centre = start + np.array([side * 78.0, -12.0, -10.0])
        outer = _ellipsoid(x, y, z, centre, np.array([34.0, 62.0, 62.0]))
        inner = _ellipsoid(
            x, y, z, centre - np.array([side * 9.0, 12.0, 0.0]), np.array([34, 64, 64])
        )
        tissue[outer & ~inner & ~_is_vertebra(tissue)] = Tissue.OTHER_BONE


def add_skull(tissue: Tissues, lattice: Lattice, spine: Sequence[Posed]) -> None:
    """A thick-walled skull above C1 with an opening for the spinal cord, and the jaw in front."""
    if spine[0].label != label_of("C1"):
        return
    x, y, z = axes_mm(lattice)
    middle = spine[0].centre + np.array([0.0, -5.0, 82.0])
    outer = _ellipsoid(x, y, z, middle, np.array([75.0, 92.0, 72.0]))
    inner = _ellipsoid(x, y, z, middle, np.array([67.0, 84.0, 63.0]))
    opening = (x[None, None, :] - middle[0]) ** 2 + (y[None, :, None] - spine[0].centre[1]) ** 2
    shell = outer & ~inner & (opening > 17**2)
    tissue[inner] = Tissue.SOFT_ORGAN
    jaw = _ellipsoid(
        x, y, z, spine[1].centre + np.array([0, -75, 5.0]), np.array([50.0, 45.0, 16.0])
    )
    hollow = _ellipsoid(
        x, y, z, spine[1].centre + np.array([0, -62, 5.0]), np.array([40.0, 45.0, 30.0])
    )
    tissue[(shell | (jaw & ~hollow)) & ~_is_vertebra(tissue)] = Tissue.OTHER_BONE


def _is_vertebra(tissue: Tissues) -> NDArray[np.bool_]:
    kept = (Tissue.VERTEBRA, Tissue.SPINAL_CANAL, Tissue.DISC)
    return np.isin(tissue, [int(kind) for kind in kept])


def _ellipsoid(x: Vector, y: Vector, z: Vector, centre: Vector, radii: Vector) -> NDArray[np.bool_]:
    parts = [((a - c) / r) ** 2 for a, c, r in zip((x, y, z), centre, radii, strict=True)]
    return np.asarray(parts[2][:, None, None] + parts[1][None, :, None] + parts[0] < 1)


def _stamp(tissue: Tissues, lattice: Lattice, points: Vector, radius: float, kind: Tissue) -> None:
    """Balls of a tissue at points; vertebrae keep their voxels."""
    reach = [int(np.ceil(radius / s)) for s in lattice.spacing]
    grid = np.stack(
        np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    ball = grid[((grid * lattice.spacing) ** 2).sum(axis=1) <= radius**2]
    index = np.rint(lattice.index(points)).astype(int)
    index = np.unique(index, axis=0)
    voxels = np.unique((index[:, None] + ball[None]).reshape(-1, 3), axis=0)
    voxels = voxels[((voxels >= 0) & (voxels < lattice.size)).all(axis=1)]
    i, j, k = voxels.T
    free = ~_is_vertebra(tissue)[k, j, i]
    tissue[k[free], j[free], i[free]] = kind


def _spine_at(z: Vector, spine: Sequence[Posed]) -> tuple[Vector, Vector]:
    centres = np.array([vertebra.centre for vertebra in spine])[::-1]
    return np.interp(z, centres[:, 2], centres[:, 0]), np.interp(z, centres[:, 2], centres[:, 1])


def _height_of(spine: Sequence[Posed], name: str) -> float:
    """z of a vertebra; of the nearest end where the spine has none of that level."""
    ranks = [CRANIOCAUDAL_LABELS.index(vertebra.label) for vertebra in spine]
    heights = [vertebra.centre[2] for vertebra in spine]
    return float(np.interp(CRANIOCAUDAL_LABELS.index(label_of(name)), ranks, heights))


def _level_below(z: Vector, spine: Sequence[Posed], name: str) -> NDArray[np.bool_]:
    return np.asarray(z < _height_of(spine, name))


def _neck_share(z: Vector, spine: Sequence[Posed]) -> Vector:
    """0 in the trunk, 1 in the neck, falling over the shoulders."""
    return np.interp(z, [_height_of(spine, "T1"), _height_of(spine, "C5")], [0.0, 1.0])


def _waves(lattice: Lattice, rng: np.random.Generator, amplitude: float) -> NDArray[np.float32]:
    """Smooth random values with a standard deviation near the amplitude; wave length about 40 mm."""
    coarse = [
        max(2, int(np.ceil(n * s / 20))) for n, s in zip(lattice.size, lattice.spacing, strict=True)
    ]
    noise = rng.standard_normal(coarse[::-1]).astype(np.float32)
    zoom = [n / c for n, c in zip(lattice.shape, noise.shape, strict=True)]
    smooth = scipy.ndimage.zoom(noise, zoom, order=1, mode="nearest", grid_mode=True)
    return np.asarray(amplitude * smooth, np.float32)
