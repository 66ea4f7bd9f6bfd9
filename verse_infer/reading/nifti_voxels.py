"""The stored voxels of a NIfTI file whose header has been checked."""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from verse_infer.errors import InputError
from verse_infer.prefetching import one_ahead
from verse_infer.reading.inflating import inflated
from verse_infer.reading.nifti_preamble import Preamble, is_gzip

_CHUNK = 2**20
#: Some writers pad; a file that goes on for longer is another one than its header says.
LONGEST_TAIL = 2**24


def read_voxels(path: Path, preamble: Preamble) -> NDArray[Any]:
    """Unscaled values, flat, in the file's order (first axis fastest).

    A .gz is read to its end, so that its checksum is compared. InputError where voxels are missing.
    """
    raw = np.empty(preamble.voxel_bytes, np.uint8)
    try:
        with path.open("rb") as file:
            pieces = one_ahead(inflated(file)) if is_gzip(path) else _pieces(file)
            found, tail = _fill(pieces, raw, preamble.offset)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: expected {preamble.shape} voxels of {preamble.dtype}, got a file that is "
            f"damaged or cut off: {error}"
        ) from error
    if found < raw.size or tail > LONGEST_TAIL:
        came = f"{found}" if found < raw.size else f"at least {found + tail}"
        raise InputError(f"{path}: expected {raw.size} bytes of voxels, got {came}: damaged")
    return raw.view(preamble.dtype)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece


def _fill(pieces: Iterable[bytes], raw: NDArray[np.uint8], offset: int) -> tuple[int, int]:
    """Fill the array with what follows the offset; bytes found, and bytes beyond the array.

    The latter as far as is worth knowing.
    """
    place, end = -offset, len(raw)
    for piece in pieces:
        values = np.frombuffer(piece, np.uint8)[max(0, -place) :]
        start = max(0, place)
        part = values[: max(0, end - start)]
        raw[start : start + len(part)] = part
        place += len(piece)
        if place - end > LONGEST_TAIL:
            break
    return max(0, min(place, end)), max(0, place - end)
