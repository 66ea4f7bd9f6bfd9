"""VerSe files: centroids in the three conventions, masks with their source's header, names of outputs.

In all conventions X, Y, Z count along the axes of the image reoriented to a stated direction, from
its first voxel's centre:

    verse    voxels of the native grid; the direction stands in the file's first entry
             (github.com/anjany/verse, the restructured data)
    verse20  mm; axes P, I, R of nibabel: X to posterior, Y to inferior, Z from left to right
    verse19  mm; axes I, P, L: X to inferior, Y to posterior, Z from right to left

The challenge data were on a 1 mm grid, where voxels are mm. Here index × spacing is written, measured
along the grid's own axes from the corner voxel's centre. Outputs are named as in the VerSe data, after
their scan.
"""

import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from verse_infer.anatomy import LABELS, NO_VERTEBRAE
from verse_infer.ct import Centroid, SourceGeometry, to_source
from verse_infer.errors import CentroidFileError, UsageError
from verse_infer.files.atomic import atomic_write
from verse_infer.files.nifti import GZIP_FORMAT
from verse_infer.texts import read_json

Convention = Literal["verse", "verse20", "verse19"]
CONVENTIONS: tuple[Convention, ...] = ("verse", "verse20", "verse19")
_DIRECTIONS: dict[Convention, tuple[str, str, str]] = {
    "verse20": ("P", "I", "R"),
    "verse19": ("I", "P", "L"),
}
logger = logging.getLogger(__name__)
#: A label that rounding has moved by no more than this is still that label.
LARGEST_ROUNDING = 0.05
#: Written digits after the point: 0.001 voxel or mm.
_DIGITS = 3
#: ISA-L's: files a seventh to two fifths larger than zlib's level 4, in a twentieth of its time.
_GZIP_LEVEL = 2
_CT_ENDING = re.compile(r"(?P<stem>.+?)\.nii(\.gz)?\Z", re.IGNORECASE | re.DOTALL)
_BIDS_CT = re.compile(r"(?P<stem>sub-.+)_ct\Z", re.DOTALL)
#: Name parts that say a NIfTI file is a mask or another derivative, as whole parts between _ or -.
_DERIVATIVE_FOLDERS = frozenset(
    # BIDS; TotalSegmentator; nnU-Net; and by hand
    {"derivatives", "segmentations", "labelstr", "labelsts", "labels", "masks"}
)
_DERIVATIVE = re.compile(
    r"(^|[_-])(seg|msk|mask|dseg|label|labels|labelmap|segmentation|ctd|snp|heatmap|vert)($|[_.-])",
    re.IGNORECASE,
)


