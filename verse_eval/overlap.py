"""Overlap of label maps."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def dice_per_label(
    reference: NDArray[np.uint8], prediction: NDArray[np.uint8]
) -> Mapping[int, float]:
    """Dice 2|A∩B| / (|A| + |B|) of every label of the reference; 0 where the prediction lacks it.

    Two label maps on the same grid.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"expected one grid, got {reference.shape} and {prediction.shape}")
    own = np.bincount(reference.ravel(), minlength=256)
    other = np.bincount(prediction.ravel(), minlength=256)
    both = np.bincount(reference[reference == prediction].ravel(), minlength=256)
    labels = np.flatnonzero(own)
    return {
        int(label): float(2 * both[label] / (own[label] + other[label]))
        for label in labels
        if label
    }
