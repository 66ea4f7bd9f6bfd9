"""What surgeons leave in a spine: pedicle and lateral mass screws joined by rods, cement in bodies."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.anatomy import name_of
from verse_infer.ct import Centroid
from verse_infer.grid import Block, Lattice
from verse_train.synthetic.anatomy_map import AnatomyMap
from verse_train.synthetic.boxes import box_between
from verse_train.synthetic.spine_curve import Posed, Vector, posed_along

Floats = NDArray[np.float32]
#: Tip and head of a right-hand screw: mm to the side of and behind a vertebra's centroid. Pedicle screws for
#: vertebrae 34 mm apart, smaller ones where they are closer; lateral mass screws in the neck.
_PEDICLE = np.array([[8.0, -8.0], [18.0, 42.0]])
_LATERAL_MASS = np.array([[21.0, 3.0], [15.0, 21.0]])
_LUMBAR_DISTANCE_MM = 34.0
_SCREW_RADIUS_MM, _HEAD_RADIUS_MM, _ROD_RADIUS_MM = 2.6, 5.0, 2.8
#: Share of pairs of screws in neighbouring vertebrae that rods join.
_JOINED = 0.8


def add_fixation(
    hu: Floats, anatomy: AnatomyMap, metal_hu: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Screws on both sides of two to five neighbouring vertebrae, mostly joined by rods.

    hu: z, y, x, changed. Returns where the metal is; nowhere with fewer than two vertebrae.
    """
    metal = np.zeros(hu.shape, np.bool_)
    frames = _frames(anatomy.centroids)
    if len(frames) < 2:
        return metal
    first = int(rng.integers(len(frames) - 1))
    frames = frames[first : first + int(rng.integers(2, 6))]
    joined = rng.random() < _JOINED
    for hand in (-1.0, 1.0):
        heads = []
        for frame in frames:
            tip, head = (_beside(frame, hand * side, behind) for side, behind in _screw(frame))
            _fill(metal, anatomy.lattice, tip, head, _SCREW_RADIUS_MM)
            _fill(metal, anatomy.lattice, head, head, _HEAD_RADIUS_MM)
            heads.append(head)
        if joined:
            for upper, lower in pairwise(heads):
                _fill(metal, anatomy.lattice, upper, lower, _ROD_RADIUS_MM)
    hu[metal] = metal_hu
    return metal


def _screw(frame: Posed) -> Vector:
    if name_of(frame.label)[0] == "C":
        return _LATERAL_MASS
    return np.asarray(_PEDICLE * min(frame.distance / _LUMBAR_DISTANCE_MM, 1.1))


def add_cement(hu: Floats, anatomy: AnatomyMap, cement_hu: float, rng: np.random.Generator) -> None:
    """Mottled cement in the bodies of one to three vertebrae below C2; hu z, y, x, changed.

    A lump of 6 to 12 mm radius with a ragged border, which stays inside its vertebra.
    """
    frames = [frame for frame in _frames(anatomy.centroids) if frame.label > 2]
    count = min(len(frames), int(rng.integers(1, 4)))
    for number in rng.permutation(len(frames))[:count]:
        frame = frames[number]
        radius = rng.uniform(6.0, 12.0) * min(frame.distance / _LUMBAR_DISTANCE_MM, 1.0)
        middle = _beside(frame, rng.uniform(-6.0, 6.0), rng.uniform(-6.0, 2.0))
        box, squares = _near(anatomy.lattice, middle, middle, 1.6 * radius)
        ragged = rng.standard_normal(squares.shape).astype(np.float32)
        sigma = [3.0 / spacing for spacing in anatomy.lattice.spacing[::-1]]
        ragged = scipy.ndimage.gaussian_filter(ragged, sigma)
        ragged /= max(float(ragged.std()), 1e-6)
        lump = np.sqrt(squares) < radius * (1 + 0.25 * ragged)
        lump &= anatomy.vertebrae[box] == frame.label
        mottled = np.float32(cement_hu) * (1 + 0.15 * ragged)
        hu[box][lump] = mottled[lump]


def _frames(centroids: Sequence[Centroid]) -> list[Posed]:
    """Vertebrae in their places, head to foot; none of a single one, whose axis nothing tells."""
    if len(centroids) < 2:
        return []
    return posed_along([c.label for c in centroids], [c.point for c in centroids])


def _beside(frame: Posed, left: float, behind: float) -> Vector:
    """LPS mm of a place so far to the left of and behind a vertebra's centroid, mm."""
    return frame.points(np.array([left, behind, 0.0]))


def _fill(
    mask: NDArray[np.bool_], lattice: Lattice, start: Vector, end: Vector, radius: float
) -> None:
    """Set all voxels within a radius of a line; at least as thick as the voxels are wide."""
    radius = max(radius, 0.6 * max(lattice.spacing))
    box, squares = _near(lattice, start, end, radius)
    mask[box] |= squares < radius**2


def _near(lattice: Lattice, start: Vector, end: Vector, reach: float) -> tuple[Block, Vector]:
    """The box around a line, and its voxels' squared distances from the line, mm²; z, y, x."""
    box, points = box_between(
        lattice, np.minimum(start, end) - reach, np.maximum(start, end) + reach
    )
    way = end - start
    along = ((points - start) @ way) / max(float(way @ way), 1e-9)
    apart = points - start - np.clip(along, 0, 1)[..., None] * way
    return box, np.asarray((apart**2).sum(axis=-1))
