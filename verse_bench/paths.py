"""Ways through the three stages that are compared: the product's own, and the published method's.

Both are told where the spine and its vertebrae are, so that all do the same number of tiles and of
vertebrae, whatever their networks say: random ones say nothing sensible. Every stage still does all
of its work.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.ndimage
import SimpleITK as sitk
from msgspec import structs
from numpy.typing import NDArray

from verse_infer.ct import Centroid, Ct
from verse_infer.grid import Lattice
from verse_infer.landmarks import find_candidates, lattice_along, predict_heatmaps
from verse_infer.networks import Network, Networks, tile_starts
from verse_infer.pipeline import CaseResult, Pipeline, timed
from verse_infer.segmentation import crop_lattice, vertebra_crops
from verse_infer.spine import SpineRegion, locate_spine, z_range_of
from verse_infer.weights import LandmarkWeights, SegmentationWeights

Floats = NDArray[np.float32]
#: Overlap of tiles along z in the papers, voxels of 128.
PUBLISHED_OVERLAP = 96
#: Radius of what networks of random weights are taken to have answered, mm: a vertebra's.
BALL_MM = 22.0
#: What is added to the truth's extent along z, as stage 1 does, mm.
REGION_MARGIN_MM = 48.0


@dataclass(frozen=True, slots=True)
class GuidedPipeline:
    """The product's stages, each given the truth instead of what the one before it answered."""

    networks: Networks
    truth: Sequence[Centroid]

    def run(self, ct: Ct, centroids: Sequence[Centroid] | None = None) -> CaseResult:
        """As Pipeline.run; centroids replace the truth."""
        given = centroids or self.truth
        seconds: dict[str, float] = {}
        with timed(seconds, "spine localisation"):
            locate_spine(ct, self.networks.spine)
        with timed(seconds, "vertebra localisation"):
            network = self.networks.landmarks
            locate_candidates(ct, true_region(ct, given), network)
        result = Pipeline(self.networks).run(ct, given)
        return replace(result, seconds={**seconds, **result.seconds})


@dataclass(frozen=True, slots=True)
class ReferencePipeline:
    """The published method: tiles that overlap by 96, each vertebra brought back to the whole volume.

    most_tiles, most_vertebrae: no more of these are done, and the stage's seconds are scaled up by
    what was left out; None does all. shares: of the tiles and vertebrae that were done. It reads the file once, samples as the product does, and looks
    for connected pieces in crops; the published programs spend more on these, on whole volumes, so
    the comparison errs on their side.
    """

    networks: Networks
    truth: Sequence[Centroid]
    most_tiles: int | None = None
    most_vertebrae: int | None = None
    shares: list[float] = field(default_factory=list)

    def run(self, ct: Ct, centroids: Sequence[Centroid] | None = None) -> CaseResult:
        """As Pipeline.run; centroids replace the truth."""
        given = list(centroids or self.truth)
        seconds: dict[str, float] = {}
        with timed(seconds, "spine localisation"):
            locate_spine(ct, self.networks.spine)
        network = with_overlap(self.networks.landmarks, PUBLISHED_OVERLAP)
        region, share = self._tiled_region(true_region(ct, given), network)
        with timed(seconds, "vertebra localisation", share):
            locate_candidates(ct, region, network)
        done = given[: self.most_vertebrae]
        with timed(seconds, "vertebra segmentation", len(done) / max(len(given), 1)):
            mask = segment_on_whole_volume(ct, done, self.networks.segmentation)
        self.shares.extend((share, len(done) / max(len(given), 1)))
        return CaseResult(tuple(given), mask, (), seconds)

    def _tiled_region(
        self, region: SpineRegion, network: Network[LandmarkWeights]
    ) -> tuple[SpineRegion, float]:
        """The part of a spine that takes as many tiles as allowed, and their share of all tiles."""
        tiles = tile_count(region, network)
        done = min(tiles, self.most_tiles or tiles)
        if done == tiles:
            return region, 1.0
        weights = network.weights
        tile = weights.input_size[2]
        slices = tile + (done - 1) * (tile - weights.options.tile_overlap)
        bottom = region.z_range[0]
        part = replace(region, z_range=(bottom, bottom + slices * weights.spacing_mm))
        return part, done / tiles


