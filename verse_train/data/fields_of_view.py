"""Random views of a prepared case, as scans have them: other fields of view, and fainter bone."""

from dataclasses import replace

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.anatomy import CRANIOCAUDAL_LABELS, label_of
from verse_infer.ct import Centroid
from verse_train.data.prepared import PreparedCase

#: Distance of a vertebra's centre to a cut, as a share of the distance to its neighbours: from 0.9
#: on the vertebra is whole and a target; below 0.5 its body is cut and it is none; between, only
#: its processes are cut, and an answer there counts as neither right nor wrong.
SURELY_WHOLE = 0.9
SURELY_CUT = 0.5
OUTSIDE_HU = -1024.0
#: Farthest that a spine reaches from its bodies' centres: sideways (transverse processes, heads of
#: ribs), forward, and below the centre of L5 (sacrum, coccyx), mm.
SIDE_MM, FRONT_MM, BELOW_MM = 55.0, 40.0, 130.0
#: Least extent of a part without spine, mm.
LEAST_PART_MM = 40.0
#: How far from the bodies' centres a view of the spine alone ends: on each side, before and behind
#: them, mm. Spines are mostly reconstructed to squares of 120 to 300 mm.
BESIDE_MM, BEFORE_MM, BEHIND_MM = (25.0, 140.0), (35.0, 160.0), (45.0, 110.0)
#: How far from a vertebra a narrow view ends, mm.
NARROW_MM = (2.0, 50.0)
#: Least height that a cut leaves, mm: about two lumbar vertebrae.
LEAST_HEIGHT_MM = 80.0


def cut_field_of_view(case: PreparedCase, rng: np.random.Generator) -> PreparedCase:
    """The same scan ending earlier at the top, the bottom or both; halved vertebrae are no targets."""
    points = spine_points(case)
    if len(points) < 2:
        return case
    bottom, top = points[:, 2].min(), points[:, 2].max()
    ends = case.lattice.corners()[:, 2].min(), case.lattice.corners()[:, 2].max()
    low = rng.uniform(bottom, (bottom + top) / 2) if rng.random() < 0.5 else -np.inf
    high = rng.uniform((bottom + top) / 2, top) if rng.random() < 0.5 else np.inf
    if min(high, ends[1]) - max(low, ends[0]) < LEAST_HEIGHT_MM:
        return case
    z = case.lattice.origin[2] + case.lattice.spacing[2] * np.arange(case.hu.shape[0])
    seen = np.flatnonzero((z >= low) & (z <= high))
    heights = _heights(case)
    kept, cut = [], []
    for centroid in case.centroids:
        room = heights[centroid.label]
        margin = min(centroid.point[2] - low, high - centroid.point[2]) / room
        if margin >= SURELY_WHOLE:
            kept.append(centroid)
        elif margin >= SURELY_CUT:
            cut.append(centroid)
    cut.extend(c for c in case.cut if low <= c.point[2] <= high)
    _, depth, width = case.hu.shape
    shown = _part(case, (slice(seen[0], seen[-1] + 1), slice(0, depth), slice(0, width)))
    return replace(shown, centroids=tuple(kept), cut=tuple(cut))


def _heights(case: PreparedCase) -> dict[int, float]:
    """Mean distance of each vertebra, cut ones included, to its neighbours, mm; by label."""
    steps = np.linalg.norm(np.diff(spine_points(case), axis=0), axis=1)
    means = (np.r_[steps[:1], steps] + np.r_[steps, steps[-1:]]) / 2
    return {c.label: float(m) for c, m in zip(_head_to_foot(case), means, strict=True)}


def without_spine(case: PreparedCase, rng: np.random.Generator) -> PreparedCase | None:
    """The part of the scan on one side of the spine, before it, or below it; without vertebrae.

    None where every such part is too small.
    """
    points = spine_points(case)
    if not len(points):
        return case
    low, high = (case.lattice.index(p) for p in (points.min(axis=0), points.max(axis=0)))
    sx, sy, sz = case.lattice.spacing
    z, y, x = (slice(0, n) for n in case.hu.shape)
    parts = [
        (z, y, slice(0, max(0, int(low[0] - SIDE_MM / sx)))),
        (z, y, slice(int(high[0] + SIDE_MM / sx) + 1, case.hu.shape[2])),
        (z, slice(0, max(0, int(low[1] - FRONT_MM / sy))), x),
    ]
    if any(c.label == label_of("L5") for c in case.centroids):
        parts.append((slice(0, max(0, int(low[2] - BELOW_MM / sz))), y, x))
    spacing = (sz, sy, sx)
    large = [
        part
        for part in parts
        if all((p.stop - p.start) * s >= LEAST_PART_MM for p, s in zip(part, spacing, strict=True))
    ]
    if not large:
        return None
    part = large[int(rng.integers(len(large)))]
    return replace(_part(case, part), centroids=(), cut=())


