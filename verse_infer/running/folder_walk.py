"""Walking through a folder of data, which is often made of links."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from verse_infer.errors import UsageError

#: Root's own folder on every ext4 disk.
_SYSTEM_FOLDERS = frozenset({"lost+found"})


def walk(
    root: Path,
    without: Sequence[Path] = (),
    on_closed: Callable[[Path], None] | None = None,
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder from root down, and the names of the folders and of the files in it.

    Links are followed; a folder counts once, however many links lead to it, so that loops of links
    end. Passed over are hidden files and folders, a disk's lost+found, and the folders `without`
    with all below them (but for root itself, where that lies below one of them). A link that leads
    nowhere counts as a file. on_closed takes folders that cannot be listed, which else are a
    UsageError.
    """

    def refuse(error: OSError) -> None:
        if on_closed is None:
            raise UsageError(f"{error.filename}: expected a folder to list: {error.strerror}")
        on_closed(Path(error.filename))

    known = {folder.resolve() for folder in (root, *without)}
    home = root.resolve()
    shut = known - {home, *home.parents}
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        here = Path(folder)
        folders[:] = _first_met(here, folders, known, shut)
        yield here, list(folders), [name for name in files if not name.startswith(".")]


def files_below(root: Path, without: Sequence[Path] = ()) -> list[Path]:
    """All files that walk meets, in the order of their paths; UsageError as there."""
    return sorted(here / name for here, _, files in walk(root, without) for name in files)


def _first_met(here: Path, names: list[str], known: set[Path], shut: set[Path]) -> list[str]:
    """Folders to go into, links last; those go into `known`."""
    kept = []
    for name in sorted(names, key=lambda name: ((here / name).is_symlink(), name)):
        target = (here / name).resolve()
        hidden = name.startswith(".") or name in _SYSTEM_FOLDERS
        if hidden or target in known or shut & {*target.parents}:
            continue
        known.add(target)
        kept.append(name)
    return kept
