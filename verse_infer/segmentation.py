"""Stage 3: one vertebra at a time, merged on the CT's own grid by the largest response.

The masks also tell which vertebrae the scan's ends cut: VerSe leaves those unannotated. One is taken for
cut where its mask goes on at the top or bottom plane with a good part of its largest cross-section, or
where the middle of its body is almost at the end.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from verse_infer.concurrency import in_threads, one_ahead
from verse_infer.ct import Centroid, Ct
from verse_infer.grid import Block, Lattice
from verse_infer.networks import Network, normalised
from verse_infer.resampling import bring_back, sample
from verse_infer.spine import z_range_of
from verse_infer.weights import Crop, SegmentationWeights, crop_of

Floats = NDArray[np.float32]
#: Responses are compared as whole numbers up to this: half the memory of float32.
_STEPS = 65535
#: Of a mask, when its voxels are counted.
_PARTS = 16
#: Share of its largest cross-section that a whole vertebra may have in the last plane: 0.4 tells 459 of 462
#: vertebrae right that people held to be whole in 44 real scans, mostly with the tip of a process cut off,
#: and 32 of 47 cut ones; 0.06 would tell 448 and 43.
END_SHARE = 0.4
#: Nearer to the end, the middle of a body is no whole one's, mm; of those 462 the nearest is at 11 mm.
LEAST_MARGIN_MM = 8.0


@dataclass(frozen=True, slots=True)
class Response:
    """The network's response to one vertebra, 0 to 1; z, y, x on lattice, which holds all of it."""

    label: int
    values: Floats
    lattice: Lattice


def segment_vertebrae(
    ct: Ct, centroids: Sequence[Centroid], network: Network[SegmentationWeights]
) -> NDArray[np.uint8]:
    """VerSe labels on the CT's grid, z, y, x; 0 is background."""
    responses = vertebra_responses(ct, centroids, network)
    return merged(responses, ct.lattice, network.weights.threshold)


def merged(responses: Iterable[Response], lattice: Lattice, threshold: float) -> NDArray[np.uint8]:
    """Labels on a lattice, z, y, x: every voxel takes the largest response above the threshold."""
    labels = np.zeros(lattice.shape, np.uint8)
    best = np.zeros(lattice.shape, np.uint16)
    least = np.uint16(threshold * _STEPS)
    for response in responses:
        values = np.clip(response.values, 0.0, 1.0) * np.float32(_STEPS)  # beyond, steps would wrap
        covered = bring_back(values, response.lattice, lattice)
        if covered is None:
            continue
        where, steps = covered[0], covered[1].astype(np.uint16)
        wins = steps > np.maximum(best[where], least)
        np.copyto(labels[where], np.uint8(response.label), where=wins)
        np.copyto(best[where], steps, where=wins)
    return labels


def vertebra_responses(
    ct: Ct, centroids: Sequence[Centroid], network: Network[SegmentationWeights]
) -> Iterator[Response]:
    """Responses in the order of the centroids, without those to which there is none.

    Crops go through the network in batches. While it works, the next ones are sampled, and what is made
    of the last responses is up to the caller.
    """
    groups = _groups(centroids, network)
    for group, outputs in one_ahead(_outputs(ct, groups, network)):
        for centroid, output in zip(group, outputs, strict=True):
            piece = largest_piece(output[..., 0], network.weights.threshold)
            if piece is not None:
                lattice = crop_lattice(centroid, network).part(piece[0])
                yield Response(centroid.label, piece[1], lattice)


def _outputs(
    ct: Ct, groups: Sequence[list[Centroid]], network: Network[SegmentationWeights]
) -> Iterator[tuple[list[Centroid], Floats]]:
    """Each group with what the network says of its crops."""
    crops = one_ahead(vertebra_crops(ct, group, network) for group in groups)
    for group, images in zip(groups, crops, strict=True):
        yield group, network.run_batch(images)


def _groups(
    centroids: Sequence[Centroid], network: Network[SegmentationWeights]
) -> list[list[Centroid]]:
    """Neighbours whose crops have the same shape, as many as go through the network at a time."""
    crops = network.weights.crops
    same = (list(g) for _, g in itertools.groupby(centroids, lambda c: crop_of(crops, c.label)))
    return [g[i : i + network.batch] for g in same for i in range(0, len(g), network.batch)]


def crop_lattice(centroid: Centroid, network: Network[SegmentationWeights]) -> Lattice:
    """What the network sees of one vertebra; most of it lies behind the centre of its body."""
    crop = crop_of(network.weights.crops, centroid.label)
    middle = np.add(centroid.point, crop.offset_mm).tolist()
    return Lattice.centred(middle, network.weights.spacing_mm, crop.size)


