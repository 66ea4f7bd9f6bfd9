"""NIfTI files: what the first bytes say, checked before anything is allocated for the rest; voxels.

A header is 348 bytes that anyone may have written: sizes of terabytes, offsets of NaN, a gzip file
of which only the start is left. Nothing of it is believed here but what the file can hold. What it
says of space, it says more than once: zooms, qform, sform; do they agree? The voxels come some planes at
a time, unpacked by ISA-L, which takes a third of zlib's time.
"""

import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from isal import isal_zlib
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from verse_infer.concurrency import one_ahead
from verse_infer.errors import InputError
from verse_infer.flags import Flag, FlagCode

#: Bytes of the largest header (NIfTI-2).
_HEADER_BYTES = 540
#: Header extensions (comments, DICOM tags) are small; more is a damaged offset.
LARGEST_OFFSET = 2**24
#: deflate makes at most 1032 bytes of one (zlib's own figure): more cannot be in a .gz file.
MOST_INFLATION = 1032
_MAGIC = {348: b"n+1\0", 540: b"n+2\0\r\n\x1a\n"}
_OTHER_STARTS = {
    b"\x1f\x8b": "a file packed by gzip: name it .nii.gz",
    b"ObjectType": "MetaImage (.mha, .mhd)",
    b"NRRD": "NRRD",
    b"PK": "a zip archive",
    b"BZh": "a file packed by bzip2",
    b"\xfd7zXZ": "a file packed by xz",
    b"\x28\xb5\x2f\xfd": "a file packed by zstd",
    b"\x89HDF": "HDF5 (MINC?)",
    b"version https://git-lfs": "a pointer of Git LFS instead of the file itself",
}
#: What the three lowest bits of xyzt_units say, but for mm and nothing.
_OTHER_UNITS = {1: "metre", 3: "micron"}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: sform and qform that differ by less at every corner are one; files store single precision, mm.
AGREEMENT_MM = 0.5
#: Zooms further than this share from the affine's voxel sizes are another statement.
ZOOM_TOLERANCE = 0.01
#: Planes of a slab: enough that turning an axis writes many neighbours at a time; of large planes fewer, so
#: that a slab is small beside a scan.
SLAB_PLANES = 16
_SLAB_BYTES = 2**24
_CHUNK = 2**20
#: Some writers pad; a file that goes on for longer is another one than its header says.
LONGEST_TAIL = 2**24
#: Compressed bytes read at a time, and most bytes that come of them at a time.
_READ, _PIECE = 2**18, 2**22
#: zlib's, and ISA-L's, name for the gzip format, header and checksum included.
GZIP_FORMAT = 31


@dataclass(frozen=True, slots=True)
class Preamble:
    """shape: as stated, of any number of axes. dtype: of a stored voxel. offset: bytes before them.

    slope, inter: from stored values to HU; 1 and 0 where the file states none. header: nibabel's, its
    fields as the file has them, whatever that is.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    header: Any

    @property
    def zooms(self) -> tuple[float, float, float]:
        """Voxel sizes as stated, along the first three axes; may be anything."""
        x, y, z = (float(n) for n in self.header["pixdim"][1:4])
        return x, y, z

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
    except gzip.BadGzipFile as error:
        with path.open("rb") as file:
            block = file.read(_HEADER_BYTES)
        nifti = block[:4] in {n.to_bytes(4, end) for n in _MAGIC for end in ("little", "big")}
        looks = "one that is not packed: name it .nii" if nifti else _looks_like(block)
        raise InputError(
            f"{path}: expected a NIfTI image, packed by gzip (.nii.gz), got {looks}"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: expected a NIfTI image (.nii, .nii.gz), got: {error}") from error


def _parse(path: Path, block: bytes) -> Preamble:
    starts = {n.to_bytes(4, "little"): n for n in _MAGIC} | {
        n.to_bytes(4, "big"): n for n in _MAGIC
    }
    size = starts.get(block[:4])
    if size is None or len(block) < size:
        raise InputError(
            f"{path}: expected a NIfTI image (.nii, .nii.gz), got {_looks_like(block)}"
        )
    kind: Any = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    header = kind(block[:size], check=False)
    magic = block[344:348] if size == 348 else block[4:12]
    if magic != _MAGIC[size]:
        raise InputError(f"{path}: expected a single-file NIfTI image, got magic {magic!r}")
    shape, dtype, offset = _shape(path, header), _dtype(path, header), _offset(path, header)
    return Preamble(shape, dtype, offset, *_scaling(path, header), header)


def _looks_like(block: bytes) -> str:
    """What a file is that is no NIfTI, by its first bytes."""
    known = [kind for start, kind in _OTHER_STARTS.items() if block.startswith(start)]
    if block[128:132] == b"DICM":
        known = ["DICOM"]
    what = f"{len(block)} bytes that start with {block[:8]!r}"
    return f"{known[0]}: {what}" if known else what


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


def _scaling(path: Path, header: Any) -> tuple[float, float]:
    """Slope 0 says "none" (the standard), so does NaN (nibabel writes it)."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise InputError(f"{path}: expected a finite scaling, got slope {slope:g}, inter {inter:g}")
    return slope, inter


