"""Regular grids in LPS mm, and moving images between them.

Arrays are indexed z, y, x. Everything else about a lattice (origin, spacing, size, points) is
given in the order x, y, z, in mm, in LPS (ITK's convention). From a NIfTI affine a lattice is made by
nearest axes and repaired directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]
#: Part of an array: slices of z, y, x with start and stop.
Block = tuple[slice, slice, slice]
#: RAS+ (NIfTI) to LPS+ (ITK): x and y change sign.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Up to this angle a tilt counts as rounding and is not worth a flag; files store single precision.
SILENT_TILT_DEG = 0.02
#: Taking a larger gantry tilt for none would bend anatomy.
LARGEST_TILT_DEG = 4.0
#: Farther from the origin, single precision no longer holds 0.01 mm.
LARGEST_OFFSET_MM = 1e5
IDENTITY: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Lattice:
    """A regular grid of voxel centres.

    origin: x, y, z of the centre of voxel (0, 0, 0), LPS mm.
    spacing: distance of voxel centres along each axis, mm.
    size: number of voxels along each axis (x, y, z).
    direction: 3×3 orthonormal matrix, row by row; column j is the unit vector of index axis j.
    """

    origin: Point
    spacing: Point
    size: tuple[int, int, int]
    direction: tuple[float, ...] = IDENTITY

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an array on this lattice: z, y, x."""
        return self.size[2], self.size[1], self.size[0]

    def point(self, index: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm of one continuous index or of many; index and result: (..., 3) in x, y, z."""
        scaled = np.asarray(index, dtype=np.float64) * self.spacing
        return scaled @ self._matrix().T + self.origin

    def index(self, point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Continuous index of one LPS point or of many; point and result: (..., 3) in x, y, z."""
        offset = np.asarray(point, dtype=np.float64) - self.origin
        return np.asarray(offset @ self._matrix() / self.spacing)

    def corners(self) -> NDArray[np.float64]:
        """LPS mm of the eight outermost voxel centres; (8, 3)."""
        last = np.asarray(self.size) - 1
        picks = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
        return self.point(picks * last)

    def part(self, block: Block) -> "Lattice":
        """The lattice of a part of an array on this one."""
        z, y, x = block
        origin = self.point((x.start, y.start, z.start)).tolist()
        size = (x.stop - x.start, y.stop - y.start, z.stop - z.start)
        return Lattice((origin[0], origin[1], origin[2]), self.spacing, size, self.direction)

    def _matrix(self) -> NDArray[np.float64]:
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @classmethod
    def centred(
        cls, centre: Sequence[float], spacing: float | Point, size: Sequence[int]
    ) -> "Lattice":
        """Axis-aligned lattice whose middle lies at centre; a single spacing counts for all axes."""
        x, y, z = spacing if isinstance(spacing, tuple) else (spacing,) * 3
        first = [c - s * (n - 1) / 2 for c, s, n in zip(centre, (x, y, z), size, strict=True)]
        return cls(
            (first[0], first[1], first[2]),
            (x, y, z),
            (int(size[0]), int(size[1]), int(size[2])),
        )


@dataclass(frozen=True, slots=True)
class GridGeometry:
    """How a file's grid lies in space.

    axes, flips: axis d of an array turned closest to LPS (z, y, x) runs along file axis axes[d],
        reversed where flips[d].
    lattice: of that array; orthonormal, also where the file's axes are not.
    tilt_deg: the largest angle between an axis and the perpendicular of the other two; of sheared
        slices, the gantry's tilt.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    lattice: Lattice
    tilt_deg: float

    def file_index(self, point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Continuous voxel index i, j, k of an LPS point, mm, as it lies on the lattice."""
        turned = self.lattice.index(point)[::-1]
        index = np.empty(3)
        index[list(self.axes)] = self._flipped(turned)
        return index

    def file_point(self, index: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm, on the lattice, of a continuous voxel index i, j, k."""
        turned = self._flipped(np.asarray(index, np.float64)[list(self.axes)])
        return self.lattice.point(turned[::-1])

    @property
    def file_spacing(self) -> NDArray[np.float64]:
        """Distances of voxels along i, j, k, mm."""
        spacing = np.empty(3)
        spacing[list(self.axes)] = self.lattice.spacing[::-1]
        return spacing

    def _flipped(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of z, y, x, from the turned array's ends to the file's, or back."""
        return np.where(self.flips, np.subtract(self.lattice.shape, 1) - index, index)


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
    lattice = _orthonormal(turned, sizes)
    x, y, z = file_axis.tolist()
    flip_x, flip_y, flip_z = reversed_.tolist()
    return GridGeometry((z, y, x), (flip_z, flip_y, flip_x), lattice, _tilt_deg(lps[:3, :3]))


def _orthonormal(matrix: NDArray[np.float64], size: NDArray[np.intp]) -> Lattice:
    """Lattice with the rotation nearest to the matrix' axes (polar decomposition), middle kept."""
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    axes = matrix[:3, :3] / spacing
    left, _, right = np.linalg.svd(axes)
    rotation = left @ right
    middle = (size - 1) / 2
    centre = matrix[:3, :3] @ middle + matrix[:3, 3]
    origin = centre - rotation @ (spacing * middle)
    return Lattice(
        tuple(origin.tolist()),
        tuple(spacing.tolist()),
        tuple(size.tolist()),
        tuple(rotation.ravel().tolist()),
    )


def _tilt_deg(matrix: NDArray[np.float64]) -> float:
    """See GridGeometry; matrix: 3×3, its columns are the axes."""
    axes = matrix / np.linalg.norm(matrix, axis=0)
    # Rows of the inverse are perpendicular to the other two axes.
    normals = np.linalg.inv(axes)
    sine = np.linalg.norm(
        np.cross(axes.T, normals / np.linalg.norm(normals, axis=1)[:, None]), axis=1
    )
    return float(np.rad2deg(np.arcsin(np.minimum(sine, 1.0))).max())
