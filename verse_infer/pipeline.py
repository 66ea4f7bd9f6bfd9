"""The three stages in order: one CT in memory, one result in memory. Touches no file.

What was added around a scan is left out first: outer planes of one constant value of air. Without
that, the ends of the padding would count as the ends of the scan: its middle, at which the first
stage looks, and its top and bottom, near which vertebrae are left out, would move.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from verse_infer.anatomy import name_of
from verse_infer.ct import Centroid, Ct
from verse_infer.flags import Flag, FlagCode
from verse_infer.grid import Block
from verse_infer.labelling import (
    ChainRule,
    LabellingRule,
    drop_near_ends,
    label_candidates,
)
from verse_infer.labelling.bodies import find_body_candidates
from verse_infer.labelling.chain import Naming
from verse_infer.labelling.rules import RuleName
from verse_infer.landmarks import Heatmaps, find_candidates, predict_heatmaps
from verse_infer.naming import Sighting, name_in_picture
from verse_infer.networks import Networks
from verse_infer.quality import (
    implausible,
    left_out,
    missing_slices,
    uncertain,
    uneven_steps,
)
from verse_infer.segmentation import incomplete, segment_vertebrae, voxel_counts
from verse_infer.spine import SpineRegion, locate_spine, z_range_of
from verse_infer.weights import LandmarkWeights

logger = logging.getLogger(__name__)
#: Padding is at most this, HU; measured air is noisy, so that no plane of it is constant.
AIR_HU = -900


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What a user may choose.

    labelling: which rule; None takes the weights' own.
    end_margin_mm: vertebrae nearer to the scan's bottom or top are left out; 0 keeps all; None
        takes the weights' own margin.
    """

    labelling: RuleName | None = None
    end_margin_mm: float | None = None


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What is known of one CT.

    centroids: head to foot. mask: uint8 VerSe labels, z, y, x on the CT's lattice.
    flags: remarks for the report. seconds: by stage. spine: None if none was found or looked for.
    incomplete: vertebrae that the scan cuts, neither among the centroids nor in the mask. naming: how
    sure the names are; None where they come from heatmaps alone, or are given.
    """

    centroids: tuple[Centroid, ...]
    mask: NDArray[np.uint8]
    flags: tuple[Flag, ...]
    seconds: Mapping[str, float]
    spine: SpineRegion | None = None
    incomplete: tuple[Centroid, ...] = ()
    naming: Naming | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Runs the stages with loaded networks."""

    networks: Networks
    options: PipelineOptions = field(default_factory=PipelineOptions)

    def run(self, ct: Ct, centroids: Sequence[Centroid] | None = None) -> CaseResult:
        """Localise, label and segment; given centroids (LPS mm) replace the first two stages.

        Constant air around the scan is left out of all of it.
        """
        content, block = without_air_margin(ct)
        result = self._run(content, centroids)
        if content.hu.shape == ct.hu.shape:
            return result
        mask = np.zeros(ct.hu.shape, np.uint8)
        mask[block] = result.mask
        return replace(result, mask=mask)

    def _run(self, ct: Ct, centroids: Sequence[Centroid] | None) -> CaseResult:
        seconds: dict[str, float] = {}
        located = self._localise(ct, seconds) if centroids is None else _given(ct, centroids)
        with timed(seconds, "vertebra segmentation"):
            mask = segment_vertebrae(ct, located.vertebrae, self.networks.segmentation)
        logger.info("vertebra segmentation: %.1f s", seconds["vertebra segmentation"])
        cut = incomplete(mask, ct.lattice, located.vertebrae) if located.by_mask else ()
        mask[np.isin(mask, [c.label for c in cut])] = 0
        found = tuple(c for c in located.vertebrae if c not in cut)
        voxels = voxel_counts(mask)
        flags = (
            *ct.flags,
            *located.flags,
            *_unsegmented(found, voxels),
            *implausible(ct, found, voxels),
            *uneven_steps(found),
            *missing_slices(ct, found),
        )
        return CaseResult(found, mask, flags, seconds, located.spine, cut, located.naming)

    def _localise(self, ct: Ct, seconds: dict[str, float]) -> "_Located":
        with timed(seconds, "spine localisation"):
            spine = locate_spine(ct, self.networks.spine)
        logger.info("spine localisation: %.1f s, %s", seconds["spine localisation"], spine)
        if spine is None:
            return _Located((), (Flag(FlagCode.NO_SPINE, "no spine found"),))
        with timed(seconds, "vertebra localisation"):
            seen = self._sighting(ct, spine)
        located = self._name(ct, seen, seconds)
        names = " ".join(name_of(c.label) for c in located.vertebrae)
        logger.info("vertebra localisation: %.1f s, %s", seconds["vertebra localisation"], names)
        if not located.vertebrae:
            nothing = Flag(FlagCode.NO_VERTEBRAE, "spine found, but no vertebra")
            located = replace(located, flags=(*located.flags, nothing))
        return located

    def _sighting(self, ct: Ct, spine: SpineRegion) -> Sighting:
        """Heatmaps, and what the labelling rule makes of them."""
        weights = self.networks.landmarks.weights
        heatmaps = predict_heatmaps(ct, spine, self.networks.landmarks)
        rule = weights.options.labelling.chosen(self.options.labelling)
        candidates = _candidates(heatmaps, weights, rule)
        labelled = label_candidates(candidates, z_range_of(ct.lattice), rule, spine.z_range)
        return Sighting(spine, heatmaps, candidates, labelled)

    def _name(self, ct: Ct, seen: Sighting, seconds: dict[str, float]) -> "_Located":
        """Names by the picture where the weights can, unless the user wants a rule on heatmaps."""
        weights, wanted = self.networks.landmarks.weights, self.options.end_margin_mm
        z_range = z_range_of(ct.lattice)
        identification = self.networks.identification
        if identification is None or self.options.labelling is not None:
            margin = weights.options.end_margin_mm if wanted is None else wanted
            found, shown = (
                drop_near_ends(_inside(ct, some), z_range, margin)
                for some in (seen.labelled, seen.candidates)
            )
            usual = weights.options.usual_response
            flags = (*uncertain(found, usual), *left_out(shown, found))
            return _Located(found, flags, seen.spine)
        with timed(seconds, "vertebra identification"):
            named = name_in_picture(ct, seen, identification, weights)
        found = drop_near_ends(_inside(ct, named.naming.vertebrae), z_range, wanted or 0.0)
        usual = identification.weights.options.usual_response
        flags = (*uncertain(found, usual), *named.flags)
        return _Located(found, flags, seen.spine, named.naming, by_mask=wanted is None)


