"""Cut views: parts of annotated scans, from one height to another, to see whether names still hold.

Lessmann et al. 2019 (section 5.2) cut their scans so. A name must not depend on what else is in view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from verse_infer.ct import Centroid, SourceGeometry
from verse_infer.files.atomic import atomic_write
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import output_names, read_centroids, write_centroids
from verse_infer.spine import z_range_of
from verse_train.data.datasets import AnnotatedScan
from verse_train.data.fields_of_view import SURELY_WHOLE
from verse_train.data.preparation import read_mask

#: Lengths of views, mm.
LENGTHS_MM = (100.0, 300.0)
#: Share of a vertebra's voxels that a view must hold for it to be whole.
WHOLE_SHARE = 0.98


@dataclass(frozen=True, slots=True)
class View:
    """Planes `first` up to, not including, `last` along a file's axis that runs along the spine."""

    axis: int
    first: int
    last: int

    def slices(self) -> tuple[slice, slice, slice]:
        """Of the file's array."""
        i, j, k = (
            slice(self.first, self.last) if axis == self.axis else slice(None) for axis in range(3)
        )
        return i, j, k


def write_cut_views(
    scan: AnnotatedScan, folder: Path, count: int, seed: int, mask: Path | None = None
) -> list[Path]:
    """Write so many random views of a scan as a restructured VerSe data set; returns the CTs' paths.

    mask: of all visible vertebrae of the uncut scan, on its grid; by it a vertebra is whole that lies in
    the view but for 2 %. Without it, one whose centre is as far from the cut as from its neighbour.
    Views shorter than LENGTHS_MM[0] are not made: a lower scan gives none.
    """
    ct = read_ct(scan.ct)
    centroids = read_centroids(scan.centroids, ct.source, scan.convention)
    cut = read_centroids(scan.cut, ct.source, "verse") if scan.cut else ()
    labels = read_mask(mask, ct.source) if mask else None
    image: Any = nib.load(scan.ct)
    rng = np.random.default_rng((seed, *scan.name.encode()))
    paths = []
    for number, view in enumerate(random_views(ct.source, count, rng)):
        part = image.slicer[view.slices()]
        source = _source_of(part)
        whole, partial = _sorted(centroids, cut, labels, view, source)
        if whole or partial:
            paths.append(
                _write(folder, f"sub-{scan.name}_view-{number:02d}", part, (whole, partial))
            )
    return paths


def mask_of(scan: AnnotatedScan, output: Path) -> Path | None:
    """The mask that the container wrote for a scan, wherever below its output folder; None if none."""
    name = output_names(Path(scan.ct.name), output, "verse").mask.name
    return next(iter(sorted(output.rglob(name))), None)


def random_views(source: SourceGeometry, count: int, rng: np.random.Generator) -> Iterator[View]:
    """Views of random length and height."""
    axis = source.grid.axes[0]
    spacing = float(np.linalg.norm(source.affine[:3, axis]))
    height = source.shape[axis] * spacing
    for _ in range(count if height >= LENGTHS_MM[0] else 0):
        length = min(rng.uniform(*LENGTHS_MM), height)
        planes = min(source.shape[axis], max(1, round(length / spacing)))
        first = int(rng.integers(source.shape[axis] - planes + 1))
        yield View(axis, first, first + planes)


def _source_of(image: Any) -> SourceGeometry:
    return SourceGeometry.of(image.affine, image.shape, image.header)


def _sorted(
    whole: Sequence[Centroid],
    cut: Sequence[Centroid],
    labels: NDArray[np.uint8] | None,
    view: View,
    part: SourceGeometry,
) -> tuple[list[Centroid], list[Centroid]]:
    """Vertebrae that are whole in the view, and those it cuts but whose centre it holds."""
    z = [float(c.point[2]) for c in (*whole, *cut)]
    bottom, top = z_range_of(part.grid.lattice)
    kept: list[Centroid] = []
    halved = [c for c in cut if bottom <= c.point[2] <= top]
    for centroid in whole:
        height = centroid.point[2]
        if not bottom <= height <= top:
            continue
        voxels = 0 if labels is None else np.count_nonzero(labels == centroid.label)
        if labels is not None and voxels:
            inside = np.count_nonzero(labels[view.slices()] == centroid.label)
            is_whole = bool(inside >= WHOLE_SHARE * voxels)
        else:
            step = min((abs(height - other) for other in z if other != height), default=25.0)
            is_whole = bool(min(height - bottom, top - height) >= SURELY_WHOLE * step)
        (kept if is_whole else halved).append(centroid)
    return kept, halved


def _write(
    folder: Path, name: str, part: nib.Nifti1Image, centroids: tuple[list[Centroid], list[Centroid]]
) -> Path:
    source = _source_of(part)
    truth = folder / "derivatives" / name
    truth.mkdir(parents=True, exist_ok=True)
    write_centroids(truth / f"{name}_seg-subreg_ctd.json", centroids[0], source, "verse")
    write_centroids(truth / f"{name}_partial_ctd.json", centroids[1], source, "verse")
    ct = folder / "rawdata" / name / f"{name}_ct.nii.gz"
    with atomic_write(ct) as partial:
        nib.save(part, partial)
    return ct
