"""Annotated scans on disk, in the three layouts of the VerSe data, behind one interface.

restructured (BIDS-like): rawdata/sub-X/sub-X_ct.nii.gz; derivatives/sub-X/ *_ctd.json, *_msk.nii.gz
VerSe'20: one folder per case with NAME.nii.gz, NAME_iso-ctd.json, NAME_seg.nii.gz
VerSe'19: flat, NAME.nii.gz, NAME_ctd.json, NAME_seg.nii.gz
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verse_eval.pairs import CaseFiles, find_references
from verse_infer.errors import InputError
from verse_infer.files.verse import Convention

logger = logging.getLogger(__name__)
#: By the ends of centroid files' names; the first that fits counts.
_CONVENTIONS: tuple[tuple[str, Convention], ...] = (
    ("_seg-subreg_ctd.json", "verse"),
    ("_iso-ctd.json", "verse20"),
    ("_ctd.json", "verse19"),
)


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

    Links are followed, each real folder once; results of runs of the container are no annotations.
    """
    found = find_references(root).values() if root.is_dir() else ()
    scans = [scan for files in found if (scan := _annotated(files))]
    if not scans:
        raise InputError(
            f"{root}: expected annotated scans in one of the VerSe layouts, found none"
        )
    return tuple(sorted(scans, key=lambda scan: scan.name))


def _annotated(files: CaseFiles) -> AnnotatedScan | None:
    """None without centroids or without a CT."""
    if files.centroids is None or not files.cts:
        return None
    ct, centroids = files.cts[0], files.centroids
    name = re.sub(r"_ct$", "", ct.name.removesuffix(".gz").removesuffix(".nii"))
    convention = next(c for ending, c in _CONVENTIONS if centroids.name.endswith(ending))
    return AnnotatedScan(
        name.removeprefix("sub-"), ct, centroids, convention, files.mask, files.cut
    )


def with_masks(scans: Sequence[AnnotatedScan]) -> list[AnnotatedScan]:
    """Those that stage 3 can learn from; InputError if none has a mask."""
    kept = [scan for scan in scans if scan.mask is not None]
    if not kept:
        raise InputError(f"expected scans with vertebra masks, got {len(scans)} without")
    if len(kept) < len(scans):
        logger.info("left out, without a mask: %d of %d scans", len(scans) - len(kept), len(scans))
    return kept
