"""Reading a CT from NIfTI, and refusing or flagging what is none.

Nothing is silently shifted, scaled or cut: every change to geometry or voxels becomes a flag.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.ct import SourceCt, SourceGeometry, to_source
from verse_infer.errors import InputError
from verse_infer.files.nifti import (
    Preamble,
    orientation_flags,
    other_unit,
    read_preamble,
    read_slabs,
    zoom_flags,
)
from verse_infer.files.voxel_values import (
    COUNTED_HU,
    Measured,
    Padding,
    ValueCounts,
    measured,
    no_hounsfield_units,
    oddities,
    paddings,
)
from verse_infer.flags import Flag, FlagCode
from verse_infer.grid import LARGEST_TILT_DEG, SILENT_TILT_DEG, GridGeometry, Lattice

#: More voxels than any CT has (512×512×8192); asked for before any memory is.
MOST_VOXELS = 2**31
#: A vertebra cannot be told from fewer slices, rows or columns.
FEWEST_VOXELS = 4
#: Largest voxel spacing that still shows a vertebra (a cervical body is 10-15 mm high), mm.
LARGEST_SPACING_MM = 15.0
#: Vertebrae and names hold up to slices of 5 mm; from 8 mm on they did not in tests, mm.
THICKEST_MM = 6.0
#: Finer than any CT of a patient: a header in metres or without a unit.
SMALLEST_SPACING_MM = 0.02
#: Longer than any patient on any table, mm.
LARGEST_EXTENT_MM = 3000.0
LOWEST_HU, HIGHEST_HU = -1024, 32767
#: Real CTs reach from air to bone: a span below this cannot show both.
SMALLEST_SPAN_HU = 200
GIB = 2**30
#: Bytes per voxel while a scan is segmented and written, which is more than reading takes, whatever the
#: file stores: HU 2, labels 1, best response 2, sampled block 2.
_WORKING = 7
#: Edge of stage 1's voxels, mm, and bytes that a network of 64 float32 filters takes for each.
_COARSE_MM = 8.0
_COARSE_BYTES = 64 * 4 * 4


def read_ct(path: Path, memory_limit: int | None = None) -> SourceCt:
    """Read .nii or .nii.gz; InputError says which file, what was expected and what came.

    The affine is sform, else qform, else the header's zooms, as nibabel applies them. The array is
    turned to the nearest LPS axes; values become int16 HU by scl_slope and scl_inter.
    memory_limit: bytes that the scan may take; it is refused by its header where it needs more.
    """
    preamble = read_preamble(path)
    shape, flags = _volume_shape(path, preamble)
    image = _open(path)
    flags += zoom_flags(path, image, preamble)
    try:
        source = SourceGeometry.of(image.affine, shape, preamble.header)
    except ValueError as error:
        stated = _unit_stated(preamble)
        raise InputError(f"{path}: expected a voxel grid in space, got: {error}{stated}") from error
    flags += _geometry_flags(path, image, source.grid, _unit_stated(preamble))
    lattice = source.grid.lattice
    _check_memory(path, preamble, lattice, memory_limit)
    hu = np.empty(lattice.shape, np.int16)
    slabs, scaling = read_slabs(path, preamble), (preamble.slope, preamble.inter)
    voxel_flags = to_hounsfield(slabs, scaling, to_source(hu, source), str(path))
    return SourceCt(hu, lattice, (*flags, *voxel_flags), source=source)


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


def _volume_shape(path: Path, preamble: Preamble) -> tuple[tuple[int, int, int], tuple[Flag, ...]]:
    """The three sizes; 4D with one volume counts as 3D."""
    shape = preamble.shape
    flags: tuple[Flag, ...] = ()
    if len(shape) > 3 and all(n == 1 for n in shape[3:]):
        message = f"{len(shape)}D file with one volume read as 3D"
        flags = (Flag(FlagCode.READ_AS_3D, message, len(shape)),)
        shape = shape[:3]
    if len(shape) != 3 or min(shape) < FEWEST_VOXELS:
        raise InputError(
            f"{path}: expected one 3D volume of at least {FEWEST_VOXELS} voxels along each axis, "
            f"got shape {preamble.shape}"
        )
    if np.prod(shape, dtype=np.float64) > MOST_VOXELS:
        raise InputError(f"{path}: expected at most {MOST_VOXELS} voxels, got shape {shape}")
    return (shape[0], shape[1], shape[2]), flags


def _check_memory(path: Path, preamble: Preamble, lattice: Lattice, limit: int | None) -> None:
    needed = scan_memory(lattice.size, _extent_mm(lattice))
    if limit is not None and needed > limit:
        raise InputError(
            f"{path}: expected a scan that takes at most {limit / GIB:.1f} GiB of memory, got one "
            f"of {needed / GIB:.1f} GiB: {preamble.shape} voxels of {preamble.dtype}"
        )


def _extent_mm(lattice: Lattice) -> tuple[float, ...]:
    return tuple(n * s for n, s in zip(lattice.size, lattice.spacing, strict=True))


def _unit_stated(preamble: Preamble) -> str:
    """What the header says of units, where it is not mm."""
    unit = other_unit(preamble.header)
    code = int(preamble.header["xyzt_units"])
    return "" if unit is None else f", in a header whose unit is {unit} (xyzt_units {code}), not mm"


def _geometry_flags(
    path: Path, image: Any, geometry: GridGeometry, unit_stated: str
) -> tuple[Flag, ...]:
    flags = []
    check_tilt(path, geometry)
    spacing, size = geometry.lattice.spacing, geometry.lattice.size
    if max(spacing) > LARGEST_SPACING_MM or min(spacing) < SMALLEST_SPACING_MM:
        raise InputError(
            f"{path}: expected a spacing of {SMALLEST_SPACING_MM:g} to {LARGEST_SPACING_MM:g} mm, "
            f"got {tuple(float(f'{s:.3g}') for s in spacing)}{unit_stated}"
        )
    extent = max(s * n for s, n in zip(spacing, size, strict=True))
    if extent > LARGEST_EXTENT_MM:
        raise InputError(
            f"{path}: expected a scan of at most {LARGEST_EXTENT_MM:g} mm, got {extent:.0f} mm{unit_stated}"
        )
    if unit_stated:
        message = f"lengths such as a spacing of {max(spacing):.3g}{unit_stated}: taken as mm"
        flags.append(Flag(FlagCode.UNIT_DISAGREES, message))
    if max(spacing) > THICKEST_MM:
        message = f"slices of {max(spacing):.3g} mm: names and places are uncertain"
        flags.append(Flag(FlagCode.THICK_SLICES, message, max(spacing)))
    if geometry.tilt_deg > SILENT_TILT_DEG:
        message = (
            f"direction repaired: axes {geometry.tilt_deg:.2f}° from perpendicular (gantry tilt?)"
        )
        flags.append(Flag(FlagCode.DIRECTION_REPAIRED, message, geometry.tilt_deg))
    return (*flags, *orientation_flags(image.header, image.shape[:3]))


def check_tilt(path: Path, geometry: GridGeometry) -> None:
    """InputError where a file's axes are too far from perpendicular to be taken as such."""
    if geometry.tilt_deg > LARGEST_TILT_DEG:
        raise InputError(
            f"{path}: expected voxel axes within {LARGEST_TILT_DEG:g}° of perpendicular, got a shear "
            f"of {geometry.tilt_deg:.1f}° (gantry tilt?); resample it to an orthogonal grid first"
        )


