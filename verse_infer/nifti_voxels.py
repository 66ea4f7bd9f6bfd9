"""The stored voxels of a NIfTI file whose header has been checked."""

import gzip
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from verse_infer.errors import InputError
from verse_infer.nifti_preamble import Preamble, is_gzip

_CHUNK = 2**20
#: Some writers pad; a file that goes on for longer is another one than its header says.
LONGEST_TAIL = 2**24


class _Readable(Protocol):
    """A plain or a zipped file."""

    def read(self, size: int, /) -> bytes: ...


def read_voxels(path: Path, preamble: Preamble) -> NDArray[Any]:
    """Unscaled values, flat, in the file's order (first axis fastest).

    A .gz is read to its end, so that its checksum is compared. InputError where voxels are missing.
    """
    raw = np.empty(preamble.voxel_bytes, np.uint8)
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as file:
            file.seek(preamble.offset)
            found = _fill(file, raw)
            tail = _drain(file)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: expected {preamble.shape} voxels of {preamble.dtype}, got a file that is "
            f"damaged or cut off: {error}"
        ) from error
    if found < raw.size or tail > LONGEST_TAIL:
        came = f"{found}" if found < raw.size else f"at least {found + tail}"
        raise InputError(f"{path}: expected {raw.size} bytes of voxels, got {came}: damaged")
    return raw.view(preamble.dtype)


def _fill(file: _Readable, raw: NDArray[np.uint8]) -> int:
    """Read until the array is full or the file ends; bytes read."""
    found = 0
    while found < raw.size:
        chunk = file.read(min(_CHUNK, raw.size - found))
        if not chunk:
            break
        raw[found : found + len(chunk)] = np.frombuffer(chunk, np.uint8)
        found += len(chunk)
    return found


def _drain(file: _Readable) -> int:
    """Bytes that follow, as far as is worth knowing."""
    tail = 0
    while tail <= LONGEST_TAIL and (chunk := file.read(_CHUNK)):
        tail += len(chunk)
    return tail
