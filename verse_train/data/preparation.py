"""Annotated scans as prepared cases at one spacing, kept in a cache until their files change."""

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verse_eval.grids import read_label_map
from verse_infer.ct import Centroid, Ct, SourceGeometry, from_source, to_source, turn_onto
from verse_infer.errors import InputError
from verse_infer.files.ct_reading import read_ct
from verse_infer.files.verse import read_centroids
from verse_infer.grid import Lattice
from verse_infer.resampling import sample
from verse_train.data.datasets import AnnotatedScan
from verse_train.data.prepared import PreparedCase, save_prepared

logger = logging.getLogger(__name__)
#: Half the extent in x and y kept around the spine for stages 2 and 3, mm: half the diagonal of a
#: rotated and enlarged sample, and some more.
MARGIN_MM = 130.0


def prepare_scan(
    scan: AnnotatedScan, spacing_mm: float, smoothing_mm: float, cache: Path, *, whole: bool
) -> Path:
    """The scan at an isotropic spacing as a PreparedCase in the cache; made once.

    whole: keep the full width and depth (stage 1), else only what lies around the spine.
    Made anew when one of the scan's files has changed, or the way of preparing it. What the cache
    had of the same CT at this spacing is then removed, as a training takes all cases of a folder;
    cases of another spacing are another stage's and stay. A scan of the same name from another
    place stays, too, and is warned of: it may be the same after a move, or another patient.
    """
    alike = f"{scan.name}_{spacing_mm:g}mm_"
    same = f"{alike}{_digest(scan.ct.parent.resolve() / scan.ct.name)}_"
    state = _digest(_states(scan), scan.convention, spacing_mm, smoothing_mm, whole)
    path = cache / f"{same}{state}.npz"
    if not path.exists():
        save_prepared(path, prepared_scan(scan, spacing_mm, smoothing_mm, whole=whole))
    _remove_superseded(path, alike, same)
    return path


def _remove_superseded(path: Path, alike: str, same: str) -> None:
    """Leave one prepared case of a CT in its folder.

    alike, same: how names begin of cases of the scan's name and spacing, and of this very CT.
    """
    name = re.compile(re.escape(alike) + r"([0-9a-f]{12}_)?[0-9a-f]{12}\.npz")
    others = [p for p in sorted(path.parent.iterdir()) if p != path and name.fullmatch(p.name)]
    for other in others:
        if other.name.startswith(same):
            logger.info("superseded, removed: %s", other)
            other.unlink()
        else:
            logger.warning("%s: of the same name as %s; both are trained on", other, path.name)


def _states(scan: AnnotatedScan) -> list[tuple[str, int, int] | None]:
    """Path, time of the last change (ns) and size of each of a scan's files."""
    return [
        _state(file) if file else None for file in (scan.ct, scan.centroids, scan.mask, scan.cut)
    ]


def _state(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file.resolve()), status.st_mtime_ns, status.st_size


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]


def prepared_scan(
    scan: AnnotatedScan, spacing_mm: float, smoothing_mm: float, *, whole: bool
) -> PreparedCase:
    """The scan at an isotropic spacing; whole: as in prepare_scan."""
    ct = read_ct(scan.ct)
    centroids = read_centroids(scan.centroids, ct.source, scan.convention)
    cut = read_centroids(scan.cut, ct.source, "verse") if scan.cut else ()
    lattice = _around(ct, () if whole else (*centroids, *cut), spacing_mm)
    mask = None
    if scan.mask:
        labels = from_source(read_mask(scan.mask, ct.source), ct.source)
        mask = _nearest(labels, ct.lattice, lattice)
    hu = np.rint(sample(ct, lattice, smoothing_mm)).astype(np.int16)
    return PreparedCase(scan.name, scan.patient, hu, mask, centroids, cut, lattice)


def read_mask(path: Path, source: SourceGeometry) -> NDArray[np.uint8]:
    """VerSe labels on the grid of the CT's file, i, j, k; InputError if they are on another grid."""
    label_map, grid = read_label_map(path)
    try:
        turn = turn_onto(grid.source, source)
    except ValueError as error:
        raise InputError(f"{path}: not on the grid of its CT: {error}") from error
    return turn.applied(to_source(label_map.labels, grid.source))


def _around(ct: Ct, centroids: Sequence[Centroid], spacing_mm: float) -> Lattice:
    """Axis-aligned lattice over the scan, in x and y no farther than MARGIN_MM from the centroids."""
    corners = ct.lattice.corners()
    low, high = corners.min(axis=0), corners.max(axis=0)
    if centroids:
        points = np.array([c.point for c in centroids])
        low[:2] = np.maximum(low[:2], points[:, :2].min(axis=0) - MARGIN_MM)
        high[:2] = np.minimum(high[:2], points[:, :2].max(axis=0) + MARGIN_MM)
    size = np.floor((high - low) / spacing_mm).astype(int) + 1
    return Lattice(tuple(low.tolist()), (spacing_mm,) * 3, tuple(size.tolist()))


def _nearest(labels: NDArray[np.uint8], source: Lattice, lattice: Lattice) -> NDArray[np.uint8]:
    """Labels of the nearest voxel of `source`, 0 outside; z, y, x on lattice."""
    result = np.zeros(lattice.shape, np.uint8)
    columns, rows = np.meshgrid(np.arange(lattice.size[0]), np.arange(lattice.size[1]))
    for k in range(lattice.size[2]):
        points = lattice.point(np.stack([columns, rows, np.full_like(rows, k)], axis=-1))
        index = np.rint(source.index(points)).astype(int)
        inside = ((index >= 0) & (index < source.size)).all(axis=-1)
        column, row, plane = index[inside].T
        result[k][inside] = labels[plane, row, column]
    return result
