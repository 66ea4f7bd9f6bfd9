"""Distances between surfaces of masks, exact, between voxel centres.

A mask's surface is its voxels with a face neighbour outside the mask; what lies beyond the array is
outside, and so is a touching vertebra of another label.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

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
