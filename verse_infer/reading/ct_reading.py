"""Reading a CT from NIfTI, and refusing or flagging what is none.

Nothing is silently shifted, scaled or cut: every change to geometry or voxels becomes a flag.
"""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from verse_infer.ct import Ct, SourceGeometry, to_source
from verse_infer.errors import InputError
from verse_infer.geometry.grid_geometry import (
    LARGEST_REPAIR_DEG,
    SILENT_DEG,
    GridGeometry,
    grid_geometry,
)
from verse_infer.geometry.lattice import Lattice
from verse_infer.reading.header_geometry import checked_header, orientation_flags
from verse_infer.reading.hounsfield import to_hounsfield
from verse_infer.reading.nifti_preamble import Preamble, read_preamble
from verse_infer.reading.nifti_voxels import read_slabs
from verse_infer.running.memory import GIB, scan_memory

#: More voxels than any CT has (512×512×8192); asked for before any memory is.
MOST_VOXELS = 2**31
#: A vertebra cannot be told from fewer slices, rows or columns.
FEWEST_VOXELS = 4
#: Largest voxel spacing that still shows a vertebra (a cervical body is 10-15 mm high), mm.
LARGEST_SPACING_MM = 15.0
#: Finer than any CT of a patient: a header in metres or without a unit.
SMALLEST_SPACING_MM = 0.02
#: Longer than any patient on any table, mm.
LARGEST_EXTENT_MM = 3000.0


def read_ct(path: Path, memory_limit: int | None = None) -> Ct:
    """Read .nii or .nii.gz; InputError says which file, what was expected and what came.

    The affine is sform, else qform, else the header's zooms, as nibabel applies them. The array is
    turned to the nearest LPS axes; values become int16 HU by scl_slope and scl_inter.
    memory_limit: bytes that the scan may take; it is refused by its header where it needs more.
    """
    preamble = read_preamble(path)
    shape, flags = _volume_shape(path, preamble)
    image = _open(path)
    header, header_flags = checked_header(path, image, preamble)
    try:
        geometry = grid_geometry(image.affine, shape)
    except ValueError as error:
        raise InputError(f"{path}: expected a voxel grid in space, got: {error}") from error
    flags += header_flags + _geometry_flags(path, image, geometry)
    _check_memory(path, preamble, shape, geometry, memory_limit)
    source = SourceGeometry(image.affine, shape, header, geometry.axes, geometry.flips)
    hu = np.empty(geometry.lattice.shape, np.int16)
    slabs, scaling = read_slabs(path, preamble), (preamble.slope, preamble.inter)
    voxel_flags = to_hounsfield(slabs, scaling, to_source(hu, source), str(path))
    return Ct(hu, geometry.lattice, source, (*flags, *voxel_flags))


def _open(path: Path) -> Any:
    try:
        image = nib.load(path, mmap=False)
    except MemoryError:
        raise
    except Exception as error:  # whatever a header makes the parser trip over is the file's fault
        raise InputError(f"{path}: expected a valid NIfTI header, got: {error}") from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path}: expected a NIfTI image, got {type(image).__name__}")
    return image


def _volume_shape(path: Path, preamble: Preamble) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """The three sizes; 4D with one volume counts as 3D."""
    shape = preamble.shape
    flags: tuple[str, ...] = ()
    if len(shape) > 3 and all(n == 1 for n in shape[3:]):
        flags = (f"{len(shape)}D file with one volume read as 3D",)
        shape = shape[:3]
    if len(shape) != 3 or min(shape) < FEWEST_VOXELS:
        raise InputError(
            f"{path}: expected one 3D volume of at least {FEWEST_VOXELS} voxels along each axis, "
            f"got shape {preamble.shape}"
        )
    if np.prod(shape, dtype=np.float64) > MOST_VOXELS:
        raise InputError(f"{path}: expected at most {MOST_VOXELS} voxels, got shape {shape}")
    return (shape[0], shape[1], shape[2]), flags


def _check_memory(
    path: Path,
    preamble: Preamble,
    shape: tuple[int, int, int],
    geometry: GridGeometry,
    limit: int | None,
) -> None:
    needed = scan_memory(shape, _extent_mm(geometry.lattice))
    if limit is not None and needed > limit:
        raise InputError(
            f"{path}: expected a scan that takes at most {limit / GIB:.1f} GiB of memory, got one "
            f"of {needed / GIB:.1f} GiB: {shape} voxels of {preamble.dtype}"
        )


def memory_needed(ct: Ct) -> int:
    """Bytes that a CT from a file takes at most: the least memory_limit that it can be read with."""
    assert ct.source is not None
    return scan_memory(ct.source.shape, _extent_mm(ct.lattice))


def _extent_mm(lattice: Lattice) -> tuple[float, ...]:
    return tuple(n * s for n, s in zip(lattice.size, lattice.spacing, strict=True))


def _geometry_flags(path: Path, image: Any, geometry: GridGeometry) -> tuple[str, ...]:
    flags = []
    if geometry.repair_deg > LARGEST_REPAIR_DEG:
        raise InputError(
            f"{path}: expected perpendicular voxel axes, got a shear of {geometry.repair_deg:.1f}° "
            "(gantry tilt?); resample the scan to an orthogonal grid first"
        )
    spacing, size = geometry.lattice.spacing, geometry.lattice.size
    if max(spacing) > LARGEST_SPACING_MM or min(spacing) < SMALLEST_SPACING_MM:
        raise InputError(
            f"{path}: expected a spacing of {SMALLEST_SPACING_MM:g} to {LARGEST_SPACING_MM:g} mm, "
            f"got {tuple(float(f'{s:.3g}') for s in spacing)}"
        )
    extent = max(s * n for s, n in zip(spacing, size, strict=True))
    if extent > LARGEST_EXTENT_MM:
        raise InputError(
            f"{path}: expected a scan of at most {LARGEST_EXTENT_MM:g} mm, got {extent:.0f} mm"
        )
    if geometry.repair_deg > SILENT_DEG:
        flags.append(f"direction repaired: axes {geometry.repair_deg:.2f}° from perpendicular")
    return (*flags, *orientation_flags(image.header, image.shape[:3]))
