"""The stored voxels of a NIfTI file whose header has been checked, some planes at a time."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from verse_infer.errors import InputError
from verse_infer.prefetching import one_ahead
from verse_infer.reading.inflating import inflated
from verse_infer.reading.nifti_preamble import Preamble, is_gzip

#: Planes of a slab: enough that turning an axis writes many neighbours at a time; of large planes fewer, so
#: that a slab is small beside a scan.
SLAB_PLANES = 16
_SLAB_BYTES = 2**24
_CHUNK = 2**20
#: Some writers pad; a file that goes on for longer is another one than its header says.
LONGEST_TAIL = 2**24


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
