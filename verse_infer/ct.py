"""A CT in memory: Hounsfield units on a lattice in LPS mm, the grid of its file, and points in it.

Centroids are the hand-over between localisation, labelling, segmentation and files.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verse_infer.flags import Flag
from verse_infer.grid import GridGeometry, Lattice, grid_geometry


@dataclass(frozen=True, slots=True)
class Centroid:
    """A vertebra's centroid (or, before labelling, a candidate for one).

    label: VerSe label (anatomy.LABELS).
    point: x, y, z in mm, LPS (x right to left, y anterior to posterior, z inferior to superior).
    response: height of the heatmap maximum, about 0 to 1; nan where it comes from an annotation.
    """

    label: int
    point: tuple[float, float, float]
    response: float = float("nan")


@dataclass(frozen=True, slots=True)
class SourceGeometry:
    """The grid of the file a CT came from, as nibabel states it; written back unchanged.

    affine: 4×4, voxel index i, j, k to RAS+ mm, exactly as read.
    shape: i, j, k.
    header: the nibabel NIfTI header (sform and qform with codes, zooms, units).
    grid: how the CT's array (z, y, x) is turned against the file's (i, j, k), and where it lies.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    header: Any
    grid: GridGeometry

    @classmethod
    def of(
        cls, affine: NDArray[np.float64], shape: tuple[int, int, int], header: Any
    ) -> "SourceGeometry":
        """ValueError, with what came, where the affine does not span space."""
        return cls(affine, shape, header, grid_geometry(affine, shape))


@dataclass(frozen=True, slots=True)
class Ct:
    """One CT volume.

    hu: int16 Hounsfield units, z, y, x; its axes run closest to LPS (x to the left, y to
        posterior, z to superior); oblique scans keep their obliqueness in lattice.direction.
    lattice: where the voxels are, LPS mm.
    flags: remarks on the file it was read from.
    """

    hu: NDArray[np.int16]
    lattice: Lattice
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceCt(Ct):
    """A CT read from a file. source: how to get back to the file's own grid."""

    source: SourceGeometry = field(kw_only=True)


def from_source(array: NDArray[Any], source: SourceGeometry) -> NDArray[Any]:
    """An array on the file's grid (i, j, k) as the CT's z, y, x; a view."""
    turned = array.transpose(source.grid.axes)
    return turned[tuple(slice(None, None, -1 if flip else 1) for flip in source.grid.flips)]


def to_source(array: NDArray[Any], source: SourceGeometry) -> NDArray[Any]:
    """An array in the CT's z, y, x as i, j, k on the file's grid; a view."""
    turned = array[tuple(slice(None, None, -1 if flip else 1) for flip in source.grid.flips)]
    return turned.transpose(np.argsort(source.grid.axes))