def to_hounsfield(
    slabs: Iterable[NDArray[Any]], scaling: tuple[float, float], hu: NDArray[np.int16], name: str
) -> tuple[Flag, ...]:
    """Fill hu with stored values scaled; flags. InputError where they cannot be HU.

    slabs: the volume's parts along its last axis. scaling: slope and inter. hu: on the same grid, may
    be a view with turned axes. No second volume is needed, and while a part is worked on the next may
    be read.
    """
    slope, inter = scaling
    if not (np.isfinite(slope) and np.isfinite(inter)) or slope == 0:
        raise InputError(f"{name}: expected a finite scaling, got slope {slope} and inter {inter}")
    low, high, broken, eight_bit, place = np.inf, -np.inf, 0, False, 0
    counts = ValueCounts()
    for slab in slabs:
        values, unknown = _scaled(slab, slope, inter)
        lowest, highest = values.min(), values.max()
        within = lowest >= LOWEST_HU and highest <= HIGHEST_HU
        part = hu[..., place : place + slab.shape[-1]]
        part[...] = values if within else np.clip(values, LOWEST_HU, HIGHEST_HU)
        counts.add(values)
        low, high = min(low, float(lowest)), max(high, float(highest))
        broken, place = broken + unknown, place + slab.shape[-1]
        eight_bit = slab.dtype.itemsize == 1 and (slope, inter) == (1.0, 0.0)
    _check_range(name, low, high, eight_bit=eight_bit)
    padding = paddings(counts, hu)
    rest = measured(counts, padding)
    if rest is not None:
        _check_rest(name, rest, padding)
    elif padding:
        raise InputError(f"{name}: expected a CT, got nothing but the values {_listed(padding)}")
    _set_to_air(hu, padding)
    flags = (*(one.flag() for one in padding), *_range_flags(low, high, rest, padding))
    if rest is not None:
        flags = (*flags, *oddities(rest))
    elif low >= 0:
        message = f"no value below 0 ({low:g} to {high:g}): stored with an offset of +1024? Taken as it is"
        flags = (*flags, Flag(FlagCode.NO_NEGATIVE_VALUE, message, low))
    if broken:
        message = f"{broken} voxels without a finite value set to {LOWEST_HU} HU"
        flags = (*flags, Flag(FlagCode.VOXELS_NOT_FINITE, message, broken))
    return flags