def with_overlap(network: Network[LandmarkWeights], overlap: int) -> Network[LandmarkWeights]:
    """The same network, its tiles overlapping by so many voxels."""
    options = structs.replace(network.weights.options, tile_overlap=overlap)
    return replace(network, weights=structs.replace(network.weights, options=options))


def tile_count(region: SpineRegion, network: Network[LandmarkWeights]) -> int:
    """Tiles of stage 2 along a spine."""
    weights = network.weights
    length, tile = lattice_along(region, weights).size[2], weights.input_size[2]
    return len(tile_starts(length, tile, weights.options.tile_overlap))


def true_region(ct: Ct, truth: Sequence[Centroid]) -> SpineRegion:
    """What stage 1 would say if it were right."""
    points = np.array([c.point for c in truth])
    bottom, top = z_range_of(ct.lattice)
    x, y = points[:, :2].mean(axis=0).tolist()
    low = float(points[:, 2].min()) - REGION_MARGIN_MM
    high = float(points[:, 2].max()) + REGION_MARGIN_MM
    return SpineRegion((x, y), (max(low, bottom), min(high, top)), 1.0)


def locate_candidates(
    ct: Ct, region: SpineRegion, network: Network[LandmarkWeights]
) -> tuple[Centroid, ...]:
    """Stage 2 up to its candidates."""
    weights = network.weights
    heatmaps = predict_heatmaps(ct, region, network)
    return find_candidates(heatmaps, weights.threshold, weights.options.min_distance)


def segment_on_whole_volume(
    ct: Ct, centroids: Sequence[Centroid], network: Network[SegmentationWeights]
) -> NDArray[np.uint8]:
    """Stage 3 as published: one volume of the scan's size per vertebra, merged by the maximum."""
    labels = np.zeros(ct.hu.shape, np.uint8)
    best = np.full(ct.hu.shape, network.weights.threshold, np.float32)
    for centroid in centroids:
        response = network.run_batch(vertebra_crops(ct, [centroid], network))[0, ..., 0]
        response = largest_piece_only(response, network.weights.threshold)
        volume = on_whole_grid(response, crop_lattice(centroid, network), ct.lattice)
        wins = volume > best
        labels[wins] = centroid.label
        best[wins] = volume[wins]
    return labels


def largest_piece_only(response: Floats, threshold: float) -> Floats:
    """The response without all connected pieces above the threshold but the largest."""
    pieces, count = scipy.ndimage.label(response > threshold)
    if count < 2:
        return response
    largest = int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    return np.where((pieces > 0) & (pieces != largest), np.float32(0.0), response)


def on_whole_grid(values: Floats, lattice: Lattice, target: Lattice) -> Floats:
    """Values on a lattice, linearly interpolated on the whole of another; 0 outside."""
    image = sitk.GetImageFromArray(values)
    image.SetOrigin(lattice.origin)
    image.SetSpacing(lattice.spacing)
    image.SetDirection(lattice.direction)
    whole = sitk.Resample(
        image,
        target.size,
        sitk.Transform(),
        sitk.sitkLinear,
        target.origin,
        target.spacing,
        target.direction,
        0.0,
        sitk.sitkFloat32,
    )
    return np.asarray(sitk.GetArrayFromImage(whole), np.float32)


def nothing(outputs: Floats) -> Floats:
    """What a random network of stage 2 is taken to have answered; (n, z, y, x, labels)."""
    return np.zeros_like(outputs)


def vertebra_sized(outputs: Floats) -> Floats:
    """A ball in the middle of each crop of 1 mm, for a random network of stage 3; (n, z, y, x, 1)."""
    z, y, x = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in outputs.shape[1:4])
    radius = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    ball = np.clip(0.5 + (BALL_MM - radius) / 4.0, 0.0, 1.0)
    return np.broadcast_to(ball[None, ..., None], outputs.shape)
