"""Finding the scans of an input folder: flat, one folder per case, or BIDS-like.

What looks like a picture and is not read is never passed over in silence: the log and run.json say what.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from verse_infer.errors import UsageError
from verse_infer.files.verse import Convention, OutputNames, is_derivative, is_nifti, output_names

logger = logging.getLogger(__name__)
#: Root's own folder on every ext4 disk.
_SYSTEM_FOLDERS = frozenset({"lost+found"})
#: More files of one folder that are passed over for one reason are told as the folder.
_MOST_TOLD = 20
#: Endings of pictures that are none in NIfTI's single-file form, in lower case.
_OTHER_FORMATS = {
    **dict.fromkeys((".mha", ".mhd"), "MetaImage"),
    **dict.fromkeys((".nrrd", ".nhdr"), "NRRD"),
    **dict.fromkeys((".hdr", ".img", ".hdr.gz", ".img.gz"), "Analyze, or NIfTI in two files"),
    **dict.fromkeys((".dcm", ".dicom", ".ima"), "DICOM"),
    **dict.fromkeys((".nii.bz2", ".nii.xz", ".nii.zst", ".nii.zip"), "NIfTI packed otherwise"),
    **dict.fromkeys((".mgz", ".mgh"), "FreeSurfer"),
    **dict.fromkeys((".mnc", ".gipl", ".gipl.gz", ".nia"), "another format"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar"), "an archive"),
}
#: Of files with none of these endings, a DICOM one is told by its content, as most have no ending.
_NO_PICTURES = frozenset(
    {".json", ".txt", ".csv", ".tsv", ".md", ".xml", ".yml", ".yaml", ".log", ".pdf", ".html"}
    | {".png", ".jpg", ".jpeg", ".gif", ".py", ".sh", ".xlsx", ".npz", ".npy", ".raw", ".zraw"}
)
#: Files of a folder that are looked into, until one is DICOM: then its like are, too.
_MOST_OPENED = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One scan. relative: its path inside the input folder. rival: another case with its outputs."""

    path: Path
    relative: Path
    outputs: OutputNames
    rival: Path | None = None


@dataclass(frozen=True, slots=True)
class PassedOver:
    """What looks like a picture and is no case. path: a file or, of many, their folder with one's name."""

    path: str
    files: int
    reason: str
    such_as: str | None = None


@dataclass(frozen=True, slots=True)
class Discovery:
    """What an input holds. root: the folder that paths are relative to."""

    cases: tuple[Case, ...]
    passed_over: tuple[PassedOver, ...]


def find_cases(source: Path, output: Path, convention: Convention) -> tuple[Case, ...]:
    """The cases that discover finds."""
    return discover(source, output, convention).cases


def discover(source: Path, output: Path, convention: Convention) -> Discovery:
    """Scans below a folder, or the one file, in the order of their names.

    Hidden files, masks and other derivatives, and anything below the output folder are passed over;
    in a BIDS-like tree (with a folder rawdata) only …_ct files count. Links are followed, as data
    sets are often made of them; a folder counts once, however many links lead to it. What has a
    scan's name but is no file (a broken link, a pipe, a folder without scans or one that cannot be
    listed) counts as well, so that it is refused rather than lost. A case whose outputs another one
    already has gets that one as its rival. UsageError where there is nothing to read.
    """
    if source.is_file():
        return Discovery(_cases([source], source.parent, output, convention), ())
    if not source.is_dir():
        raise UsageError(f"--input {source}: expected a folder or a NIfTI file, found neither")
    scans, passed = [], []
    for path, reason in _pictures(source, output):
        why = reason or _why_no_scan(path.relative_to(source), bids=(source / "rawdata").is_dir())
        if why is None:
            scans.append(path)
        else:
            passed.append((path.relative_to(source), why))
    passed_over = tuple(_told(passed))
    for one in passed_over:
        many = f"{one.files} files such as {one.such_as} in " if one.such_as else ""
        logger.info("passed over: %s%s: %s", many, one.path, one.reason)
    return Discovery(_cases(sorted(scans), source, output, convention), passed_over)


def _told(passed: Iterable[tuple[Path, str]]) -> Iterator[PassedOver]:
    """Files, or their folder where it has many of one kind."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for path, reason in sorted(passed):
        groups.setdefault((path.parent, reason), []).append(path)
    for (folder, reason), paths in groups.items():
        if len(paths) > _MOST_TOLD:
            yield PassedOver(folder.as_posix(), len(paths), reason, paths[0].name)
        else:
            yield from (PassedOver(path.as_posix(), 1, reason) for path in paths)


def _cases(
    scans: Sequence[Path], root: Path, output: Path, convention: Convention
) -> tuple[Case, ...]:
    cases: list[Case] = []
    taken: dict[Path, Path] = {}
    for path in scans:
        relative = path.relative_to(root)
        names = output_names(_named_as_scan(relative), output, convention)
        rival = taken.setdefault(names.mask, relative)
        cases.append(Case(path, relative, names, None if rival == relative else rival))
    return tuple(cases)


def _why_no_scan(path: Path, *, bids: bool) -> str | None:
    """What keeps a NIfTI file from being a scan: its name, or that of a folder; None for a scan.

    path: relative to the input. bids: in a tree with a folder rawdata, only …_ct are CTs.
    """
    if not is_nifti(path):  # a folder that cannot be listed
        return None
    if is_derivative(path):
        return "named as a mask or another derivative"
    if bids and not path.name.lower().rsplit(".nii")[0].endswith("_ct"):
        return "not named …_ct, in a tree with a folder rawdata"
    return None


def _pictures(source: Path, output: Path) -> Iterator[tuple[Path, str | None]]:
    """Everything named like a NIfTI file, and pictures that are none, with what they are.

    Folders that cannot be listed count: they may hide scans.
    """
    closed: list[Path] = []
    for here, folders, files in walk(source, [output], on_closed=closed.append):
        empty = [name for name in folders if is_nifti(Path(name)) and not _scans_in(here / name)]
        yield from ((here / name, None) for name in [*files, *empty] if is_nifti(Path(name)))
        others = [here / name for name in files if not is_nifti(Path(name))]
        yield from ((path, f"{kind}: only NIfTI is read") for path, kind in _other_formats(others))
    yield from ((folder, None) for folder in closed)


def _other_formats(files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Pictures among files of one folder, and their format."""
    unknown = []
    for path in files:
        name = path.name.lower()
        kinds = [kind for ending, kind in _OTHER_FORMATS.items() if name.endswith(ending)]
        if kinds:
            yield path, kinds[0]
        elif path.suffix.lower() not in _NO_PICTURES:
            unknown.append(path)
    if any(_is_dicom(path) for path in unknown[:_MOST_OPENED]):
        yield from ((path, "DICOM") for path in unknown)


def _is_dicom(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would block for ever
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


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
