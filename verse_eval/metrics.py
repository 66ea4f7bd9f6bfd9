"""How near a prediction comes to the truth: centroids, overlap, matched vertebrae, surfaces.

Matching says which predicted vertebra lies on which true one, whatever its name says. Lessmann et al.
2019, section 4.2: a true vertebra is compared with the predicted one that it overlaps most. Here the
overlap must be the largest for both, so that a mask that leaks into its neighbour does not stand for it;
vertebrae without masks are matched by mutually nearest centroids within 20 mm.

Distances between surfaces are exact, between voxel centres. A mask's surface is its voxels with a face
neighbour outside the mask; what lies beyond the array is outside, and so is a touching vertebra of
another label.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from verse_infer.anatomy import LABELS
from verse_infer.ct import Centroid

#: A vertebra farther from its true place than this is not identified (Sekuboyina et al. 2021).
IDENTIFICATION_MM = 20.0

#: What makes a vertebra identified, besides lying within 20 mm of its true place:
#:   challenge  among the true centroids of labels that the prediction has, too, its own is the
#:              closest to the predicted one (get_hits of github.com/anjany/verse,
#:              utils/eval_utilities.py: the code the challenge published)
#:   text       among the predicted centroids, its own is the closest to the true one (Sekuboyina et
#:              al. 2021, section 2.3; the code above asks something else)
#:   glocker    among all true centroids, its own is the closest to the predicted one (Glocker et
#:              al. 2013; to be counted over the data set, not per scan)
IdentificationRule = Literal["challenge", "text", "glocker"]


def distances_mm(
    reference: Sequence[Centroid], prediction: Sequence[Centroid]
) -> Mapping[int, float]:
    """Distance of every label that both have, mm."""
    found = {c.label: np.array(c.point) for c in prediction}
    return {
        c.label: float(np.linalg.norm(found[c.label] - c.point))
        for c in reference
        if c.label in found
    }


def identified(
    reference: Sequence[Centroid],
    prediction: Sequence[Centroid],
    rule: IdentificationRule = "challenge",
) -> frozenset[int]:
    """Labels of the reference that the prediction identifies; centroids in mm, each label once."""
    truth = {c.label: c.point for c in reference}
    found = {c.label: c.point for c in prediction}
    common = sorted(truth.keys() & found.keys())
    if rule == "text":
        return frozenset(k for k in common if _hits(k, truth[k], found))
    rivals = {k: truth[k] for k in common} if rule == "challenge" else truth
    return frozenset(k for k in common if _hits(k, found[k], rivals))


def _hits(
    label: int, point: tuple[float, float, float], others: Mapping[int, tuple[float, float, float]]
) -> bool:
    """Is the point's nearest neighbour among others the one of its label, and near enough?

    Of equally near ones the lowest label counts, as argmin does in the challenge's code.
    """
    labels = sorted(others)
    distance = _distances(point, np.array([others[k] for k in labels]))
    nearest = int(distance.argmin())
    return labels[nearest] == label and bool(distance[nearest] <= IDENTIFICATION_MM)


def _distances(
    point: tuple[float, float, float], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(points - point, axis=1))


_SIZE = max(LABELS) + 1


@dataclass(frozen=True, slots=True)
class OverlapTable:
    """voxels[i, j]: number of voxels with label i in the reference and j in the prediction.

    Int64, 29 × 29, rows and columns are VerSe labels, 0 is background; [0, 0] is not counted.
    """

    voxels: NDArray[np.int64]

    def dice(self, label: int) -> float:
        """2|A∩B| / (|A| + |B|); 1 where both lack the label, 0 where one does.

        As compute_dice of github.com/anjany/verse, utils/eval_utilities.py (empty_score 1).
        """
        total = self.voxels[label].sum() + self.voxels[:, label].sum()
        return float(2 * self.voxels[label, label] / total) if total else 1.0

    def in_reference(self) -> frozenset[int]:
        """Labels with at least one voxel in the reference."""
        return frozenset(label for label in LABELS if self.voxels[label].any())

    def in_prediction(self) -> frozenset[int]:
        """Labels with at least one voxel in the prediction."""
        return frozenset(label for label in LABELS if self.voxels[:, label].any())


def overlap_table(reference: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> OverlapTable:
    """Count shared voxels of two label maps (z, y, x) on one grid; ValueError if they differ."""
    if reference.shape != prediction.shape:
        raise ValueError(f"expected one grid, got {reference.shape} and {prediction.shape}")
    labelled = (reference | prediction) > 0
    pairs = reference[labelled].astype(np.int64) * _SIZE + prediction[labelled]
    if pairs.size and max(reference.max(), prediction.max()) >= _SIZE:
        raise ValueError(
            f"expected labels below {_SIZE}, got {max(reference.max(), prediction.max())}"
        )
    counts = np.bincount(pairs, minlength=_SIZE**2)
    return OverlapTable(counts.reshape(_SIZE, _SIZE))


def match_by_overlap(table: OverlapTable) -> dict[int, int]:
    """Predicted label by true label, for pairs that overlap each other most."""
    labels = range(1, len(table.voxels))
    return _mutual(table.voxels[1:, 1:], labels, labels)


def match_by_distance(
    reference: Sequence[Centroid], prediction: Sequence[Centroid]
) -> dict[int, int]:
    """Predicted label by true label, for pairs nearest to each other and within 20 mm."""
    if not reference or not prediction:
        return {}
    offsets = np.array([[np.subtract(p.point, r.point) for p in prediction] for r in reference])
    nearness = IDENTIFICATION_MM - np.linalg.norm(offsets, axis=2)
    # 20 mm sharp still counts.
    nearness = np.where(nearness >= 0, nearness + 1.0, 0.0)
    return _mutual(nearness, [c.label for c in reference], [c.label for c in prediction])


def match_vertebrae(
    table: OverlapTable | None, reference: Sequence[Centroid], prediction: Sequence[Centroid]
) -> dict[int, int]:
    """Predicted label by true label: by masks where both have them, the rest by centroids."""
    matched = match_by_overlap(table) if table else {}
    with_mask = table.in_reference() if table else frozenset()
    taken = set(matched.values())
    rest = match_by_distance(
        [c for c in reference if c.label not in with_mask],
        [c for c in prediction if c.label not in taken],
    )
    return {**rest, **matched}


def _mutual(
    affinity: NDArray[np.float64] | NDArray[np.int64],
    rows: Sequence[int],
    columns: Sequence[int],
) -> dict[int, int]:
    """Labels of rows and columns whose entry is positive and the largest of both."""
    best_column, best_row = affinity.argmax(axis=1), affinity.argmax(axis=0)
    return {
        rows[i]: columns[int(j)]
        for i, j in enumerate(best_column)
        if affinity[i, j] > 0 and best_row[j] == i
    }


Spacing = tuple[float, float, float]
Reduction = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """From every surface voxel of one mask to the nearest one of the other, mm.

    to_prediction: one entry per surface voxel of the reference; to_reference: of the prediction.
    Two empty masks are identical: all measures are 0. Where only one is empty no distance exists
    and all measures are nan.
    """

    to_prediction: NDArray[np.float64]
    to_reference: NDArray[np.float64]

    def hausdorff(self) -> float:
        """The largest of all distances (Sekuboyina et al. 2021, equation 2)."""
        return self._reduced(lambda one, other: max(one.max(), other.max()))

    def hausdorff95(self) -> float:
        """The larger one of the two directions' 95th percentiles (linearly interpolated)."""
        return self._reduced(
            lambda one, other: max(np.percentile(one, 95), np.percentile(other, 95))
        )

    def average_symmetric(self) -> float:
        """Mean over the surface voxels of both (ASSD; Lessmann et al. 2019, section 4.2)."""
        return self._reduced(lambda one, other: np.concatenate([one, other]).mean())

    def _reduced(self, reduction: Reduction) -> float:
        one, other = self.to_prediction, self.to_reference
        if one.size == 0 and other.size == 0:
            return 0.0
        if one.size == 0 or other.size == 0:
            return float("nan")
        return float(reduction(one, other))


