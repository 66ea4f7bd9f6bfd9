"""What the manifest says of each stage's networks besides their files.

Numbers that were tuned on the answers of compact networks stand in one place, the bundled weights'
manifest, with the reasons beside them; an export of newly trained ones takes them over from there. What a
training decides (spacing, sizes, crops) comes from its configuration.
"""

from typing import Any

from msgspec import structs

from verse_infer.anatomy import LABELS
from verse_infer.weights import (
    BUNDLED_WEIGHTS,
    IdentificationWeights,
    LandmarkOptions,
    LandmarkWeights,
    SegmentationOptions,
    SegmentationWeights,
    SpineOptions,
    SpineWeights,
    Stage,
    StageWeights,
    read_manifest,
)
from verse_train.config import CONFIGS, TrainingConfig
from verse_train.networks.answers import Answer, answer_of
from verse_train.sizes import Size

#: The published method's numbers, for networks of the papers' size. The papers let tiles overlap by 96 of
#: 128 slices; the published code by 64.
_PUBLISHED_SPINE = SpineOptions(z_margin_mm=48.0)
_PUBLISHED_LANDMARKS = LandmarkOptions(tile_overlap=64, min_distance=3)
_INTENSITY_DIVISOR = 2048.0


def stage_entry(size: Size, stage: Stage) -> tuple[StageWeights, Answer]:
    """Manifest entry (without models) of a stage trained with one of our configurations."""
    config = CONFIGS[size][stage]
    entry = _published(config) if size == Size.PAPER else _tuned(config)
    return entry, answer_of(config)


def identification_entry() -> IdentificationWeights:
    """Manifest entry (without models) of the stage that names vertebrae, with the bundled numbers."""
    bundled = read_manifest(BUNDLED_WEIGHTS).stages.vertebra_identification
    return structs.replace(bundled or IdentificationWeights(models=()), models=())


def _tuned(config: TrainingConfig) -> StageWeights:
    """As the bundled weights have it, but for what the configuration says."""
    bundled = read_manifest(BUNDLED_WEIGHTS).stages.present()[config.stage]
    own: dict[str, object] = {}
    if isinstance(bundled, LandmarkWeights):
        # Shorter tiles overlap by half at most.
        overlap = min(bundled.options.tile_overlap, config.sample_size[2] // 2)
        own["options"] = structs.replace(bundled.options, tile_overlap=overlap)
    elif isinstance(bundled, SegmentationWeights):
        own["options"] = _crops(config)
    return structs.replace(
        bundled,
        models=(),
        spacing_mm=config.spacing_mm,
        input_size=config.sample_size,
        smoothing_mm=config.smoothing_mm,
        **own,
    )


def _published(config: TrainingConfig) -> StageWeights:
    common: dict[str, Any] = {
        "models": (),
        "spacing_mm": config.spacing_mm,
        "input_size": config.sample_size,
        "smoothing_mm": config.smoothing_mm,
        "intensity_divisor": _INTENSITY_DIVISOR,
    }
    if config.stage == "spine_localisation":
        return SpineWeights(**common, threshold=0.3, options=_PUBLISHED_SPINE)
    if config.stage == "vertebra_localisation":
        return LandmarkWeights(
            **common, threshold=0.05, labels=LABELS, options=_PUBLISHED_LANDMARKS
        )
    return SegmentationWeights(**common, threshold=0.5, options=_crops(config))


def _crops(config: TrainingConfig) -> SegmentationOptions:
    return SegmentationOptions(
        centroid_sigma=config.sigma,
        crop_offset_mm=config.crop_offset_mm,
        crops=config.small_crops,
    )
