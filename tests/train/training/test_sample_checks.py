from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.drawn_samples import config_of, sample_of
from verse_infer.errors import InputError
from verse_infer.weights import STAGES
from verse_train.data.samples import Sample
from verse_train.training.sample_checks import check_samples, near_targets


@pytest.mark.parametrize("stage", STAGES)
def test_bright_vertebrae_at_their_annotations_pass(stage):
    check_samples([sample_of(stage)] * 2, config_of(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_annotations_that_do_not_fit_are_noticed(stage):
    sample = sample_of(stage)
    with pytest.raises(InputError, match="HU darker; do the annotations fit"):
        check_samples([replace(sample, image=-sample.image / 4)], config_of(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_samples_without_any_target_are_noticed(stage):
    sample = sample_of(stage)
    with pytest.raises(InputError, match="expected vertebrae in the samples, found none in 1"):
        check_samples([replace(sample, target=0 * sample.target)], config_of(stage))


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda image: np.full_like(image, np.nan), "NaN or infinite"),
        (lambda image: image * 2048, "HU / 2048 of about -1 to 1"),
        (lambda image: np.full_like(image, 0.25), "every voxel is 0.25"),
    ],
)
def test_pictures_that_are_none_are_noticed(spoilt, message):
    sample = sample_of("spine_localisation")
    bad = replace(sample, image=spoilt(sample.image))
    with pytest.raises(InputError, match=f"sample 1: .*{message}"):
        check_samples([sample, bad], config_of("spine_localisation"))


def test_near_a_landmark_is_a_ball_of_three_voxels():
    rows = np.zeros((34, 4), np.float32)
    rows[5] = (10, 12, 20, 1)
    near = near_targets(
        Sample(np.zeros((44, 24, 24, 1), np.float32), rows), config_of("vertebra_localisation")
    )
    assert near.sum() == 123  # lattice points within 3 of the origin
    assert near[20, 12, 13]
    assert not near[20, 12, 14]
