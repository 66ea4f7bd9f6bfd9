"""What the manifest says of each stage's networks besides their files."""

from verse_infer.anatomy import LABELS
from verse_infer.weights import Stage, StageWeights, as_options
from verse_train.config import CONFIGS, TrainingConfig
from verse_train.networks.answers import Answer, answer_of
from verse_train.networks.architectures import SIZES

#: Best of a grid on 16 synthetic scans and one real patient that were not trained on, each at three
#: places of the tiles. Thresholds of bodies, faint_share and the chain's last four numbers: by the scans
#: of cross-validation and 100 synthetic ones.
#: The heatmaps of a short training overlap, so that the place of a body and its name are found apart.
_COMPACT_LABELLING: dict[str, object] = {
    # Overlapping tiles often disagree about names; the maximum would believe each of them.
    "tile_merging": "mean",
    # In real CTs the median is 0.35 to 0.58, and 0 to 0.23 where patients are stored upside down or
    # with their back in front.
    "usual_response": 0.3,
    "bodies": {
        "threshold": 0.15,
        # By a patient of cross-validation whose bodies all had 0.2 to 0.3; without false vertebrae in
        # the views without spine.
        "faint_share": 0.6,
        # By four faint maxima in an arm beside a spine, the surest 0.36 (compact-12); the surest body of
        # spines has 0.53 and more, but for one synthetic scan with 0.37.
        "sure_threshold": 0.42,
        "body_distance_mm": 10.0,
        "lone_threshold": 0.15,
        "lone_distance_mm": 8.0,
    },
    "labelling": {
        "rule": "chain",
        "chain": {
            "threshold": 0.0,
            "weight": 0.6,
            "bias": -0.4,
            "neighbour_factor": 0.0,
            "response_floor": 0.01,
            # The names of a spine err together, by one level: λ over the logarithm of the floor (0.13)
            # would let anatomy count as one response, but a dozen of them may be wrong at once.
            "rarity_weight": 0.6,
            "open_end_cost": 2.5,
            "max_missing": 2,
        },
    },
}


def stage_entry(config_name: str, stage: Stage) -> tuple[StageWeights, Answer]:
    """Manifest entry (without models) of a stage trained with one of our configurations."""
    config = CONFIGS[config_name][stage]
    labels = LABELS if stage == "vertebra_localisation" else (0,)
    entry = StageWeights(
        models=(),
        spacing_mm=config.spacing_mm,
        input_size=config.sample_size,
        smoothing_mm=config.smoothing_mm,
        intensity_divisor=2048.0,
        threshold={
            "spine_localisation": 0.3,
            "vertebra_localisation": 0.05,
            "vertebra_segmentation": 0.5,
        }[stage],
        labels=labels,
        options=_options(config),
    )
    return entry, answer_of(config)


def _options(config: TrainingConfig) -> dict[str, object]:
    compact = SIZES[config.size].logarithmic
    if config.stage == "spine_localisation":
        # Of 100 synthetic and all real scans the least maximum is 0.88, of a femur 0.63.
        return {"z_margin_mm": 48.0, "least_height": 0.7 if compact else 0.0}
    if config.stage == "vertebra_localisation":
        # The papers let tiles overlap by 96 of 128 slices; the published code by 64.
        own = _COMPACT_LABELLING if compact else {"labelling": {"rule": "chain"}}
        return {"tile_overlap": 64, "min_distance": 3, **own}
    crops = {"crops": as_options(config.small_crops)} if config.small_crops else {}
    offset = list(config.crop_offset_mm)
    return {"centroid_sigma": config.sigma, "crop_offset_mm": offset, **crops}
