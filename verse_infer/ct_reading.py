"""Reading a CT from NIfTI, and refusing or flagging what is none.

Nothing is silently shifted, scaled or cut: every change to geometry or voxels becomes a flag.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from verse_infer.ct import Ct, SourceGeometry, from_source
from verse_infer.errors import InputError
from verse_infer.grid_geometry import LARGEST_REPAIR_DEG, SILENT_DEG, GridGeometry, grid_geometry

#: More voxels than any CT has (512×512×8192); asked for before any memory is.
MOST_VOXELS = 2**31
#: A vertebra cannot be told from fewer slices, rows or columns.
FEWEST_VOXELS = 4
#: Largest voxel spacing that still shows a vertebra (a cervical body is 10-15 mm high), mm.
LARGEST_SPACING_MM = 15.0
AIR_HU = -1024
#: Real CTs reach from air to bone: a span below this cannot show both.
SMALLEST_SPAN_HU = 200


def read_ct(path: Path) -> Ct:
    """Read .nii or .nii.gz; InputError says which file, what was expected and what came.

    The affine is sform, else qform, else the header's zooms, as nibabel applies them. The array is
    turned to the nearest LPS axes; values become int16 HU by scl_slope and scl_inter.
    """
    image = _open(path)
    shape, flags = _volume_shape(path, image)
    try:
        geometry = grid_geometry(image.affine, shape)
    except ValueError as error:
        raise InputError(f"{path}: expected a voxel grid in space: {error}") from error
    flags += _geometry_flags(path, image, geometry)
    source = SourceGeometry(image.affine, shape, image.header, geometry.axes, geometry.flips)
    stored = _voxels(path, image).reshape(shape)
    hu, voxel_flags = to_hounsfield(from_source(stored, source), *_scaling(image), str(path))
    return Ct(hu, geometry.lattice, source, (*flags, *voxel_flags))


def _open(path: Path) -> Any:
    try:
        image = nib.load(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ImageFileError, OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{path}: expected a NIfTI image (.nii, .nii.gz), got: {error}") from error
    except HeaderDataError as error:
        raise InputError(f"{path}: expected a valid NIfTI header, got: {error}") from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path}: expected a NIfTI image, got {type(image).__name__}")
    return image


def _volume_shape(path: Path, image: Any) -> tuple[tuple[int, int, int], tuple[str, ...]]:
    """The three sizes; 4D with one volume counts as 3D."""
    shape, kind = tuple(int(n) for n in image.shape), image.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iuf":
        raise InputError(f"{path}: expected grey values, got voxels of type {kind}")
    flags: tuple[str, ...] = ()
    if len(shape) > 3 and all(n == 1 for n in shape[3:]):
        flags = (f"{len(shape)}D file with one volume read as 3D",)
        shape = shape[:3]
    if len(shape) != 3 or min(shape) < FEWEST_VOXELS:
        raise InputError(
            f"{path}: expected one 3D volume of at least {FEWEST_VOXELS} voxels along each axis, "
            f"got shape {tuple(image.shape)}"
        )
    if np.prod(shape, dtype=np.float64) > MOST_VOXELS:
        raise InputError(f"{path}: expected at most {MOST_VOXELS} voxels, header says {shape}")
    return (shape[0], shape[1], shape[2]), flags


def _geometry_flags(path: Path, image: Any, geometry: GridGeometry) -> tuple[str, ...]:
    flags = []
    if geometry.repair_deg > LARGEST_REPAIR_DEG:
        raise InputError(
            f"{path}: expected perpendicular voxel axes, got a shear of {geometry.repair_deg:.1f}° "
            "(gantry tilt?); resample the scan to an orthogonal grid first"
        )
    if max(geometry.lattice.spacing) > LARGEST_SPACING_MM:
        raise InputError(
            f"{path}: expected a spacing of at most {LARGEST_SPACING_MM:g} mm, "
            f"got {tuple(round(s, 3) for s in geometry.lattice.spacing)}"
        )
    if geometry.repair_deg > SILENT_DEG:
        flags.append(f"direction repaired: axes {geometry.repair_deg:.2f}° from perpendicular")
    header = image.header
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        flags.append(
            "file states no orientation (sform and qform codes 0): axes taken as nibabel does"
        )
    return tuple(flags)


def _scaling(image: Any) -> tuple[float, float]:
    slope, inter = image.dataobj.slope, image.dataobj.inter
    return float(slope), float(inter)


def _voxels(path: Path, image: Any) -> NDArray[Any]:
    """Stored values, unscaled."""
    try:
        return np.asanyarray(image.dataobj.get_unscaled())
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise InputError(
            f"{path}: expected {image.shape} voxels of {image.get_data_dtype()}, "
            f"the file is damaged or cut off: {error}"
        ) from error


def to_hounsfield(
    stored: NDArray[Any], slope: float, inter: float, name: str
) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Stored values as int16 HU, C-contiguous, with flags; InputError where they cannot be HU.

    stored: z, y, x. Worked slice by slice, so that no second volume of floats is needed.
    """
    if not (np.isfinite(slope) and np.isfinite(inter)) or slope == 0:
        raise InputError(f"{name}: expected a finite scaling, got slope {slope} and inter {inter}")
    eight_bit = stored.dtype.itemsize == 1
    hu = np.empty(stored.shape, np.int16)
    low, high, broken = np.inf, -np.inf, 0
    for k, plane in enumerate(stored):
        values = plane if (slope, inter) == (1.0, 0.0) else plane * np.float64(slope) + inter
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            broken += values.size - int(finite.sum())
            values = np.rint(np.where(finite, values, AIR_HU))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
        hu[k] = np.clip(values, AIR_HU, np.iinfo(np.int16).max)
    flags = _value_flags(name, low, high, eight_bit=eight_bit and (slope, inter) == (1.0, 0.0))
    if broken:
        flags = (*flags, f"{broken} voxels without a finite value set to {AIR_HU} HU")
    return hu, flags


def _value_flags(name: str, low: float, high: float, *, eight_bit: bool) -> tuple[str, ...]:
    if low == high:
        raise InputError(f"{name}: expected a CT, got the constant value {low:g}")
    if eight_bit or (low >= 0 and high <= 255):
        raise InputError(
            f"{name}: expected Hounsfield units, got an 8-bit picture, values {low:g} to {high:g}"
        )
    if high - low < SMALLEST_SPAN_HU:
        raise InputError(
            f"{name}: expected Hounsfield units from air to bone, got values {low:g} to {high:g}"
        )
    flags = []
    if low >= 0:
        flags.append(
            f"no value below 0 ({low:g} to {high:g}): stored with an offset of +1024? Taken as it is"
        )
    if low < AIR_HU:
        flags.append(f"values below {AIR_HU} HU (down to {low:g}) set to {AIR_HU}")
    if high > np.iinfo(np.int16).max:
        flags.append(f"values above 32767 HU (up to {high:g}) set to 32767")
    return tuple(flags)
