"""Vertebra masks of any orientation in memory, the grids that centroid files refer to, and a common one.

Reference and prediction are compared on one isotropic grid, as in the challenge (1 mm):
github.com/anjany/verse, utils/evaluate.ipynb resamples masks to 1 mm by nearest neighbour. Here the
grid is the reference's, and a prediction on any other grid is sampled on it in space.
"""

import gzip
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray
from scipy import ndimage

from verse_infer.anatomy import LABELS
from verse_infer.ct import SourceGeometry, from_source
from verse_infer.errors import InputError
from verse_infer.files.ct_reading import check_tilt
from verse_infer.files.verse import LARGEST_ROUNDING
from verse_infer.grid import Block, Lattice
from verse_infer.resampling import covering_block

logger = logging.getLogger(__name__)
#: More than this and two labels may become one.
_MOST_SPREAD = 0.2


@dataclass(frozen=True, slots=True)
class Grid:
    """A file's voxel grid: as lattice (LPS mm, axes turned closest to LPS), and as stored."""

    lattice: Lattice
    source: SourceGeometry


@dataclass(frozen=True, slots=True)
class LabelMap:
    """A vertebra mask.

    labels: uint8 VerSe labels, z, y, x on lattice; 0 for whatever is no vertebra.
    passed_over: values of the file that are no vertebra's label (26 sacrum, 27 coccyx, others).
    """

    labels: NDArray[np.uint8]
    lattice: Lattice
    passed_over: tuple[int, ...] = ()


def read_grid(path: Path) -> Grid:
    """The grid of a NIfTI file, from its header alone; InputError says what came instead."""
    return _grid(path, _open(path))


def read_label_map(path: Path) -> tuple[LabelMap, Grid]:
    """A mask turned to the closest LPS axes; InputError unless it holds whole numbers 0 to 255."""
    image = _open(path)
    grid = _grid(path, image)
    labels = from_source(_labels(path, image).reshape(grid.source.shape), grid.source)
    # Boxes tell which values occur without a second array of the volume's size.
    boxes = ndimage.find_objects(labels)
    found = [value for value, box in enumerate(boxes, start=1) if box is not None]
    strange = tuple(value for value in found if value not in LABELS)
    if strange:
        kept = np.zeros(256, np.uint8)
        kept[list(LABELS)] = LABELS
        labels = kept[labels]
        logger.info("%s: values %s are no vertebrae: passed over", path, list(strange))
    return LabelMap(labels, grid.lattice, strange), grid


def _open(path: Path) -> Any:
    try:
        image = nib.load(path)
    except (
        ImageFileError,
        HeaderDataError,
        OSError,
        EOFError,
        zlib.error,
        ValueError,
    ) as error:
        raise InputError(f"{path}: expected a NIfTI image (.nii, .nii.gz), got: {error}") from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path}: expected a NIfTI image, got {type(image).__name__}")
    return image


def _grid(path: Path, image: Any) -> Grid:
    shape = tuple(int(n) for n in image.shape)
    if len(shape) > 3 and all(n == 1 for n in shape[3:]):
        shape = shape[:3]
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"{path}: expected one 3D volume, got shape {tuple(image.shape)}")
    size = (shape[0], shape[1], shape[2])
    try:
        source = SourceGeometry.of(image.affine, size, image.header)
    except ValueError as error:
        raise InputError(f"{path}: expected a voxel grid in space, got: {error}") from error
    check_tilt(path, source.grid)
    return Grid(source.grid.lattice, source)


def _labels(path: Path, image: Any) -> NDArray[np.uint8]:
    try:
        values = np.asanyarray(image.dataobj)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise InputError(
            f"{path}: expected {image.shape} voxels, the file is damaged or cut off: {error}"
        ) from error
    if values.dtype == np.uint8:
        return np.asarray(values)
    if values.dtype.kind not in "iufb":
        raise InputError(f"{path}: expected labels, got voxels of type {values.dtype}")
    low, high = values.min(), values.max()
    if not (low >= -0.5 and high < 255.5):  # not-a-number fails, too
        raise InputError(f"{path}: expected labels from 0 to 255, got {low:g} to {high:g}")
    labels: NDArray[np.uint8] = np.rint(values).astype(np.uint8)
    if values.dtype.kind == "f":
        scaled = image.get_data_dtype().kind in "iu"
        step = abs(float(image.dataobj.slope)) if scaled else 0.0
        _check_rounding(path, float(np.abs(values - labels).max()), step)
    return labels


def _check_rounding(path: Path, off: float, step: float) -> None:
    """InputError where values are farther from whole numbers than rounding moves them.

    step: from one stored number to the next, 0 for floats. Whoever saves floats under a header of
    integers gets one whose scl_slope spreads them over all integers there are (nibabel), each up to half
    a step away.
    """
    if off > min(max(LARGEST_ROUNDING, 0.51 * step), _MOST_SPREAD):
        raise InputError(
            f"{path}: expected whole numbers as labels, got fractions: {off:.2g} from the next whole "
            f"number, steps of {step:g}"
        )
    if off > 0:
        logger.info("%s: labels up to %.1g from whole numbers: rounded", path, off)


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
