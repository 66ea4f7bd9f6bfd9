"""Finding the scans of an input folder: flat, one folder per case, or BIDS-like."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from verse_infer.errors import UsageError
from verse_infer.files.verse import Convention, OutputNames, is_derivative, is_nifti, output_names

logger = logging.getLogger(__name__)
#: Root's own folder on every ext4 disk.
_SYSTEM_FOLDERS = frozenset({"lost+found"})


@dataclass(frozen=True, slots=True)
class Case:
    """One scan. relative: its path inside the input folder. rival: another case with its outputs."""

    path: Path
    relative: Path
    outputs: OutputNames
    rival: Path | None = None


def find_cases(source: Path, output: Path, convention: Convention) -> tuple[Case, ...]:
    """Scans below a folder, or the one file, in the order of their names.

    Hidden files, masks and other derivatives, and anything below the output folder are passed over;
    in a BIDS-like tree (with a folder rawdata) only …_ct files count. Links are followed, as data
    sets are often made of them; a folder counts once, however many links lead to it. What has a
    scan's name but is no file (a broken link, a pipe, a folder without scans or one that cannot be
    listed) counts as well, so that it is refused rather than lost. A case whose outputs another one
    already has gets that one as its rival. UsageError where there is nothing to read.
    """
    if source.is_file():
        found = [source]
        root = source.parent
    elif source.is_dir():
        found, root = sorted(_nifti_files(source, output)), source
    else:
        raise UsageError(f"--input {source}: expected a folder or a NIfTI file, found neither")
    scans = [path for path in found if source.is_file() or _is_scan(path, root)]
    if passed := sorted({*found} - {*scans}):
        logger.info("passed over, not named as a CT: %d files, such as %s", len(passed), passed[0])
    cases: list[Case] = []
    taken: dict[Path, Path] = {}
    for path in scans:
        relative = path.relative_to(root)
        names = output_names(_named_as_scan(relative), output, convention)
        rival = taken.setdefault(names.mask, relative)
        cases.append(Case(path, relative, names, None if rival == relative else rival))
    return tuple(cases)


def _is_scan(path: Path, root: Path) -> bool:
    """Is a file not named as a mask or another derivative, and as a CT in a BIDS-like tree?"""
    if not is_nifti(path):
        return True
    if is_derivative(path.relative_to(root)):
        return False
    return not (root / "rawdata").is_dir() or path.name.lower().rsplit(".nii")[0].endswith("_ct")


def _nifti_files(source: Path, output: Path) -> Iterator[Path]:
    """Everything named like a NIfTI file, and folders that cannot be listed: they may hide scans."""
    closed: list[Path] = []
    for here, folders, files in walk(source, [output], on_closed=closed.append):
        empty = [name for name in folders if is_nifti(Path(name)) and not _scans_in(here / name)]
        yield from (here / name for name in [*files, *empty] if is_nifti(Path(name)))
    yield from closed


def _scans_in(folder: Path) -> bool:
    """Is anything in a folder named like a scan? (`x.nii.gz/x.nii` is a habit of unpackers.)"""
    try:
        return any(is_nifti(path) for path in folder.iterdir())
    except OSError:
        return True  # the walk itself will meet the error


def _named_as_scan(relative: Path) -> Path:
    """A name that outputs can be derived from, for what is refused later anyway."""
    return relative if is_nifti(relative) else relative.with_name(f"{relative.name}.nii")


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