def around_spine(case: PreparedCase, rng: np.random.Generator) -> PreparedCase:
    """The scan reconstructed to a view of the spine alone, from head to foot as it was."""
    points = spine_points(case)
    if not len(points):
        return case
    low, high = (case.lattice.index(p) for p in (points.min(axis=0), points.max(axis=0)))
    sx, sy, _ = case.lattice.spacing
    right, left = rng.uniform(*BESIDE_MM, 2) / sx
    front, back = rng.uniform(*BEFORE_MM) / sy, rng.uniform(*BEHIND_MM) / sy
    height, depth, width = case.hu.shape
    y = slice(max(0, int(low[1] - front)), min(depth, int(high[1] + back) + 1))
    x = slice(max(0, int(low[0] - right)), min(width, int(high[0] + left) + 1))
    return _part(case, (slice(0, height), y, x))


def _part(case: PreparedCase, part: tuple[slice, slice, slice]) -> PreparedCase:
    """A block of the scan, z, y, x, with all its centroids."""
    return replace(
        case,
        hu=case.hu[part],
        mask=None if case.mask is None else case.mask[part],
        lattice=case.lattice.part(part),
    )


def narrowed(
    case: PreparedCase, vertebra: NDArray[np.uint8], rng: np.random.Generator
) -> PreparedCase:
    """The scan ending between a few millimetres and a few centimetres from a vertebra on each side.

    vertebra: nonzero where it is, z, y, x on the case's lattice. It remains whole.
    """
    parts = []
    spacing = case.lattice.spacing[::-1]
    for axis, size in enumerate(case.hu.shape):
        others = tuple(a for a in range(3) if a != axis)
        places = np.flatnonzero(vertebra.any(axis=others))
        first, last = rng.uniform(*NARROW_MM, 2) / spacing[axis]
        parts.append(slice(max(0, int(places[0] - first)), min(size, int(places[-1] + last) + 1)))
    z, y, x = parts
    return _part(case, (z, y, x))


def spine_points(case: PreparedCase) -> NDArray[np.float64]:
    """Targets and cut vertebrae, head to foot, LPS mm; (n, 3)."""
    return np.array([c.point for c in _head_to_foot(case)], np.float64).reshape(-1, 3)


def _head_to_foot(case: PreparedCase) -> list[Centroid]:
    """Targets and cut vertebrae; files may have any order, such as by label, with T13 last."""
    order = {label: rank for rank, label in enumerate(CRANIOCAUDAL_LABELS)}
    return sorted((*case.centroids, *case.cut), key=lambda c: order[c.label])


#: Mean of the faded inside: muscle is 40 to 70 HU, marrow without bone may have less than 0.
INSIDE_HU = (0.0, 90.0)
#: How much of the way towards that mean the inside goes.
SHARE = (0.6, 1.0)
#: Thickness of the shell that stays, mm.
SHELL_MM = (1.0, 2.5)


def faded(case: PreparedCase, rng: np.random.Generator) -> PreparedCase:
    """The case with the inside of all its vertebrae faded towards one density.

    Needs a mask. The shell, everything around the vertebrae and the mask stay as they are.
    """
    if case.mask is None:
        raise ValueError(f"{case.name} has no mask; expected one that says where bone is")
    bone = case.mask > 0
    if not bone.any():
        return case
    (block,) = scipy.ndimage.find_objects(bone.astype(np.int8))
    around = np.pad(bone[block], 1)
    depth = scipy.ndimage.distance_transform_edt(around, case.lattice.spacing[::-1])
    depth = depth[1:-1, 1:-1, 1:-1]
    shell = rng.uniform(*SHELL_MM)
    # From the shell to the inside within 1 mm.
    weight = rng.uniform(*SHARE) * np.clip(depth - shell, 0.0, 1.0)
    hu = case.hu.copy()
    hu[block] = np.rint(hu[block] + weight * (rng.uniform(*INSIDE_HU) - hu[block]))
    return replace(case, hu=hu)
