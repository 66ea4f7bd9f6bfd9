"""Which predicted vertebra lies on which true one, whatever its name says.

Lessmann et al. 2019, section 4.2: a true vertebra is compared with the predicted one that it overlaps
most. Here the overlap must be the largest for both, so that a mask that leaks into its neighbour does
not stand for it; vertebrae without masks are matched by mutually nearest centroids within 20 mm.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from verse_eval.localisation import IDENTIFICATION_MM
from verse_eval.overlap import OverlapTable
from verse_infer.ct import Centroid


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
