"""Annotated scans on disk, in the three layouts of the VerSe data, behind one interface.

restructured (BIDS-like): rawdata/sub-X/sub-X_ct.nii.gz; derivatives/sub-X/ *_ctd.json, *_msk.nii.gz
VerSe'20: one folder per case with NAME.nii.gz, NAME_iso-ctd.json, NAME_seg.nii.gz
VerSe'19: flat, NAME.nii.gz, NAME_ctd.json, NAME_seg.nii.gz
"""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from verse_infer.batch.discovery import files_below
from verse_infer.errors import InputError
from verse_infer.files.verse import Convention

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnnotatedScan:
    """Files of one scan. cut: centroids of vertebrae the scan cuts, where such a file exists."""

    name: str
    ct: Path
    centroids: Path
    convention: Convention
    mask: Path | None = None
    cut: Path | None = None

    @property
    def patient(self) -> str:
        """Folds are made by it."""
        return patient_of(self.name)


def patient_of(name: str) -> str:
    """A scan's name without what tells scans of one patient apart.

    That is BIDS entities (verse401_split-verse201 and verse401_split-verse253), their counterpart
    in VerSe'20 (verse401_verse201_CT-iso), or a letter after a number (acrin001a).
    """
    subject = re.sub(r"(_[A-Za-z]+-[^_]+|_verse\d+)+$", "", name)
    return re.sub(r"(?<=\d)[a-z]$", "", subject)


def find_scans(root: Path) -> tuple[AnnotatedScan, ...]:
    """All scans below root that have centroids; InputError if there is none.

    Links are followed, each real folder once.
    """
    found = _restructured(root) if (root / "rawdata").is_dir() else _challenge(root)
    scans = tuple(sorted(found, key=lambda scan: scan.name))
    if not scans:
        raise InputError(
            f"{root}: expected annotated scans in one of the VerSe layouts, found none"
        )
    return scans


def _restructured(root: Path) -> Iterable[AnnotatedScan]:
    for ct in _files(root / "rawdata", "_ct.nii.gz"):
        stem = ct.name.removesuffix("_ct.nii.gz")
        # As the path was walked: wherever a linked folder of rawdata lies, its counterpart is here.
        folder = root / "derivatives" / ct.parent.relative_to(root / "rawdata")
        centroids = folder / f"{stem}_seg-subreg_ctd.json"
        if centroids.exists():
            yield AnnotatedScan(
                stem.removeprefix("sub-"),
                ct,
                centroids,
                "verse",
                _if_exists(folder / f"{stem}_seg-vert_msk.nii.gz"),
                _if_exists(folder / f"{stem}_partial_ctd.json"),
            )


def _challenge(root: Path) -> Iterable[AnnotatedScan]:
    kinds: tuple[tuple[str, Convention], ...] = (
        ("_iso-ctd.json", "verse20"),
        ("_ctd.json", "verse19"),
    )
    for ct in _files(root, ".nii.gz"):
        stem = ct.name.removesuffix(".nii.gz")
        for ending, convention in kinds:
            centroids = ct.with_name(stem + ending)
            if centroids.exists():
                mask = _if_exists(ct.with_name(f"{stem}_seg.nii.gz"))
                yield AnnotatedScan(stem, ct, centroids, convention, mask)
                break


def _files(folder: Path, ending: str) -> Iterable[Path]:
    return (path for path in files_below(folder) if path.name.endswith(ending))


def _if_exists(path: Path) -> Path | None:
    return path if path.exists() else None


def with_masks(scans: Sequence[AnnotatedScan]) -> list[AnnotatedScan]:
    """Those that stage 3 can learn from; InputError if none has a mask."""
    kept = [scan for scan in scans if scan.mask is not None]
    if not kept:
        raise InputError(f"expected scans with vertebra masks, got {len(scans)} without")
    if len(kept) < len(scans):
        logger.info("left out, without a mask: %d of %d scans", len(scans) - len(kept), len(scans))
    return kept