def other_unit(header: Any) -> str | None:
    """The unit that a header states for lengths, where it is not mm."""
    return _OTHER_UNITS.get(int(header["xyzt_units"]) & 7)


def zoom_flags(path: Path, image: Any, preamble: Preamble) -> tuple[Flag, ...]:
    """Flags where a file's zooms are not its affine's.

    Unusable zooms are refused where the affine rests on them, that is without an sform; InputError.
    """
    used = np.linalg.norm(np.asarray(image.affine, np.float64)[:3, :3], axis=0)
    stated = np.asarray(preamble.zooms)
    usable = bool(np.isfinite(stated).all() and (stated != 0).all())
    if not usable and int(preamble.header["sform_code"]) == 0:
        raise InputError(f"{path}: expected voxel sizes above 0 mm, got {preamble.zooms}")
    if np.allclose(stated, used, rtol=ZOOM_TOLERANCE, atol=0):
        return ()
    if usable and np.allclose(np.abs(stated), used, rtol=ZOOM_TOLERANCE, atol=0):
        message = f"negative zooms {_rounded(stated)} taken as positive"
        return (Flag(FlagCode.NEGATIVE_ZOOMS, message),)
    message = (
        f"zooms {_rounded(stated)} mm in the header, {_rounded(used)} mm in its sform: sform used"
    )
    return (Flag(FlagCode.ZOOMS_DISAGREE, message),)


def orientation_flags(header: Any, shape: tuple[int, ...]) -> tuple[Flag, ...]:
    """Flags where the file states no orientation, or two different ones."""
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        message = "file states no orientation (sform and qform codes 0): axes taken as nibabel does"
        return (Flag(FlagCode.NO_ORIENTATION, message),)
    if int(header["sform_code"]) == 0 or int(header["qform_code"]) == 0:
        return ()
    try:
        qform = header.get_qform()
    except (ValueError, HeaderDataError, FloatingPointError):
        return (Flag(FlagCode.QFORM_UNREADABLE, "qform cannot be read: sform used"),)
    apart = _farthest_mm(np.asarray(header.get_sform()), np.asarray(qform), shape)
    if apart > AGREEMENT_MM or not np.isfinite(apart):
        message = f"sform and qform disagree by up to {apart:.3g} mm: sform used"
        return (Flag(FlagCode.FORMS_DISAGREE, message, apart),)
    return ()