def _scaled(stored: NDArray[Any], slope: float, inter: float) -> tuple[NDArray[Any], int]:
    """Values in HU, of a type that holds them, and how many voxels had no finite value."""
    if stored.dtype.kind == "u" or (slope, inter) != (1.0, 0.0):
        wide = stored.astype(np.float64)  # a value beyond the type would wrap around
        with np.errstate(over="ignore", invalid="ignore"):
            stored = wide * slope + inter
    if stored.dtype.kind != "f":
        return stored, 0
    finite = np.isfinite(stored)
    return np.rint(np.where(finite, stored, LOWEST_HU)), stored.size - int(finite.sum())


def _check_range(name: str, low: float, high: float, *, eight_bit: bool) -> None:
    """InputError where no CT lies between a volume's lowest and highest value."""
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


def _check_rest(name: str, rest: Measured, padding: Sequence[Padding]) -> None:
    """InputError where what padding hides is no CT."""
    if padding:
        hidden = f"{name}, without padding of {_listed(padding)}"
        _check_range(hidden, rest.low, rest.high, eight_bit=False)
    if (looks := no_hounsfield_units(rest)) is not None:
        raise InputError(f"{name}: expected Hounsfield units, got {looks}")


def _listed(padding: Sequence[Padding]) -> str:
    return ", ".join(f"{one.value}" for one in padding)


def _set_to_air(hu: NDArray[np.int16], padding: Sequence[Padding]) -> None:
    """Plane by plane as they lie in memory; what is below air was cut to it before.

    Of a value that a body may have, only what hangs together with the plane's border.
    """
    planes = np.moveaxis(hu, int(np.argmax(np.abs(hu.strides))), 0)
    for one in padding:
        for plane in planes if one.value > LOWEST_HU else ():
            where = plane == min(one.value, HIGHEST_HU)
            if one.may_be_measured and not where.all():
                pieces, _ = scipy.ndimage.label(where)
                outer = np.concatenate([*pieces[[0, -1]], *pieces[:, [0, -1]].T])
                where = np.isin(pieces, np.unique(outer[outer > 0]))
            plane[where] = LOWEST_HU


def _range_flags(
    low: float, high: float, rest: Measured | None, padding: Sequence[Padding]
) -> tuple[Flag, ...]:
    """Flags about values, other than padding, that were cut to those of int16 and to air."""
    values = {one.value for one in padding}
    if rest is not None:
        low = rest.low if max(low, COUNTED_HU[0]) in values else low
        high = rest.high if min(high, COUNTED_HU[1]) in values else high
    flags = []
    if low < LOWEST_HU:
        message = f"values below {LOWEST_HU} HU (down to {low:g}) set to {LOWEST_HU}"
        flags.append(Flag(FlagCode.LOW_VALUES_CLIPPED, message, low))
    if high > HIGHEST_HU:
        message = f"values above {HIGHEST_HU} HU (up to {high:g}) set to {HIGHEST_HU}"
        flags.append(Flag(FlagCode.HIGH_VALUES_CLIPPED, message, high))
    return tuple(flags)


def scan_memory(shape: tuple[int, int, int], extent_mm: tuple[float, ...]) -> int:
    """Bytes that one scan takes at most, from read to written, networks' own weights not counted.

    extent_mm: along the axes; stage 1 looks at all of it at once.
    """
    arrays = math.prod(shape) * _WORKING
    coarse = math.prod(16 * math.ceil(extent / _COARSE_MM / 16) for extent in extent_mm)
    return arrays + coarse * _COARSE_BYTES
