"""Reading the next case's scan while the present one is worked on.

For graphics cards, which would wait for the disk. A processor is busy with its networks anyway, and
would only hold one more scan.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from verse_infer.reading.ct_reading import memory_needed
from verse_infer.running.case_scan import CaseScan, read_scan, stamp_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Coming:
    """What is read ahead. memory_limit: what the case itself has. scan: None where it failed."""

    path: Path
    memory_limit: int | None
    scan: Future[CaseScan | None]


class CaseReader:
    """Reads scan after scan; at most one is read ahead, in a thread.

    following: file to read ahead from the end of the next `read` on; None: no thread, no scan held.
    To be used from one thread.
    """

    def __init__(self) -> None:
        self.following: Path | None = None
        self._coming: _Coming | None = None

    def read(self, path: Path, memory_limit: int | None) -> CaseScan:
        """The scan of a file as it is now, perhaps read ahead; InputError as of `read_scan`."""
        scan = self._read_ahead(path, memory_limit) or read_scan(path, memory_limit)
        if self.following is not None:
            self._coming = _start(self.following, memory_limit, scan)
        return scan

    def make_room(self) -> bool:
        """Let go of what is read ahead, and read nothing more; False where there was nothing."""
        self.following = None
        return self._end_of_thread() is not None

    def _read_ahead(self, path: Path, memory_limit: int | None) -> CaseScan | None:
        """What the thread made of this very file, if that still holds."""
        coming = self._end_of_thread()
        if coming is None or (coming.path, coming.memory_limit) != (path, memory_limit):
            return None
        scan = coming.scan.result()
        return scan if scan is not None and scan.stamp == stamp_of(path) else None

    def _end_of_thread(self) -> _Coming | None:
        """Whatever comes of it, it is waited for: two at a time would take memory nobody counts."""
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.scan.result()
        return coming


def _start(path: Path, memory_limit: int | None, present: CaseScan) -> _Coming | None:
    """Read in a thread what fits beside the present scan; None where the system has no thread."""
    left = None if memory_limit is None else memory_limit - memory_needed(present.ct)
    thread = ThreadPoolExecutor(1, "reading-ahead")
    try:
        return _Coming(path, memory_limit, thread.submit(_scan_or_none, path, left))
    except (RuntimeError, MemoryError):
        logger.debug("%s: not read ahead", path, exc_info=True)
        return None
    finally:
        thread.shutdown(wait=False)


def _scan_or_none(path: Path, memory_limit: int | None) -> CaseScan | None:
    """What goes wrong is none of the present case's: it is met again when this one's turn comes."""
    try:
        return read_scan(path, memory_limit)
    except Exception:
        logger.debug("%s: not read ahead", path, exc_info=True)
        return None
