"""The `paper` configuration, number by number.

Payer et al., "Coarse to fine vertebrae localization and segmentation with SpatialConfiguration-Net and
U-Net", VISAPP 2020: sections 2.1 to 2.3 (networks, sizes, spacings) and 3.1 (training), and the VerSe
2019 report of the same authors. Lengths of augmentation are voxels there and mm here.
"""

from dataclasses import asdict

import pytest

from verse_infer.weights import STAGES
from verse_train.config import CONFIGS, Augmentation
from verse_train.sizes import SIZES, Size

PAPER = CONFIGS["paper"]
#: Largest move of a control point of the elastic deformation, and largest translation along an axis.
ELASTIC_VOXELS, TRANSLATION_VOXELS = 15, 30
#: Field by field, of the three stages.
TRAINING = {
    "spacing_mm": [8.0, 2.0, 1.0],
    "sample_size": [(64, 64, 128), (96, 96, 128), (128, 128, 96)],  # x, y, z
    "steps": [20_000, 100_000, 50_000],
    "optimiser": ["adam", "nesterov", "adam"],
    "rate": [1e-4, 1e-8, 1e-4],
    "rate_falls": [False, False, False],
    # "L2 weight regularization factor of 5^-4", read as 5e-4, the published training code's.
    "decay": [5e-4, 5e-4, 1e-7],
    "smoothing_mm": [0.75, 0.75, 0.75],
    # Of target heatmaps in stage 1, of the picture of the centroid in stage 3. In stage 2 each
    # vertebra's is learned from here on.
    "sigma": [3.0, 3.0, 3.0],
    "sigma_penalty": [0.0, 100.0, 0.0],  # α
    # Plain L2, plain cross-entropy, crops in the middle of the vertebra: nothing of our own.
    "near_weight": [0.0, 0.0, 0.0],
    "dice_loss": [False, False, False],
    "crop_offset_mm": [(0.0, 0.0, 0.0)] * 3,
    "small_crops": [()] * 3,
    "centroid_jitter_mm": [0.0, 0.0, 0.0],
    "size": [SIZES[Size.PAPER]] * 3,
}


@pytest.mark.parametrize("name", TRAINING)
def test_training_is_the_papers(name):
    assert [getattr(PAPER[stage], name) for stage in STAGES] == TRAINING[name]


@pytest.mark.parametrize("stage", STAGES)
def test_augmentation_is_the_papers(stage):
    config = PAPER[stage]
    papers = {
        "rotation_deg": 15.0,
        "scale": 0.15,  # 0.85 to 1.15
        "translation_mm": TRANSLATION_VOXELS * config.spacing_mm,
        "elastic_mm": ELASTIC_VOXELS * config.spacing_mm,
        "intensity_scale": 0.25,  # 0.75 to 1.25, of HU / 2048
        "intensity_shift": 0.25,
    }
    others = {name: False for name in asdict(Augmentation()) if name not in papers}
    assert asdict(config.augmentation) == papers | others


def test_networks_are_the_papers():
    size = SIZES[Size.PAPER]
    assert size.filters == (64, 64, 64, 64, 64)  # five levels
    assert size.spatial_filters == 64
    assert size.leaky == 0.0  # ReLU; stage 2 has leaky ReLU 0.1 whatever the size
    assert not size.normalised
    assert size.heatmaps == "product"
    assert size.transposed == ()


def test_no_field_of_the_training_goes_unstated():
    assert set(asdict(PAPER[STAGES[0]])) == {*TRAINING, "stage", "augmentation"}
