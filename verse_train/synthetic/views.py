"""Fields of view of bodies: what of an invented or a real one a scan shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import label_of
from verse_infer.ct import Centroid
from verse_infer.grid import Lattice, Point
from verse_train.synthetic.anatomy_map import AnatomyMap
from verse_train.synthetic.donor import Donor
from verse_train.synthetic.procedural import Bones, invent_anatomy
from verse_train.synthetic.spine_curve import REGULAR_KIND, column_of

#: Share of invented vertebrae with a fracture or osteophytes.
DEFORMED = 0.15


@dataclass(frozen=True, slots=True)
class View:
    """Where along an invented spine a scan looks.

    below_mm: range of how far the middle of the view lies below T6. whole: vertebrae that must be
    whole in it. heights_mm: range of its height; None leaves it to whoever draws the scan.
    """

    below_mm: tuple[float, float]
    whole: tuple[str, ...] = ()
    heights_mm: tuple[float, float] | None = None

    def shows(self, anatomy: AnatomyMap) -> bool:
        """Whether all vertebrae that must be whole in it are."""
        seen = {centroid.label for centroid in anatomy.centroids}
        return seen.issuperset(label_of(name) for name in self.whole)


#: View of each kind of column. Of an irregular one as much as a reader needs to name its vertebrae: the
#: lumbar ones are counted from the last rib to the sacrum, the thoracic ones from the first rib to
#: the last; a scan of less looks like one of a regular column.
_LUMBAR = ((200.0, 300.0), (300.0, 420.0))
_THORACIC = ((10.0, 90.0), (380.0, 460.0))
VIEWS = {
    REGULAR_KIND: View((-310.0, 280.0)),
    "L6": View(_LUMBAR[0], ("T12", "L6"), _LUMBAR[1]),
    "no L5": View(_LUMBAR[0], ("T12", "L4"), _LUMBAR[1]),
    "T13": View(_THORACIC[0], ("T1", "L1"), _THORACIC[1]),
    "no T12": View(_THORACIC[0], ("T1", "L1"), _THORACIC[1]),
}


def invented(
    kind: str,
    view: View,
    spacing: float | Point,
    size: tuple[int, int, int],
    rng: np.random.Generator,
    donor: Donor | None = None,
) -> AnatomyMap:
    """An invented body with a kind of column (see column_of) on a lattice that looks at the view.

    donor: see Bones.
    """
    lattice = Lattice.centred((0.0, -25.0, 0.0), spacing, size)
    height = rng.uniform(*view.below_mm)
    middle = (rng.uniform(-15, 15), 0.0, height)
    return invent_anatomy(
        lattice, rng, names=column_of(kind), middle=middle, bones=Bones(DEFORMED, donor)
    )


def cut_out(
    atlas: AnatomyMap,
    spacing: float | Point,
    size: tuple[int, int, int],
    rng: np.random.Generator,
) -> AnatomyMap:
    """A field of view of an atlas body around a random vertebra; labels of the nearest voxel."""
    centre = atlas.centroids[int(rng.integers(len(atlas.centroids)))].point
    x, y, z = centre
    middle = (x + rng.uniform(-15, 15), y - 25.0 + rng.uniform(-10, 10), z)
    lattice = Lattice.centred(middle, spacing, size)
    picks = nearest_indices(atlas.lattice, lattice)
    tissue, vertebrae = (picked(array, picks) for array in (atlas.tissue, atlas.vertebrae))
    volumes = np.bincount(atlas.vertebrae.ravel(), minlength=29) * np.prod(atlas.lattice.spacing)
    return _with_centroids(tissue, vertebrae, atlas.centroids, volumes, lattice)


def picked(array: NDArray[np.uint8], picks: Sequence[NDArray[np.intp]]) -> NDArray[np.uint8]:
    """Voxels at the given indices along x, y, z; 0 outside."""
    inside = [(p >= 0) & (p < n) for p, n in zip(picks, array.shape[::-1], strict=True)]
    result = np.zeros([len(p) for p in picks[::-1]], np.uint8)
    where = np.ix_(*(i.nonzero()[0] for i in inside[::-1]))
    result[where] = array[np.ix_(*(p[i] for p, i in zip(picks[::-1], inside[::-1], strict=True)))]
    return result


def _with_centroids(
    tissue: NDArray[np.uint8],
    vertebrae: NDArray[np.uint8],
    centroids: Sequence[Centroid],
    volumes: NDArray[np.float64],
    lattice: Lattice,
) -> AnatomyMap:
    """Sorts centroids into whole and cut by how much of each vertebra's volume is inside."""
    inside = np.bincount(vertebrae.ravel(), minlength=29) * np.prod(lattice.spacing)
    border = _border_labels(vertebrae)
    seen = [
        c
        for c in centroids
        if ((index := lattice.index(c.point)) >= 0).all() and (index < lattice.size).all()
    ]
    whole = [c for c in seen if inside[c.label] > 0.9 * volumes[c.label] and c.label not in border]
    cut = [c for c in seen if c not in whole]
    return AnatomyMap(tissue, vertebrae, tuple(whole), tuple(cut), lattice)


def _border_labels(vertebrae: NDArray[np.uint8]) -> set[int]:
    """Labels that touch the bottom or the top slice."""
    return set(np.unique(vertebrae[[0, -1]]).tolist()) - {0}


def nearest_indices(grid: Lattice, lattice: Lattice) -> list[NDArray[np.intp]]:
    """Per axis x, y, z: the index of the grid nearest to each voxel of another lattice.

    Both axis-aligned.
    """
    return [
        np.rint((o + s * np.arange(n) - a) / b).astype(np.intp)
        for o, s, n, a, b in zip(
            lattice.origin, lattice.spacing, lattice.size, grid.origin, grid.spacing, strict=True
        )
    ]
