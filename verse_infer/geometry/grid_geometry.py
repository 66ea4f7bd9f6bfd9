"""From a NIfTI affine to a lattice in LPS mm: nearest axes, repaired directions."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from verse_infer.geometry.lattice import Lattice

#: RAS+ (NIfTI) to LPS+ (ITK): x and y change sign.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Up to this angle between an axis and its repaired self a direction counts as rounding and is not
#: worth a flag; files store single precision.
SILENT_DEG = 0.01
#: Larger deviations are shear, such as an uncorrected gantry tilt: repairing it would bend anatomy.
LARGEST_REPAIR_DEG = 2.0
#: Farther from the origin, single precision no longer holds 0.01 mm.
LARGEST_OFFSET_MM = 1e5


@dataclass(frozen=True, slots=True)
class GridGeometry:
    """How a file's grid lies in space.

    axes, flips: as in SourceGeometry. lattice: of the array turned by them; orthonormal.
    repair_deg: the largest angle by which an axis had to turn to be orthonormal.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    lattice: Lattice
    repair_deg: float


def grid_geometry(affine: NDArray[np.float64], shape: tuple[int, int, int]) -> GridGeometry:
    """Geometry of a grid of shape i, j, k with a 4×4 affine to RAS mm.

    Raises ValueError, with what came, where the affine does not span space.
    """
    if not np.isfinite(affine).all():
        raise ValueError(f"affine has values that are not finite: {np.asarray(affine).tolist()}")
    lps = RAS_TO_LPS @ np.asarray(affine, np.float64)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    if (spacing < 1e-6).any() or abs(np.linalg.det(lps[:3, :3] / np.maximum(spacing, 1e-9))) < 1e-3:
        raise ValueError(f"voxel axes do not span space: {lps[:3, :3].tolist()}")
    if np.abs(lps[:3, 3]).max() > LARGEST_OFFSET_MM:
        raise ValueError(f"first voxel not within {LARGEST_OFFSET_MM:g} mm: {lps[:3, 3].tolist()}")
    # Row = file axis; column 0 = closest LPS axis, column 1 = -1 where it runs against it.
    nearest = nib.io_orientation(lps)
    file_axis = np.argsort(nearest[:, 0])
    turned = lps.copy()
    turned[:3, :3] = lps[:3, file_axis]
    sizes = np.array(shape)[file_axis]
    reversed_ = nearest[file_axis, 1] < 0
    for axis in np.flatnonzero(reversed_):
        turned[:3, 3] += turned[:3, axis] * (sizes[axis] - 1)
        turned[:3, axis] *= -1
    lattice, repair = _orthonormal(turned, sizes)
    x, y, z = file_axis.tolist()
    flip_x, flip_y, flip_z = reversed_.tolist()
    return GridGeometry((z, y, x), (flip_z, flip_y, flip_x), lattice, repair)


def _orthonormal(matrix: NDArray[np.float64], size: NDArray[np.intp]) -> tuple[Lattice, float]:
    """Lattice with the rotation nearest to the matrix' axes (polar decomposition), middle kept."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    axes = matrix[:3, :3] / spacing
    left, _, right = np.linalg.svd(axes)
    rotation = left @ right
    cosine = np.clip((axes * rotation).sum(axis=0), -1.0, 1.0)
    angle = float(np.rad2deg(np.arccos(cosine)).max())
    middle = (size - 1) / 2
    centre = matrix[:3, :3] @ middle + matrix[:3, 3]
    origin = centre - rotation @ (spacing * middle)
    lattice = Lattice(
        tuple(origin.tolist()),
        tuple(spacing.tolist()),
        tuple(size.tolist()),
        tuple(rotation.ravel().tolist()),
    )
    return lattice, angle
