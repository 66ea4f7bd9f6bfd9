"""Overlap of two label maps: one table of shared voxels, and Dice read off it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import LABELS

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
