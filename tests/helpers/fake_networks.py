"""Stand-ins for networks whose answer can be foreseen."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from msgspec import structs

from verse_infer.anatomy import LABELS
from verse_infer.networks import Network, Networks
from verse_infer.runtime import Runtime
from verse_infer.weights import (
    OUTPUT,
    LandmarkOptions,
    LandmarkWeights,
    Manifest,
    ModelFolder,
    SegmentationOptions,
    SegmentationWeights,
    SpineOptions,
    SpineWeights,
    Stage,
    Stages,
    StageWeights,
)

COMMON = {
    "models": (ModelFolder("nowhere", "0"),),
    "smoothing_mm": 0.0,
    "intensity_divisor": 2048.0,
}
STAGE_WEIGHTS: dict[Stage, StageWeights] = {
    "spine_localisation": SpineWeights(
        **COMMON,
        spacing_mm=8.0,
        input_size=(32, 32, 32),
        threshold=0.3,
        options=SpineOptions(z_margin_mm=20.0),
    ),
    "vertebra_localisation": LandmarkWeights(
        **COMMON,
        spacing_mm=2.0,
        input_size=(48, 48, 64),
        threshold=0.2,
        labels=LABELS,
        options=LandmarkOptions(tile_overlap=16, min_distance=3),
    ),
    "vertebra_segmentation": SegmentationWeights(
        **COMMON,
        spacing_mm=1.0,
        input_size=(48, 48, 32),
        threshold=0.5,
        options=SegmentationOptions(centroid_sigma=3.0),
    ),
}


def fake_network(stage: Stage, answer: Callable[[np.ndarray], np.ndarray]) -> Network:
    """answer: (z, y, x, c) -> (z, y, x, outputs)."""

    def function(tensor):
        images = np.asarray(tensor)
        return {OUTPUT: np.stack([answer(image) for image in images]).astype(np.float32)}

    return Network(STAGE_WEIGHTS[stage], (function,), "/CPU:0")


def fake_networks(**answers: Callable[[np.ndarray], np.ndarray]) -> Networks:
    stages = {stage: fake_network(stage, answers[stage]) for stage in STAGE_WEIGHTS}
    manifest = Manifest(name="fake", stages=Stages(**STAGE_WEIGHTS))
    return Networks(manifest, stages, Runtime("/CPU:0", "float32"))


def weights_with(weights: StageWeights, **options) -> StageWeights:
    """The same, with some of the stage's own options changed."""
    return structs.replace(weights, options=structs.replace(weights.options, **options))


def network_with(network: Network, **options) -> Network:
    return replace(network, weights=weights_with(network.weights, **options))