def write_centroids(
    path: Path, centroids: Sequence[Centroid], source: SourceGeometry, convention: Convention
) -> None:
    """Write centroids (LPS mm) of a scan; `verse` uses the file's own axes as direction."""
    direction = _DIRECTIONS.get(convention) or nib.aff2axcodes(source.affine)
    axes = _DirectedAxes.of(source, direction, in_voxels=convention == "verse")
    entries: list[dict[str, Any]] = (
        [] if convention != "verse" else [{"direction": list(direction)}]
    )
    for centroid in centroids:
        x, y, z = axes.place(centroid.point)
        place = {"X": round(x, _DIGITS), "Y": round(y, _DIGITS), "Z": round(z, _DIGITS)}
        entries.append({"label": centroid.label, **place})
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(entries, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_centroids(
    path: Path, source: SourceGeometry, convention: Convention | None = None
) -> tuple[Centroid, ...]:
    """Centroids in LPS mm; CentroidFileError says what was expected and what came.

    convention None: `verse` if the file states a direction, else by its name (…_iso-ctd.json is
    verse20, …_ctd.json verse19). Sacrum and coccyx are passed over, as in masks, with a line in the log.
    """
    centroids, passed_over = read_centroid_file(path, source, convention)
    if passed_over:
        logger.info("%s: labels %s are no vertebrae: passed over", path, list(passed_over))
    return centroids


def read_centroid_file(
    path: Path, source: SourceGeometry, convention: Convention | None = None
) -> tuple[tuple[Centroid, ...], tuple[int, ...]]:
    """See read_centroids; and the labels that are no vertebrae's."""
    entries = _entries(path)
    stated = [entry["direction"] for entry in entries if "direction" in entry]
    entries = [entry for entry in entries if "direction" not in entry]
    if convention is None:
        convention = "verse" if stated else _convention_by_name(path)
    if convention == "verse":
        direction = _checked_direction(path, stated)
    else:
        direction = _DIRECTIONS[convention]
    axes = _DirectedAxes.of(source, direction, in_voxels=convention == "verse")
    centroids, passed_over = [], []
    for entry in entries:
        label, place = _checked_entry(path, entry)
        if label in NO_VERTEBRAE:
            passed_over.append(label)
            continue
        x, y, z = axes.point(place).tolist()
        centroids.append(Centroid(label, (x, y, z)))
    labels = [c.label for c in centroids]
    if len(set(labels)) < len(labels):
        raise CentroidFileError(f"{path}: expected each label once, got {labels}")
    return tuple(centroids), tuple(passed_over)


def write_mask(path: Path, mask: NDArray[np.uint8], source: SourceGeometry) -> None:
    """Write labels (z, y, x of the CT) as uint8 .nii.gz on the file's own grid; see packed_mask."""
    write_packed(path, packed_mask(mask, source))


def write_packed(path: Path, content: Sequence[bytes]) -> None:
    """Write a packed mask, which appears under its name only when whole."""
    with atomic_write(path) as partial, partial.open("wb") as file:
        file.writelines(content)


def packed_mask(mask: NDArray[np.uint8], source: SourceGeometry) -> list[bytes]:
    """Labels (z, y, x of the CT) as the pieces of a uint8 .nii.gz on the file's own grid.

    All that the source's header says of space, the mask's says, too, field by field, also where it
    contradicts itself: whichever field a program goes by, it lays the mask on its scan. The bytes
    depend on the mask, the source and the kind of processor alone: gzip gets no time and no name.
    """
    header = type(source.header)()  # NIfTI-1 or NIfTI-2
    header.set_data_dtype(np.uint8)
    header.set_data_shape(source.shape)
    for field in _GEOMETRY_FIELDS:
        header[field] = source.header[field]
    header["descrip"] = b"VerSe vertebra labels"
    header["cal_max"] = 28
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    header["vox_offset"] = len(header.binaryblock) + 4
    voxels = np.asarray(to_source(mask, source), np.uint8)
    packer = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, GZIP_FORMAT)
    pieces = [packer.compress(header.binaryblock + b"\0\0\0\0")]
    for plane in np.moveaxis(voxels, 2, 0):
        pieces.append(packer.compress(plane.tobytes(order="F")))
    return [*pieces, packer.flush()]


_GEOMETRY_FIELDS = (
    "pixdim",
    "xyzt_units",
    "dim_info",
    "slice_code",
    "slice_start",
    "slice_end",
    "slice_duration",
    "toffset",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
)


