"""Finding the files of every scan in two folders, and pairing them across naming conventions.

    restructured  sub-verse004_ct, …_seg-subreg_ctd.json, …_seg-vert_msk.nii.gz
    VerSe'20      verse506_CT-iso, …_iso-ctd.json, …_seg.nii.gz
    VerSe'19      verse004, …_ctd.json, …_seg.nii.gz

`sub-verse506_dir-iso` and `verse506_CT-iso` are one scan, so are `sub-verse400_split-verse153` and
`verse153`: a scan's key is what is left of its name without the convention's own words.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from verse_infer.batch.discovery import files_below
from verse_infer.batch.report import REPORT_NAME
from verse_infer.errors import UsageError
from verse_infer.files.verse import is_derivative

logger = logging.getLogger(__name__)

#: What a file holds, by its name; the first that matches counts.
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("cut", re.compile(r"(?P<stem>.+?)_partial_ctd\.json$", re.IGNORECASE)),
    ("centroids", re.compile(r"(?P<stem>.+?)(_seg-[a-z]+)?(_iso-ctd|_ctd)\.json$", re.IGNORECASE)),
    (
        "mask",
        re.compile(r"(?P<stem>.+?)(_seg-vert_msk|_seg|_msk|_mask)\.nii(\.gz)?$", re.IGNORECASE),
    ),
    ("ct", re.compile(r"(?P<stem>.+?)(_ct)?\.nii(\.gz)?$", re.IGNORECASE)),
)
#: Words of the naming conventions that say nothing about which scan it is.
_WORDS = frozenset({"sub", "dir", "ct", "split"})


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """Files of one scan. cut: centroids of vertebrae that the scan cuts.

    cts: pictures of that name; the first one's grid counts where there is no mask.
    """

    name: str
    centroids: Path | None = None
    mask: Path | None = None
    cut: Path | None = None
    cts: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class CasePair:
    """A reference and what was predicted for it; prediction None: nothing was."""

    name: str
    reference: CaseFiles
    prediction: CaseFiles | None


def case_key(stem: str) -> str:
    """What names a scan in every convention: `sub-verse506_dir-iso` gives `verse506-iso`."""
    words = re.split(r"[_-]", stem.lower())
    if "split" in words:
        words = words[words.index("split") + 1 :]
    return "-".join(word for word in words if word not in _WORDS)


def find_case_files(root: Path, outside: Sequence[Path] = ()) -> dict[str, CaseFiles]:
    """Files of every scan below root by case key; hidden files and folders `outside` left out.

    Links are followed, each real folder once. UsageError where root is no folder, a folder cannot
    be listed or two files of one kind belong to one scan.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: expected a folder with centroids and masks, found none")
    return _case_files(root, files_below(root, outside))


def find_references(root: Path, outside: Sequence[Path] = ()) -> dict[str, CaseFiles]:
    """See find_case_files; results of runs of the container that lie among the references are none."""
    if not root.is_dir():
        return find_case_files(root)
    paths = files_below(root, outside)
    runs = {path.parent for path in paths if path.name == REPORT_NAME} - {root}
    kept = [path for path in paths if runs.isdisjoint(path.parents)]
    found = _case_files(root, kept)
    if not found:
        return _case_files(root, paths)
    for run in sorted(runs):
        logger.info("passed over, results of a run: %s", run)
    return found


def _case_files(root: Path, paths: Iterable[Path]) -> dict[str, CaseFiles]:
    cases: dict[str, dict[str, Path]] = {}
    cts: dict[str, list[Path]] = {}
    for path in paths:
        kind, stem = _kind_and_stem(path, root)
        if kind is None or not path.is_file():
            continue
        key = case_key(stem)
        if kind == "ct":  # a CT and a reformat of it are no conflict: only grids are read
            cts.setdefault(key, []).append(path)
            continue
        other = cases.setdefault(key, {}).setdefault(kind, path)
        if other != path:
            raise UsageError(f"expected one file of its kind per scan, got {other} and {path}")
    return {
        key: CaseFiles(key, **files, cts=tuple(cts.get(key, ())))
        for key, files in cases.items()
        if "centroids" in files or "mask" in files
    }


def pair_cases(reference: Path, prediction: Path) -> tuple[tuple[CasePair, ...], tuple[str, ...]]:
    """Every scan of the reference folder with its prediction; and predictions without reference.

    One folder may lie inside the other. UsageError where no scan is found or none has a prediction.
    """
    truth = find_references(reference, [prediction])
    found = find_case_files(prediction, [reference])
    if not truth:
        raise UsageError(
            f"{reference}: expected annotated scans (…_ctd.json, …_seg.nii.gz), found none"
        )
    pairs = tuple(CasePair(key, files, found.get(key)) for key, files in sorted(truth.items()))
    if not any(pair.prediction for pair in pairs):
        raise UsageError(
            f"{prediction}: expected predictions for scans such as {pairs[0].name}, "
            f"got {', '.join(sorted(found)[:3]) or 'none'}"
        )
    return pairs, tuple(sorted(set(found) - set(truth)))


def _kind_and_stem(path: Path, root: Path) -> tuple[str | None, str]:
    for kind, pattern in _KINDS:
        match = pattern.match(path.name)
        if match is None:
            continue
        stem = match["stem"]
        # …_seg-subreg_msk holds subregions; any other derivative is no CT.
        if kind == "mask" and "_seg-" in stem.lower():
            return None, stem
        if kind == "ct" and is_derivative(path.relative_to(root)):
            return None, stem
        return kind, stem
    return None, path.name
