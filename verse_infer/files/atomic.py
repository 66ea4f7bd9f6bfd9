"""Files that appear under their name only when whole, and what a killed run leaves instead."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Temporary files carry this in their names, so that a later run can tell and remove stale ones.
MARK = ".verse-partial"
#: How the name of a run's folder for temporary files begins.
TEMPORARY = ".verse-temporary"
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


def remove_stale(folder: Path) -> None:
    """Remove what killed runs left below a folder; for who holds it alone."""
    _remove_partials(folder, f"{MARK}-*")
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def remove_partials_of(pid: int, folder: Path) -> None:
    """Remove the temporary files of a process that has ended."""
    _remove_partials(folder, f"{MARK}-{pid}-*")


def _remove_partials(folder: Path, pattern: str) -> None:
    for path in [path for path in folder.rglob(pattern) if path.is_file()]:
        path.unlink(missing_ok=True)
