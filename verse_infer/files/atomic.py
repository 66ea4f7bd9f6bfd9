"""Files that appear under their name only when whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Temporary files carry this in their names, so that a later run can tell and remove stale ones.
MARK = ".verse-partial"
_KEPT = 40


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renamed to `path` at the end, removed on any error.

    The temporary name keeps the suffixes, because writers go by them. Folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The end of the name is enough: a whole one may be as long as the file system allows.
    partial = path.with_name(f"{MARK}-{os.getpid()}-{path.name[-_KEPT:]}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_stale(folder: Path) -> int:
    """Remove temporary files that a killed run left below a folder; returns how many."""
    stale = [path for path in folder.rglob(f"{MARK}-*") if path.is_file()]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
