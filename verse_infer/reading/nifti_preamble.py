"""What a NIfTI file's first bytes say, checked before anything is allocated for the rest.

A header is 348 bytes that anyone may have written: sizes of terabytes, offsets of NaN, a gzip file
of which only the start is left. Nothing of it is believed here but what the file can hold.
"""

import gzip
import math
import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from verse_infer.errors import InputError

#: Bytes of the largest header (NIfTI-2).
_HEADER_BYTES = 540
#: Header extensions (comments, DICOM tags) are small; more is a damaged offset.
LARGEST_OFFSET = 2**24
#: deflate makes at most 1032 bytes of one (zlib's own figure): more cannot be in a .gz file.
MOST_INFLATION = 1032
_MAGIC = {348: b"n+1\0", 540: b"n+2\0\r\n\x1a\n"}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Preamble:
    """shape: as stated, of any number of axes. dtype: of a stored voxel. offset: bytes before them.

    zooms: voxel sizes as stated, along the first three axes; may be anything. slope, inter: from
    stored values to HU; 1 and 0 where the file states none.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    zooms: tuple[float, float, float]
    slope: float
    inter: float

    @property
    def voxel_bytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_preamble(path: Path) -> Preamble:
    """Check what the file is and what its header claims; InputError says expected and got."""
    size = _file_size(path)
    preamble = _parse(path, _first_bytes(path))
    needed = preamble.offset + preamble.voxel_bytes
    most = size * MOST_INFLATION if is_gzip(path) else size
    if needed > most:
        raise InputError(
            f"{path}: expected {needed} bytes for {preamble.shape} voxels of {preamble.dtype}, "
            f"got a file of {size} bytes{' (.gz)' if is_gzip(path) else ''}: damaged or cut off"
        )
    return preamble


def is_gzip(path: Path) -> bool:
    """By its name, as every reader of NIfTI takes it."""
    return path.name.lower().endswith(".gz")


def _file_size(path: Path) -> int:
    """Bytes of a regular file; anything else (a pipe would block for ever) is refused."""
    try:
        status = path.stat()
    except FileNotFoundError:
        kind = "a symbolic link to nothing" if path.is_symlink() else "no such file"
        raise InputError(f"{path}: expected a file, got {kind}") from None
    except OSError as error:
        raise InputError(f"{path}: expected a readable file, got: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        if stat.S_ISDIR(status.st_mode) and not os.access(path, os.R_OK | os.X_OK):
            kind += " that cannot be listed"
        raise InputError(f"{path}: expected a file, got {kind}")
    return status.st_size


def _first_bytes(path: Path) -> bytes:
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
            return file.read(_HEADER_BYTES)
    except PermissionError as error:
        raise InputError(f"{path}: expected a readable file, got: {error.strerror}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: expected a NIfTI image (.nii, .nii.gz), got: {error}") from error


def _parse(path: Path, block: bytes) -> Preamble:
    starts = {n.to_bytes(4, "little"): n for n in _MAGIC} | {
        n.to_bytes(4, "big"): n for n in _MAGIC
    }
    size = starts.get(block[:4])
    if size is None or len(block) < size:
        raise InputError(
            f"{path}: expected a NIfTI image (.nii, .nii.gz), got {len(block)} bytes that start with "
            f"{block[:8]!r}"
        )
    kind = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    header = kind(block[:size], check=False)
    magic = block[344:348] if size == 348 else block[4:12]
    if magic != _MAGIC[size]:
        raise InputError(f"{path}: expected a single-file NIfTI image, got magic {magic!r}")
    shape, dtype, offset = _shape(path, header), _dtype(path, header), _offset(path, header)
    return Preamble(shape, dtype, offset, _zooms(header), *_scaling(path, header))


def _shape(path: Path, header: Any) -> tuple[int, ...]:
    stated = [int(n) for n in header["dim"]]
    axes = stated[0]
    if not 1 <= axes <= 7 or any(n < 1 for n in stated[1 : axes + 1]):
        raise InputError(
            f"{path}: expected sizes of at least 1 along 1 to 7 axes, got dim {stated}"
        )
    return tuple(stated[1 : axes + 1])


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    """Only grey values: integers and floating point numbers."""
    try:
        kind: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise InputError(f"{path}: expected grey values, got data type {error}") from error
    if kind.fields is not None or kind.kind not in "iuf":
        raise InputError(f"{path}: expected grey values, got voxels of type {kind}")
    return kind


def _offset(path: Path, header: Any) -> int:
    offset, least = float(header["vox_offset"]), int(header["sizeof_hdr"]) + 4
    if not least <= offset <= LARGEST_OFFSET:
        raise InputError(
            f"{path}: expected voxels to start at byte {least} to {LARGEST_OFFSET}, "
            f"got offset {offset:g}"
        )
    return int(offset)


def _zooms(header: Any) -> tuple[float, float, float]:
    x, y, z = (float(n) for n in header["pixdim"][1:4])
    return x, y, z


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    """Slope 0 says "none" (the standard), so does NaN (nibabel writes it)."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise InputError(f"{path}: expected a finite scaling, got slope {slope:g}, inter {inter:g}")
    return slope, inter