def surface_distances(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], spacing_mm: Spacing
) -> SurfaceDistances:
    """Distances of two masks on one grid. spacing_mm: in the order of the axes, z, y, x."""
    if reference.shape != prediction.shape:
        raise ValueError(f"expected one grid, got {reference.shape} and {prediction.shape}")
    return _between(surface_points(reference, spacing_mm), surface_points(prediction, spacing_mm))


def surface_points(mask: NDArray[np.bool_], spacing_mm: Spacing) -> NDArray[np.float64]:
    """Voxel centres of the surface, mm from the first voxel's centre; (n, 3), z, y, x."""
    surface = mask & ~ndimage.binary_erosion(mask)
    return np.asarray(np.argwhere(surface) * np.asarray(spacing_mm), np.float64)


def label_surfaces(
    labels: NDArray[np.uint8], wanted: Sequence[int], spacing_mm: Spacing
) -> dict[int, NDArray[np.float64]]:
    """Surface points of every wanted label, mm; each worked out on the label's own box."""
    boxes = ndimage.find_objects(labels)
    surfaces = {}
    for label in wanted:
        box = boxes[label - 1] if label <= len(boxes) else None
        if box is None:
            surfaces[label] = np.empty((0, 3))
            continue
        corner = np.array([part.start for part in box]) * spacing_mm
        surfaces[label] = surface_points(labels[box] == label, spacing_mm) + corner
    return surfaces


def label_distances(
    reference: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    wanted: Sequence[int],
    spacing_mm: Spacing,
) -> dict[int, SurfaceDistances]:
    """Surface distances of every wanted label of two label maps (z, y, x) on one grid."""
    one = label_surfaces(reference, wanted, spacing_mm)
    other = label_surfaces(prediction, wanted, spacing_mm)
    return {label: _between(one[label], other[label]) for label in wanted}


def _between(one: NDArray[np.float64], other: NDArray[np.float64]) -> SurfaceDistances:
    return SurfaceDistances(_nearest(one, other), _nearest(other, one))


def _nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(others):
        return np.full(len(points), np.nan)
    return np.asarray(KDTree(others).query(points)[0], np.float64)
