"""How much memory there is, and how much a scan will take: known from its header alone."""

import math
import os
from pathlib import Path

GIB = 2**30
#: Bytes per voxel while a scan is segmented and written, which is more than reading takes, whatever the
#: file stores: HU 2, labels 1, best response 2, sampled block 2.
_WORKING = 7
#: Edge of stage 1's voxels, mm, and bytes that a network of 64 float32 filters takes for each.
_COARSE_MM = 8.0
_COARSE_BYTES = 64 * 4 * 4
_LIMIT_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def available_memory(limit_files: tuple[Path, ...] = _LIMIT_FILES) -> int:
    """Bytes that the container, or else the machine, has in all."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in limit_files:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            limits.append(int(text))
    return min(limits)


def scan_memory(shape: tuple[int, int, int], extent_mm: tuple[float, ...]) -> int:
    """Bytes that one scan takes at most, from read to written, networks' own weights not counted.

    extent_mm: along the axes; stage 1 looks at all of it at once.
    """
    arrays = math.prod(shape) * _WORKING
    coarse = math.prod(16 * math.ceil(extent / _COARSE_MM / 16) for extent in extent_mm)
    return arrays + coarse * _COARSE_BYTES
