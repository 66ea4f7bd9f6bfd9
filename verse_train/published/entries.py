"""What the manifest says of each year's networks, so that the weights alone repeat the method.

Numbers are those of the published code where it differs from the papers (smoothing before the 8 mm
sampling, overlap of tiles, thresholds and distances of maxima, ends of the scan); the papers' else.
"""

from dataclasses import asdict
from typing import Any

from verse_infer.anatomy import LABELS
from verse_infer.labelling import ChainRule, SequenceRule
from verse_infer.weights import Stage, StageWeights
from verse_train.networks.answers import Answer
from verse_train.published.layouts import Year

#: JSON has no infinity: a limit that nothing in a scan reaches, in mm or mean steps.
NO_LIMIT = 1e6
#: Local maxima of one heatmap are at least this many voxels of 2 mm apart.
MAXIMA_DISTANCE = 7

SEQUENCE_2019 = SequenceRule(with_variants=False)
#: The formula and its four numbers only, without the limits that ChainRule has beyond them.
CHAIN_2020 = ChainRule(
    max_deviation=NO_LIMIT, min_distance_mm=0.0, max_missing=0, max_gap_deviation=NO_LIMIT
)


def stage_entry(year: Year, stage: Stage) -> tuple[StageWeights, Answer]:
    """Manifest entry (without models) of a published stage, and what its answer needs."""
    if stage == "spine_localisation":
        return _entry(8.0, (64, 64, 128), 3.0, 0.0, {"whole_scan": True}), "as is"
    if stage == "vertebra_segmentation":
        return _entry(1.0, (128, 128, 96), 0.75, 0.5, {"centroid_sigma": 3.0}), "sigmoid"
    first = year == 2019
    labels = LABELS[:25] if first else LABELS
    least = SEQUENCE_2019.secondary_factor * SEQUENCE_2019.threshold
    threshold = least if first else CHAIN_2020.threshold
    return _entry(2.0, (96, 96, 128), 0.75, threshold, _landmark_options(year), labels), "as is"


def _landmark_options(year: Year) -> dict[str, Any]:
    rule: dict[str, Any] = (
        {"rule": "sequence", "sequence": asdict(SEQUENCE_2019)}
        if year == 2019
        else {"rule": "chain", "chain": asdict(CHAIN_2020)}
    )
    return {
        "tile_overlap": 64,
        "whole_tiles": True,
        "min_distance": MAXIMA_DISTANCE,
        "end_margin_mm": 0.0 if year == 2019 else 10.0,
        "labelling": rule,
    }


def _entry(
    spacing_mm: float,
    input_size: tuple[int, int, int],
    smoothing_mm: float,
    threshold: float,
    options: dict[str, Any],
    labels: tuple[int, ...] = (0,),
) -> StageWeights:
    return StageWeights(
        models=(),
        spacing_mm=spacing_mm,
        input_size=input_size,
        smoothing_mm=smoothing_mm,
        intensity_divisor=2048.0,
        threshold=threshold,
        labels=labels,
        options=options,
    )
