"""A CT in memory: Hounsfield units on a lattice in LPS mm, the grid of its file, and points in it.

Centroids are the hand-over between localisation, labelling, segmentation and files. Where two files of
one case meet, such as a mask and its CT, their grids are compared here, never their arrays' shapes alone.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from verse_infer.flags import Flag
from verse_infer.grid import GridGeometry, Lattice, grid_geometry

#: Voxels: corners that lie nearer are the same corner, since headers round.
SAME_VOXEL = 0.25


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
    header: the nibabel NIfTI header, its fields as the file has them.
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
class Turn:
    """How an array of one file lies on the grid of another one that has the same voxels.

    axes, flips: axis d of that grid runs along axis axes[d] of the array, reversed where flips[d].
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def applied(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array on the other grid; a view."""
        turned = array.transpose(self.axes)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]


def turn_onto(given: SourceGeometry, wanted: SourceGeometry) -> Turn:
    """The turn of arrays on one file's grid onto another's, of which there are 48.

    ValueError, with both grids, where the files do not have the same voxels. Where sform and qform of
    `wanted` contradict each other, `given` may be made by a program that goes by the latter.
    """
    for affine in _affines(wanted):
        turn = _turn((given.affine, given.shape), (affine, wanted.shape))
        if turn is not None:
            return turn
    raise ValueError(f"expected {described(wanted)}, got {described(given)}")


def described(source: SourceGeometry) -> str:
    """A file's grid in words: sizes, spacing, axes and first voxel (RAS mm)."""
    size, spacing = (
        "×".join(f"{v:g}" for v in values)
        for values in (
            source.shape,
            np.linalg.norm(source.affine[:3, :3], axis=0).round(4).tolist(),
        )
    )
    axes = "".join(nib.aff2axcodes(source.affine))
    first = ", ".join(f"{v:g}" for v in source.affine[:3, 3].round(2).tolist())
    return f"{size} voxels of {spacing} mm, axes {axes}, first voxel at ({first})"


def _affines(source: SourceGeometry) -> list[NDArray[np.float64]]:
    """What a header says of space: the one that counts first."""
    affines = [source.affine]
    if source.header is not None and int(source.header["qform_code"]) > 0:
        with suppress(ValueError, HeaderDataError, FloatingPointError):
            affines.append(np.asarray(source.header.get_qform(), np.float64))
    return affines


#: A file's affine and shape.
_Grid = tuple[NDArray[np.float64], tuple[int, int, int]]


def _turn(given: _Grid, wanted: _Grid) -> Turn | None:
    """None where corners do not lie on corners, to a quarter of a voxel: headers round."""
    (affine, shape), (wanted_affine, wanted_shape) = given, wanted
    try:
        to_wanted = np.linalg.inv(wanted_affine) @ affine
    except np.linalg.LinAlgError:
        return None
    axes = np.abs(to_wanted[:3, :3]).argmax(axis=1)
    if sorted(axes.tolist()) != [0, 1, 2] or tuple(np.take(shape, axes).tolist()) != wanted_shape:
        return None
    flips = to_wanted[[0, 1, 2], axes] < 0
    picks = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners = picks * np.subtract(shape, 1)
    places = corners @ to_wanted[:3, :3].T + to_wanted[:3, 3]
    by_turning = np.where(flips, np.subtract(wanted_shape, 1) - corners[:, axes], corners[:, axes])
    if not np.abs(places - by_turning).max() < SAME_VOXEL:
        return None
    (a, b, c), (x, y, z) = axes.tolist(), flips.tolist()
    return Turn((a, b, c), (x, y, z))


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
