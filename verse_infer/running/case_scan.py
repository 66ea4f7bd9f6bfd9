"""A case's scan as read from its file, which is known by its stamp."""

from dataclasses import dataclass
from pathlib import Path

from verse_infer.ct import Ct, SourceGeometry
from verse_infer.errors import InputError
from verse_infer.reading.ct_reading import read_ct


@dataclass(frozen=True, slots=True)
class CaseScan:
    """ct, source: the scan and the grid of its file. stamp: of the file that was read."""

    ct: Ct
    source: SourceGeometry
    stamp: tuple[int, int]


def read_scan(path: Path, memory_limit: int | None) -> CaseScan:
    """Read a file that stays the same meanwhile; InputError.

    memory_limit: bytes that the scan may take by its header's claims, or None.
    """
    before = stamp_of(path)
    ct = read_ct(path, memory_limit)
    if ct.source is None:
        raise InputError(f"{path}: expected a CT with the geometry of its file")
    if stamp_of(path) != before:
        raise InputError(f"{path}: expected a finished file, got one that changed while read")
    return CaseScan(ct, ct.source, before)


def stamp_of(path: Path) -> tuple[int, int]:
    """Size (bytes) and time of change (ns), by which a file is known to be the same; zeros if none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
