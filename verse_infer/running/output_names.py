"""Names of outputs, and telling a CT from what others made of it, by VerSe's file names."""

import re
from dataclasses import dataclass
from pathlib import Path

from verse_infer.errors import UsageError
from verse_infer.verse_files import Convention

_CT_ENDING = re.compile(r"(?P<stem>.+?)\.nii(\.gz)?\Z", re.IGNORECASE | re.DOTALL)
_BIDS_CT = re.compile(r"(?P<stem>sub-.+)_ct\Z", re.DOTALL)
#: Name parts that say a NIfTI file is a mask or another derivative, as whole parts between _ or -.
_DERIVATIVE = re.compile(
    r"(^|[_-])(seg|msk|mask|dseg|label|labels|labelmap|segmentation|ctd|snp|heatmap|vert)($|[_.-])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class OutputNames:
    """Where one case's outputs go."""

    centroids: Path
    mask: Path
    preview: Path

    def all(self) -> tuple[Path, Path, Path]:
        """Centroids, mask, preview."""
        return self.centroids, self.mask, self.preview


def is_nifti(path: Path) -> bool:
    """Does the name end in .nii or .nii.gz?"""
    return _CT_ENDING.match(path.name) is not None


def is_derivative(path: Path) -> bool:
    """Does the name or a folder say that this NIfTI is a mask or other derivative, not a scan?"""
    match = _CT_ENDING.match(path.name)
    stem = match["stem"] if match else path.name
    return "derivatives" in path.parts or _DERIVATIVE.search(stem) is not None


def output_names(case: Path, output: Path, convention: Convention) -> OutputNames:
    """Outputs of a case in the folder that mirrors its own.

    case: relative to the input folder. A BIDS-like sub-…_ct gets the names of the restructured
    VerSe data, any other NAME gets NAME_ctd.json (NAME_iso-ctd.json in the VerSe'20 convention),
    NAME_seg.nii.gz and NAME_snp.png.
    """
    if case.is_absolute() or ".." in case.parts:
        raise UsageError(f"{case}: expected a path inside the input folder")
    match = _CT_ENDING.match(case.name)
    if match is None:
        raise UsageError(f"{case}: expected a name that ends in .nii or .nii.gz")
    folder, stem = output / case.parent, match["stem"]
    bids = _BIDS_CT.match(stem)
    if bids:
        base = bids["stem"]
        names = (f"{base}_seg-subreg_ctd.json", f"{base}_seg-vert_msk.nii.gz")
        return OutputNames(
            folder / names[0], folder / names[1], folder / f"{base}_seg-vert_snp.png"
        )
    ending = "_iso-ctd.json" if convention == "verse20" else "_ctd.json"
    return OutputNames(
        folder / (stem + ending), folder / f"{stem}_seg.nii.gz", folder / f"{stem}_snp.png"
    )
