"""One isotropic grid on which reference and prediction are compared, as in the challenge (1 mm).

github.com/anjany/verse, utils/evaluate.ipynb: masks are resampled to 1 mm by nearest neighbour.
Here the grid is the reference's, and a prediction on any other grid is sampled on it in space.
"""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from verse_eval.label_maps import LabelMap
from verse_infer.grid import Block, Lattice
from verse_infer.resampling import covering_block

GRID_MM = 1.0


def evaluation_lattice(lattice: Lattice, spacing_mm: float = GRID_MM) -> Lattice:
    """The isotropic lattice over the same field of view; a lattice of that spacing stays itself.

    Sizes are rounded, the middle voxel keeps its place.
    """
    if np.allclose(lattice.spacing, spacing_mm, rtol=1e-5):
        return lattice
    old = np.asarray(lattice.size)
    new = np.maximum(np.rint(old * lattice.spacing / spacing_mm).astype(int), 1)
    isotropic = (spacing_mm,) * 3
    middle = tuple(lattice.point((old - 1) // 2).tolist())
    first = Lattice(middle, isotropic, (1, 1, 1), lattice.direction).point(-((new - 1) // 2))
    return Lattice(tuple(first.tolist()), isotropic, tuple(new.tolist()), lattice.direction)


def on_common_grid(maps: Sequence[LabelMap], lattice: Lattice) -> tuple[NDArray[np.uint8], ...]:
    """Every map on the part of a lattice that holds all labelled voxels; uint8, z, y, x, one shape.

    Nearest neighbour, 0 outside a map. Where no map has a label the part is a single voxel.
    """
    occupied = [_occupied(one) for one in maps]
    blocks = [_covering(lattice, part.lattice) for part in occupied if part is not None]
    target = lattice.part(_union([block for block in blocks if block is not None]))
    return tuple(_sampled(part, target) for part in occupied)


def _occupied(one: LabelMap) -> LabelMap | None:
    """The map cropped to its labelled voxels; None where it has none."""
    boxes = [box for box in ndimage.find_objects(one.labels) if box is not None]
    if not boxes:
        return None
    block = _union(boxes)
    return LabelMap(one.labels[block], one.lattice.part(block))


def _covering(lattice: Lattice, part: Lattice) -> Block | None:
    """Where a part lies on a lattice, with the half voxel around its outermost voxel centres."""
    reach = max(part.spacing) / min(lattice.spacing)
    margin = int(np.ceil(reach)) + 1
    return covering_block(lattice, part, (margin, margin, margin))


def _union(blocks: Sequence[Block]) -> Block:
    if not blocks:
        return (slice(0, 1),) * 3
    z, y, x = (
        slice(min(b[axis].start for b in blocks), max(b[axis].stop for b in blocks))
        for axis in range(3)
    )
    return z, y, x


def _sampled(one: LabelMap | None, target: Lattice) -> NDArray[np.uint8]:
    if one is None:
        return np.zeros(target.shape, np.uint8)
    image = sitk.GetImageFromArray(np.ascontiguousarray(one.labels))
    image.SetOrigin(one.lattice.origin)
    image.SetSpacing(one.lattice.spacing)
    image.SetDirection(one.lattice.direction)
    resampled = sitk.Resample(
        image,
        target.size,
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        target.origin,
        target.spacing,
        target.direction,
        0,
        sitk.sitkUInt8,
    )
    return np.asarray(sitk.GetArrayFromImage(resampled), np.uint8)