def vertebra_crops(
    ct: Ct, centroids: Sequence[Centroid], network: Network[SegmentationWeights]
) -> Floats:
    """The network's inputs, CT and marker of each vertebra; (n, z, y, x, 2).

    centroids: one or more, of vertebrae with the same crop.
    """
    weights = network.weights
    crop = crop_of(weights.crops, centroids[0].label)
    marker = _marker(crop, weights.spacing_mm, weights.options.centroid_sigma)
    images = np.empty((len(centroids), *marker.shape, 2), np.float32)
    images[..., 1] = marker
    for image, centroid in zip(images, centroids, strict=True):
        hu = sample(ct, crop_lattice(centroid, network), weights.smoothing_mm)
        image[..., 0] = normalised(hu, weights.intensity_divisor)
    return images


@lru_cache(maxsize=8)
def _marker(crop: Crop, spacing_mm: float, sigma: float) -> Floats:
    """The Gaussian at the centroid of a crop; kept, since all scans ask for the same few."""
    marker = gaussian(crop.size, -np.asarray(crop.offset_mm) / spacing_mm, sigma)
    marker.flags.writeable = False
    return marker


def gaussian(size: tuple[int, int, int], place: NDArray[np.float64], sigma: float) -> Floats:
    """Gaussian of height 1 at a place from a lattice's middle.

    size, place (voxels): x, y, z; sigma in voxels; result z, y, x.
    """
    gx, gy, gz = (
        np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2 - p) / sigma) ** 2)
        for n, p in zip(size, place, strict=True)
    )
    return np.asarray(gz[:, None, None] * gy[None, :, None] * gx, np.float32)


def largest_piece(response: Floats, threshold: float) -> tuple[Block, Floats] | None:
    """Where the largest connected piece above the threshold lies, and the response there.

    One voxel around the piece belongs to it, so that linear interpolation does not shrink it; other
    pieces are removed. None where nothing is above the threshold.
    """
    above = response > threshold
    occupied = _bounding_block(above)
    if occupied is None:
        return None
    pieces, count = scipy.ndimage.label(above[occupied])
    largest = int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    found = scipy.ndimage.find_objects(pieces)[largest - 1]
    z, y, x = (
        slice(max(0, outer.start + inner.start - 1), min(n, outer.start + inner.stop + 1))
        for outer, inner, n in zip(occupied, found, response.shape, strict=True)
    )
    values = response[z, y, x].copy()
    if count > 1:
        others = np.zeros(response.shape, bool)
        others[occupied] = (pieces > 0) & (pieces != largest)
        values[others[z, y, x]] = 0.0
    return (z, y, x), values


def _bounding_block(flags: NDArray[np.bool_]) -> Block | None:
    """The smallest block that holds all that is true."""
    ends = []
    for others in ((1, 2), (0, 2), (0, 1)):
        places = np.flatnonzero(flags.any(axis=others))
        if not len(places):
            return None
        ends.append(slice(int(places[0]), int(places[-1]) + 1))
    z, y, x = ends
    return z, y, x


def voxel_counts(mask: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Voxels of each label, 256 numbers; part by part, since most of a mask is empty."""
    counts = np.sum(in_threads(_counts_of_part, np.array_split(mask, _PARTS)), axis=0)
    counts[0] = mask.size - counts.sum()
    return np.asarray(counts, np.intp)


def _counts_of_part(part: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Voxels of each label of a part of a mask; none of the background."""
    return np.bincount(part[part > 0], minlength=256)


def incomplete(
    mask: NDArray[np.uint8], lattice: Lattice, centroids: Sequence[Centroid]
) -> tuple[Centroid, ...]:
    """The vertebrae that the scan cuts at its top or bottom.

    mask: VerSe labels, z, y, x on the scan's lattice.
    """
    bottom, top = z_range_of(lattice)
    cut = set(_cut_labels(mask, [c.label for c in centroids]))
    return tuple(
        c
        for c in centroids
        if c.label in cut or min(c.point[2] - bottom, top - c.point[2]) < LEAST_MARGIN_MM
    )


def _cut_labels(mask: NDArray[np.uint8], labels: Sequence[int]) -> Iterator[int]:
    ends = [np.bincount(mask[plane].ravel(), minlength=256) for plane in (0, -1)]
    for label in labels:
        at_end = max(int(end[label]) for end in ends)
        if at_end and at_end > END_SHARE * _largest_section(mask == label):
            yield label


def _largest_section(vertebra: NDArray[np.bool_]) -> int:
    return int(vertebra.sum(axis=(1, 2)).max())
