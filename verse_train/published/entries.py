"""What the manifest says of each year's networks, so that the weights alone repeat the method.

Numbers are those of the published code where it differs from the papers (smoothing before the 8 mm
sampling, overlap of tiles, thresholds and distances of maxima, ends of the scan); the papers' else.
"""

from verse_infer.anatomy import LABELS
from verse_infer.labelling.rules import ChainRule, Labelling, SequenceRule
from verse_infer.weights import (
    LandmarkOptions,
    LandmarkWeights,
    SegmentationOptions,
    SegmentationWeights,
    SpineOptions,
    SpineWeights,
    Stage,
    StageWeights,
)
from verse_train.networks.answers import Answer
from verse_train.published.layouts import Year

#: JSON has no infinity: a limit that nothing in a scan reaches, in mm or mean steps.
NO_LIMIT = 1e6
#: Local maxima of one heatmap are at least this many voxels of 2 mm apart.
MAXIMA_DISTANCE = 7
_INTENSITY_DIVISOR = 2048.0

SEQUENCE_2019 = SequenceRule(with_variants=False)
#: The formula and its four numbers only, without the limits that ChainRule has beyond them.
CHAIN_2020 = ChainRule(
    max_deviation=NO_LIMIT, min_distance_mm=0.0, max_missing=0, max_gap_deviation=NO_LIMIT
)


def stage_entry(year: Year, stage: Stage) -> tuple[StageWeights, Answer]:
    """Manifest entry (without models) of a published stage, and what its answer needs."""
    if stage == "spine_localisation":
        return _spine(), "as is"
    if stage == "vertebra_localisation":
        return _landmarks(year), "as is"
    return _segmentation(), "sigmoid"


def _spine() -> SpineWeights:
    return SpineWeights(
        models=(),
        spacing_mm=8.0,
        input_size=(64, 64, 128),
        smoothing_mm=3.0,
        intensity_divisor=_INTENSITY_DIVISOR,
        threshold=0.0,
        options=SpineOptions(whole_scan=True),
    )


def _landmarks(year: Year) -> LandmarkWeights:
    first = year == 2019
    least = SEQUENCE_2019.secondary_factor * SEQUENCE_2019.threshold
    own = Labelling(rule="sequence", sequence=SEQUENCE_2019)
    return LandmarkWeights(
        models=(),
        spacing_mm=2.0,
        input_size=(96, 96, 128),
        smoothing_mm=0.75,
        intensity_divisor=_INTENSITY_DIVISOR,
        threshold=least if first else CHAIN_2020.threshold,
        labels=LABELS[:25] if first else LABELS,
        options=LandmarkOptions(
            tile_overlap=64,
            whole_tiles=True,
            min_distance=MAXIMA_DISTANCE,
            end_margin_mm=0.0 if first else 10.0,
            labelling=own if first else Labelling(rule="chain", chain=CHAIN_2020),
        ),
    )


def _segmentation() -> SegmentationWeights:
    return SegmentationWeights(
        models=(),
        spacing_mm=1.0,
        input_size=(128, 128, 96),
        smoothing_mm=0.75,
        intensity_divisor=_INTENSITY_DIVISOR,
        threshold=0.5,
        options=SegmentationOptions(centroid_sigma=3.0),
    )