@dataclass(frozen=True, slots=True)
class _Located:
    """What is to be segmented. by_mask: whether masks are to tell which vertebrae the scan cuts."""

    vertebrae: tuple[Centroid, ...]
    flags: tuple[Flag, ...]
    spine: SpineRegion | None = None
    naming: Naming | None = None
    by_mask: bool = False


def _given(ct: Ct, centroids: Sequence[Centroid]) -> _Located:
    """Centroids from elsewhere, as far as they lie in the scan."""
    found = _inside(ct, centroids)
    outside = len(centroids) - len(found)
    if not outside:
        return _Located(found, ())
    message = f"{outside} of {len(centroids)} centroids outside the scan ignored"
    return _Located(found, (Flag(FlagCode.CENTROIDS_OUTSIDE, message, outside),))


def _candidates(
    heatmaps: Heatmaps, weights: LandmarkWeights, rule: LabellingRule
) -> tuple[Centroid, ...]:
    """Maxima of each heatmap; for the chain rule, bodies where the weights say how to find them."""
    options = weights.options
    if isinstance(rule, ChainRule) and options.bodies is not None:
        return find_body_candidates(heatmaps, options.min_distance, options.bodies)
    return find_candidates(heatmaps, weights.threshold, options.min_distance)


def _inside(ct: Ct, centroids: Sequence[Centroid]) -> tuple[Centroid, ...]:
    """The centroids that lie within the scan."""
    last = np.asarray(ct.lattice.size) - 0.5
    return tuple(
        c
        for c in centroids
        if ((index := ct.lattice.index(c.point)) >= -0.5).all() and (index <= last).all()
    )


def _unsegmented(centroids: Sequence[Centroid], voxels: NDArray[np.intp]) -> Iterator[Flag]:
    for centroid in centroids:
        if not voxels[centroid.label]:
            message = f"{name_of(centroid.label)} located, but no voxel of it segmented"
            yield Flag(FlagCode.NOT_SEGMENTED, message, centroid.label)


@contextmanager
def timed(seconds: dict[str, float], stage: str, share: float = 1.0) -> Iterator[None]:
    """Note the time of a block, which does a share of a stage's work, under the stage's name."""
    started = time.perf_counter()
    yield
    seconds[stage] = (time.perf_counter() - started) / share


def without_air_margin(ct: Ct) -> tuple[Ct, Block]:
    """The scan without its constant outer planes, as a view, and where it lies: slices z, y, x."""
    block = content_block(ct.hu)
    return Ct(ct.hu[block], ct.lattice.part(block), ct.flags), block


def content_block(hu: NDArray[np.int16]) -> Block:
    """Slices z, y, x of the smallest block outside which all planes are constant air.

    The whole volume where nothing else is left.
    """
    z, y, x = (_content(np.moveaxis(hu, axis, 0)) for axis in range(3))
    return z, y, x


def _content(planes: NDArray[np.int16]) -> slice:
    """Along the first axis."""
    first, last = 0, len(planes)
    while first < last and _is_padding(planes[first]):
        first += 1
    if first == last:
        return slice(0, len(planes))
    while _is_padding(planes[last - 1]):
        last -= 1
    return slice(first, last)


def _is_padding(plane: NDArray[np.int16]) -> bool:
    value = plane.flat[0]
    return bool(value <= AIR_HU and (plane == value).all())
