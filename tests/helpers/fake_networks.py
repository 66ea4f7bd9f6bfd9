"""Stand-ins for networks whose answer can be foreseen."""

from collections.abc import Callable

import numpy as np

from verse_infer.anatomy import LABELS
from verse_infer.networks import Network, Networks
from verse_infer.weights import Manifest, ModelFolder, Stage, StageWeights

MODEL = (ModelFolder("nowhere", "0"),)
STAGE_WEIGHTS: dict[Stage, StageWeights] = {
    "spine_localisation": StageWeights(
        MODEL, 8.0, (32, 32, 32), 0.0, 2048.0, 0.3, (0,), {"z_margin_mm": 20.0}
    ),
    "vertebra_localisation": StageWeights(
        MODEL, 2.0, (48, 48, 64), 0.0, 2048.0, 0.2, LABELS, {"tile_overlap": 16, "min_distance": 3}
    ),
    "vertebra_segmentation": StageWeights(
        MODEL, 1.0, (48, 48, 32), 0.0, 2048.0, 0.5, (0,), {"centroid_sigma": 3.0}
    ),
}


def fake_network(stage: Stage, answer: Callable[[np.ndarray], np.ndarray]) -> Network:
    """answer: (z, y, x, c) -> (z, y, x, outputs)."""

    def function(tensor):
        images = np.asarray(tensor)
        return np.stack([answer(image) for image in images]).astype(np.float32)

    return Network(STAGE_WEIGHTS[stage], (function,), "/CPU:0")


def fake_networks(**answers: Callable[[np.ndarray], np.ndarray]) -> Networks:
    stages = {stage: fake_network(stage, answers[stage]) for stage in STAGE_WEIGHTS}
    return Networks(Manifest("fake", STAGE_WEIGHTS, {}), stages, "/CPU:0", "float32")