def _farthest_mm(
    first: NDArray[np.float64], second: NDArray[np.float64], shape: tuple[int, ...]
) -> float:
    """Largest distance, over the eight corners, between where two affines put them."""
    corners = [[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    places = np.array(corners) * [*(n - 1 for n in shape), 1]
    return float(np.linalg.norm(places @ (first - second).T, axis=1).max())


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.3g}") for value in values)


def read_slabs(path: Path, preamble: Preamble) -> Iterator[NDArray[Any]]:
    """Unscaled values of a volume, (i, j, a few k), slab by slab along k; the file is read in a thread.

    A .gz is read to its end, so that its checksum is compared. InputError where voxels are missing,
    which for the last ones is after all slabs.
    """
    try:
        with path.open("rb") as file:
            pieces = _Pieces(one_ahead(inflated(file) if is_gzip(path) else _chunks(file)))
            yield from _slabs(path, pieces, preamble)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: expected {preamble.shape} voxels of {preamble.dtype}, got a file that is "
            f"damaged or cut off: {error}"
        ) from error


def _slabs(path: Path, pieces: "_Pieces", preamble: Preamble) -> Iterator[NDArray[Any]]:
    pieces.fill(np.empty(preamble.offset, np.uint8))
    found, width, height = 0, *preamble.shape[:2]
    plane_bytes = width * height * preamble.dtype.itemsize
    slab_bytes = plane_bytes * min(SLAB_PLANES, max(1, _SLAB_BYTES // plane_bytes))
    for start in range(0, preamble.voxel_bytes, slab_bytes):
        raw = np.empty(min(slab_bytes, preamble.voxel_bytes - start), np.uint8)
        found += pieces.fill(raw)
        if found < start + len(raw):
            raise _other_length(path, preamble, f"{found}")
        yield raw.view(preamble.dtype).reshape((width, height, -1), order="F")
    tail = pieces.skip(LONGEST_TAIL)
    if tail > LONGEST_TAIL:
        raise _other_length(path, preamble, f"at least {found + tail}")


def _other_length(path: Path, preamble: Preamble, came: str) -> InputError:
    return InputError(
        f"{path}: expected {preamble.voxel_bytes} bytes of voxels, got {came}: damaged"
    )


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


class _Pieces:
    """Bytes that come in pieces of any length."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """pieces: what has not come yet."""
        self._coming = pieces
        self._rest = memoryview(b"")

    def fill(self, array: NDArray[np.uint8]) -> int:
        """Fill an array with the next bytes; how many there were for it."""
        place = 0
        while place < len(array) and (part := self._next(len(array) - place)):
            array[place : place + len(part)] = np.frombuffer(part, np.uint8)
            place += len(part)
        return place

    def skip(self, most: int) -> int:
        """Go on to the end, or until more than so many bytes came; how many came."""
        count = 0
        while count <= most and (part := self._next(most)):
            count += len(part)
        return count

    def _next(self, most: int) -> memoryview:
        """The next bytes, at most so many; none at the end."""
        while not self._rest and (piece := next(self._coming, None)) is not None:
            self._rest = memoryview(piece)
        part, self._rest = self._rest[:most], self._rest[most:]
        return part


def inflated(file: BinaryIO) -> Iterator[bytes]:
    """Pieces of all members of a gzip file; zeros may follow them, as tapes leave.

    zlib.error where it is damaged or a checksum differs; EOFError where it is cut off.
    """
    try:
        yield from _members(file)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stub has no class
        raise zlib.error(str(error)) from error


def _members(file: BinaryIO) -> Iterator[bytes]:
    rest = file.read(_READ)
    while rest:
        member = isal_zlib.decompressobj(GZIP_FORMAT)
        while not member.eof:
            piece = member.decompress(rest, _PIECE)
            if piece:
                yield piece
            rest = member.unconsumed_tail or (b"" if member.eof else file.read(_READ))
            if not rest and not piece and not member.eof:
                raise EOFError("compressed file ended before its end was marked")
        rest = _without_zeros(member.unused_data, file)


def _without_zeros(rest: bytes, file: BinaryIO) -> bytes:
    """What follows a member, from its first byte that is not zero."""
    while True:
        rest = rest.lstrip(b"\0") or file.read(_READ)
        if not rest or rest[0]:
            return rest
