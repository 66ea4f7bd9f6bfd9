"""Stage 2: heatmaps of all vertebrae around the spine, and their local maxima."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.ct import Centroid, Ct
from verse_infer.grid import Lattice
from verse_infer.networks import Network, normalised, predict_tiled
from verse_infer.resampling import sample
from verse_infer.spine import SpineRegion
from verse_infer.weights import LandmarkWeights

Floats = NDArray[np.float32]
#: Label of a body of whichever vertebra; no vertebra has it.
ANY = 0
#: Voxels between the places by which a maximum's position is refined, and the farthest it may move.
_REFINING_STEP, _LARGEST_SHIFT = 2, 1.0
#: Lower values beside a maximum count as this share of it; a Gaussian of 1 voxel has 0.04 to 0.14.
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Heatmaps:
    """values: one heatmap per entry of labels, about 0 to 1; (z, y, x, labels) on lattice."""

    values: Floats
    labels: tuple[int, ...]
    lattice: Lattice


def predict_heatmaps(ct: Ct, region: SpineRegion, network: Network[LandmarkWeights]) -> Heatmaps:
    """Heatmaps on an axis-aligned lattice along the spine.

    The option tile_merging (see predict_tiled) is the weights'.
    """
    weights = network.weights
    lattice = lattice_along(region, weights)
    hu = sample(ct, lattice, weights.smoothing_mm)
    image = normalised(hu, weights.intensity_divisor)[..., None]
    values = predict_tiled(
        image,
        network.run_batch,
        weights.input_size[2],
        weights.options.tile_overlap,
        network.batch,
        weights.options.tile_merging,
    )
    return Heatmaps(values, weights.labels, lattice)


def lattice_along(region: SpineRegion, weights: LandmarkWeights) -> Lattice:
    """Axis-aligned lattice over the region's z range, as wide as a tile.

    Its length is a multiple of 16; where the weights' option whole_tiles says that the network
    knows no other size than a tile's, that of whole tiles at their step.
    """
    bottom, top = region.z_range
    spacing, (x, y, tile) = weights.spacing_mm, weights.input_size
    least, step = 16, 16
    if weights.options.whole_tiles:
        least, step = tile, tile - weights.options.tile_overlap
    slices = least + step * max(0, int(np.ceil(((top - bottom) / spacing - least) / step)))
    return Lattice.centred((*region.centre_xy, (bottom + top) / 2), spacing, (x, y, slices))


def find_candidates(
    heatmaps: Heatmaps, threshold: float, min_distance: int
) -> tuple[Centroid, ...]:
    """Local maxima above the threshold, at sub-voxel positions; LPS mm.

    min_distance: a maximum is the highest voxel of the cube of this half width around it.
    """
    candidates = []
    # A vertebra is in few slices of a long spine: only these are looked at again. Both axes at once
    # take three times as long.
    occupied = heatmaps.values.max(axis=1).max(axis=1) > threshold
    for channel, label in enumerate(heatmaps.labels):
        slices = np.flatnonzero(occupied[:, channel])
        if not len(slices):
            continue
        heatmap = heatmaps.values[..., channel]
        part = np.ascontiguousarray(heatmap[slices[0] : slices[-1] + 1])
        for index in _local_maxima(part, threshold, min_distance):
            index[0] += slices[0]
            x, y, z = heatmaps.lattice.point(_refined(heatmap, index)).tolist()
            candidates.append(Centroid(label, (x, y, z), float(heatmap[tuple(index)])))
    return tuple(candidates)


def find_bodies(heatmaps: Heatmaps, threshold: float, min_distance: int) -> tuple[Centroid, ...]:
    """Local maxima of the sum of all heatmaps, whichever vertebrae they are: label ANY; LPS mm."""
    sums = np.einsum("zyxc->zyx", heatmaps.values)[..., None]  # a quarter of the time of np.sum
    return find_candidates(Heatmaps(sums, (ANY,), heatmaps.lattice), threshold, min_distance)


def responses_at(heatmaps: Heatmaps, point: Sequence[float]) -> Floats:
    """The largest response of each heatmap within a voxel of a point, LPS mm; (labels,)."""
    last = np.array(heatmaps.values.shape[:3]) - 1
    z, y, x = np.rint(heatmaps.lattice.index(point)).astype(int)[::-1].clip(0, last)
    around = heatmaps.values[max(0, z - 1) : z + 2, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    return np.asarray(around.max(axis=(0, 1, 2)))


def _local_maxima(heatmap: Floats, threshold: float, min_distance: int) -> NDArray[np.intp]:
    """Indices z, y, x; (n, 3). Filters only the box in which anything exceeds the threshold."""
    above = np.nonzero(heatmap > threshold)
    if not len(above[0]):
        return np.zeros((0, 3), np.intp)
    low = np.array([axis.min() for axis in above], np.intp)
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in above)
    block = heatmap[box]
    highest = scipy.ndimage.maximum_filter(block, size=2 * min_distance + 1, mode="nearest")
    found = np.argwhere((block == highest) & (block > threshold))
    return _without_ties(found, min_distance) + low


def _without_ties(found: NDArray[np.intp], min_distance: int) -> NDArray[np.intp]:
    """Equal neighbouring voxels are one maximum: keep the first of those nearer than allowed."""
    kept: list[NDArray[np.intp]] = []
    for index in found:
        if all(np.abs(index - other).max() > min_distance for other in kept):
            kept.append(index)
    return np.asarray(kept, np.intp).reshape(-1, 3)


def _refined(heatmap: Floats, index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Continuous index x, y, z of the middle of a Gaussian along each axis, around a maximum.

    It goes through the sums of 3×3 voxels across the axis, two voxels apart: bfloat16 rounds the top
    of a broad maximum to a plateau, on which three neighbouring voxels say little.
    """
    refined = index.astype(np.float64)
    for axis in range(3):
        across = [slice(max(0, i - 1), i + 2) for i in index]
        sums = [
            _sum_of_plane(heatmap, across, axis, index[axis] + offset)
            for offset in (-_REFINING_STEP, 0, _REFINING_STEP)
        ]
        low, mid, high = np.log(np.maximum(sums, _LEAST_SHARE * sums[1]))
        curvature = low - 2 * mid + high
        if curvature < 0:  # not for nan, beyond the heatmap's ends
            shift = 0.5 * _REFINING_STEP * (low - high) / curvature
            refined[axis] += np.clip(shift, -_LARGEST_SHIFT, _LARGEST_SHIFT)
    return refined[::-1]


def _sum_of_plane(heatmap: Floats, across: list[slice], axis: int, place: int) -> float:
    """Of the voxels at one place along an axis, those below 0 as 0; nan outside."""
    if not 0 <= place < heatmap.shape[axis]:
        return np.nan
    plane = [*across[:axis], slice(place, place + 1), *across[axis + 1 :]]
    return float(np.maximum(heatmap[tuple(plane)], 0).sum(dtype=np.float64))