@dataclass(frozen=True, slots=True)
class _DirectedAxes:
    """X, Y, Z of a centroid file, along the axes of its image turned to the stated direction.

    Points lie on the orthonormal lattice on which the stages find them and on which the mask is made:
    so a centroid lies in its vertebra's voxels also where a header shears the axes.

    axes, flips: X, Y, Z run along file axis axes[d], reversed where flips[d].
    unit: mm or voxels of one voxel's step along X, Y, Z.
    """

    source: SourceGeometry
    axes: NDArray[np.intp]
    flips: NDArray[np.bool_]
    unit: NDArray[np.float64]

    @classmethod
    def of(
        cls, source: SourceGeometry, direction: Sequence[str], *, in_voxels: bool
    ) -> "_DirectedAxes":
        """direction: axis codes, such as P, I, R."""
        wanted = nib.orientations.axcodes2ornt(direction)
        turn = nib.orientations.ornt_transform(nib.io_orientation(source.affine), wanted)
        axes = turn[:, 0].argsort()
        unit = np.ones(3) if in_voxels else source.grid.file_spacing[axes]
        return cls(source, axes, turn[axes, 1] < 0, unit)

    def place(self, point: Sequence[float]) -> NDArray[np.float64]:
        """X, Y, Z of an LPS point, mm."""
        return self._flipped(self.source.grid.file_index(point)[self.axes]) * self.unit

    def point(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """LPS mm of X, Y, Z."""
        index = np.empty(3)
        index[self.axes] = self._flipped(place / self.unit)
        return self.source.grid.file_point(index)

    def _flipped(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        last = np.take(self.source.shape, self.axes) - 1
        return np.where(self.flips, last - index, index)


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise CentroidFileError(f"{path}: expected a JSON list, got: {error}") from error
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise CentroidFileError(f"{path}: expected a list of entries, got {str(content)[:80]}")
    return content


def _convention_by_name(path: Path) -> Convention:
    if path.name.endswith("_iso-ctd.json"):
        return "verse20"
    if path.name.endswith("_ctd.json"):
        return "verse19"
    raise CentroidFileError(
        f"{path}: no direction in the file, and its name is neither …_iso-ctd.json (VerSe'20) nor "
        "…_ctd.json (VerSe'19); state the convention"
    )


def _checked_direction(path: Path, stated: list[Any]) -> tuple[str, ...]:
    direction: Any = stated[0] if len(stated) == 1 else stated or None
    axes = ("LR", "AP", "IS")
    found = [
        next((i for i, pair in enumerate(axes) if isinstance(d, str) and d in pair and d), -1)
        for d in (direction if isinstance(direction, list) else ())
    ]
    if sorted(found) != [0, 1, 2]:
        raise CentroidFileError(
            f'{path}: expected a first entry like {{"direction": ["P", "I", "R"]}}, got {direction!r}'
        )
    return tuple(direction)


def _checked_entry(path: Path, entry: dict[str, Any]) -> tuple[int, NDArray[np.float64]]:
    stated = [_number(entry.get(key)) for key in ("label", *"XYZ")]
    label = round(stated[0]) if math.isfinite(stated[0]) else 0
    whole = abs(stated[0] - label) <= LARGEST_ROUNDING
    if not np.isfinite(stated).all() or not whole or label not in (*LABELS, *NO_VERTEBRAE):
        raise CentroidFileError(
            f"{path}: expected label (one of 1-28), X, Y, Z as numbers, got {entry}"
        )
    return label, np.array(stated[1:], np.float64)


def _number(value: Any) -> float:
    """Of an entry, also where a spreadsheet made a text of it; nan where it is none."""
    try:
        return math.nan if isinstance(value, bool | None) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


@dataclass(frozen=True, slots=True)
class OutputNames:
    """Where one case's outputs go."""

    centroids: Path
    mask: Path
    preview: Path
    report: Path

    def all(self) -> tuple[Path, ...]:
        """Centroids, mask, preview, report."""
        return self.centroids, self.mask, self.preview, self.report


def is_nifti(path: Path) -> bool:
    """Does the name end in .nii or .nii.gz?"""
    return _CT_ENDING.match(path.name) is not None


def is_derivative(path: Path) -> bool:
    """Does the name or a folder say that this NIfTI is a mask or other derivative, not a scan?"""
    match = _CT_ENDING.match(path.name)
    stem = match["stem"] if match else path.name
    folders = {part.lower() for part in path.parts[:-1]}
    return bool(folders & _DERIVATIVE_FOLDERS) or _DERIVATIVE.search(stem) is not None


def output_names(case: Path, output: Path, convention: Convention) -> OutputNames:
    """Outputs of a case in the folder that mirrors its own.

    case: relative to the input folder. A BIDS-like sub-…_ct gets the names of the restructured
    VerSe data, any other NAME gets NAME_ctd.json (NAME_iso-ctd.json in the VerSe'20 convention),
    NAME_seg.nii.gz, NAME_snp.png and NAME_report.json.
    """
    if case.is_absolute() or ".." in case.parts:
        raise UsageError(f"{case}: expected a path inside the input folder")
    match = _CT_ENDING.match(case.name)
    if match is None:
        raise UsageError(f"{case}: expected a name that ends in .nii or .nii.gz")
    folder, stem = output / case.parent, match["stem"]
    bids = _BIDS_CT.match(stem)
    if bids:
        start = f"{bids['stem']}_seg-"
        endings = ("subreg_ctd.json", "vert_msk.nii.gz", "vert_snp.png", "vert_report.json")
    else:
        start = f"{stem}_"
        centroids = "iso-ctd.json" if convention == "verse20" else "ctd.json"
        endings = (centroids, "seg.nii.gz", "snp.png", "report.json")
    return OutputNames(*(folder / (start + ending) for ending in endings))
